/*
 * One connection to a Redis server, kept up as long as it is wanted: connect with a deadline, greet (AUTH, ROLE,
 * CLIENT SETNAME, and the probes below), then commands in order, each answer given to the waiter of its command.
 *
 * Callbacks of libevent only record facts; everything happens in redis_connection_turn(), and so do the calls to
 * waiters and owner. Whatever ends a connection (error, deadline, drop) answers every waiter with NULL: the outcome
 * is unknown. Each attempt is a fresh socket and a fresh reader, after a jittered exponential backoff.
 */
#pragma once

#include "server/io/redis_command.h"

struct event_base;
struct evdns_base;

struct redis_connection_settings {
    const char *user;     /* NULL or "": none; texts outlive the connection */
    const char *password; /* NULL or "": no AUTH */
    const char *client_name;
    int connect_timeout_ms; /* until greeted */
    int request_timeout_ms;
    int backoff_min_ms;
    int backoff_max_ms;
};

enum redis_down {
    DOWN_UNREACHABLE, /* no connection within the deadline */
    DOWN_CLOSED,      /* by the peer */
    DOWN_TIMEOUT,     /* a request got no answer in time */
    DOWN_PROTOCOL,    /* what came is not Redis */
    DOWN_REFUSED,     /* AUTH, ROLE or a probe was refused */
    DOWN_REPLICA,     /* not a primary */
    DOWN_EVICTS,      /* maxmemory-policy is not noeviction */
    DOWN_DROPPED,     /* by redis_connection_drop() */
};

struct redis_owner {
    void *self;
    /* Where to connect now; false: nowhere known yet, ask again after the backoff. */
    bool (*pick)(void *self, struct redis_address *out_address);
    void (*on_ready)(void *self);
    /* `primary` is what a replica said it follows, or NULL. */
    void (*on_down)(void *self, enum redis_down why, const struct redis_address *primary);
};

struct redis_greeting {
    bool primary_only;      /* refuse replicas and servers that evict */
    struct slice watch_key; /* not empty: an empty transaction watching it must be allowed; outlives the connection */
};

struct redis_waiter {
    void (*on_reply)(void *self, int step, const struct redisReply *reply); /* NULL: the answer is not wanted */
    void *self;
    int step;
};

struct redis_connection;

/* Everything is borrowed and outlives the connection except `owner` and `greeting`, which are copied. */
struct redis_connection *redis_connection_create(struct event_base *base, struct evdns_base *dns,
                                                 const struct redis_connection_settings *settings,
                                                 const struct redis_owner *owner,
                                                 const struct redis_greeting *greeting);
void redis_connection_destroy(struct redis_connection *c); /* waiters are not called */
/* Keep it up from now on. */
void redis_connection_open(struct redis_connection *c);
/* Close at once and stay closed. Waiters get NULL; the owner is not called. Not from within a waiter. */
void redis_connection_close(struct redis_connection *c);
/* Close at the end of this turn and connect again after the backoff. */
void redis_connection_drop(struct redis_connection *c);
void redis_connection_turn(struct redis_connection *c, int64_t now_ms);
bool redis_connection_is_ready(const struct redis_connection *c);
const struct redis_address *redis_connection_address(const struct redis_connection *c);
/* The service behind it works: the next backoff starts small again. */
void redis_connection_confirm(struct redis_connection *c);
/* Commands are formatted into this, each followed by one redis_connection_expect(). Only when ready. */
struct writer *redis_connection_out(struct redis_connection *c);
void redis_connection_expect(struct redis_connection *c, struct redis_waiter waiter);
/* Hand what was formatted to the socket. */
void redis_connection_flush(struct redis_connection *c);
/* Handed over and not yet taken by the socket. */
size_t redis_connection_unsent(const struct redis_connection *c);
uint64_t redis_connection_reconnects(const struct redis_connection *c);
