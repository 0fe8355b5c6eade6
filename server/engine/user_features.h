/*
 * What the predictions look at, derived from a profile when read (never folded). Each feature is a plain number; the
 * model standardises. Logarithms are to base 2 of one plus the value.
 */
#pragma once

#include "server/engine/conversion.h"
#include "server/engine/profile.h"

enum feature {
    FEATURE_ORDERS,     /* log orders so far */
    FEATURE_CARTS,      /* log cart events so far */
    FEATURE_RATE,       /* log events a day since the first */
    FEATURE_AGE,        /* log hours since the first event */
    FEATURE_PAUSE,      /* log seconds since the event before this one, over the user's own mean */
    FEATURE_HOT,        /* items in the history with a cart, trial or gift in the last 10 minutes, not owned */
    FEATURE_RECENT,     /* log sum of ratings touched in the last 10 minutes */
    FEATURE_WATCHED,    /* log minutes watched of what was touched in the last 10 minutes */
    FEATURE_INTERACTS,  /* share of chats, questions, votes, likes among the events */
    FEATURE_BOUGHT_AGO, /* 2^-(days since the last order / 7); 0: never */
    FEATURE_TRIALS,     /* log trials */
    FEATURE_SILENCE,    /* log days since the last event */
    FEATURE_RHYTHM,     /* log of that over the mean time between orders, tenure over orders */
    FEATURE_SPENT,      /* log of what was spent, refunds subtracted */
    FEATURE_NEGATIVE,   /* share of the history that counts against */
    FEATURE_STAY,       /* log mean seconds watched a visit */
    FEATURE_CLICKS,     /* clicks an impression, shrunk */
    FEATURE_INSIDE,     /* log seconds watched in a room that was touched in the last 30 s */
    FEATURE_SESSION,    /* log minutes since the session began; 0: unknown */
    FEATURE_MATCH,      /* of the user's tags with those of the item on show; 0 outside rooms */
    FEATURE_EXPECTING,  /* FEATURE_MATCH times log seconds inside */
    FEATURE_ROOM,       /* 1 in a room that shows an item, else 0, as are those that speak of it */
    FEATURE_WANTED,     /* 1: the item on show was tried or put into the cart, and not bought */
    FEATURE_HAS,        /* 1: it is owned */
    FEATURE_DEAR,       /* log of its price in hundreds */
    FEATURE_HOST_LIFT,  /* log of how well its host does with everybody, and it */
    FEATURE_ITEM_LIFT,
    FEATURE_HOURS,      /* log of hours watched in all */
    FEATURE_YIELD,      /* log of orders over hours watched, each with a little added */
    FEATURE_COMES,      /* log of visits an hour since the worker knows the user, likewise */
    FEATURE_VISIT_ACTS, /* log of chats, questions, votes, likes in this visit */
    FEATURE_VISIT_ORDERS,
    FEATURE_VISIT_WATCHED, /* log of minutes */
    FEATURE_VISIT_SHOWN,   /* log of impressions */
    FEATURE_LATELY,        /* 2^-(days since the last event / 30) */
    FEATURE_BUYER,         /* log of how readily the user buys what is watched */
    FEATURE_ITEM_SELLS,    /* log of how readily the item on show is bought, its host sells, and what suits so well is bought */
    FEATURE_HOST_SELLS,
    FEATURE_MATCH_SELLS,
    FEATURE_ROOM_MATCH,    /* of the user's tags with those of all the room has on offer */
    FEATURES
};

#define FEATURE_MAX 1e6f /* of each, either way */

extern const char *const feature_names[FEATURES];

/* What the moment adds to the profile. */
struct moment {
    int64_t before_ms;  /* when the user was last seen before the event that asks; 0: never */
    int64_t session_ms; /* when the session began; 0: unknown */
    float match;        /* cosine of the user's tags and the tags of the item on show */
    float room_match;   /* mean over the items of the room */
    entity_id item;     /* on show where the user is; 0: none, as are those that speak of it */
    double price;       /* minor units */
    float host_lift, item_lift; /* click and purchase rate over everybody's */
    struct conversion_factors conversion; /* 0: unknown */
    uint32_t visits;    /* since known_ms; 0: unknown */
    int64_t known_ms;
    uint64_t acts, orders, shown, dwell_ms; /* of the profile when the visit began */
};

/* Chats, questions, votes and likes so far. */
uint64_t features_acts(const struct profile *p);

bool features_has(const struct profile *p, entity_id item);
/* Tried or put into the cart, and not bought. */
bool features_wanted(const struct profile *p, entity_id item);

void features_of(const struct profile *p, const struct moment *at, int64_t now_ms, float out[FEATURES]);

enum value_tier { VALUE_HIGH, VALUE_POTENTIAL, VALUE_ORDINARY, VALUE_DORMANT, VALUE_TIERS };

extern const char *const value_tier_names[VALUE_TIERS];

struct value_settings {
    int64_t high_spent;    /* settlement minor units within reach of a good customer; 50,000 */
    uint32_t high_orders;  /* or so many orders; 3 */
    int64_t recent_ms;     /* of the last order, to count as high; 90 days */
    int64_t dormant_ms;    /* not seen for so long; 30 days */
    uint32_t potential;    /* carts and trials without an order that make a potential; 1 */
};

/* Recency, frequency, money: high bought much and lately; potential is interested or has bought once; dormant is gone. */
enum value_tier value_tier_of(const struct profile *p, const struct value_settings *s, int64_t now_ms);
