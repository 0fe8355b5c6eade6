/*
 * How similar a neighbour is: what to offer to who took an entity. Derived from its own neighbours and the counts of others
 * when a list is made; never folded.
 *
 *   sim(p, q) = pairs(p, q) / (sqrt(count(p) count(q)) + prior) + next_weight * next(p, q) / (next(p, all) + next_prior)
 *
 * The first is TencentRec's cosine of co-ratings (SIGMOD 2015), drawn towards 0 where few ratings speak for it; the second
 * the share of users who came to q right after p.
 * Neighbours are bounded and a list is made of the `from` strongest by count; `backtest --protocol similarity` says what
 * that loses.
 *
 * With `user_cosine` the first is replaced by user-based collaborative filtering, the scorer of the system's first design:
 *   r(u,i) = sum_{v in N(u)} r_vi r_vu / d_v / (sqrt(sum_{v in N(u)} r_vi^2 / d_v) + sqrt(sum_{v in N(i)} r_vi^2 / d_v)),
 * r_vu the cosine of two users' ratings, N(u) who shares an item with u, N(i) who rated i, d_v = |N(v)|. Neighbours are
 * never listed: r_vu is itself a sum over the items that both rated, and with the two sums exchanged the numerator is
 *   1/|u| sum_{j rated by u} r_uj C(j,i),   C(j,i) = sum_v r_vj r_vi / (|v| d_v).
 * Who rated j and i is a neighbour of u by way of j and has counted in the pair of j and i, so the list of j carries
 * C(j,i) over the roots, and the ranker's sum over the history is the sum over all neighbours. Approximated are
 *   C(j,i)         the pair count: min for the product, and |v| and d_v taken to be alike for all users
 *   the first root the second: where histories overlap nearly all who rated i are neighbours of u
 *   r              what the windows and the bounded tables, lists and histories still hold, not all that ever was
 * which leaves pairs(j, i) / sqrt(count(i) K). 1/|u| is the same for all of a user's items; K, for all users, only scales.
 */
#pragma once

#include "server/engine/entity.h"

#define SIMILAR_FROM_MAX 128
#define SIMILAR_MAX 64

struct similarity_settings {
    uint32_t length;               /* of a list; 20, at most SIMILAR_MAX */
    uint32_t from;                 /* strongest pairs among which it is chosen; 64, at most SIMILAR_FROM_MAX */
    uint32_t prior;                /* ratings; 20 */
    uint32_t next_weight_permille; /* 2,000 */
    uint32_t next_prior;           /* transitions; 20 */
    uint32_t user_cosine;          /* 0: cosine of items; else K of the users' cosine: a usual item's count, for the same scale */
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
