/* What an event must hold, by type, over fields of any origin. */
#pragma once

#include "server/engine/event.h"

enum event_field {
    FIELD_V, FIELD_ID, FIELD_TS, FIELD_TYPE, FIELD_USER, FIELD_SCENE, FIELD_ROOM, FIELD_HOST, FIELD_ITEM, FIELD_EXPLAINING,
    FIELD_REC, FIELD_ORDER, FIELD_OPTION, FIELD_CURRENCY, FIELD_SOURCE, FIELD_AMOUNT, FIELD_DWELL_MS, FIELD_QTY, FIELD_VALUE,
    FIELD_PERCENT, FIELD_POS, FIELDS
};

extern const char *const event_field_names[FIELDS];

/* The fields that are there, a bit each by what they hold. */
struct event_fields {
    uint32_t texts, integers, others;
    uint32_t names; /* texts known to be of [A-Za-z0-9_.-] only; some that are have no bit */
    union {
        struct slice text;
        int64_t integer;
    } value[FIELDS]; /* zero when absent */
};

static inline uint32_t event_present(const struct event_fields *f)
{
    return f->texts | f->integers | f->others;
}

static inline bool event_has(const struct event_fields *f, enum event_field field)
{
    return event_present(f) >> field & 1;
}

/* Fold settings. */
struct event_rules {
    bool reference; /* only id, user, type and ts are required: the events of the reference job */
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
    EVENT_TOO_COMPLEX,
    EVENT_REFUSALS
};

extern const char *const event_refusal_names[EVENT_REFUSALS];

/* `out` borrows the texts; untouched unless accepted. */
enum event_refusal event_schema_apply(const struct event_rules *rules, struct slice key, const struct event_fields *f,
                                      struct event *out);
