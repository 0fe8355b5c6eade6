/*
 * The entity stage: effects in, counters and neighbours, rollups and views out. Every entry is checked against the
 * chain of its source partition before any of it is applied (rule 4).
 */
#include "common/check.h"
#include "server/codec/effects_codec.h"
#include "server/worker/entity_views.h"
#include "server/worker/worker_internal.h"

#include <stdlib.h>

struct entity_state {
    int32_t sources;
    int64_t *last; /* owned; offset of the last applied entry by source partition; -1 */
    struct entity_views *views; /* owned */
    struct cell **found;        /* owned; what prepare() found for the record, one a target in the order of its effects */
    size_t found_count, found_capacity;
};

static int64_t commit_ms(const struct task *t)
{
    return t->worker->settings.entity_commit_ms;
}

static void *create(struct task *t)
{
    struct entity_state *s = calloc(1, sizeof *s);
    ASSERT(s);
    s->sources = t->worker->log->partitions(t->worker->log->self, TOPIC_EVENTS);
    s->last = calloc((size_t)s->sources, sizeof *s->last);
    ASSERT(s->last);
    s->views = entity_views_create();
    return s;
}

static void destroy(struct task *t)
{
    struct entity_state *s = t->stage_state;
    entity_views_destroy(s->views);
    free(s->last);
    free(s->found);
    free(s);
}

static enum err open_chain(struct task *t, struct slice chain)
{
    struct entity_state *s = t->stage_state;
    struct reader r = reader_of(chain.at, chain.size);
    for (int32_t p = 0; p < s->sources; p++)
        s->last[p] = chain.size ? (int64_t)get_varint(&r) - 1 : -1;
    entity_views_clear(s->views);
    return r.failed || reader_left(&r) ? ERR_INVALID : ERR_NONE;
}

static void encode_chain(struct task *t, struct writer *out)
{
    const struct entity_state *s = t->stage_state;
    for (int32_t p = 0; p < s->sources; p++)
        put_varint(out, (uint64_t)(s->last[p] + 1));
}

/* Cells of one entity: its counters and its neighbours. */
static uint64_t local_of(entity_id id, char class)
{
    return id | (uint64_t)(class == 'c' ? 1 : 2) << 48;
}

static char class_of(const struct effect *e)
{
    return e->op == EFFECT_PAIR ? 'n' : 'c';
}

static void keep(struct entity_state *s, struct cell *cell)
{
    if (s->found_count == s->found_capacity) {
        s->found_capacity = s->found_capacity ? s->found_capacity * 2 : 1024;
        s->found = realloc(s->found, s->found_capacity * sizeof(struct cell *));
        ASSERT(s->found);
    }
    s->found[s->found_count++] = cell;
}

/*
 * Neighbouring effects mostly have one target, so that a lookup serves several. What is found is kept for fold(), which
 * follows at once, and fetched ahead: the cost of an effect is the wait for memory.
 */
static bool prepare(struct task *t, const struct record *r)
{
    bool missing = false;
    struct entity_state *s = t->stage_state;
    struct run_reader run;
    struct run_entry entry;
    struct effect e;
    uint64_t last = 0;
    s->found_count = 0;
    if (effects_run_open(r->value, &run) != ERR_NONE)
        return true; /* halts when folded */
    while (effects_run_next(&run, &entry))
        while (effects_entry_next(&entry, &e)) {
            uint64_t local = local_of(e.target, class_of(&e));
            if (local == last)
                continue;
            last = local;
            keep(s, task_need(t, local, (struct blob_key){class_of(&e), e.target}, &missing));
        }
    for (size_t i = 0; i < s->found_count && !missing; i++)
        __builtin_prefetch(s->found[i]->object, 1);
    return !missing;
}

static void apply(struct task *t, struct cell *cell, const struct effect *e, int64_t event_ms)
{
    struct entity_state *s = t->stage_state;
    const struct entity_settings *settings = &t->fold->entity;
    if (e->op == EFFECT_PAIR) {
        if (!cell->object)
            cell->object = neighbours_create();
        neighbours_apply(cell->object, settings, e->other, e->delta, event_ms);
    } else {
        if (!cell->object)
            cell->object = counters_create();
        counters_apply(cell->object, settings, e, event_ms);
    }
    if (!cell->dirty)
        cells_touch_dirty(&t->cells, cell);
    entity_views_changed(s->views, cell);
}

/* What the chain says of one entry. */
enum link { LINK_APPLY, LINK_REPLAY, LINK_GAP, LINK_LOST };

static enum link link_of(int64_t last, int64_t prev, int64_t offset, int64_t confirmed)
{
    if (prev > last)
        return prev <= confirmed ? LINK_LOST : LINK_GAP;
    return offset > last ? LINK_APPLY : LINK_REPLAY;
}

static void fold(struct task *t, const struct record *r, int64_t now_ms)
{
    struct entity_state *s = t->stage_state;
    struct worker_counts *counts = &t->worker->counts;
    struct run_reader run;
    struct run_entry entry;
    struct effect e;
    enum err err = effects_run_open(r->value, &run);
    if (err != ERR_NONE || run.source < 0 || run.source >= s->sources) {
        task_halt(t, HALT_RECORD_VERSION, "an effects record is not readable");
        return;
    }
    int64_t *last = &s->last[run.source];
    size_t at = 0;
    struct cell *cell = s->found_count ? s->found[0] : NULL;
    while (effects_run_next(&run, &entry)) {
        enum link link = link_of(*last, entry.prev, entry.offset, run.confirmed);
        if (link == LINK_LOST) {
            task_halt(t, HALT_EFFECTS_LOST, "an entry's predecessor was committed and never arrived");
            return;
        }
        counts->entries_refused += link == LINK_GAP;
        counts->entries_replayed += link == LINK_REPLAY;
        while (effects_entry_next(&entry, &e)) {
            at += local_of(e.target, class_of(&e)) != cell->local;
            cell = s->found[at];
            if (link == LINK_APPLY)
                apply(t, cell, &e, entry.event_ms);
        }
        if (link != LINK_APPLY)
            continue;
        *last = entry.offset;
        counts->entries_applied++;
    }
    if (run.failed)
        task_halt(t, HALT_RECORD_VERSION, "an effects record is damaged");
    else if (run.prev > *last && run.prev <= run.confirmed)
        task_halt(t, HALT_EFFECTS_LOST, "a mark names a committed entry that never arrived");
}

static void flush(struct task *t, int64_t now_ms, bool all)
{
    struct entity_state *s = t->stage_state;
    entity_views_flush(s->views, t, now_ms, all);
}

static void encode(struct task *t, struct cell *cell, struct writer *out)
{
    if (cell->key.class == 'c')
        counters_encode(cell->object, out);
    else
        neighbours_encode(cell->object, out);
}

static void measure(struct task *t, struct cell *cell)
{
    cells_set_bytes(&t->cells, cell,
                    cell->key.class == 'c' ? counters_bytes(cell->object) : neighbours_bytes(cell->object));
}

static enum err decode(struct task *t, struct cell *cell, struct slice bytes)
{
    enum err err;
    if (cell->key.class == 'c') {
        struct counters *c;
        if ((err = counters_decode(bytes, &c)) == ERR_NONE)
            cell->object = c;
    } else {
        struct neighbours *n;
        if ((err = neighbours_decode(bytes, &n)) == ERR_NONE)
            cell->object = n;
    }
    if (err == ERR_NONE)
        measure(t, cell);
    return err;
}

static void destroy_cell(struct cell *cell)
{
    if (cell->key.class == 'c')
        counters_destroy(cell->object);
    else
        neighbours_destroy(cell->object);
    free(cell->soft);
}

const struct stage_ops entity_stage = {
    .stage = STAGE_ENTITY,
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
};
