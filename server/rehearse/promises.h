/*
 * Published purchase intents, held against what the users did: each is a chance of buying within the horizon, judged when that is
 * over. What the log ends before is not judged.
 */
#pragma once

#include "server/engine/event.h"
#include "server/rehearse/tally.h"

struct promises;

/* The tally is borrowed. */
struct promises *promises_create(int64_t horizon_ms, struct tally *tally);
void promises_destroy(struct promises *p);
/* A record of live.segments. */
void promises_heard(struct promises *p, uint64_t user, struct slice value);
/* An event of the user was applied, at record time `now_ms`. */
void promises_event(struct promises *p, uint64_t user, const struct event *e, int64_t now_ms);
/* The log ends. */
void promises_end(struct promises *p, int64_t now_ms);
