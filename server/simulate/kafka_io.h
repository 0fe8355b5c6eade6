/*
 * The simulator's own way to Kafka: an idempotent producer that places keys as the Java client does, and a consumer
 * of whole topics from their end, outside any group. Its callbacks run inside link_poll() and link_close().
 */
#pragma once

#include "common/err.h"
#include "common/slice.h"

#include <stdint.h>

struct link;

struct link_record {
    int topic; /* index into link_settings.read */
    int32_t partition;
    int64_t offset;
    int64_t timestamp_ms;
    struct slice key;
    struct slice value; /* size 0: tombstone */
};

struct link_settings {
    const char *brokers;
    const char *const *read; /* topics to read from their end, NULL-terminated; may be NULL */
    void *self;
    void (*received)(void *self, const struct link_record *record); /* may be NULL */
    /* A produced record stands at `offset`; offset < 0: it was lost. `sent_us` is what link_send() was given. */
    void (*delivered)(void *self, int32_t partition, int64_t offset, int64_t sent_us); /* may be NULL */
};

/* Connects and finds the topics; NULL after a message on standard error. */
struct link *link_open(const struct link_settings *settings);
/* Waits up to `timeout_ms` for what is under way. */
void link_close(struct link *l, int timeout_ms);
/* Waits while the producer's queue is full. `timestamp_ms` 0: now. */
enum err link_send(struct link *l, const char *topic, struct slice key, struct slice value, int64_t timestamp_ms,
                   int64_t sent_us);
/* Serves callbacks; waits up to `wait_ms` for a record. */
void link_poll(struct link *l, int wait_ms);
/* Partitions of a topic, or 0. */
int32_t link_partitions(struct link *l, const char *topic);
uint64_t link_lost(const struct link *l);
int64_t link_unsent(const struct link *l);
