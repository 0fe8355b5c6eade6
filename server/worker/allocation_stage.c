/*
 * The allocation stage: one cell a scene; rollups, rooms, controls and ticks in, weights and rankings out. The chain
 * blob is the list of scenes that have state, so that a new owner knows whom to tick.
 */
#include "server/worker/allocation_stage.h"

#include "common/check.h"
#include "server/codec/scene_codec.h"
#include "server/engine/stored.h"
#include "server/worker/worker_internal.h"

#include <stdlib.h>

static int64_t commit_ms(const struct task *t)
{
    return t->worker->settings.allocation_commit_ms;
}

static void *create(struct task *t)
{
    struct allocation_state *s = calloc(1, sizeof *s);
    ASSERT(s);
    return s;
}

static void destroy(struct task *t)
{
    struct allocation_state *s = t->stage_state;
    scene_out_fini(&s->out);
    writer_fini(&s->key);
    writer_fini(&s->value);
    free(s);
}

static enum err open_chain(struct task *t, struct slice chain)
{
    struct allocation_state *s = t->stage_state;
    struct reader r = reader_of(chain.at, chain.size);
    s->count = s->folded = 0;
    s->catalog_version = 0;
    uint32_t count = chain.size ? get_count(&r, TASK_SCENES_MAX, 1) : 0;
    for (uint32_t i = 0; i < count; i++) {
        struct slice name = get_name(&r);
        if (!r.failed)
            allocation_scene_index(s, name);
    }
    s->folded = s->count;
    return r.failed || reader_left(&r) || s->count != count ? ERR_INVALID : ERR_NONE;
}

static void encode_chain(struct task *t, struct writer *out)
{
    const struct allocation_state *s = t->stage_state;
    put_varint(out, s->folded);
    for (uint32_t i = 0; i < s->folded; i++)
        put_slice(out, name_slice(&s->names[i]));
}

int allocation_scene_index(struct allocation_state *s, struct slice name)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (slice_equal(name_slice(&s->names[i]), name))
            return (int)i;
    if (s->count == TASK_SCENES_MAX || name.size > SCENE_ID_BYTES)
        return -1;
    s->names[s->count].size = (uint8_t)name.size;
    memcpy(s->names[s->count].at, name.at, name.size);
    return (int)s->count++;
}

/* The scene becomes folded: it moves in front of those that only the catalog names. False: too many. */
static bool take_name(struct allocation_state *s, struct slice name)
{
    for (uint32_t i = 0; i < s->folded; i++)
        if (slice_equal(name_slice(&s->names[i]), name))
            return true;
    if (s->folded == TASK_SCENES_MAX)
        return false;
    if (s->count == TASK_SCENES_MAX)
        s->count--; /* one that only the catalog names gives way */
    int at = allocation_scene_index(s, name);
    struct name moved = s->names[at];
    s->names[at] = s->names[s->folded];
    s->names[s->folded++] = moved;
    return true;
}

static bool prepare(struct task *t, const struct record *r)
{
    struct scene_record record;
    bool missing = false;
    if (scene_record_open(r->value, &record) != ERR_NONE)
        return true; /* halts when folded */
    struct blob_key key = scene_key(record.scene);
    task_need(t, key.id, key, &missing);
    return !missing;
}

static void fold(struct task *t, const struct record *r, int64_t now_ms)
{
    struct allocation_state *s = t->stage_state;
    const struct allocation_settings *settings = &t->fold->allocation;
    struct scene_record record;
    struct scene_entry entry;
    enum err err = scene_record_open(r->value, &record);
    if (err != ERR_NONE) {
        task_halt(t, HALT_RECORD_VERSION, "a rollups record is not readable");
        return;
    }
    struct cell *cell = map_find(&t->cells.by_local, scene_key(record.scene).id);
    ASSERT(cell);
    if (!cell->object) {
        if (!take_name(s, record.scene)) {
            t->worker->counts.scenes_refused++;
            return;
        }
        cell->object = scene_create(record.scene);
    }
    scene_out_clear(&s->out);
    while ((err = scene_record_next(&record, &entry)) == ERR_NONE) {
        enum scene_verdict verdict = scene_apply(cell->object, settings, &entry, &s->out);
        t->worker->counts.scene_entries[verdict]++;
    }
    if (err != ERR_NOT_FOUND) {
        task_halt(t, HALT_RECORD_VERSION, "a rollups record is damaged");
        return;
    }
    if (!cell->dirty)
        cells_touch_dirty(&t->cells, cell);
    cells_set_bytes(&t->cells, cell, scene_bytes(cell->object));
    allocation_emit(t, cell->object, r->offset, now_ms);
}

static void flush(struct task *t, int64_t now_ms, bool all)
{
}

static void encode(struct task *t, struct cell *cell, struct writer *out)
{
    scene_encode(cell->object, out);
}

static enum err decode(struct task *t, struct cell *cell, struct slice bytes)
{
    struct scene *c;
    enum err err = scene_decode(bytes, &c);
    if (err != ERR_NONE)
        return err;
    cell->object = c;
    cells_set_bytes(&t->cells, cell, scene_bytes(c));
    return ERR_NONE;
}

static void destroy_cell(struct cell *cell)
{
    scene_destroy(cell->object);
    forwarded_destroy(cell->soft);
}

const struct stage_ops allocation_stage = {
    .stage = STAGE_ALLOCATION,
    .chain = true,
    .commit_ms = commit_ms,
    .create = create,
    .destroy = destroy,
    .open = open_chain,
    .prepare = prepare,
    .fold = fold,
    .flush = flush,
    .encode_chain = encode_chain,
    .encode = encode,
    .decode = decode,
    .destroy_cell = destroy_cell,
    .turn = allocation_forward,
};
