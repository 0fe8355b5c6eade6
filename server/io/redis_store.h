/*
 * The store port over Redis: one connection per task slot for state, one per node for views.
 *
 * A commit is WATCH position, GET position, then MULTI … EXEC when the value is the expected one; the next WATCH and
 * GET travel behind each EXEC, so that a commit costs one round trip. A load is one MGET that carries the position.
 * All keys of a slot share one hash tag, so the same commands work on a single Redis and on Redis Cluster.
 */
#pragma once

#include "server/io/redis_connection.h"
#include "server/worker/worker.h"

#define REDIS_SEEDS_MAX 16

/* Texts are borrowed and outlive the store. */
struct redis_store_settings {
    const char *addresses; /* host:port[,host:port…]: a single Redis, its replicas, or nodes of a cluster */
    const char *prefix;    /* of every key */
    struct redis_connection_settings connection;
    size_t view_bytes_max;  /* queued for one node; beyond it views are dropped and counted */
    uint32_t view_ttl_s;    /* where a view names none */
    uint32_t decisions_max; /* length of the decisions stream */
};

struct redis_store_settings redis_store_settings_default(void);

struct redis_store_stats {
    int slots, slots_ready;
    int64_t down_ms;       /* how long some slot in use has had no connection; 0 when all have */
    uint64_t reconnects;
    size_t bytes_in_flight;
    uint64_t views_written, views_written_bytes, views_dropped, views_read;
    uint64_t used_bytes;      /* of the node the views go to first; 0 unknown */
    uint64_t max_bytes;       /* its maxmemory; 0 none */
};

struct redis_store;

/* Mirrors worker.h. */
struct redis_store_events {
    void (*stored)(void *arg, struct store_request *request, int64_t now_ms);
    void (*views_read)(void *arg, struct view_read *read, int64_t now_ms); /* may be NULL when nothing is read */
};

/* HOST:PORT[,HOST:PORT…], at most REDIS_SEEDS_MAX. */
bool redis_addresses_are_valid(const char *addresses);
/* The addresses are valid. `base` is borrowed. */
struct redis_store *redis_store_create(struct event_base *base, const struct redis_store_settings *settings);
/* Requests still out are answered STORE_UNKNOWN first. */
void redis_store_destroy(struct redis_store *s, const struct redis_store_events *events, void *arg, int64_t now_ms);
const struct store_port *redis_store_port(struct redis_store *s);
/* Takes what arrived, hands answers back, sends what is queued. */
void redis_store_turn(struct redis_store *s, const struct redis_store_events *events, void *arg, int64_t now_ms);
/* Sends what was submitted since the turn. */
void redis_store_flush(struct redis_store *s);
void redis_store_stats_get(const struct redis_store *s, struct redis_store_stats *out_stats);

/* The name of a blob in Redis: PREFIX:{STAGE.PARTITION}:NAME. */
void redis_blob_name(const char *prefix, enum stage stage, int32_t partition, struct blob_key key, struct writer *out);
/* The opposite for NAME alone; false when it is not one of ours. */
bool redis_blob_parse(struct slice name, struct blob_key *out_key);
/* NAME alone. */
void redis_blob_id(struct blob_key key, struct writer *out);
