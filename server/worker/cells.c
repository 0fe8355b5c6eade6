#include "server/worker/cells.h"

#include "common/check.h"
#include "common/mutant.h"

#include <stdlib.h>
#include <string.h>

#define CELL_OVERHEAD (sizeof(struct cell) + 2 * sizeof(struct map_slot))
#define SLAB_CELLS 1024

/* Cells lie together, not each in a page of its own among what they hold: a look-up then misses few pages. */
struct slab {
    struct cell at[SLAB_CELLS];
    struct slab *next;
} __attribute__((aligned(CELL_BYTES)));

static struct cell *take_cell(struct cells *c)
{
    struct cell *cell = c->spare;
    if (cell) {
        c->spare = cell->next;
        return cell;
    }
    if (!c->slab_left) {
        struct slab *slab = aligned_alloc(CELL_BYTES, sizeof *slab);
        ASSERT(slab);
        slab->next = c->slabs;
        c->slabs = slab;
        c->slab_left = SLAB_CELLS;
    }
    return &c->slabs->at[SLAB_CELLS - c->slab_left--];
}

static void give_cell(struct cells *c, struct cell *cell)
{
    cell->next = c->spare;
    c->spare = cell;
}

void cells_fini(struct cells *c, cell_destroy *destroy)
{
    struct cell *cell = c->hand;
    for (size_t left = c->by_local.count; left > 0; left--) {
        destroy(cell);
        cell = cell->next;
    }
    for (struct slab *slab = c->slabs, *next; slab; slab = next) {
        next = slab->next;
        free(slab);
    }
    map_fini(&c->by_local);
    free(c->dirty);
    *c = (struct cells){0};
}

struct cell *cells_add(struct cells *c, uint64_t local, struct blob_key key)
{
    _Static_assert(sizeof(struct cell) == CELL_BYTES, "a cell is one cache line");
    struct cell *cell = take_cell(c);
    *cell = (struct cell){.local = local, .key = key};
    map_put(&c->by_local, local, cell);
    cell->next = c->hand ? c->hand->next : cell;
    *(c->hand ? &c->hand->next : &c->hand) = cell;
    c->hand = cell; /* the hand has just passed it: a whole round until it comes back */
    cells_set_bytes(c, cell, 0);
    return cell;
}

void cells_touch_dirty(struct cells *c, struct cell *cell)
{
    if (cell->dirty)
        return;
    cell->dirty = true;
    if (c->dirty_count == c->dirty_capacity) {
        c->dirty_capacity = c->dirty_capacity ? c->dirty_capacity * 2 : 256;
        c->dirty = realloc(c->dirty, c->dirty_capacity * sizeof *c->dirty);
        ASSERT(c->dirty);
    }
    c->dirty[c->dirty_count++] = cell;
}

void cells_clean(struct cells *c, size_t count)
{
    c->dirty_count -= count;
    if (c->dirty_count)
        memmove(c->dirty, c->dirty + count, c->dirty_count * sizeof(struct cell *));
}

void cells_set_bytes(struct cells *c, struct cell *cell, size_t bytes)
{
    c->bytes += bytes + CELL_OVERHEAD - cell->bytes;
    cell->bytes = (uint32_t)(bytes + CELL_OVERHEAD);
}

static bool may_leave(struct cell *cell, uint64_t committed)
{
    bool used = cell->used;
    cell->used = false;
    return !used && !cell->dirty && !cell->held && !cell->loading && MUTANT(evicts_uncommitted, true, cell->cut <= committed);
}

size_t cells_evict(struct cells *c, size_t bytes_max, uint64_t committed, cell_destroy *destroy)
{
    size_t evicted = 0;
    if (c->stuck && c->stuck_at == committed)
        return 0;
    for (size_t left = 2 * c->by_local.count; left > 0 && c->bytes > bytes_max; left--) {
        struct cell *cell = c->hand->next;
        if (!may_leave(cell, committed)) {
            c->hand = cell;
            continue;
        }
        c->hand->next = cell->next;
        if (cell == c->hand)
            c->hand = NULL;
        map_remove(&c->by_local, cell->local);
        c->bytes -= cell->bytes;
        destroy(cell);
        give_cell(c, cell);
        evicted++;
        if (!c->hand)
            break;
    }
    c->stuck = c->bytes > bytes_max;
    c->stuck_at = committed;
    return evicted;
}
