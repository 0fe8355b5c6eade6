/*
 * One value of live.events to a struct event, or a reason for its refusal: a single pass over the bytes, no allocation.
 *
 * Accepts exactly what a strict JSON parser (jansson, duplicates rejected) and the schema accept, within the limits
 * below; tests/fuzz/fuzz_event.c holds the two against each other.
 */
#pragma once

#include "server/codec/json_scan.h"

#define EVENT_BYTES_MAX 16384

/* Where text lives that does not stand in the record as it is (escapes). Need not be initialised. */
struct event_scratch {
    char bytes[EVENT_BYTES_MAX];
};

/* `out` borrows from `value` and `scratch`; untouched unless accepted. */
enum event_refusal event_decode(const struct event_rules *rules, struct slice key, struct slice value,
                                struct event_scratch *scratch, struct event *out);
/* The pass alone: the fields as they stand. EVENT_ACCEPTED, EVENT_TOO_LARGE, EVENT_MALFORMED or EVENT_TOO_COMPLEX. */
enum event_refusal event_scan(struct slice value, struct event_scratch *scratch, struct event_fields *out);
