/* Whether the state in Redis is what its logs say. Blocking; for verbs. */
#pragma once

#include "server/io/daemon.h"

enum verdict {
    VERDICT_DIGEST,  /* only the digest was asked for */
    VERDICT_SAME,    /* the log folds to the same state, bit for bit */
    VERDICT_DIFFERS,
    VERDICT_NO_LOG,  /* the log no longer reaches back to the origin, or could not be read */
    VERDICT_HALTED,  /* folding the log halts: `text` says why */
    VERDICT_NO_POSITION,
};

extern const char *const verdict_names[];

struct slot_verdict {
    enum stage stage;
    int32_t partition;
    int64_t origin, next;
    uint64_t blobs;    /* without header and position */
    uint64_t digest;   /* of the state in Redis */
    uint64_t replayed; /* of the log folded again */
    enum verdict verdict;
    const char *text;  /* may be NULL */
};

/*
 * Reads all state and calls `each` for every task; with `fold` each task's log is folded again from its origin to the
 * stored position, by the same worker between a log and a store in memory. Nothing may be committed meanwhile.
 * ERR_IO when Redis or Kafka cannot be read, ERR_INVALID when some verdict is not good.
 */
MUST_CHECK enum err verify_state(const struct daemon_settings *settings, bool fold,
                                 void (*each)(void *arg, const struct slot_verdict *verdict), void *arg);
