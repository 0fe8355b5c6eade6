/*
 * The log port over Kafka: a member of the consumer group, readers of task inputs and tables, idempotent producers.
 *
 * librdkafka's own threads fetch and send; everything else happens in kafka_log_turn() on the caller's thread, which
 * alone calls handlers. The `wakeup` eventfd becomes readable when a turn has something to do that somebody waits for;
 * the rest (acknowledgements, what only tasks fold) is found by the turns that the caller takes every few milliseconds
 * anyway. Port calls only note what is wanted; start, stop and pause take effect at the next turn.
 */
#pragma once

#include "server/worker/worker.h"

struct kafka_log;

struct kafka_property {
    const char *name;
    const char *value;
    const char *file; /* where the value was read from; NULL: it stood in the configuration */
};

/* All pointers are borrowed and outlive the log. */
struct kafka_log_settings {
    const char *brokers; /* bootstrap list */
    const char *group;
    const char *client_id;
    const char *topics[TOPICS];
    const struct kafka_property *properties; /* passed to every handle as they are, after ours */
    int property_count;
    bool consume; /* join the group; without it the port only produces */
    bool tables;  /* read catalog, models and control */
    int fetch_queue_kb; /* prefetched bytes kept by the consumer; counts in the memory budget */
    int fetch_wait_ms;  /* how long a broker may hold an empty fetch */
    int bulk_fetch_wait_ms; /* the same for what only tasks fold, until bulk_fetch_bytes are there */
    int bulk_fetch_bytes;
    int session_timeout_ms;
    int heartbeat_ms;
    double linger_ms;      /* of what somebody waits for: lists, weights, alerts, dead letters */
    double bulk_linger_ms; /* of the rest */
    int produce_queue_messages; /* beyond either limit produce() answers ERR_MEMORY */
    int produce_queue_kb;
    int message_bytes_max;   /* key, value and headers of one outgoing record */
    int metadata_refresh_ms; /* partition counts */
    int watermark_refresh_ms;
    int64_t effects_lag_ms_max; /* of an entity task, before profile tasks wait for it; 0 = they never do */
    int64_t retention_ms_min; /* of the input logs: longer than the oldest copy of the store that one may have to restore */
};

/* Defaults for everything but brokers and group. */
struct kafka_log_settings kafka_log_settings_default(void);

/*
 * `wakeup` is a non-blocking eventfd, borrowed. NULL when a setting is refused (logged). Does not wait for brokers.
 */
struct kafka_log *kafka_log_create(const struct kafka_log_settings *settings, int wakeup);
/*
 * Leaves the group and flushes what was produced, at most `deadline_ms`; then a watchdog ends the process with exit
 * code 70. Every record must have been released before.
 */
void kafka_log_destroy(struct kafka_log *log, int deadline_ms);

const struct log_port *kafka_log_port(struct kafka_log *log);

/* Mirrors worker.h. Any may be NULL when its facts cannot occur. */
struct kafka_log_events {
    /* An empty list when the assignment was revoked or lost; nothing is started after either. */
    void (*assigned)(void *arg, const struct topic_partition *list, size_t count);
    void (*records)(void *arg, struct record *records, size_t count);
    void (*table_record)(void *arg, struct record *record);
    void (*tables_ready)(void *arg);
    void (*out_of_range)(void *arg, enum topic topic, int32_t partition);
    /* Another broker leads the partition: what the log holds must be verified again (rule 7). */
    void (*leader_changed)(void *arg, enum topic topic, int32_t partition);
    void (*acknowledged)(void *arg, void *opaque, enum err err, int64_t offset);
    /* Once: the client cannot go on; the process should exit non-zero. */
    void (*fatal)(void *arg, const char *reason);
};

/*
 * Reports what happened since the last turn, at most `records_max` records and as many table records, never blocking.
 * When it stops at the cap it re-arms `wakeup` itself. The caller drains the eventfd before the turn.
 */
void kafka_log_turn(struct kafka_log *log, const struct kafka_log_events *events, void *arg, size_t records_max);

/*
 * Before the end: waits at most `deadline_ms` for what was produced, gives the rest up, and reports all of it through
 * `events->acknowledged`.
 */
void kafka_log_finish(struct kafka_log *log, const struct kafka_log_events *events, void *arg, int deadline_ms);

struct kafka_log_stats {
    bool connected;            /* brokers answered the last metadata request */
    int64_t turn_age_ms;       /* since the consumer was last polled; -1 never */
    bool tables_ready;
    uint64_t dropped;          /* not owned, or below what was expected */
    uint64_t restarts;         /* an offset was skipped and is read once more */
    uint64_t gaps;             /* the skip repeated and was delivered as it is */
    uint64_t rebalances;
    uint64_t queue_full;       /* produce() refused for want of room, or of the partition count */
    uint64_t undelivered;      /* acknowledged as lost */
    uint64_t errors;           /* reported by the clients, transient ones too */
    int produce_queue;         /* records not yet acknowledged */
};

/* True while profile tasks should wait for an entity task that is far behind. */
bool kafka_log_effects_late(const struct kafka_log *log);
void kafka_log_stats_get(const struct kafka_log *log, struct kafka_log_stats *out_stats);
