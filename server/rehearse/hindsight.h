/*
 * Rank, then learn, over a user's own log: before an event of interest the daemon makes the list it would have sent, then
 * the event is folded. Rooms are ranked by recommend(), what is sent; items by recommend_all() over the whole catalog,
 * and `published` is the list of items as it is sent. The simple methods of plain.h stand beside, over the same candidates.
 *
 * A list counts as foresight only if it was made before the user first met the target: an impression or a click just
 * before would give it away. So the list that is held against an event of interest is the one made before the first event
 * of this user with this target within `within_ms`; impressions in a row, a minute at most, are met with one list.
 * Each target counts once within that time. Ties are broken by chance, the same for an event.
 */
#pragma once

#include "server/codec/event_decode.h"
#include "server/rehearse/journal.h"
#include "server/rehearse/tally.h"
#include "server/worker/worker_settings.h"

struct hindsight_settings {
    const struct worker_settings *worker; /* borrowed, of the daemon */
    uint32_t interest;                    /* event types, a bit each: `enter` takes a room, any other an item */
    int64_t within_ms;                    /* 0: the list made right before the event itself */
};

#define INTEREST_DEFAULT (1u << EVENT_ENTER | 1u << EVENT_TRIAL | 1u << EVENT_PURCHASE | 1u << EVENT_RATING)
#define WITHIN_DEFAULT_MS (30 * 60000)

struct hindsight_counts {
    uint64_t lines, events, applied, duplicates, dead_letters;
    uint64_t asked[KINDS], impossible[KINDS]; /* impossible: the target could not be offered to anybody */
    uint64_t new_users;  /* asked for users without an event before */
    uint64_t rankings;
    double event_ns, ranking_ns; /* CPU of one */
};

struct hindsight;

/* Runs the whole journal. False: a task halted (said). */
bool hindsight_run(const struct hindsight_settings *s, struct journal *j, struct tally *out, struct hindsight_counts *out_counts);
