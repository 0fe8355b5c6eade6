/*
 * One record of the effects log: a run of entries of one source partition for one entity partition (design: rule 4,
 * tests/README.md). A run without entries is a mark: it only tells what is confirmed.
 *
 *   u8 version | u16 source | u64 confirmed + 1 | u64 prev + 1 | entries
 *   entry: varint offset step | varint offset - prev | zigzag event_ms step | u32 bytes | effects
 */
#pragma once

#include "common/bytes.h"
#include "common/err.h"
#include "server/engine/effects.h"

#define EFFECTS_VERSION 1

void effects_run_begin(struct writer *w, int32_t source);
/* Adds the effects of `list` whose `partition` is the one given, as the entry of source record `offset`. */
void effects_run_add(struct writer *w, int64_t offset, int64_t prev, int64_t event_ms, const struct effect_list *list,
                     int32_t partition);
/*
 * `confirmed`: offset of the last source record whose state is known to be committed, -1 before. `prev`: offset of the
 * last entry that was made for this entity partition, this run's included.
 */
void effects_run_close(struct writer *w, int64_t confirmed, int64_t prev);

struct run_reader {
    struct reader bytes;
    int32_t source;
    int64_t confirmed;
    int64_t prev;
    int64_t offset;   /* of the last entry read */
    int64_t event_ms;
    bool failed;      /* an entry is damaged; nothing more is answered */
};

struct run_entry {
    int64_t offset;
    int64_t prev; /* -1: the first that the source ever made for this partition */
    int64_t event_ms;
    struct reader body;
    entity_id pair; /* target of the last effect when that was a pair, else 0 */
};

MUST_CHECK enum err effects_run_open(struct slice value, struct run_reader *out);
bool effects_run_next(struct run_reader *run, struct run_entry *out);
/* False at the end and when damaged: then entry->body.failed. Slices borrow from the record. */
bool effects_entry_next(struct run_entry *entry, struct effect *out);
