/* The JSON under the event decoder: one pass, no allocation, bounded in depth and keys. */
#pragma once

#include "common/mutant.h"
#include "server/codec/event_schema.h"

#define EVENT_DEPTH_MAX 8 /* the event itself is 1 */
#define EVENT_KEYS_MAX 64 /* in all its objects together */

struct json_scan {
    const char *at, *end;
    char *arena;                /* where unescaped text goes; never more than the input */
    enum event_refusal refusal; /* why a function answered false */
    int depth;
    int keys_seen;              /* in all */
    int keys;                   /* on the stack */
    struct slice key[EVENT_KEYS_MAX];
};

enum json_kind { KIND_TEXT, KIND_INTEGER, KIND_OTHER };

/* text or integer is set as `kind` says. */
struct json_value {
    enum json_kind kind;
    struct slice text;
    int64_t integer;
};

static inline bool json_fail(struct json_scan *s, enum event_refusal why)
{
    s->refusal = why;
    return false;
}

static inline void json_skip_space(struct json_scan *s)
{
    while (s->at < s->end && (unsigned char)*s->at <= ' ' && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

/* Behind an opening bracket: true when it is closed at once. */
static inline bool json_scan_close(struct json_scan *s, char bracket)
{
    json_skip_space(s);
    bool closed = s->at < s->end && *s->at == bracket;
    s->at += closed;
    return closed;
}

/* Behind an element: a comma, or the closing bracket. */
static inline bool json_scan_next(struct json_scan *s, char bracket, bool *out_more)
{
    json_skip_space(s);
    if (s->at == s->end || (*s->at != ',' && *s->at != bracket))
        return json_fail(s, EVENT_MALFORMED);
    *out_more = *s->at++ == ',';
    return true;
}

static inline bool json_scan_colon(struct json_scan *s)
{
    json_skip_space(s);
    return (s->at < s->end && *s->at++ == ':') || json_fail(s, EVENT_MALFORMED);
}

static inline bool json_count_key(struct json_scan *s)
{
    return s->keys_seen++ < FUZZ_MUTANT(keys_uncounted, INT32_MAX, EVENT_KEYS_MAX) || json_fail(s, EVENT_TOO_COMPLEX);
}

/* Each reads from `at` and leaves it behind what it read; false: refused. */
bool json_scan_text(struct json_scan *s, struct slice *out); /* behind the opening quote, to behind the closing one */
bool json_scan_name(struct json_scan *s, struct slice *out);
bool json_scan_number(struct json_scan *s, struct json_value *out);
bool json_scan_value(struct json_scan *s, struct json_value *out);
/* Refuses a name that is on the stack from `first` on already. */
bool json_push_name(struct json_scan *s, int first, struct slice name);
