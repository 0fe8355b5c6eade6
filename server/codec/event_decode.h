/* One value of live.events to a struct event, or a reason for its refusal. */
#pragma once

#include "server/engine/event.h"

#define EVENT_BYTES_MAX 16384

/* Fold settings. */
struct event_rules {
    bool reference; /* only id, user, type and ts are required: the events of the reference job */
};

/* Where text lives that does not stand in the record as it is (escapes). */
struct event_scratch {
    char bytes[12 * (EVENT_ID_BYTES + 1)];
};

enum event_refusal {
    EVENT_ACCEPTED,
    EVENT_TOO_LARGE,
    EVENT_MALFORMED,
    EVENT_BAD_VERSION,
    EVENT_MISSING_FIELD,
    EVENT_BAD_ID,
    EVENT_BAD_TYPE,
    EVENT_BAD_VALUE,
    EVENT_KEY_MISMATCH,
    EVENT_REFUSALS
};

extern const char *const event_refusal_names[EVENT_REFUSALS];

enum event_refusal event_decode(const struct event_rules *rules, struct slice key, struct slice value,
                                struct event_scratch *scratch, struct event *out);
