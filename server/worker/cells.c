#include "server/worker/cells.h"

#include "common/check.h"
#include "common/mutant.h"

#include <stdlib.h>
#include <string.h>

#define CELL_OVERHEAD (sizeof(struct cell) + 2 * sizeof(struct map_slot))

void cells_fini(struct cells *c, cell_destroy *destroy)
{
    struct cell *cell = c->hand;
    for (size_t left = c->by_local.count; left > 0; left--) {
        struct cell *next = cell->next;
        destroy(cell);
        free(cell);
        cell = next;
    }
    map_fini(&c->by_local);
    free(c->dirty);
    *c = (struct cells){0};
}

struct cell *cells_add(struct cells *c, uint64_t local, struct blob_key key)
{
    _Static_assert(sizeof(struct cell) == CELL_BYTES, "a cell is one cache line");
    struct cell *cell = aligned_alloc(CELL_BYTES, CELL_BYTES);
    ASSERT(cell);
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
        free(cell);
        evicted++;
        if (!c->hand)
            break;
    }
    c->stuck = c->bytes > bytes_max;
    c->stuck_at = committed;
    return evicted;
}
