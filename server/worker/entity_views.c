#include "server/worker/entity_views.h"

#include "common/check.h"
#include "common/hash.h"
#include "server/codec/scene_codec.h"
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

/* One record a scene under way. */
struct rollup_batch {
    struct slice scene;
    struct writer bytes; /* owned */
};

#define BATCHES 32 /* scenes collected side by side; one more sends all first */

static void send_batches(struct task *t, struct rollup_batch *batches, int *count, int64_t now_ms)
{
    int32_t partitions = t->worker->log->partitions(t->worker->log->self, TOPIC_ROLLUPS);
    for (int i = 0; i < *count; i++) {
        struct rollup_batch *b = &batches[i];
        task_produce(t,
                     &(struct outgoing){.topic = TOPIC_ROLLUPS,
                                        .partition = kafka_partition(b->scene.at, b->scene.size, partitions),
                                        .key = b->scene,
                                        .value = {(const char *)b->bytes.data, (uint32_t)b->bytes.size}},
                     now_ms);
        writer_fini(&b->bytes);
    }
    *count = 0;
}

static struct rollup_batch *batch_for(struct task *t, struct rollup_batch *batches, int *count, struct slice scene, int64_t now_ms)
{
    int i = 0;
    while (i < *count && !slice_equal(batches[i].scene, scene))
        i++;
    if (i < *count && batches[i].bytes.size < t->worker->settings.run_bytes_max)
        return &batches[i];
    if (i < *count || *count == BATCHES)
        send_batches(t, batches, count, now_ms);
    struct rollup_batch *b = &batches[(*count)++];
    *b = (struct rollup_batch){.scene = scene};
    scene_record_begin(&b->bytes, scene);
    return b;
}

/* The totals of one entity in each of its scenes. */
static void add_rollups(struct task *t, const struct cell *cell, struct rollup_batch *batches, int *count, int64_t now_ms)
{
    const struct counters *c = cell->object;
    struct scene_entry e = {.type = SCENE_ROLLUP};
    if (!c || counters_name(c).size == 0)
        return;
    e.rollup.name = counters_name(c);
    e.rollup.id = cell->key.id;
    e.rollup.partition = t->partition;
    e.rollup.offset = t->next - 1;
    e.rollup.last_ms = counters_last_ms(c);
    for (int i = 0; i < counters_scenes(c); i++) {
        e.rollup.scene = counters_scene(c, i, e.rollup.totals);
        if (e.rollup.scene.size == 0)
            continue;
        scene_record_add(&batch_for(t, batches, count, e.rollup.scene, now_ms)->bytes, &e);
        t->worker->counts.rollups++;
    }
}

void entity_views_flush(struct entity_views *v, struct task *t, int64_t now_ms, bool all)
{
    struct rollup_batch batches[BATCHES];
    int count = 0;
    if (!all && now_ms - v->flushed_ms < t->worker->settings.rollup_ms)
        return;
    v->flushed_ms = now_ms;
    for (size_t i = 0; i < v->count; i++) {
        ((struct due *)v->due[i]->soft)->listed = false;
        if (v->due[i]->key.class == 'c')
            add_rollups(t, v->due[i], batches, &count, now_ms);
    }
    v->count = 0;
    send_batches(t, batches, &count, now_ms);
}
