/*
 * Refused records leave for the dead-letter topic with key, value and headers unchanged and headers behind them that say
 * why and where they stood. The names end as those of Kafka Streams do (KIP-1034): __errors.exception is the reason's
 * stable code, .message its text, .topic, .partition and .offset its place, .timestamp its record timestamp.
 */
#pragma once

#include "server/worker/task.h"

#define REFUSED_MAX 256 /* of the tables' records, until somebody speaks for all; the oldest leave first */

struct refused_record {
    struct record record; /* owned */
    const char *reason;
};

struct refused {
    struct refused_record at[REFUSED_MAX]; /* a ring */
    uint32_t first, count;
};

/* What a stable code means, for people; the code itself when there is no more to say. */
const char *dead_letter_text(const char *reason);
/* `reason` is a stable code; it is counted under that name. */
void dead_letter(struct task *t, const struct record *r, const char *reason, int64_t now_ms);
/*
 * Takes over a refused record of a table. Every worker reads it; the one that has the first task of allocation sends it,
 * so it waits until that is here. After a restart or a takeover it is sent again: at least once.
 */
void dead_letter_table(struct worker *w, const struct record *r, const char *reason);
void dead_letter_turn(struct worker *w, int64_t now_ms);
void dead_letter_fini(struct worker *w);
