/* Examples for the blend of the ranker's sources where no list was sent: what was taken, and others of the best of all items. */
#pragma once

#include "server/engine/blend.h"

#define CHOICE_BEST 100 /* a choice is among so many */

struct all_scored {
    struct recommender *recommender;
    const struct asker *asker;
    const float *scores; /* by catalog number, as recommend_all() says; below 0: not to be had */
    uint32_t bound;
};

/* False: what was taken is none of the best. */
bool choose_from_all(const struct all_scored *all, uint32_t taken, uint64_t seed, struct choice *out);
