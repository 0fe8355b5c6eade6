/*
 * The part of a task's state that is in memory: one cell a blob. When the budget is exceeded a hand goes round them
 * (CLOCK, Corbato 1968): who was used since it last came by stays for another round, the others leave, but never one
 * that is dirty or in a cut that is not committed yet: read back, it would be older.
 */
#pragma once

#include "common/map.h"
#include "server/worker/ports.h"

/* One cache line. */
struct cell {
    uint64_t local;      /* key in memory */
    struct blob_key key; /* key in the store */
    void *object;        /* owned; the stage's; NULL = nothing stored */
    void *soft;          /* owned; what is not state: lost with the cell */
    uint64_t cut;        /* number of the last cut it is in */
    struct cell *next;   /* in the ring */
    uint32_t bytes;      /* as counted in the budget */
    bool loading : 1;    /* asked for; object not known yet */
    bool dirty : 1;
    bool held : 1;       /* soft work waits for it: not evicted */
    bool used : 1;       /* since the hand last came by */
};

#define CELL_BYTES 64

struct cells {
    struct map by_local;
    struct cell *hand;   /* the one looked at last; `next` of it comes next. NULL: empty */
    struct slab *slabs;  /* owned; where cells lie */
    uint32_t slab_left;  /* never taken of the first of them */
    struct cell *spare;  /* taken once, free again; by `next` */
    size_t bytes;
    bool stuck;          /* the budget could not be met when what is in the cut below was all that was committed */
    uint64_t stuck_at;
    struct cell **dirty; /* owned; in the order they became dirty */
    size_t dirty_count, dirty_capacity;
};

typedef void cell_destroy(struct cell *cell);

void cells_fini(struct cells *c, cell_destroy *destroy);
static inline struct cell *cells_find(const struct cells *c, uint64_t local)
{
    struct cell *cell = map_find(&c->by_local, local);
    if (cell && !cell->used)
        cell->used = true;
    return cell;
}

struct cell *cells_add(struct cells *c, uint64_t local, struct blob_key key);
void cells_touch_dirty(struct cells *c, struct cell *cell);
/* Takes the first `count` off the list of those that are dirty: they are not any more. */
void cells_clean(struct cells *c, size_t count);
void cells_set_bytes(struct cells *c, struct cell *cell, size_t bytes);
/*
 * Removes clean cells whose cut is at most `committed` until the budget holds; answers how many. After a whole round
 * that was not enough it waits for the next commit, for only that makes cells clean.
 */
size_t cells_evict(struct cells *c, size_t bytes_max, uint64_t committed, cell_destroy *destroy);
