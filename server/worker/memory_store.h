/*
 * Redis' shape in memory: slots of blobs with compare-and-set commits, and views. Several workers may share one, each
 * through its own port. Nothing is carried out until memory_store_deliver() is called, so its caller decides when.
 */
#pragma once

#include "server/worker/worker.h"

struct memory_redis;
struct memory_store;

struct memory_redis *memory_redis_create(void);
void memory_redis_destroy(struct memory_redis *r);
/* The blobs that `sluice init` writes, for every partition of the four inputs; logs begin at their start. */
void memory_redis_init(struct memory_redis *r, const struct worker_settings *settings, const struct log_port *log);
/* Writes without compare. */
void memory_redis_put(struct memory_redis *r, enum stage stage, int32_t partition, struct blob_key key,
                      struct slice value);
/* The stored bytes, borrowed; size 0 and NULL when absent. */
struct slice memory_redis_find(const struct memory_redis *r, enum stage stage, int32_t partition, struct blob_key key);
/* Order-independent hash over all blobs of a slot but position and header; 0 for an empty one. */
uint64_t memory_redis_digest(const struct memory_redis *r, enum stage stage, int32_t partition);
/* A view that is a string; likewise. */
struct slice memory_redis_view(const struct memory_redis *r, struct slice key);

struct memory_store *memory_store_create(struct memory_redis *r);
void memory_store_destroy(struct memory_store *s); /* a crash: requests in flight are forgotten */
const struct store_port *memory_store_port(struct memory_store *s);
/* Whether it says that views should wait. */
void memory_store_views_late(struct memory_store *s, bool late);
/* Carries out and answers at most `max` requests, and all reads of views; answers how many requests. */
size_t memory_store_deliver(struct memory_store *s, struct worker *w, size_t max, int64_t now_ms);
/* The worker goes: what is in flight never arrives, and comes back as STORE_UNKNOWN. */
void memory_store_abandon(struct memory_store *s, struct worker *w, int64_t now_ms);
