/*
 * The two small blobs that every slot has: where its task stands, and what its state was folded with.
 */
#pragma once

#include "common/bytes.h"
#include "common/err.h"
#include "server/worker/ports.h"

/* Compared byte for byte by every commit and every load (rules 1 and 2 of the exactness protocol, tests/README.md). */
struct position {
    int64_t next;        /* offset of the next record to fold */
    uint64_t token;      /* random, fresh at every claim: who owns the slot */
    uint32_t epoch;      /* claims so far; may roll back with the store, so nothing rests on it alone */
    uint32_t claims;     /* claims since the position last moved: a record that crashes its folder */
    uint32_t tries;      /* folds of the record at `next` begun one at a time */
    bool has_print;      /* false only until the first record is folded */
    uint64_t print;      /* fingerprint of the record at next - 1 */
};

void position_encode(const struct position *p, struct writer *out);
MUST_CHECK enum err position_decode(struct slice bytes, struct position *out);
uint64_t record_print(const struct record *r);

#define FORMAT_VERSION 1
#define FOLDS_MAX 32

/* From this offset on records are folded with the settings of this hash (rule 12). */
struct fold_span {
    int64_t from;
    uint64_t hash;
};

struct slot_header {
    uint32_t format;
    uint64_t hmac_check; /* of the user key */
    int32_t partitions[TOPIC_INPUTS];
    int64_t origin;      /* offset at which the state began, empty */
    uint32_t generation; /* profile: of the offsets that its effects carry (server/worker/chain.h) */
    bool chain_open;     /* entity: the log began in the middle, so each source's first entry has a predecessor */
    uint32_t fold_count; /* at least 1 */
    struct fold_span folds[FOLDS_MAX]; /* ascending; the first begins at the origin */
};

void slot_header_encode(const struct slot_header *h, struct writer *out);
MUST_CHECK enum err slot_header_decode(struct slice bytes, struct slot_header *out);
/* The span that folds the record at `offset`; *out_until: where the next one begins, INT64_MAX when it is the last. */
const struct fold_span *slot_header_fold_at(const struct slot_header *h, int64_t offset, int64_t *out_until);
/* What differs, as text for the operator; NULL when nothing does. Of the folds only the last is compared. */
const char *slot_header_difference(const struct slot_header *have, const struct slot_header *want);

extern const struct blob_key POSITION_KEY, HEADER_KEY, CHAIN_KEY;
/* What a blob adds to its task's digest: a sum over all blobs, so in any order. Position and header add nothing. */
uint64_t blob_digest(struct blob_key key, struct slice value);
