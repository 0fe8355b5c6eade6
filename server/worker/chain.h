/*
 * The chain of effects as an entity task keeps it (rule 4, tests/README.md): by source partition, which of its entries
 * was applied last. Offsets of a source belong to a generation: an operator who folds a log made anew begins the next
 * one, whose offsets start over; what is left of an older generation is a replay.
 */
#pragma once

#include "common/bytes.h"
#include "common/err.h"

struct chain {
    uint32_t generation;
    int64_t last; /* offset of the last applied entry; -1 */
    bool open;    /* the operator accepted that entries are missing here: the next one is taken whatever came before */
};

enum link { LINK_APPLY, LINK_REPLAY, LINK_GAP, LINK_LOST };

/* What the chain says of an entry; after LINK_APPLY the caller applies it and calls chain_advance(). */
enum link chain_judge(const struct chain *c, uint32_t generation, int64_t prev, int64_t offset, int64_t confirmed);
void chain_advance(struct chain *c, uint32_t generation, int64_t offset);

/* All sources of an entity task as one blob; an empty one decodes to no entry applied, and `open` or not. */
void chains_encode(const struct chain *chains, int32_t count, struct writer *out);
MUST_CHECK enum err chains_decode(struct slice bytes, bool open, struct chain *out, int32_t count);
