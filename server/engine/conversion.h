/*
 * How readily what is on show is bought: purchases a second of watching, as a product of the rate of all and of factors for
 * how well the item suits the user and whether it was wanted before, for the item, for its host, and for the user. Of each
 * factor a gamma distribution with mean one is believed beforehand and purchases are Poisson, so that its posterior mean is
 * (bought + k) / (expected + k), expected with this factor at one (Gelman et al., Bayesian Data Analysis, 2.6). One pass,
 * each factor beside the others as they stand. What was seen fades by half in a day; of a user, whose factor the caller
 * keeps, not at all. Soft, as are the features made of it.
 */
#pragma once

#include "server/engine/entity_id.h"

#include <stdbool.h>

struct conversion {
    double bought, expected;
    int64_t at_ms;
};

/* A user before what is on show. */
struct look {
    entity_id item, host; /* 0: none */
    float match;          /* 0 to 1 */
    bool wanted;          /* tried, or put into the cart */
};

/* Each as a factor; 1 is like everybody. */
struct conversion_factors {
    double item, host, match, user;
};

struct conversions;

/* So many items and hosts at most, at least 2; beyond it the one unseen for longest is forgotten. */
struct conversions *conversions_create(uint32_t max);
void conversions_destroy(struct conversions *c);
void conversions_watch(struct conversions *c, const struct look *at, double seconds, int64_t now_ms, struct conversion *user);
void conversions_buy(struct conversions *c, const struct look *at, int64_t now_ms, struct conversion *user);
struct conversion_factors conversions_factors(const struct conversions *c, const struct look *at, int64_t now_ms, const struct conversion *user);
