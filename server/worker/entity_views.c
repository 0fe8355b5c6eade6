#include "server/worker/entity_views.h"

#include "common/check.h"
#include "common/hash.h"
#include "common/text.h"
#include "server/codec/scene_codec.h"
#include "server/worker/worker_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define LOOKS_A_LIST 8 /* cells looked at for each list that may be written: most are not due yet */

/* Cells changed since they were last sent: those that are held, so they cannot be evicted. */
struct due {
    struct cell **at; /* owned */
    size_t count, capacity;
};

/* Rollups go all at once. Lists, which take longer, are written in rounds that are spread over turns. */
struct entity_views {
    struct due rollups, lists;
    int64_t flushed_ms;
    int64_t round_ms;        /* when the round of lists began */
    size_t at, kept, round;  /* looked at in this round, kept of those for the next one, and how many it has in all */
};

/* Soft part of a cell of neighbours. */
struct listed {
    int64_t sent_ms; /* when its list was last written */
};

struct entity_views *entity_views_create(void)
{
    struct entity_views *v = calloc(1, sizeof *v);
    ASSERT(v);
    return v;
}

void entity_views_destroy(struct entity_views *v)
{
    free(v->rollups.at);
    free(v->lists.at);
    free(v);
}

void entity_views_clear(struct entity_views *v)
{
    v->rollups.count = v->lists.count = 0;
    v->at = v->kept = v->round = 0;
}

static void add_due(struct due *d, struct cell *cell)
{
    if (d->count == d->capacity) {
        d->capacity = d->capacity ? d->capacity * 2 : 256;
        d->at = realloc(d->at, d->capacity * sizeof(struct cell *));
        ASSERT(d->at);
    }
    d->at[d->count++] = cell;
}

void entity_views_changed(struct entity_views *v, struct cell *cell)
{
    if (cell->held)
        return;
    cell->held = true;
    add_due(cell->key.class == 'n' ? &v->lists : &v->rollups, cell);
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
        if (entity_kind_of(cell->key.id) == ENTITY_HOST)
            counters_from(c, i, SOURCE_RECOMMENDATION, e.rollup.recommended);
        scene_record_add(&batch_for(t, batches, count, e.rollup.scene, now_ms)->bytes, &e);
        t->worker->counts.rollups++;
    }
}

static struct task *task_of(const struct worker *w, entity_id id, int32_t partitions)
{
    struct task *t = w->tasks[STAGE_ENTITY][entity_partition(id, partitions)];
    return t && t->state == TASK_RUN ? t : NULL;
}

static uint64_t counters_key(entity_id id)
{
    return id | 1ull << 48;
}

/*
 * State of neighbours, where their tasks run in this process and have it in their cache. Step by step for all, so that the
 * waits for memory overlap.
 */
static void find_counters(const struct worker *w, const struct neighbour *list, uint32_t count, const struct counters **out)
{
    int32_t partitions = w->log->partitions(w->log->self, TOPIC_EFFECTS);
    const struct cell *cells[SIMILAR_FROM_MAX];
    for (uint32_t i = 0; i < count; i++) {
        const struct task *t = task_of(w, list[i].id, partitions);
        if (t)
            map_fetch(&t->cells.by_local, counters_key(list[i].id));
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct task *t = task_of(w, list[i].id, partitions);
        cells[i] = t ? map_find(&t->cells.by_local, counters_key(list[i].id)) : NULL;
        __builtin_prefetch(cells[i]);
    }
    for (uint32_t i = 0; i < count; i++) {
        out[i] = cells[i] ? cells[i]->object : NULL;
        __builtin_prefetch(out[i]);
    }
}

struct scored {
    struct slice name;
    double sim, next;
};

/* Items and hosts that the catalog has; empty: neither. */
static struct slice name_of_listed(const struct worker *w, entity_id id)
{
    const struct catalog_item *it = entity_kind_of(id) == ENTITY_ITEM ? catalog_item(w->tables.catalog, id) : NULL;
    const struct catalog_host *host = entity_kind_of(id) == ENTITY_HOST ? catalog_host(w->tables.catalog, id) : NULL;
    return it ? it->name : host ? host->name : (struct slice){"", 0};
}

/* Keeps `list` sorted, best first. */
static void insert(struct scored *list, uint32_t count, struct scored one)
{
    while (count > 0 && list[count - 1].sim < one.sim) {
        list[count] = list[count - 1];
        count--;
    }
    list[count] = one;
}

/*
 * How often a neighbour was rated: from its state where that is here, else from its own list as its task wrote it. 0 while
 * that is not known; *out_later says that it will be.
 */
static int64_t count_of(struct worker *w, const struct counters *here, entity_id id, int64_t now_ms, bool *out_later)
{
    struct slice name = name_of_listed(w, id);
    if (here || name.size == 0)
        return here ? counters_rating(here) : 0;
    int64_t count = item_counts_find(w->item_counts, id, name, now_ms);
    *out_later |= count < 0;
    return count > 0 ? count : 0;
}

/*
 * The list of an item or host (similarity.h). A count that is not known is taken to be the entity's own,
 * which makes it the share of its own ratings; the list is written again once it is. True when that is to come.
 */
static bool write_list(struct task *t, const struct cell *cell, int64_t now_ms)
{
    struct worker *w = t->worker;
    struct slice own = name_of_listed(w, cell->key.id);
    const struct similarity_settings *s = &w->settings.similarity;
    struct neighbour top[SIMILAR_FROM_MAX];
    struct scored list[SIMILAR_FROM_MAX];
    uint32_t count = 0, found = own.size && cell->object ? neighbours_top(cell->object, &w->settings.entity, s->from, top) : 0;
    const struct counters *counters[SIMILAR_FROM_MAX], *self;
    find_counters(w, &(struct neighbour){.id = cell->key.id}, 1, &self);
    find_counters(w, top, found, counters);
    int64_t mine = self ? counters_rating(self) : 0;
    bool later = false;
    struct similarity of = {cell->object, mine > 0 ? mine : found ? top[0].pair_count : 0};
    for (uint32_t i = 0; i < found; i++) {
        struct slice name = name_of_listed(w, top[i].id);
        int64_t other = count_of(w, counters[i], top[i].id, now_ms, &later);
        if (name.size)
            insert(list, count++, (struct scored){name, similarity_of(s, &of, &top[i], other), similarity_next(s, &of, &top[i])});
    }
    if (count == 0)
        return later;
    struct writer key = {0}, value = {0};
    text_add(&key, list_prefix(cell->key.id));
    text_add_slice(&key, own);
    text_add(&value, "# ");
    text_add_int(&value, mine);
    text_add(&value, "\n");
    for (uint32_t i = 0; i < count && i < s->length; i++) {
        text_add_slice(&value, list[i].name);
        text_add(&value, " ");
        text_add_decimal(&value, list[i].sim, 4);
        if (list[i].next >= 0.00005) {
            text_add(&value, " ");
            text_add_decimal(&value, list[i].next, 4);
        }
        text_add(&value, "\n");
    }
    w->store->write_view(w->store->self, &(struct view_write){.key = {(const char *)key.data, (uint32_t)key.size},
                                                              .value = {(const char *)value.data, (uint32_t)value.size}});
    writer_fini(&key);
    writer_fini(&value);
    return later;
}

/* Without allocation: the room as one hash, lifetime totals and those of its newest minute. */
static void write_room(struct task *t, const struct cell *cell)
{
    const struct counters *c = cell->object;
    int64_t totals[COUNTERS], minute[COUNTERS];
    struct slice fields[4 * COUNTERS + 2];
    char names[COUNTERS][24], texts[2 * COUNTERS + 1][24];
    int n = 0, k = 0;
    if (!c || entity_kind_of(cell->key.id) != ENTITY_ROOM || counters_name(c).size == 0)
        return;
    counters_total(c, false, totals);
    snprintf(texts[n], sizeof texts[n], "%lld", (long long)counters_newest_minute(c, minute));
    fields[k++] = slice_of("minute");
    fields[k++] = slice_of(texts[n++]);
    for (int i = 0; i < COUNTERS; i++) {
        if (totals[i]) {
            fields[k++] = slice_of(counter_names[i]);
            snprintf(texts[n], sizeof texts[n], "%lld", (long long)totals[i]);
            fields[k++] = slice_of(texts[n++]);
        }
        if (minute[i]) {
            snprintf(names[i], sizeof names[i], "minute_%s", counter_names[i]);
            fields[k++] = slice_of(names[i]);
            snprintf(texts[n], sizeof texts[n], "%lld", (long long)minute[i]);
            fields[k++] = slice_of(texts[n++]);
        }
    }
    struct writer key = {0};
    text_add(&key, "room:");
    text_add_slice(&key, counters_name(c));
    t->worker->store->write_view(t->worker->store->self, &(struct view_write){.key = {(const char *)key.data, (uint32_t)key.size},
                                                                              .fields = fields, .field_count = k});
    writer_fini(&key);
}

/* False: its list was written less than list_ms ago. */
static bool list_is_due(struct task *t, struct cell *cell, int64_t now_ms)
{
    struct listed *listed = cell->soft;
    if (!listed) {
        listed = cell->soft = malloc(sizeof *listed);
        ASSERT(listed);
    } else if (now_ms - listed->sent_ms < t->worker->settings.list_ms) {
        return false;
    }
    listed->sent_ms = now_ms;
    return true;
}

/* Of one task a turn, and with each cut. */
static void flush_rollups(struct entity_views *v, struct task *t, int64_t now_ms, bool all)
{
    struct rollup_batch batches[BATCHES];
    int count = 0;
    int64_t since_ms = now_ms - v->flushed_ms, every_ms = t->worker->settings.rollup_ms;
    if (!(all && t->worker->settings.rollups) && (since_ms < every_ms || (t->worker->has_flushed && since_ms < 2 * every_ms)))
        return;
    v->flushed_ms = now_ms;
    t->worker->has_flushed |= v->rollups.count > 0;
    for (size_t i = 0; i < v->rollups.count; i++) {
        struct cell *cell = v->rollups.at[i];
        cell->held = false;
        if (t->worker->settings.rollups)
            add_rollups(t, cell, batches, &count, now_ms);
        else
            write_room(t, cell);
    }
    v->rollups.count = 0;
    send_batches(t, batches, &count, now_ms);
}

/* What came since the round began is looked at in the next one, behind what this one kept. */
static void end_round(struct entity_views *v)
{
    memmove(v->lists.at + v->kept, v->lists.at + v->round, (v->lists.count - v->round) * sizeof(struct cell *));
    v->lists.count -= v->round - v->kept;
    v->at = v->kept = v->round = 0;
}

/* As many as the task may look at in this turn; a round begins every rollup_ms. */
static void write_lists(struct entity_views *v, struct task *t, int64_t now_ms)
{
    uint32_t left = t->worker->list_looks;
    if (!v->round && now_ms - v->round_ms >= t->worker->settings.rollup_ms) {
        v->round = v->lists.count;
        v->round_ms = now_ms;
    }
    for (; v->at < v->round && left >= LOOKS_A_LIST; v->at++) {
        struct cell *cell = v->lists.at[v->at];
        bool due = list_is_due(t, cell, now_ms);
        left -= due ? LOOKS_A_LIST : 1;
        if (due && !write_list(t, cell, now_ms))
            cell->held = false;
        else
            v->lists.at[v->kept++] = cell; /* again after list_ms */
    }
    if (v->round && v->at == v->round)
        end_round(v);
}

void entity_views_flush(struct entity_views *v, struct task *t, int64_t now_ms, bool all)
{
    flush_rollups(v, t, now_ms, all);
    write_lists(v, t, now_ms);
}
