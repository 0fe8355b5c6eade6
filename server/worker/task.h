/*
 * A task: (stage, partition), the unit of ownership. It claims its slot in the store, verifies that the log still is
 * the one its state was folded from, folds record after record, and commits in cuts. The stage's own part is behind
 * struct stage_ops; the protocol is here and the same for all stages.
 *
 *   READ ──▶ CLAIM ──▶ VERIFY ──▶ RUN ──▶ (READ again: rewind)
 *     │         │         │         │
 *     └─────────┴─────────┴────┬────┴──▶ HALTED (a reason the operator acts on; READ again once its verb wrote the slot)
 *                              └───────▶ LOST   (another owner; claims again if still assigned after a pause)
 */
#pragma once

#include "server/worker/cells.h"
#include "server/worker/position.h"

enum task_state { TASK_READ, TASK_CLAIM, TASK_VERIFY, TASK_RUN, TASK_HALTED, TASK_LOST, TASK_STATES };

enum halt {
    HALT_NONE,
    HALT_NOT_INITIALISED,  /* no header in the slot */
    HALT_POSITION_MISSING, /* a header, but no position, and the log no longer begins at the origin */
    HALT_HEADER,           /* folded with other settings, key, format or partition counts */
    HALT_STATE_INVALID,    /* a blob does not decode */
    HALT_LOG_REWRITTEN,    /* the record before the position is not the one that was folded */
    HALT_LOG_TRUNCATED,    /* the position is before the start or beyond the end of the log */
    HALT_LOG_GAP,          /* an offset is missing, twice */
    HALT_EFFECTS_LOST,     /* Kafka lost acknowledged effects */
    HALT_RECORD_VERSION,   /* an internal record of a version or shape this binary does not read */
    HALT_POISON,           /* folding this record crashed its owner several times */
    HALT_OUTPUT_REFUSED,   /* an output can never be produced */
    HALTS
};

extern const char *const halt_names[HALTS];
extern const char *const halt_steps[HALTS]; /* the operator's next step */

struct task;
struct worker;

/* What is owed before the state up to `next` may be committed, and then the commit itself. */
struct owed {
    struct task *task; /* NULL: of an abandoned attempt */
    bool is_cut;       /* else a load */
};

struct cut {
    struct owed owed;     /* first: what request.owner points to; an orphan is freed when nothing is outstanding */
    uint64_t number;
    int64_t opened_ms;
    uint32_t outstanding; /* produced, not acknowledged */
    bool failed;          /* something was lost */
    bool refused;         /* and can never be produced */
    bool copying;         /* its blobs are being copied: nothing is folded meanwhile */
    bool closed;          /* blobs are copied; no more outputs join */
    size_t cells, copied; /* dirty cells of the task when it was cut, and how many of them are copied */
    bool submitted;       /* the request is with the store */
    int64_t next;         /* position it commits */
    struct writer bytes;  /* owned; blobs and both position blobs */
    struct store_request request;
    struct cut *later;
};

/* One stage. Objects in cells and `stage_state` are the stage's own. */
struct stage_ops {
    enum stage stage;
    bool chain; /* has a CHAIN blob beside its cells */
    bool patient; /* may wait with what it folds until a cut is copied, a part a turn */
    int64_t (*commit_ms)(const struct task *t);
    void *(*create)(struct task *t);
    void (*destroy)(struct task *t);
    /* The attempt begins again: forget everything but `chain` (absent: size 0). */
    enum err (*open)(struct task *t, struct slice chain);
    /* Key in memory of the cell a record is about; NULL when records are about many. */
    uint64_t (*local)(const struct task *t, const struct record *r);
    /* Asks for memory of a cell's object that the next fold or encode will wait for: the object, then what it points to. NULL: none. */
    void (*fetch)(const struct cell *cell, int depth);
    /* Asks for the cells the record needs through task_need(); true = all are there. Changes nothing else. */
    bool (*prepare)(struct task *t, const struct record *r);
    void (*fold)(struct task *t, const struct record *r, int64_t now_ms);
    /* Emits what is due; everything when `all` (a cut follows). */
    void (*flush)(struct task *t, int64_t now_ms, bool all);
    void (*encode_chain)(struct task *t, struct writer *out);
    void (*encode)(struct task *t, struct cell *cell, struct writer *out);
    enum err (*decode)(struct task *t, struct cell *cell, struct slice bytes);
    cell_destroy *destroy_cell;
    void (*turn)(struct task *t, int64_t now_ms); /* soft work; may be NULL */
};

extern const struct stage_ops profile_stage, entity_stage, allocation_stage, learner_stage;

struct task {
    struct worker *worker; /* borrowed */
    const struct stage_ops *ops;
    int32_t partition;
    enum task_state state;
    enum halt halt;
    const char *halt_text;
    bool halt_seen;          /* `expected` is the position as it stood after the halt */
    bool paused;
    bool draining;

    /* What the slot holds, as far as submitted commits go. */
    struct position position;     /* of the last submitted commit */
    struct writer expected;       /* its bytes; owned */
    int64_t committed;            /* position known to be stored: the confirmed position of rule 4 */
    int64_t committed_ms;
    uint64_t committed_cut;
    bool has_token;
    uint64_t token;               /* ours */
    uint32_t generation;          /* of the slot's header */
    bool chain_open;              /* likewise */

    /* What is folded. */
    const struct worker_settings *fold; /* whose fold settings are in force at `next`; the worker's or one of `before` */
    int64_t fold_until;           /* offset of the first record that others fold; INT64_MAX */
    int64_t next;                 /* next offset to fold */
    int64_t began;                /* of this attempt: its first */
    bool has_print;
    uint64_t print;
    bool gap_seen;                /* the jump at `next` was seen once and read again */
    bool step_by_step;            /* commit after every record (rule 14) */
    uint32_t steps_left;
    uint32_t tries;               /* of the record at `next`, marked in the store */
    int64_t marked;               /* offset whose try this attempt has marked; -1 */
    bool claim_counted;           /* position.claims holds a claim of ours */
    uint64_t mark_token;          /* under which an attempt marked last; 0 never */

    struct record *queue;         /* owned ring */
    size_t queue_at, queue_count, queue_capacity;
    struct cells cells;
    struct cell **wanted;         /* owned; cells to load */
    size_t wanted_count, wanted_capacity;
    struct load *load;            /* in flight; owned until handed back */
    struct cut *first_cut, *last_cut; /* oldest first; the last may be open */
    uint64_t cuts;                /* numbered so far */
    int cuts_in_flight;
    size_t cut_bytes;             /* of the last one */
    int64_t asked_ms;             /* last time the slot was read */
    int64_t lost_ms;
    int64_t heard_ms;             /* last time the log delivered something */
    bool in_doubt;                /* whether the log reaches from here to there: its ends are being asked for */
    uint64_t doubt;               /* the least `asked` of an answer that resolves it */
    uint32_t beyond;              /* answers in a row by which the log ends before `next` */
    int64_t record_ms;            /* timestamp of the last folded record */
    int64_t running_ms;           /* when it last ran, or halted */
    uint64_t folded, replayed;
    uint64_t evicted_at;          /* `folded` at the last eviction */
    int64_t replay_until;         /* records below were folded before */
    void *stage_state;            /* owned by the stage */
};

struct task *task_create(struct worker *w, const struct stage_ops *ops, int32_t partition, int64_t now_ms);
/* Stops at once; what is in flight is buried when it comes back. */
void task_release(struct task *t);
void task_record(struct task *t, struct record *r, int64_t now_ms); /* takes it */
void task_out_of_range(struct task *t);
/* Answers of the store to any task, also one that is gone. */
void task_stored(struct store_request *request, int64_t now_ms);
void task_drain(struct task *t, int64_t now_ms);
void task_turn(struct task *t, int64_t now_ms);
/* Runs, and has folded its first record if one waited; or it is not up to it. */
bool task_is_under_way(const struct task *t);
bool task_owes(const struct task *t); /* something is folded and not committed */
void task_halt(struct task *t, enum halt why, const char *text);
/* Drops cache, dirty blobs and what is in flight; reads the slot again. */
void task_rewind(struct task *t, int64_t now_ms);
void cut_acknowledged(struct cut *cut, enum err err);

/* For stages: */
/* The cell with that key, never NULL. When its object is not known yet it is asked for, and *missing is set. */
struct cell *task_need(struct task *t, uint64_t local, struct blob_key key, bool *missing);
/* The record's, remembered in it when it was fetched ahead. */
static inline uint64_t task_local(const struct task *t, const struct record *r)
{
    return r->local ? r->local : t->ops->local(t, r);
}

/* Produces as part of the open cut. */
void task_produce(struct task *t, struct outgoing *out, int64_t now_ms);
