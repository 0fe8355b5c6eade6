/*
 * A Kafka of one seed: logs that all members share, and one client a member. What a client sends lies in its queue
 * until the simulator carries it out, and so do acknowledgements: it decides when, in which order, and whether.
 * Within one partition the order of a client's records is kept, as by an idempotent producer.
 */
#pragma once

#include "server/worker/worker.h"
#include "tests/sim/arena.h"

#define PARTITIONS 4 /* at most, of any topic */

struct log_partition {
    struct record *records; /* owned; record i has offset i; those below `low` stay readable for the reference */
    int64_t count, capacity, low;
    int64_t never;          /* no client ever delivers this one; -1 none */
    int leader;             /* changes with every truncation */
    bool rewritten;         /* acknowledged records were lost */
};

struct kafka {
    struct arena *arena; /* borrowed */
    int32_t partitions[TOPICS];
    struct log_partition logs[TOPICS][PARTITIONS];
    int64_t group_offset[TOPIC_INPUTS][PARTITIONS]; /* committed by whoever came last; -1 none */
    int64_t now_ms;
    uint64_t lost;    /* acknowledged records that truncations took */
};

void kafka_begin(struct kafka *k, struct arena *arena, const int32_t partitions[TOPICS]);
void kafka_fini(struct kafka *k);
int64_t kafka_append(struct kafka *k, enum topic topic, int32_t partition, struct slice key, struct slice value, bool tombstone);
/* The newest `count` records are gone; a new leader serves the partition. Answers how many there were. */
int64_t kafka_truncate(struct kafka *k, enum topic topic, int32_t partition, int64_t count);

/* Faults in wait: each strikes the next so many occasions of this client, and is counted in `struck`. */
struct client_faults {
    uint32_t acks_lost, sends_lost, sends_twice, sends_refused, skips, repeats;
};

struct sending {
    struct outgoing out; /* key and value in the arena */
};

struct answer {
    void *opaque;
    enum err err;
    int64_t offset;
};

struct reading {
    bool started, paused;
    int64_t next;
    int64_t skipped;      /* greatest that was skipped: each is once at most; -1 none */
    int leader;           /* last heard of */
    struct log_ends ends; /* as last heard; asked 0: never */
};

/* Runs before each operation that leaves a client; false: it does not, as the process is dead by then. */
typedef bool io_step(void *arg, bool *out_unheard);

/*
 * A broker that was the leader of a partition, and which this client still takes for it: there the log ends where it did. It
 * answers so few questions before it learns.
 */
struct fenced {
    enum topic topic;
    int32_t partition;
    int64_t end;
    uint32_t questions; /* left; 0: none is */
    bool told;          /* the client hears of the change of leaders */
};

struct client {
    struct kafka *kafka; /* borrowed */
    struct fenced fenced;
    struct log_port port;
    struct sending *sends; /* owned; oldest first */
    size_t send_count, send_capacity;
    struct answer *answers; /* owned */
    size_t answer_count, answer_capacity;
    struct reading reads[TOPIC_INPUTS][PARTITIONS];
    struct client_faults faults, struck;
    uint64_t asked;       /* questions for the ends of logs so far */
    io_step *step;
    void *step_arg;
};

void client_begin(struct client *c, struct kafka *k, io_step *step, void *arg);
void client_fini(struct client *c);
/* Brings up to `sends` records to the logs; `reorder` 0 in order, else the draw that picks the partition. */
void client_carry(struct client *c, size_t sends, uint64_t reorder);
void client_answer(struct client *c, struct worker *w, size_t answers);
/* Asks for the ends of all logs, and delivers up to `max` records a partition, beginning with a partition drawn from `order`. */
void client_deliver(struct client *c, struct worker *w, size_t max, uint64_t order, int64_t now_ms);
/* The process died: some of what it sent may still arrive, nobody hears of it. */
void client_abandon(struct client *c, struct worker *w, size_t carried);
