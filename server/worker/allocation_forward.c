/*
 * What an allocation task must react to but did not fold: rooms from the catalog, controls, the passing of time. Its
 * owner appends them to the task's own log and acts when it reads them back, so that the log alone decides.
 *
 * Rooms: each scene is compared with the catalog whenever that changed, and what differs from what this attempt last
 * forwarded is forwarded, under a position greater than every one before. A new attempt forwards all rooms once more,
 * which changes nothing where nothing changed, and closes those that left the catalog unseen.
 */
#include "server/worker/allocation_stage.h"

#include "common/check.h"
#include "server/codec/control_decode.h"
#include "server/codec/scene_codec.h"
#include "server/worker/worker_internal.h"

#include <stdlib.h>

#define TICK_PATIENCE 5 /* ticks to wait for one to be folded before the next is sent all the same */

struct batch {
    struct task *task;
    struct slice scene;
    struct writer bytes; /* owned; size 0: empty */
    int64_t now_ms;
};

void forwarded_destroy(void *soft)
{
    struct forwarded *f = soft;
    if (f)
        map_fini(&f->rooms);
    free(f);
}

static void batch_send(struct batch *b)
{
    if (b->bytes.size == 0)
        return;
    task_produce(b->task,
                 &(struct outgoing){.topic = TOPIC_ROLLUPS, .partition = b->task->partition, .key = b->scene,
                                    .value = {(const char *)b->bytes.data, (uint32_t)b->bytes.size}},
                 b->now_ms);
    b->bytes.size = 0;
}

static void batch_add(struct batch *b, const struct scene_entry *e)
{
    if (b->bytes.size == 0)
        scene_record_begin(&b->bytes, b->scene);
    scene_record_add(&b->bytes, e);
    if (b->bytes.size >= b->task->worker->settings.run_bytes_max)
        batch_send(b);
}

static int64_t epoch_of(const struct task *t, const struct scene *c)
{
    int64_t seen = c ? scene_epoch(c) : 0;
    return t->position.epoch > seen ? t->position.epoch : seen;
}

static void fill_item(const struct catalog *catalog, struct slice name, struct scene_item *out)
{
    const struct catalog_item *it = catalog_item(catalog, entity_id_of(ENTITY_ITEM, name));
    *out = (struct scene_item){.name = name, .category = {"", 0}};
    if (!it)
        return;
    out->category = catalog_text(catalog, it->category);
    out->price = it->price;
    out->tags.count = it->tag_count;
    for (uint32_t i = 0; i < it->tag_count; i++)
        out->tags.at[i] = catalog_text(catalog, it->tags[i]);
}

/* Of a record's timestamp, which its producer sets: -1, of no known age, when no event could have it. */
static int64_t time_of(int64_t record_ms)
{
    return record_ms < 0 || record_ms > EVENT_MS_MAX ? -1 : record_ms;
}

/* The room as the catalog has it now, joined with its host and items. */
static void fill_room(const struct catalog *catalog, const struct catalog_room *r, struct room_entry *out)
{
    const struct catalog_host *h = catalog_host(catalog, r->host);
    *out = (struct room_entry){
        .open = true, .record_ms = time_of(r->record_ms), .room = r->name, .host = r->draft.host, .category = r->draft.category,
        .tags = r->draft.tags, .item_count = r->draft.item_count, .explaining = r->draft.explaining,
        .slot_cost = r->draft.slot_cost,
    };
    for (uint32_t i = 0; i < out->item_count; i++)
        fill_item(catalog, r->draft.items[i], &out->items[i]);
    if (!h)
        return;
    out->domains = h->domains;
    out->style = h->style;
    out->fans = h->fans;
    out->commission_bp = h->commission_bp;
    out->bonus = h->bonus;
}

static uint64_t hash_of_entry(const struct scene_entry *e)
{
    struct writer bytes = {0};
    scene_record_add(&bytes, e);
    uint64_t hash = hash64(bytes.data, bytes.size, 7) | 1;
    writer_fini(&bytes);
    return hash;
}

static void forward_open(struct batch *b, struct forwarded *f, uint32_t scene, const struct source_position *position)
{
    const struct catalog *catalog = b->task->worker->tables.catalog;
    for (uint32_t i = 0; i < catalog_open_count(catalog); i++) {
        const struct catalog_room *r = catalog_open(catalog, i);
        if (!catalog_room_in(r, scene))
            continue;
        struct scene_entry e = {.type = SCENE_ROOM};
        fill_room(catalog, r, &e.room);
        uint64_t hash = hash_of_entry(&e); /* without the position */
        if ((uint64_t)(uintptr_t)map_find(&f->rooms, r->id) == hash)
            continue;
        map_put(&f->rooms, r->id, (void *)(uintptr_t)hash);
        e.room.position = *position;
        batch_add(b, &e);
    }
}

static void forward_closed(struct batch *b, struct forwarded *f, uint32_t scene, const struct scene *c,
                           const struct source_position *position)
{
    const struct catalog *catalog = b->task->worker->tables.catalog;
    for (uint32_t i = 0; c && i < scene_rooms(c); i++) {
        bool live;
        int32_t weight;
        struct slice name = scene_room(c, i, &live, &weight);
        const struct catalog_room *r = catalog_room(catalog, entity_id_of(ENTITY_ROOM, name));
        if (r && r->open && catalog_room_in(r, scene))
            continue;
        map_remove(&f->rooms, entity_id_of(ENTITY_ROOM, name));
        struct scene_entry e = {.type = SCENE_ROOM, .room = {.position = *position, .room = name}};
        batch_add(b, &e);
    }
}

static void forward_rooms(struct batch *b, struct forwarded *f, const struct scene *c)
{
    const struct catalog *catalog = b->task->worker->tables.catalog;
    if (f->catalog_version == catalog_version(catalog) + 1)
        return;
    f->catalog_version = catalog_version(catalog) + 1;
    int64_t folded = c ? scene_catalog_offset(c, 0) : -1;
    f->offset = (folded > f->offset ? folded : f->offset) + 1;
    struct source_position position = {epoch_of(b->task, c), 0, f->offset};
    uint32_t scene = catalog_number(catalog, b->scene);
    if (scene)
        forward_open(b, f, scene, &position);
    forward_closed(b, f, scene, c, &position);
}

/* A control that decodes to this scene and was not folded yet. */
static void forward_control(struct batch *b, const struct scene *c, const struct kept_control *k)
{
    struct control_json *json = NULL;
    struct scene_entry e = {.type = SCENE_CONTROL};
    enum control_answer answer = control_decode(k->bytes, &e.control, &json);
    if (answer == CONTROL_APPLIED && slice_equal(e.control.scene, b->scene) &&
        (!c || k->offset > scene_control_offset(c, k->partition))) {
        e.control.position = (struct source_position){epoch_of(b->task, c), k->partition, k->offset};
        batch_add(b, &e);
    }
    control_json_destroy(json);
}

static void forward_controls(struct batch *b, struct forwarded *f, const struct scene *c)
{
    const struct tables *tables = &b->task->worker->tables;
    if (f->control < tables->control_begin)
        f->control = tables->control_begin;
    for (; f->control < tables->control_end; f->control++)
        forward_control(b, c, &tables->controls[f->control % CONTROLS_MAX]);
}

/* One at a time: a task that is behind its log does not lengthen it. */
static void forward_tick(struct batch *b, struct forwarded *f, const struct scene *c)
{
    int64_t period = b->task->worker->settings.tick_ms, folded = c ? scene_tick_ms(c) : 0;
    bool waits = f->tick_ms > folded && b->now_ms - f->tick_sent_ms < TICK_PATIENCE * period;
    if (waits || b->now_ms - f->tick_sent_ms < period)
        return;
    f->tick_ms = b->now_ms > folded ? b->now_ms : folded + 1;
    f->tick_sent_ms = b->now_ms;
    struct scene_entry e = {.type = SCENE_TICK, .tick = {epoch_of(b->task, c), f->tick_ms}};
    batch_add(b, &e);
}

static void forward_scene(struct task *t, struct slice name, int64_t now_ms)
{
    bool missing = false;
    struct blob_key key = scene_key(name);
    struct cell *cell = task_need(t, key.id, key, &missing);
    if (missing)
        return; /* on its way */
    struct forwarded *f = cell->soft;
    if (!f) {
        f = cell->soft = calloc(1, sizeof *f);
        ASSERT(f);
        f->offset = -1;
        cell->held = true; /* forgotten, all would be forwarded again, and that read back could push it out again, for ever */
    }
    struct batch b = {.task = t, .scene = name, .now_ms = now_ms};
    forward_rooms(&b, f, cell->object);
    forward_controls(&b, f, cell->object);
    forward_tick(&b, f, cell->object);
    batch_send(&b);
    writer_fini(&b.bytes);
}

/* Scenes that the catalog names and whose rollups come to this partition. */
static void find_scenes(struct task *t, struct allocation_state *s)
{
    const struct catalog *catalog = t->worker->tables.catalog;
    if (s->catalog_version == catalog_version(catalog) + 1)
        return;
    s->catalog_version = catalog_version(catalog) + 1;
    s->count = s->folded;
    int32_t partitions = t->worker->log->partitions(t->worker->log->self, TOPIC_ROLLUPS);
    for (uint32_t i = 0; i < catalog_open_count(catalog); i++) {
        const struct catalog_room *r = catalog_open(catalog, i);
        for (uint32_t k = 0; k < r->scene_count; k++) {
            struct slice name = r->draft.scenes[k];
            if (kafka_partition(name.at, name.size, partitions) == t->partition && allocation_scene_index(s, name) < 0)
                t->worker->counts.scenes_refused++;
        }
    }
}

void allocation_forward(struct task *t, int64_t now_ms)
{
    struct allocation_state *s = t->stage_state;
    if (!t->worker->tables_ready || t->draining)
        return;
    find_scenes(t, s);
    for (uint32_t i = 0; i < s->count; i++)
        forward_scene(t, name_slice(&s->names[i]), now_ms);
}
