#include "server/evaluate/choice.h"

#include "common/hash.h"

/* Catalog numbers, best first. */
static uint32_t best_of(const struct all_scored *all, uint32_t out[CHOICE_BEST])
{
    uint32_t count = 0;
    for (uint32_t n = 0; n < all->bound; n++) {
        float score = all->scores[n];
        if (score < 0 || (count == CHOICE_BEST && score <= all->scores[out[count - 1]]))
            continue;
        uint32_t at = count < CHOICE_BEST ? count++ : CHOICE_BEST - 1;
        for (; at > 0 && all->scores[out[at - 1]] < score; at--)
            out[at] = out[at - 1];
        out[at] = n;
    }
    return count;
}

bool choose_from_all(const struct all_scored *all, uint32_t taken, uint64_t seed, struct choice *out)
{
    uint32_t best[CHOICE_BEST], drawn[CHOICE_MAX] = {taken}, at = 0, count = best_of(all, best), n = 1;
    while (at < count && best[at] != taken)
        at++;
    if (at == count)
        return false;
    best[at] = best[--count];
    for (; n < CHOICE_MAX && count; n++) {
        at = (uint32_t)(hash_mix(seed + n) % count);
        drawn[n] = best[at];
        best[at] = best[--count];
    }
    return recommend_choice_of(all->recommender, all->asker, drawn, n, out);
}
