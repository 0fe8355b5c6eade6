/* What the parts of the worker share. Not for anybody else. */
#pragma once

#include "common/hmac.h"
#include "server/worker/dead_letter.h"
#include "server/worker/item_counts.h"
#include "server/worker/tables.h"
#include "server/worker/task.h"
#include "server/worker/worker.h"

#define HELD_HEADERS_MAX 8

struct held { /* an outgoing record that the producer had no room for */
    struct outgoing out;
    struct cut *cut;
    struct writer bytes; /* owned */
    struct header headers[HELD_HEADERS_MAX];
    struct record record; /* owned when out.headers_of is set */
    struct held *later;
};

#define PARTITIONS_MAX 1024
#define SPARES 4

struct worker {
    struct worker_settings settings;
    const struct log_port *log;
    const struct store_port *store;
    uint64_t random;         /* state of the token generator */
    uint64_t secret;         /* seeds the keys of cells, so that user ids cannot be made to collide */
    struct user_hmac *users; /* owned */
    uint64_t users_seed;     /* of the hash that stands for a user in samples; the same in all workers */
    size_t task_count;
    uint32_t pace;           /* records a turn */
    uint32_t share;          /* of it for each task that has some */
    int32_t partitions_seen; /* no task has had a greater partition number - 1 */
    struct task *tasks[STAGES][PARTITIONS_MAX]; /* owned; NULL: not assigned */
    struct task *suspect;    /* its next record may crash the process: nobody else folds until that is committed */
    struct held *first_held, *last_held;
    void *kept;              /* native of the record just folded, when a held one still needs it */
    bool tables_ready;
    struct tables tables;
    struct refused refused;
    bool effects_late; /* profile tasks wait */
    /* This turn has done its part of what comes at intervals; other tasks whose time has come too take the next turns. */
    bool has_cut, has_flushed;
    size_t copy_bytes_left;  /* of cuts that are copied part by part, in this turn */
    uint32_t list_looks;     /* of each entity task in a turn; see entity_views.c */
    struct item_counts *item_counts; /* owned */
    bool draining;
    struct writer spares[SPARES]; /* owned: buffers of cuts that are committed, for the next ones */
    struct worker_counts counts;
    struct conversions *conversions; /* owned; soft */
    struct push *push;       /* owned; soft state of recommendations, NULL when off */
};

uint64_t worker_random(struct worker *w);
struct slot_header worker_header(const struct worker *w);
/* Whose fold settings have this hash: the worker's own or those of `before`; NULL when nobody's. */
const struct worker_settings *worker_settings_of(const struct worker *w, uint64_t fold_hash);
/* Produces now, or holds a copy until the producer has room again. */
void worker_produce(struct worker *w, const struct outgoing *out, struct cut *cut);
/* Folds what is ready and cuts what is due. */
void task_fold(struct task *t, int64_t now_ms);
/* The store refused a commit or a claim for want of memory: said, counted. */
void task_no_memory(struct task *t, int64_t now_ms);
/* Claimed: from here on nobody else commits without our noticing. The record before the position is read again. */
void task_verify(struct task *t, int64_t now_ms);
/* A client can skip the newest records; nothing later would ever show the gap. So a silent lag is read again. */
void task_listen(struct task *t, int64_t now_ms);
void task_pause_or_resume(struct task *t);
void task_release_queue(struct task *t);
