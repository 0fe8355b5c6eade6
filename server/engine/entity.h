/*
 * The entity stage: folded state of one item, host or room, in two blobs that change at different rates: counters
 * (every event) and neighbours (only when ratings move).
 *
 * Incremental item-based collaborative filtering after TencentRec (SIGMOD 2015): item count = sum of ratings, pair
 * count = sum of min(rating, rating); both per event-time bucket, windowed when read.
 */
#pragma once

#include "common/bytes.h"
#include "common/err.h"
#include "server/engine/effects.h"

#define SCENES_PER_ENTITY 8

struct entity_settings {
    uint32_t neighbours;        /* kept per entity; default 256 */
    uint32_t pair_bucket_ms;    /* default 30 days; 0 = one bucket for ever (reference job) */
    uint32_t pair_buckets;      /* window; default 8, at most 8 */
    uint32_t minutes, hours, days; /* so many buckets back from that of the entity's greatest event time are kept; defaults 60, 48, 35 */
    int32_t day_offset_ms;      /* days are cut as profile.day_offset_ms says; in whole minutes */
};

void entity_settings_default(struct entity_settings *s);

struct counters;   /* opaque */
struct neighbours; /* opaque */

struct counters *counters_create(void);
void counters_destroy(struct counters *c);
/* `event_ms` is the entry's event time, already judged. An effect without a name leaves the name as it is. */
void counters_add_count(struct counters *c, const struct entity_settings *s, const struct count_effect *e, int64_t event_ms);
void counters_add_rating(struct counters *c, const struct entity_settings *s, struct slice name, int32_t delta, int64_t event_ms);
void counters_encode(const struct counters *c, struct writer *out);
MUST_CHECK enum err counters_decode(struct slice bytes, struct counters **out_counters);
size_t counters_bytes(const struct counters *c);
struct slice counters_name(const struct counters *c); /* size 0 until an effect named it */
int64_t counters_last_ms(const struct counters *c);   /* greatest event time seen */
int64_t counters_rating(const struct counters *c);    /* item count over the pair window */
/* How many scenes it has counters for, and the lifetime totals of one of them; follows and star ratings are those of all scenes. */
int counters_scenes(const struct counters *c);
struct slice counters_scene(const struct counters *c, int scene, int64_t out_totals[COUNTERS]);
/* What of them came from a source on the days that are kept. */
void counters_from(const struct counters *c, int scene, enum event_source source, int64_t out_sums[COUNTERS]);

enum counter_level { MINUTES, HOURS, DAYS, LEVELS };

/*
 * What moved in one span of event time, by scene; hours and days by source too, days also by whether the item was on
 * show. What undoes something stands where it was undone, so that a sum may be below 0. A bucket that is not kept any
 * more when its event arrives stays out, so that the order of events does not matter.
 */
struct counter_bucket {
    enum counter_level level;
    int64_t start_ms;         /* of days by the clock that cuts them */
    int scene;                /* as of counters_scene */
    enum event_source source; /* SOURCES: all */
    bool explained;
    int64_t sums[COUNTERS];
};

/* The `i`th, in no order; false: there are no more. */
bool counters_bucket(const struct counters *c, uint32_t i, struct counter_bucket *out);
/* Lifetime totals over all scenes, or those while the item was being explained. */
void counters_total(const struct counters *c, bool explained, int64_t out_totals[COUNTERS]);
/* The sums over all scenes of the newest minute; answers its first millisecond, or -1 when there is none. */
int64_t counters_newest_minute(const struct counters *c, int64_t out_sums[COUNTERS]);

struct neighbour {
    entity_id id;
    int64_t pair_count; /* windowed */
    int64_t next;       /* sum of NEXT_UNIT / step over the users who came to it right after; of as long as it is a neighbour */
};

#define NEXT_UNIT 6 /* divided by every step */

struct neighbours *neighbours_create(void);
void neighbours_destroy(struct neighbours *n);

/* A pair's count changes; `step`: and users came to `other` so many items after this entity; 0: not. */
struct neighbour_change {
    entity_id other;
    int32_t delta;
    uint8_t step;
};

void neighbours_apply(struct neighbours *n, const struct entity_settings *s, const struct neighbour_change *c, int64_t event_ms);
/* Asks for the memory that an apply will search, or for all that an encode will read. */
void neighbours_fetch(const struct neighbours *n, bool whole);
void neighbours_encode(const struct neighbours *n, struct writer *out);
MUST_CHECK enum err neighbours_decode(struct slice bytes, struct neighbours **out_neighbours);
size_t neighbours_bytes(const struct neighbours *n);
/* All transitions that left the entity, to whatever was ever counted, in NEXT_UNITs. */
int64_t neighbours_next_sum(const struct neighbours *n);
/* The strongest by pair count, ties by id; answers how many. */
uint32_t neighbours_top(const struct neighbours *n, const struct entity_settings *s, uint32_t max,
                        struct neighbour *out);
