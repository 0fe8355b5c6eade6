#include "server/worker/entity_views.h"

#include "common/check.h"
#include "common/text.h"
#include "server/engine/rollup.h"
#include "server/worker/worker_internal.h"

#include <stdlib.h>

struct entity_views {
    struct cell **due; /* owned; cells changed since the last flush. They are dirty, so they cannot be evicted. */
    size_t count, capacity;
    int64_t flushed_ms;
};

/* Soft part of an entity's cell. */
struct due {
    bool listed;
};

struct entity_views *entity_views_create(void)
{
    struct entity_views *v = calloc(1, sizeof *v);
    ASSERT(v);
    return v;
}

void entity_views_destroy(struct entity_views *v)
{
    free(v->due);
    free(v);
}

void entity_views_clear(struct entity_views *v)
{
    v->count = 0;
}

void entity_views_changed(struct entity_views *v, struct cell *cell)
{
    struct due *due = cell->soft;
    if (!due) {
        due = cell->soft = calloc(1, sizeof *due);
        ASSERT(due);
    }
    if (due->listed)
        return;
    due->listed = true;
    if (v->count == v->capacity) {
        v->capacity = v->capacity ? v->capacity * 2 : 256;
        v->due = realloc(v->due, v->capacity * sizeof(struct cell *));
        ASSERT(v->due);
    }
    v->due[v->count++] = cell;
}

void entity_views_flush(struct entity_views *v, struct task *t, int64_t now_ms, bool all)
{
    if (!all && now_ms - v->flushed_ms < t->worker->settings.rollup_ms)
        return;
    v->flushed_ms = now_ms;
    for (size_t i = 0; i < v->count; i++)
        ((struct due *)v->due[i]->soft)->listed = false;
    v->count = 0;
}
