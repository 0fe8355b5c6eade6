/* A seeded generator (splitmix64) and the draws the simulator makes from it. Reproducible on every machine. */
#pragma once

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

struct random {
    uint64_t state;
};

static inline uint64_t random_next(struct random *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

/* [0, 1) */
static inline double random_unit(struct random *r)
{
    return (double)(random_next(r) >> 11) * 0x1p-53;
}

static inline double random_between(struct random *r, double low, double high)
{
    return low + (high - low) * random_unit(r);
}

static inline bool random_chance(struct random *r, double probability)
{
    return random_unit(r) < probability;
}

/* 0 … n-1 */
static inline uint32_t random_below(struct random *r, uint32_t n)
{
    return (uint32_t)((random_next(r) >> 32) * n >> 32);
}

static inline double random_exponential(struct random *r, double mean)
{
    return -mean * log(1.0 - random_unit(r));
}

/* Zipf with exponent one over 0 … n-1, by the inverse of the continuous distribution. */
static inline uint32_t random_zipf(struct random *r, uint32_t n)
{
    uint32_t rank = (uint32_t)(exp(random_unit(r) * log((double)n + 1.0)) - 1.0);
    return rank < n ? rank : n - 1;
}
