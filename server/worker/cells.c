#include "server/worker/cells.h"

#include "common/check.h"

#include <stdlib.h>

#define CELL_OVERHEAD (sizeof(struct cell) + 2 * sizeof(struct map_slot))

static void unlink_cell(struct cells *c, struct cell *cell)
{
    *(cell->older ? &cell->older->newer : &c->oldest) = cell->newer;
    *(cell->newer ? &cell->newer->older : &c->newest) = cell->older;
}

static void link_newest(struct cells *c, struct cell *cell)
{
    cell->older = c->newest;
    cell->newer = NULL;
    *(c->newest ? &c->newest->newer : &c->oldest) = cell;
    c->newest = cell;
}

void cells_fini(struct cells *c, cell_destroy *destroy)
{
    for (struct cell *cell = c->oldest, *next; cell; cell = next) {
        next = cell->newer;
        destroy(cell);
        free(cell);
    }
    map_fini(&c->by_local);
    free(c->dirty);
    *c = (struct cells){0};
}

struct cell *cells_find(struct cells *c, uint64_t local)
{
    struct cell *cell = map_find(&c->by_local, local);
    if (cell && cell != c->newest) {
        unlink_cell(c, cell);
        link_newest(c, cell);
    }
    return cell;
}

struct cell *cells_add(struct cells *c, uint64_t local, struct blob_key key)
{
    struct cell *cell = calloc(1, sizeof *cell);
    ASSERT(cell);
    cell->local = local;
    cell->key = key;
    map_put(&c->by_local, local, cell);
    link_newest(c, cell);
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

void cells_set_bytes(struct cells *c, struct cell *cell, size_t bytes)
{
    c->bytes += bytes + CELL_OVERHEAD - cell->bytes;
    cell->bytes = (uint32_t)(bytes + CELL_OVERHEAD);
}

size_t cells_evict(struct cells *c, size_t bytes_max, uint64_t committed, cell_destroy *destroy)
{
    size_t evicted = 0;
    for (struct cell *cell = c->oldest, *next; cell && c->bytes > bytes_max; cell = next) {
        next = cell->newer;
        if (cell->dirty || cell->held || cell->loading || cell->cut > committed)
            continue;
        unlink_cell(c, cell);
        map_remove(&c->by_local, cell->local);
        c->bytes -= cell->bytes;
        destroy(cell);
        free(cell);
        evicted++;
    }
    return evicted;
}
