/*
 * A worker over a log and a store in memory: the whole pipeline in one process, without I/O. Whoever owns it decides
 * when time passes and what is delivered; everything in it may be used directly.
 */
#pragma once

#include "server/worker/memory_log.h"
#include "server/worker/memory_store.h"

struct memory_worker {
    int32_t partitions[TOPICS];
    struct memory_cluster *cluster; /* all owned */
    struct memory_redis *redis;
    struct memory_log *log;
    struct memory_store *store;
    struct worker *worker;
};

/* 16, 16, 4 and 1 partitions of events, effects, rollups and samples: what a file is folded into. */
extern const int32_t memory_input_partitions[TOPIC_INPUTS];

/*
 * Empty logs and a store, of so many partitions an input and one of any other topic; nothing runs, and no slot is
 * written (memory_redis_init). `inputs` may be NULL: one of each too.
 */
void memory_worker_open(struct memory_worker *m, const int32_t inputs[TOPIC_INPUTS]);
/* A process that owns nothing yet; `settings` are borrowed, `random` seeds its tokens. */
void memory_worker_start(struct memory_worker *m, const struct worker_settings *settings, uint64_t random);
/* It is gone, and what was in flight never arrives. */
void memory_worker_stop(struct memory_worker *m, int64_t now_ms);
void memory_worker_close(struct memory_worker *m, int64_t now_ms); /* stops it first if it runs */
/* Models published from `*heard` on go back to the worker, as they do through Kafka. */
void memory_worker_hear_models(struct memory_worker *m, int64_t *heard, int64_t now_ms);
