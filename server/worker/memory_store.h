/*
 * Redis' shape in memory: slots of blobs with compare-and-set commits, views, and a journal that lets a failover lose
 * the newest commits of a shard, always an exact suffix. Several workers may share one, each through its own port.
 */
#pragma once

#include "server/worker/worker.h"

struct memory_redis;
struct memory_store;

#define MEMORY_SHARDS 3

struct memory_redis *memory_redis_create(void);
void memory_redis_destroy(struct memory_redis *r);
/* A failover: the newest `count` commits of a shard are gone. Answers how many really were. */
size_t memory_redis_lose(struct memory_redis *r, int shard, size_t count);
void memory_redis_empty(struct memory_redis *r, int shard);
/* Writes without compare, for `init` and for tests. */
void memory_redis_put(struct memory_redis *r, enum stage stage, int32_t partition, struct blob_key key,
                      struct slice value);
/* The stored bytes, borrowed; size 0 and NULL when absent. */
struct slice memory_redis_find(const struct memory_redis *r, enum stage stage, int32_t partition, struct blob_key key);
/* Order-independent hash over all blobs of a slot but position and header; 0 for an empty one. */
uint64_t memory_redis_digest(const struct memory_redis *r, enum stage stage, int32_t partition);
struct slice memory_redis_view(const struct memory_redis *r, struct slice key);
/* Calls `each` for every blob of a slot, in no particular order. */
void memory_redis_each(const struct memory_redis *r, enum stage stage, int32_t partition,
                       void (*each)(void *arg, struct blob_key key, struct slice value), void *arg);

struct memory_store *memory_store_create(struct memory_redis *r);
void memory_store_destroy(struct memory_store *s); /* a crash: requests in flight are forgotten */
const struct store_port *memory_store_port(struct memory_store *s);

struct store_faults {
    uint32_t unknown_ppm; /* the connection breaks: half of the time after the request was carried out */
    uint32_t memory_ppm;  /* a commit is refused for want of memory */
};

/* Carries out and answers at most `max` requests; answers how many. */
size_t memory_store_deliver(struct memory_store *s, struct worker *w, size_t max, const struct store_faults *faults,
                            uint64_t *random, int64_t now_ms);
/* The owner crashed: the first `carried_out` requests were carried out unheard, the others never arrived. */
void memory_store_abandon(struct memory_store *s, struct worker *w, size_t carried_out, int64_t now_ms);
/* The blobs that `sluice init` writes, for every partition of the four inputs; logs begin at their start. */
void memory_redis_init(struct memory_redis *r, const struct worker_settings *settings, const struct log_port *log);
/* Whether it says that views should wait. */
void memory_store_views_late(struct memory_store *s, bool late);
