/*
 * What the daemon answers over HTTP, on loopback unless told otherwise: GET /livez, /readyz, /metrics. Headers and body
 * are bounded, idle connections are closed, and at most a fixed number of connections is open at once.
 */
#pragma once

#include "common/bytes.h"

struct event_base;
struct http;

struct http_source {
    void *self;
    /* Appends the text of /metrics. */
    void (*metrics)(void *self, struct writer *out);
    /* NULL when ready, else the reason. */
    const char *(*unready)(void *self);
};

/* HOST:PORT, port 0 for any. */
bool http_address_is_valid(const char *address);
/* The address is valid. NULL when it cannot be bound (logged). */
struct http *http_create(struct event_base *base, const char *address, const struct http_source *source);
void http_destroy(struct http *h);
