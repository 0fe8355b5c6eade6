#include "server/engine/similarity.h"

#include "server/engine/recommend.h"

#include <math.h>

#define LIST_PRIOR 0.1f /* beside the length of a list */

void similarity_settings_default(struct similarity_settings *s)
{
    *s = (struct similarity_settings){.length = 20, .from = 64, .prior = 20, .next_weight_permille = 2000, .next_prior = 20};
}

float similarity_next(const struct similarity_settings *s, const struct similarity *own, const struct neighbour *n)
{
    float all = (float)neighbours_next_sum(own->neighbours) / NEXT_UNIT + (float)s->next_prior;
    return (float)n->next / NEXT_UNIT / (all > 0 ? all : 1);
}

float similarity_of(const struct similarity_settings *s, const struct similarity *own, const struct neighbour *n, int64_t count)
{
    float mine = (float)own->count, theirs = count > 0 ? (float)count : mine, pairs = (float)n->pair_count;
    float cosine = mine > 0 ? pairs / (sqrtf(mine * theirs) + (float)s->prior) : 0, users = theirs > 0 ? pairs / sqrtf(theirs * (float)s->user_cosine) : 0;
    return (s->user_cosine ? users : cosine < 1 ? cosine : 1) + similarity_next(s, own, n) * (float)s->next_weight_permille / 1000;
}

float similar_list_scale(const struct similar *at, uint32_t count)
{
    float sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += at[i].sim * at[i].sim;
    return 1 / (sqrtf(sum) + LIST_PRIOR);
}
