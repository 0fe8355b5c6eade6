/*
 * Kafka's shape in memory: partitioned logs with offsets, for one process. Several workers may share one cluster,
 * each through its own port. Nothing is delivered until memory_log_deliver() is called, so its caller decides when.
 */
#pragma once

#include "server/worker/worker.h"

struct memory_cluster;
struct memory_log;

struct memory_cluster *memory_cluster_create(const int32_t partitions[TOPICS]);
void memory_cluster_destroy(struct memory_cluster *c);
/* An empty partition begins at `offset` instead of 0. */
void memory_begin(struct memory_cluster *c, enum topic topic, int32_t partition, int64_t offset);
/* Appends; answers the offset. `partition` -1: by key. */
int64_t memory_append(struct memory_cluster *c, enum topic topic, int32_t partition, struct slice key,
                      struct slice value, int64_t timestamp_ms);
int64_t memory_end(const struct memory_cluster *c, enum topic topic, int32_t partition);
/* The record at an offset; NULL below the start and at or beyond the end. Borrowed. */
const struct record *memory_find(const struct memory_cluster *c, enum topic topic, int32_t partition, int64_t offset);
/* Forgets the newest `count` records, as a broker that lost them. */
void memory_truncate(struct memory_cluster *c, enum topic topic, int32_t partition, int64_t count);
/* Forgets everything below `offset`, as retention does. */
void memory_trim(struct memory_cluster *c, enum topic topic, int32_t partition, int64_t offset);

struct memory_log *memory_log_create(struct memory_cluster *c);
void memory_log_destroy(struct memory_log *l);
const struct log_port *memory_log_port(struct memory_log *l);
/* Time stamped on what is produced through this port. */
void memory_log_set_now(struct memory_log *l, int64_t now_ms);
/* From now on what is produced is acknowledged and not kept: for folding a log again beside its owner. */
void memory_log_discard_outputs(struct memory_log *l);

/* Delivers all acknowledgements and of each partition at most `max` records to the worker; answers how many records. */
size_t memory_log_deliver(struct memory_log *l, struct worker *w, size_t max, int64_t now_ms);
bool memory_log_is_idle(const struct memory_log *l); /* nothing to acknowledge, nothing to read where started */
