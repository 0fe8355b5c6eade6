#include "server/engine/similarity.h"

#include <math.h>

void similarity_settings_default(struct similarity_settings *s)
{
    *s = (struct similarity_settings){.length = 20, .from = 64, .next_weight_permille = 2000, .next_prior = 5};
}

float similarity_next(const struct similarity_settings *s, const struct similarity *own, const struct neighbour *n)
{
    float all = (float)neighbours_next_sum(own->neighbours) / NEXT_UNIT + (float)s->next_prior;
    return (float)n->next / NEXT_UNIT / (all > 0 ? all : 1);
}

float similarity_of(const struct similarity_settings *s, const struct similarity *own, const struct neighbour *n, int64_t count)
{
    float mine = (float)own->count, theirs = count > 0 ? (float)count : mine, pairs = (float)n->pair_count;
    float cosine = mine > 0 ? pairs / sqrtf(mine * theirs) : 0, users = theirs > 0 ? pairs / sqrtf(theirs * (float)s->user_cosine) : 0;
    return (s->user_cosine ? users : cosine < 1 ? cosine : 1) + similarity_next(s, own, n) * (float)s->next_weight_permille / 1000;
}
