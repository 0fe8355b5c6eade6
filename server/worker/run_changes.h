/*
 * What one effects record changes, entity by entity. Entries are checked one by one before any of their effects comes
 * here (rule 4); then an entity's changes are chained, so that it is found once and its table stays in the cache,
 * and its counters are summed first: a star room that is in every entry costs one addition to its buckets.
 */
#pragma once

#include "server/codec/effects_codec.h"
#include "server/engine/entity.h"
#include "server/worker/cells.h"

/* An entity that the record names as a target. */
struct target {
    entity_id id;
    struct slice name;                  /* borrowed from the record; size 0: it does not say */
    struct cell *counters, *neighbours; /* borrowed; set by whoever looks them up */
    bool counts, pairs;                 /* which of the two the record is about */
    uint32_t tally;                     /* its first; place + 1 */
    uint32_t first, last;               /* of its changes; place + 1 */
};

/* To the rating of an entity or to one of its pairs. */
struct change {
    struct neighbour_change pair; /* its other is 0: the rating */
    int64_t event_ms;
    uint32_t next; /* of the same entity, in the order of the log; place + 1 */
};

/* Of all effects of one entity with one scene, source, explained and minute of event time. */
struct tally {
    struct count_effect sum;
    int64_t event_ms; /* the greatest */
    uint32_t next;    /* of the same entity; place + 1 */
};

struct run_changes {
    struct target *targets; /* owned, like all here; in the order in which the record names them */
    uint32_t *slots;        /* open addressing by id; place + 1 */
    struct change *changes; /* in the order of the log */
    struct tally *tallies;
    uint32_t target_count, slot_count, target_capacity, recent;
    uint32_t change_count, change_capacity;
    uint32_t tally_count, tally_capacity;
};

void run_changes_fini(struct run_changes *c);
void run_changes_clear(struct run_changes *c);
/* Valid until the next is asked for; its place is its distance from c->targets. */
struct target *run_changes_target(struct run_changes *c, entity_id id);
void run_changes_add(struct run_changes *c, struct target *target, const struct run_effect *e, int64_t event_ms);
