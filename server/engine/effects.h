/*
 * Effects: what one event changes in the entities it names. The profile stage emits them, the entity stage adds
 * them up. All are integer deltas; a list is the whole contribution of one source record.
 */
#pragma once

#include "common/slice.h"
#include "server/engine/counters.h"
#include "server/engine/entity_id.h"
#include "server/engine/event.h"

#include <stddef.h>

#define PAIR_STEPS 3

struct counter_delta {
    enum counter counter;
    int64_t delta; /* never 0 */
};

/* Funnel counters of `target`. */
struct count_effect {
    entity_id target;
    struct slice name;  /* the target's id as text, borrowed from the event; size 0 when it does not say */
    struct slice scene; /* borrowed likewise */
    enum event_source source;
    bool explained;     /* the item was on show at that moment */
    int counter_count;
    struct counter_delta counters[COUNTERS]; /* each counter at most once */
};

/* Item count: the sum over users of their rating of `target`. */
struct rating_effect {
    entity_id target;
    struct slice name; /* as above */
    int32_t delta;     /* never 0 */
    uint32_t pairs;    /* how many of the list's pairs come with it, in the same order */
};

/* Co-rating of `target`, whose rating changed, with `other`. It stands once and counts for both of them. */
struct pair_effect {
    entity_id target;
    entity_id other;
    int32_t delta; /* never 0 */
    uint8_t step;  /* the user came to `target` so many items after `other`, 1 to PAIR_STEPS; 0: not, or later */
};

struct effect_list {
    struct count_effect *counts; /* owned, like the other two */
    struct rating_effect *ratings;
    struct pair_effect *pairs;
    uint32_t count_count, rating_count, pair_count;
    uint32_t count_capacity, rating_capacity, pair_capacity;
};

void effect_list_fini(struct effect_list *list);
void effect_list_clear(struct effect_list *list);
/* The new effect is zeroed but for its target. Valid until the next of its kind is added. */
struct count_effect *effect_list_add_count(struct effect_list *list, entity_id target);
struct rating_effect *effect_list_add_rating(struct effect_list *list, entity_id target);
/* Comes with the rating that was added last. */
void effect_list_add_pair(struct effect_list *list, entity_id other, int32_t delta);
/* Adds to one counter of an effect; 0 adds nothing. */
void count_effect_add(struct count_effect *e, enum counter counter, int64_t delta);
