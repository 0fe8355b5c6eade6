/*
 * A Redis of one seed: slots of blobs over shards, with compare-and-set commits, and one link a member. A shard keeps a
 * journal of its commits, so that a failover can lose any suffix of them. Requests of one slot are carried out in
 * order; between slots the simulator decides, and also when an answer arrives.
 */
#pragma once

#include "common/map.h"
#include "server/worker/worker.h"
#include "tests/sim/arena.h"
#include "tests/sim/kafka.h"

#define SHARDS 3

struct stored {
    struct blob_key key;
    struct slice value;
    int64_t written_ms;
};

struct slot {
    struct map blobs;   /* hash of the key -> struct stored in the arena */
    bool moving;        /* to another node: every connection to it breaks */
    bool full;          /* commits are refused for want of memory */
    uint32_t refused;   /* so often */
};

struct undo {
    struct slot *slot;
    uint64_t hash;
    struct stored *before; /* NULL: was absent */
    bool first;            /* of its commit */
};

struct shard {
    struct undo *journal; /* owned; oldest first */
    size_t count, capacity;
};

struct redis {
    struct arena *arena; /* borrowed */
    struct slot slots[STAGES][PARTITIONS];
    struct shard shards[SHARDS];
    struct map views; /* hash of the key -> struct stored */
    int64_t now_ms;
};

void redis_begin(struct redis *r, struct arena *arena);
void redis_fini(struct redis *r);
int shard_of(enum stage stage, int32_t partition);
/* A failover: the newest commits of a shard are gone. Answers how many there were. */
size_t redis_lose(struct redis *r, int shard, size_t commits);
void redis_empty(struct redis *r, int shard);
/* Position and blobs, without a look at what stands there; in the journal. */
void redis_commit(struct redis *r, const struct store_request *q);
void redis_put(struct redis *r, enum stage stage, int32_t partition, struct blob_key key, struct slice value);
bool redis_remove(struct redis *r, enum stage stage, int32_t partition, struct blob_key key);
/* NULL when absent. */
const struct stored *redis_find(const struct redis *r, enum stage stage, int32_t partition, struct blob_key key);
/* Sum over all blobs, as sluice digest has it. */
uint64_t redis_digest(const struct redis *r, enum stage stage, int32_t partition);

struct request {
    struct store_request *asked; /* borrowed */
    bool done;                   /* carried out; the answer is on its way */
};

struct link {
    struct redis *redis; /* borrowed */
    struct store_port port;
    struct request *queue; /* owned; oldest first */
    size_t count, capacity;
    struct view_read *reads[64];
    size_t read_count;
    bool broken[STAGES][PARTITIONS]; /* until reset every request is answered unknown */
    uint32_t breaks, breaks_unheard; /* faults in wait: the connection goes before, or after, the next request */
    uint32_t struck;
    io_step *step;
    void *step_arg;
};

void link_begin(struct link *l, struct redis *r, io_step *step, void *arg);
void link_fini(struct link *l);
/* `reorder` 0: in order; else the draw that picks the slot. */
void link_carry(struct link *l, size_t requests, uint64_t reorder);
void link_answer(struct link *l, struct worker *w, size_t answers, int64_t now_ms);
/* A request of this slot is not carried out yet. */
bool link_is_busy(const struct link *l, enum stage stage, int32_t partition);
/* Every connection of this link to a shard, or to all of them (-1), is cut: what is in flight is not heard of. */
void link_cut(struct link *l, int shard);
/* The process died: what was not carried out never is. */
void link_abandon(struct link *l, struct worker *w, int64_t now_ms);
