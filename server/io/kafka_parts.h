/* The parts of the Kafka log that share its state: configuration, monitor, tables, producer. Private to kafka_*.c. */
#pragma once

#include "server/io/kafka_log.h"

#include <librdkafka/rdkafka.h>

#include <pthread.h>
#include <stdatomic.h>

#define TABLE_TOPICS 3 /* TOPIC_CATALOG and the two after it */

/*
 * Two handles each way. What somebody waits for (events and tables in; lists, weights and answers out) leaves and comes at
 * once. What only other tasks fold (effects, samples, rollups, …) is sent and fetched in larger portions: the client
 * makes one request a partition and batch, so at a small linger these many small records would cost the brokers several
 * times what the lists cost, and every list would wait behind them.
 */
enum kafka_pace { KAFKA_PROMPT, KAFKA_BULK, KAFKA_PACES };

enum kafka_pace kafka_pace_of(enum topic topic);

struct producer {
    rd_kafka_t *client;
    rd_kafka_topic_t *topics[TOPICS]; /* NULL: never sent by this one */
};

struct fetcher {
    rd_kafka_t *client; /* NULL when it has nothing to read */
    rd_kafka_queue_t *queue;
};

/* One partition of a task input, as this member sees it. */
struct input_partition {
    bool assigned; /* by the group */
    bool started;  /* by the port's user */
    bool paused;   /* by the port's user */
    bool fetching; /* started in the reader */
    bool changed;  /* `fetching` must be brought in line; until then its messages are dropped */
    int64_t expected;      /* next offset to deliver */
    int64_t gap_offset;    /* what stood behind the gap that made us read again; -1 none */
    int64_t commit_offset; /* advisory, not yet sent; -1 none */
};

struct input {
    enum topic topic;
    struct fetcher *fetcher; /* borrowed */
    rd_kafka_topic_t *handle;
    struct input_partition *partitions; /* owned */
    int32_t count;
};

struct table_partition {
    enum topic topic;
    int32_t partition;
    int64_t end; /* where the table ended at start */
    bool done;
};

struct kafka_tables {
    bool wanted;
    rd_kafka_queue_t *queue;
    rd_kafka_topic_t *topics[TABLE_TOPICS];
    struct table_partition *partitions; /* owned */
    int32_t count, left;
    bool started, ready, ready_reported;
    rd_kafka_message_t **messages; /* owned; one turn's */
    size_t capacity;
};

struct place {
    enum topic topic;
    int32_t partition;
};

#define MOVED_MAX 1024 /* partitions of inputs; more than a worker can have */

/* A value is unknown while its `asked` is 0. */
struct watermarks {
    int64_t low, high;
    uint64_t low_asked, high_asked;
};

/* The thread that asks what can only be asked by waiting: partition counts and watermarks. */
struct monitor {
    struct kafka_log *log;
    pthread_t thread;
    bool running;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;
    /* Under the lock from here. */
    struct watermarks *marks[TOPICS]; /* owned; `sized` values */
    int32_t sized[TOPICS];
    uint64_t asking; /* number of the newest question for them */
    bool hurry;      /* somebody waits for the next one */
    int32_t leaders[TOPIC_INPUTS][MOVED_MAX]; /* broker + 1; 0 unknown */
    struct place moved[MOVED_MAX];            /* led by another broker since the last turn */
    int32_t moved_count;
    bool tables_known;
    bool connected;
};

struct acknowledgement {
    void *opaque;
    enum err err;
    int64_t offset;
};

struct kafka_log {
    struct kafka_log_settings settings;
    int wakeup; /* borrowed */
    struct log_port port;
    struct producer producers[KAFKA_PACES];
    rd_kafka_t *member; /* of the group: says which partitions are ours; fetches nothing. NULL unless settings.consume */
    rd_kafka_queue_t *member_queue;
    struct fetcher fetchers[KAFKA_PACES]; /* fetch: partition by partition, from where they are told */
    struct input inputs[TOPIC_INPUTS];
    struct kafka_tables tables;
    struct monitor monitor;
    _Atomic int32_t counts[TOPICS]; /* partitions; 0 unknown */
    _Atomic bool effects_late;      /* an entity task's lag eats into the retention of its log */

    /* Facts recorded by callbacks until the turn reports them. */
    bool revoked, assigned;
    struct topic_partition *assignment; /* owned */
    size_t assignment_count;
    struct acknowledgement *acknowledgements; /* owned */
    size_t acknowledgement_count, acknowledgement_capacity;
    struct place *out_of_range; /* owned */
    size_t out_of_range_count, out_of_range_capacity;
    char fatal[256];
    bool fatal_reported;

    bool changes; /* some input_partition.changed */
    bool commits; /* some commit_offset */
    int64_t committed_ms;
    int64_t turn_ms, moved_ms, polled_ms;
    rd_kafka_message_t **messages; /* owned; one turn's */
    struct record *records;        /* owned; one turn's */
    size_t capacity;
    struct kafka_log_stats stats; /* counters only */
};

int64_t kafka_clock_ms(void);
void kafka_log_wake(const struct kafka_log *log);
void kafka_record_of(rd_kafka_message_t *message, enum topic topic, struct record *out_record);

void kafka_port_fill(struct kafka_log *log);

enum kafka_role { KAFKA_PRODUCER, KAFKA_MEMBER, KAFKA_READER };

/* A client with the settings of its role and pace; NULL and logged when one is refused. */
rd_kafka_t *kafka_client_create(struct kafka_log *log, enum kafka_role role, enum kafka_pace pace);

void kafka_delivered(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque);
void kafka_rebalanced(rd_kafka_t *client, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *list, void *opaque);
enum err kafka_produce(void *self, const struct outgoing *out);

void kafka_ask_lateness(struct kafka_log *log);
/* Both of the same partitions: what the group has committed, and the first offset that is young enough. */
bool kafka_is_late(const rd_kafka_topic_partition_list_t *committed, const rd_kafka_topic_partition_list_t *young);
bool monitor_start(struct monitor *m, struct kafka_log *log);
void monitor_stop(struct monitor *m);
/* Takes the partitions that changed their leader; answers how many. */
int32_t monitor_take_moved(struct monitor *m, struct place out[MOVED_MAX]);
bool monitor_ends(struct monitor *m, enum topic topic, int32_t partition, struct log_ends *out);
uint64_t monitor_ask(struct monitor *m); /* as log_port.ask_ends */

void kafka_tables_open(struct kafka_tables *t, struct kafka_log *log);
void kafka_tables_turn(struct kafka_log *log, const struct kafka_log_events *events, void *arg, size_t records_max);
void kafka_tables_close(struct kafka_tables *t);
