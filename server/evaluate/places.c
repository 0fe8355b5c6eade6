#include "server/evaluate/places.h"

static void place(const float *scores, uint32_t count, uint32_t target, double *out_above, double *out_equal)
{
    *out_above = *out_equal = 0;
    for (uint32_t i = 0; i < count; i++)
        if (i != target && scores[i] >= 0) {
            *out_above += scores[i] > scores[target];
            *out_equal += scores[i] == scores[target];
        }
}

double rank_of(const float *scores, uint32_t count, uint32_t target)
{
    double above, equal;
    place(scores, count, target, &above, &equal);
    return above + equal / 2;
}

double hit_at(const float *scores, uint32_t count, uint32_t target, uint32_t k)
{
    double above, equal;
    place(scores, count, target, &above, &equal);
    double room = ((double)k - above) / (equal + 1);
    return room > 1 ? 1 : room < 0 ? 0 : room;
}
