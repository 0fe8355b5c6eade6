/*
 * One worker: the tasks it owns, the tables every worker reads, and the turn that folds, emits and commits.
 * Deterministic: it sees time only as the argument `now_ms`, randomness only as the seed it was created with, and
 * acts only through its ports. The daemon, backtest, digest and the simulator all drive this one.
 *
 * Order of a turn: the shell reports everything that happened since the last one (assignment, records,
 * acknowledgements, store answers), then calls worker_turn() once.
 */
#pragma once

#include "server/worker/ports.h"
#include "server/worker/position.h"
#include "server/worker/worker_settings.h"

struct worker;

#define DEAD_REASONS_MAX 64

struct dead_count {
    const char *reason; /* NULL: unused */
    uint64_t count;
};

/* Of one arm of the experiment (server/engine/experiment.h). */
struct arm_counts {
    uint64_t lists;
    uint64_t events[EVENT_TYPES][2]; /* [1]: by recommendation */
};

/* Counted since the start; never reset. */
struct worker_counts {
    uint64_t records[TOPICS];  /* consumed */
    uint64_t rewinds, lost, loads, commits, commit_bytes, commit_keys, conflicts, memory_refusals, evictions;
    int64_t memory_refused_ms; /* when the last of those was; 0 never */
    uint64_t unexpected;       /* records below the expected offset, dropped */
    uint64_t halts[16];        /* by enum halt (task.h) */
    uint64_t folded;           /* by all tasks */
    uint64_t applied, duplicates, dead_letters;
    uint64_t effect_entries, effect_runs;             /* sent */
    uint64_t entries_applied, entries_replayed, entries_refused; /* received */
    uint64_t rollups;
    uint64_t scenes_refused;           /* more scenes than a task takes on */
    uint64_t scene_entries[16];        /* folded by allocation, by enum scene_verdict */
    uint64_t produced[TOPICS];
    uint64_t produced_bytes[TOPICS]; /* keys and values */
    uint64_t load_keys;              /* blobs asked for by loads */
    uint64_t events[EVENT_TYPES]; /* applied */
    struct dead_count dead[DEAD_REASONS_MAX];
    uint64_t models_refused; /* snapshots of another version */
    uint64_t examples_thinned; /* left out by the learner */
    uint64_t pair_deltas, ratings_raised; /* emitted by profile tasks */
    uint64_t rankings, recommendations, throttled, views;
    struct arm_counts arms[ARMS];
};

/* What an operator asks about one task. */
struct task_report {
    enum stage stage;
    int32_t partition;
    const char *state;      /* "read", "claim", "verify", "run", "halted", "lost" */
    const char *halt;       /* reason, or NULL */
    const char *halt_text;
    int64_t next, committed;
    int64_t commit_age_ms;  /* 0 when nothing is pending */
    int64_t commit_every_ms;
    int64_t stopped_ms;     /* for how long it has neither run nor halted */
    int64_t lag_records;    /* -1: unknown */
    int64_t record_ms;      /* timestamp of the last folded record; 0 = none */
    uint64_t folded, replayed, cells, cell_bytes;
};

/* Ports are borrowed and outlive the worker. `seed` must differ between processes (owner tokens come from it). */
struct worker *worker_create(const struct worker_settings *settings, const struct log_port *log,
                             const struct store_port *store, uint64_t seed);
void worker_destroy(struct worker *w);

struct topic_partition {
    enum topic topic;
    int32_t partition;
};

/* The whole assignment of this group member, replacing the one before. Tasks that are gone stop at once. */
void worker_assigned(struct worker *w, const struct topic_partition *list, size_t count, int64_t now_ms);
/* Records of task inputs; taken over, released through the log port. Order within a partition is the log's. */
void worker_records(struct worker *w, struct record *records, size_t count, int64_t now_ms);
/* A record of a table topic (catalog, models, control); taken over likewise. */
void worker_table_record(struct worker *w, struct record *record, int64_t now_ms);
/* Every table has been read to the end offset seen at start. */
void worker_tables_ready(struct worker *w);
/* The log cannot deliver from where it was started: the offset is outside the log. */
void worker_out_of_range(struct worker *w, enum topic topic, int32_t partition);
/* Another broker leads the partition now: it may lack records that were read from the one before. The task reads again. */
void worker_leader_changed(struct worker *w, enum topic topic, int32_t partition, int64_t now_ms);
/* An outgoing record is durable (ERR_NONE) or lost. `offset` is where it stands, or -1. */
void worker_acknowledged(struct worker *w, void *opaque, enum err err, int64_t offset);
void worker_stored(struct worker *w, struct store_request *request, int64_t now_ms);
void worker_views_read(struct worker *w, struct view_read *read, int64_t now_ms);
/* Folds what is ready, closes runs, takes cuts, ticks. Answers the time at which it wants to be called again. */
int64_t worker_turn(struct worker *w, int64_t now_ms);
/* From now on about so many records a turn, never more than settings.turn_records_max. Answers how many. */
uint32_t worker_pace(struct worker *w, uint32_t records);

/* For whom a list is asked for outside the stream of events. */
struct question {
    struct slice user, scene;
    int64_t now_ms;
    uint64_t seed; /* of the draws */
};

/* The list the worker would make now; nothing is sent or remembered. Texts are borrowed from the catalog. */
void worker_ask(struct worker *w, const struct question *q, struct recommendation *out);
/* Scores of all items by catalog number, as recommend_all(); `out` holds catalog_number_bound() of them. */
void worker_ask_items(struct worker *w, const struct question *q, float *out);
/* How the places of a list that was sent would be drawn now, as recommend_given(). */
uint32_t worker_ask_given(struct worker *w, const struct question *q, const struct given *given, struct list_place *out);

const struct catalog *worker_catalog(const struct worker *w);
const struct worker_counts *worker_get_counts(const struct worker *w);
/* Fills at most `max`; answers how many tasks there are. */
size_t worker_report(const struct worker *w, int64_t now_ms, struct task_report *out, size_t max);
/* The header of a slot whose state begins at offset 0: what `sluice init` starts from. */
struct slot_header worker_header_of(const struct worker_settings *s, const struct log_port *log);
/* Every task assigned has claimed its slot and folded its first record, if one waited. */
bool worker_is_under_way(const struct worker *w);
/* Takes over the cadences and limits of `settings`, which is everything that may change while running. */
void worker_reload(struct worker *w, const struct worker_settings *settings);
/* Profile tasks fold nothing while `late`: an entity task's lag eats into the retention of the effects. */
void worker_effects_late(struct worker *w, bool late);
bool worker_is_waiting_for_entities(const struct worker *w);
/* Stops consuming and commits what is done; worker_is_drained() says when nothing is owed any more. */
void worker_drain(struct worker *w, int64_t now_ms);
bool worker_is_drained(const struct worker *w);
