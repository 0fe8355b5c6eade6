/*
 * How similar a neighbour is: what to offer to who took an entity. Derived from its own neighbours and the counts of others
 * when a list is made; never folded.
 *
 *   sim(p, q) = pairs(p, q) / sqrt(count(p) count(q)) + next_weight * next(p, q) / (next(p, all) + next_prior)
 *
 * The first is TencentRec's cosine of co-ratings (SIGMOD 2015), the second the share of users who came to q right after p.
 * Neighbours are bounded and a list is made of the `from` strongest by count; the backtest says what that loses.
 */
#pragma once

#include "server/engine/entity.h"

#define SIMILAR_FROM_MAX 128
#define SIMILAR_MAX 64

struct similarity_settings {
    uint32_t length;               /* of a list; 20, at most SIMILAR_MAX */
    uint32_t from;                 /* strongest pairs among which it is chosen; 64, at most SIMILAR_FROM_MAX */
    uint32_t next_weight_permille; /* 2,000 */
    uint32_t next_prior;           /* transitions; 5 */
};

void similarity_settings_default(struct similarity_settings *s);

struct similarity {
    const struct neighbours *neighbours;
    int64_t count; /* of the entity itself */
};

/* The share of users who came to the neighbour right after, alone. */
float similarity_next(const struct similarity_settings *s, const struct similarity *own, const struct neighbour *n);
/* `count` of the neighbour; <= 0: not known, then it is taken to be the entity's own. */
float similarity_of(const struct similarity_settings *s, const struct similarity *own, const struct neighbour *n, int64_t count);
