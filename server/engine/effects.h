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

enum effect_op {
    EFFECT_COUNT = 1, /* funnel counters of `target` */
    EFFECT_RATING,    /* item count: sum over users of their rating of `target`, changed by `delta` */
    EFFECT_PAIR,      /* co-rating of (`target`, `other`) changed by `delta`; the mirror is an effect of its own */
};

#define EFFECT_COUNTERS_MAX 8 /* counters one effect may change */

struct counter_delta {
    enum counter counter;
    int64_t delta; /* never 0 */
};

struct effect {
    int32_t partition;        /* scratch of whoever sends it */
    entity_id target;
    enum effect_op op;
    int32_t delta;            /* RATING, PAIR; never 0 */
    entity_id other;          /* PAIR */
    struct slice name;        /* COUNT, RATING: the target's id as text, borrowed from the event or the profile */
    struct slice scene;       /* COUNT */
    enum event_source source; /* COUNT */
    bool explained;           /* COUNT: the item was on show at that moment */
    int counter_count;        /* COUNT */
    struct counter_delta counters[EFFECT_COUNTERS_MAX];
};

struct effect_list {
    struct effect *at; /* owned */
    size_t count;
    size_t capacity;
};

void effect_list_fini(struct effect_list *list);
/* The new effect is zeroed but for target and op. Valid until the next addition. */
struct effect *effect_list_add(struct effect_list *list, entity_id target, enum effect_op op);
