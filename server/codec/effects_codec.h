/*
 * One record of the effects log: a run of entries of one source partition for one entity partition (design: rule 4,
 * tests/README.md). A run without entries is a mark: it only tells what is confirmed.
 *
 *   u8 version | u16 source | u32 generation | u64 confirmed + 1 | u64 prev + 1 | entry ...
 *   entry: varint offset step | varint offset - prev | zigzag event_ms step | effect ... | u8 0
 *   effect, COUNT:  u8 1 | u48 target | name | name of scene | u8 source, 0x80 explained | u8 counters | (u8 counter | zigzag delta) ...
 *           RATING: u8 2 | u48 target | name | zigzag delta | varint pairs | (u48 other | zigzag delta) ...
 *           PAIRS:  u8 3 | u48 other | (zigzag delta * 4 + step | u48 target) ... | u8 0
 *   name:  u8 bytes, 0 when it is not known | text
 *
 * A rating brings the pair deltas of its own entity; their other halves are PAIRS in the runs of the other entities.
 */
#pragma once

#include "common/bytes.h"
#include "common/err.h"
#include "server/engine/effects.h"

#define EFFECTS_VERSION 2

/* A run under way. Zeroed is empty. */
struct effects_run {
    struct writer bytes; /* owned */
    int64_t offset;      /* of the last entry */
    int64_t event_ms;
    entity_id list;      /* whose PAIRS are under way; 0: none */
};

struct run_head {
    int32_t source;
    uint32_t generation; /* of the source's chain; another one starts anew */
    int64_t confirmed; /* offset of the last source record whose state is known to be committed, -1 before */
    int64_t prev;      /* offset of the last entry made for this entity partition, the run's own included */
};

static inline bool effects_run_is_empty(const struct effects_run *run)
{
    return run->bytes.size == 0;
}

/* Begins the entry of source record `offset`; effects follow; then end. */
void effects_run_begin_entry(struct effects_run *run, int64_t offset, int64_t prev, int64_t event_ms);
void effects_run_add_count(struct effects_run *run, const struct count_effect *e);
/* With the pairs that come with it. */
void effects_run_add_rating(struct effects_run *run, const struct rating_effect *e, const struct pair_effect *pairs);
/* The other half of a pair. */
void effects_run_add_mirror(struct effects_run *run, const struct pair_effect *e);
void effects_run_end_entry(struct effects_run *run);
/* The record, valid until the run is used again. It is empty from then on; so a mark is an empty run closed. */
struct slice effects_run_close(struct effects_run *run, const struct run_head *head);
/* Forgets what is under way. */
void effects_run_clear(struct effects_run *run);

struct run_reader {
    struct run_head head;
    struct reader bytes;
    int64_t offset;   /* of the last entry read */
    int64_t event_ms;
    bool failed;      /* an entry is damaged; nothing more is answered */
    uint8_t list;     /* op of the list being read; 0: none */
    uint64_t left;    /* pairs of a rating not yet read */
    entity_id list_id;
};

struct run_entry {
    int64_t offset;
    int64_t prev; /* -1: the first that the source ever made for this partition */
    int64_t event_ms;
};

enum run_op { RUN_END, RUN_COUNT, RUN_RATING, RUN_PAIR };

struct run_effect {
    enum run_op op;
    entity_id target;
    entity_id other;           /* PAIR: the target's pair count with it changes */
    int32_t delta;             /* RATING, PAIR */
    uint8_t step;              /* PAIR: came to `other` so many items after the target; 0: not */
    struct slice name;         /* RATING */
    struct count_effect count; /* COUNT */
};

MUST_CHECK enum err effects_run_open(struct slice value, struct run_reader *out);
/* The effects of the entry before must have been read to their end. */
bool effects_run_next(struct run_reader *run, struct run_entry *out);
/* False at the end of the entry and when damaged. Slices borrow from the record. */
bool effects_entry_next(struct run_reader *run, struct run_effect *out);
