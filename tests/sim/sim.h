/*
 * One seed of the simulation: several whole workers over a Kafka and a Redis in memory, on virtual time, under a
 * schedule of faults. A schedule is a value: drawn from a seed, printed, read back, made smaller. Everything else that
 * happens (traffic, cadences, how much is delivered when) follows from the seed and the step alone, so that a fault
 * can be taken out without changing the rest.
 *
 *   draw ──▶ safety phase: steps with traffic and faults ──▶ liveness phase: no faults, lag must reach zero ──▶ compare
 */
#pragma once

#include "server/worker/task.h"
#include "tests/sim/kafka.h"
#include "tests/sim/redis.h"

#define MEMBERS 3
#define USERS 12
#define ROOMS 4
#define STRIKES_MAX 96
#define POISONS_MAX 2

enum fault {
    FAULT_CRASH,         /* between two steps; what is on its way arrives in part */
    FAULT_CRASH_AT,      /* in the middle of a turn, at an operation */
    FAULT_STOP,          /* the process sleeps, its partitions go elsewhere, it wakes */
    FAULT_ZOMBIE,        /* it works on without knowing that its partitions went elsewhere */
    FAULT_REBALANCE,     /* a storm of them */
    FAULT_ACK_LOST,      /* a record stands, its producer is told it does not */
    FAULT_SEND_LOST,     /* it does not stand, those behind it do */
    FAULT_SENT_TWICE,
    FAULT_SEND_REFUSED,  /* the producer's queue is full */
    FAULT_DELAY,         /* answers of both servers take their time */
    FAULT_SILENCE,       /* Kafka takes what it is sent and tells nothing but a rebalance: no records, no ends of logs */
    FAULT_FENCED,        /* a process takes a broker for a partition's leader that is it no more, and whose log ended earlier */
    FAULT_REORDER,       /* between partitions and slots */
    FAULT_SKIP,          /* the client skips records, once each */
    FAULT_REPEAT,        /* or delivers them twice */
    FAULT_BREAK,         /* a connection to the store goes, before or after the request */
    FAULT_FAILOVER,      /* a shard loses its newest commits */
    FAULT_SLOT_MOVES,
    FAULT_MEMORY,        /* a slot refuses commits */
    FAULT_CLOCK,         /* of one process, or all, jumps */
    FAULT_BAD_EVENTS,
    FAULT_RELOAD,        /* other cadences, and fold settings that must not be taken over */
    FAULT_RETENTION,     /* the log is cut below what is committed */
    FAULT_MIGRATE,       /* an operator changes fold settings from each task's position on: `sluice task migrate`, once a run */
    FAULT_CONFIGURATION, /* a process starts with other fold settings: its tasks halt until it starts with the right ones */
    FAULTS_THAT_HEAL,
    FAULT_EFFECTS_LOST = FAULTS_THAT_HEAL, /* acknowledged */
    FAULT_LOG_LOST,      /* acknowledged records of another log */
    FAULT_RECREATED,     /* a topic is empty again */
    FAULT_RETENTION_SHORT, /* the log is cut above what is committed */
    FAULT_SKIP_ALWAYS,
    FAULT_SHARD_EMPTY,
    FAULT_POSITION_LOST,
    FAULT_POISON,        /* a record that crashes whoever folds it */
    FAULTS
};

extern const char *const fault_names[FAULTS];

struct strike {
    enum fault fault;
    int step;
    uint32_t a, b; /* drawn; each fault makes of them what it needs */
};

struct schedule {
    uint64_t seed;
    int steps;
    bool small; /* one partition a topic and two members; only for the exhaustive suite */
    int count;
    struct strike strikes[STRIKES_MAX]; /* by step */
};

void schedule_draw(struct schedule *s, uint64_t seed);
void schedule_print(const struct schedule *s);
/* Reads what schedule_print() wrote; false when it cannot. */
bool schedule_parse(struct schedule *s, const char *line);

/* What an I/O operation of the run may be told to do, by its number; for the exhaustive suite. */
enum crash_mode {
    CRASH_NEVER,
    CRASH_BEFORE, /* it does not leave the process */
    CRASH_AFTER,  /* it is carried out, and nobody hears of it */
    ACK_LOST,     /* likewise, but the process lives and is told that it failed */
    SLEEP_AFTER,  /* the process sleeps while others take over, then wakes */
    CRASH_MODES
};

struct crash_point {
    uint64_t operation;
    enum crash_mode mode;
};

struct member {
    struct sim *sim;
    struct worker *worker; /* NULL: down */
    struct client client;
    struct link link;
    struct topic_partition pending[STAGES * PARTITIONS]; /* the group's answer, not read yet */
    size_t pending_count;
    bool has_pending;
    int down, stalled, stopped, delayed, silent, misconfigured; /* until this step */
    int dealt_while_silent; /* at this step partitions are dealt anew */
    int64_t skew_ms;
    uint32_t crash_in; /* operations; 0 never */
    bool crash_unheard, dead, sleeps;
};

struct sim {
    const struct schedule *schedule;
    struct worker_settings settings;
    struct worker_settings later; /* what they are migrated to */
    const struct worker_settings *before[1];
    bool migrated;
    int64_t migrated_from[STAGES][PARTITIONS]; /* the plan: first offset that is folded with the later ones */
    struct arena arena;
    struct kafka kafka;
    struct redis redis;
    struct member members[MEMBERS];
    int member_count;
    uint64_t random;
    int step;
    int64_t now_ms;
    int reorder_until, storm, bad_events;
    int slot_until[STAGES][PARTITIONS]; /* moves or is full until this step */
    uint64_t members_made;
    /* traffic */
    uint64_t events, orders;
    bool room_open[ROOMS];
    int controls, poison_next;
    int64_t told;
    /* what must or may happen */
    uint32_t may_halt[STAGES][PARTITIONS]; /* bits of enum halt */
    struct { int32_t partition; int64_t offset; } poisons[POISONS_MAX];
    int poison_count;
    uint32_t torn[STAGES][PARTITIONS]; /* ends out of order of an attempt that folded one record at a time */
    uint64_t struck[FAULTS];
    /* exhaustive */
    uint64_t operations;
    const struct crash_point *points;
    int point_count;
    /* verdict */
    char why[512]; /* empty: nothing is wrong */
    struct totals *totals; /* borrowed; may be NULL */
};

#define EVENTS_LEAST 200 /* of a whole seed */

struct totals { /* poor: seeds with fewer events than that */
    uint64_t seeds, poor, struck[FAULTS], records[TOPIC_INPUTS], halts[HALTS], members, rewinds, conflicts, diverged;
};

/* Reuses the memory of earlier runs; zeroed before the first. */
bool sim_run(struct sim *s, const struct schedule *schedule, struct totals *totals);
/* With crash points instead of faults. */
bool sim_run_points(struct sim *s, const struct schedule *schedule, const struct crash_point *points, int count);
void sim_fini(struct sim *s);

/* Between the files of the simulator. */
uint64_t sim_draw(struct sim *s, uint64_t below);
void sim_fail(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void member_start(struct sim *s, struct member *m);
void member_crash(struct sim *s, struct member *m, int down);
void member_drive(struct sim *s, struct member *m, size_t records, size_t answers);
void group_rebalance(struct sim *s);
void traffic_begin(struct sim *s);
void traffic_step(struct sim *s);
void traffic_event(struct sim *s);
void traffic_bad_event(struct sim *s);
void traffic_tell_all(struct sim *s, struct member *m);
void fault_strike(struct sim *s, const struct strike *strike);
void faults_end(struct sim *s); /* at the begin of the liveness phase */
void faults_step(struct sim *s); /* those whose time is over end */
/* May be held against the record that a task is trying: those tasks of a member (on a shard, -1 all) are left without a word. */
void fault_tears(struct sim *s, const struct member *m, int shard);
/* The same for those which the group gives to `taker` before their owner has heard of it. */
void fault_tears_taken(struct sim *s, const struct member *taker);
/* The state of every task against straight folds of the logs; fails the run where they differ. */
void reference_compare(struct sim *s);
/* With which every task folds now, and those with which a profile task folds a record. */
const struct worker_settings *sim_settings(const struct sim *s);
const struct worker_settings *sim_settings_at(const struct sim *s, int32_t partition, int64_t offset);
/* Writes the headers that the plan asks for and a slot does not have, as the operator does until the verb is content. */
void fault_migrate(struct sim *s);
/* The settings under which a misconfigured process starts. */
struct worker_settings sim_other_settings(const struct sim *s);
