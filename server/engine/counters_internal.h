/* What counters are made of: shared by their fold and their codec, for nobody else. */
#pragma once

#include "server/engine/entity.h"
#include "server/engine/stored.h"

struct bucket {
    int64_t at; /* event time, of days moved by their offset, divided by the level's length */
    uint8_t level, scene, source, explained;
    uint32_t mask;  /* counters ever moved */
    uint32_t first; /* in the entity's values: one a bit of mask, in order */
};

struct scene_totals {
    struct slice name; /* owned bytes; size 0: every scene beyond the limit */
    int64_t totals[COUNTERS];
};

struct rating_bucket {
    int64_t at;
    int64_t sum;
};

#define RATINGS_MAX 8 /* buckets of the pair window */

extern const int64_t counter_level_ms[LEVELS];

/* What every effect and every list looks at stands first. */
struct counters {
    int64_t last_ms;
    uint32_t rating_count;
    uint32_t name_conflicts;
    struct rating_bucket ratings[RATINGS_MAX]; /* ascending */
    char name[EVENT_ID_BYTES];
    uint8_t name_size;
    int scene_count;
    struct scene_totals *scenes; /* owned; SCENES_PER_ENTITY and one more at most */
    int64_t explained[COUNTERS];
    struct bucket *buckets; /* owned */
    int64_t *values;        /* owned; of all buckets */
    uint32_t bucket_count, bucket_capacity;
    uint32_t value_count, value_capacity; /* among them values that no bucket refers to any more */
    uint16_t recent[LEVELS][SOURCES + 1]; /* where the bucket was that was found last: a hint, not state */
};

static inline uint32_t bucket_width(const struct bucket *b)
{
    return (uint32_t)__builtin_popcount(b->mask);
}

/* One more, without a name and all zero. */
struct scene_totals *counters_add_scene(struct counters *c);
/* Makes room for `more` values behind the others. */
void counters_reserve(struct counters *c, uint32_t more);
