/*
 * The entity stage: effects in, counters and neighbours, rollups and views out. Every entry is checked against the
 * chain of its source partition before any of it is applied (rule 4).
 */
#include "common/check.h"
#include "common/mutant.h"
#include "server/codec/effects_codec.h"
#include "server/worker/chain.h"
#include "server/worker/entity_views.h"
#include "server/worker/run_changes.h"
#include "server/worker/worker_internal.h"

#include <stdlib.h>

/* What reading a record came to; taken over when it is folded. */
struct reading {
    int32_t source;
    struct chain chain;     /* of the source, when it is applied */
    uint64_t applied, replayed, refused; /* entries */
    enum halt halt;
    const char *text;
};

struct entity_state {
    int32_t sources;
    struct chain *chains; /* owned; by source partition */
    struct entity_views *views; /* owned */
    struct reading reading;     /* of the record that is folded next */
    struct run_changes changes; /* and what it changes */
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
    s->chains = calloc((size_t)s->sources, sizeof *s->chains);
    ASSERT(s->chains);
    s->views = entity_views_create();
    return s;
}

static void destroy(struct task *t)
{
    struct entity_state *s = t->stage_state;
    entity_views_destroy(s->views);
    free(s->chains);
    run_changes_fini(&s->changes);
    free(s);
}

static enum err open_chain(struct task *t, struct slice chain)
{
    struct entity_state *s = t->stage_state;
    entity_views_clear(s->views);
    return chains_decode(chain, t->chain_open, s->chains, s->sources);
}

static void encode_chain(struct task *t, struct writer *out)
{
    const struct entity_state *s = t->stage_state;
    chains_encode(s->chains, s->sources, out);
}

/* Cells of one entity: its counters and its neighbours. */
static uint64_t local_of(entity_id id, char class)
{
    return id | (uint64_t)(class == 'c' ? 1 : 2) << 48;
}

#define FETCH_AHEAD 8 /* targets between two steps of a look-up, each of which waits for memory */

static struct cell *need(struct task *t, struct cell *found, struct blob_key key, bool *missing)
{
    struct cell *cell = found && !found->loading ? found : task_need(t, local_of(key.id, key.class), key, missing);
    cell->used = true;
    __builtin_prefetch(cell->object, 1);
    return cell;
}

static void fetch_slots(struct task *t, const struct target *target)
{
    if (target->counts)
        map_fetch(&t->cells.by_local, local_of(target->id, 'c'));
    if (target->pairs)
        map_fetch(&t->cells.by_local, local_of(target->id, 'n'));
}

static void fetch_cells(struct task *t, struct target *target)
{
    if (target->counts)
        __builtin_prefetch(target->counters = map_find(&t->cells.by_local, local_of(target->id, 'c')), 1);
    if (target->pairs)
        __builtin_prefetch(target->neighbours = map_find(&t->cells.by_local, local_of(target->id, 'n')), 1);
}

static void fetch_objects(struct task *t, struct target *target, bool *missing)
{
    if (target->counts)
        target->counters = need(t, target->counters, (struct blob_key){'c', target->id}, missing);
    if (target->pairs)
        target->neighbours = need(t, target->neighbours, (struct blob_key){'n', target->id}, missing);
}

/* Finds the cells of all targets. False: some are on their way. */
static bool find_cells(struct task *t)
{
    struct entity_state *s = t->stage_state;
    struct target *targets = s->changes.targets;
    uint32_t count = s->changes.target_count;
    bool missing = false;
    for (uint32_t i = 0; i < count + 2 * FETCH_AHEAD; i++) {
        if (i < count)
            fetch_slots(t, &targets[i]);
        if (i >= FETCH_AHEAD && i - FETCH_AHEAD < count)
            fetch_cells(t, &targets[i - FETCH_AHEAD]);
        if (i >= 2 * FETCH_AHEAD)
            fetch_objects(t, &targets[i - 2 * FETCH_AHEAD], &missing);
    }
    return !missing;
}

static void count_entry(struct reading *reading, enum link link)
{
    reading->applied += link == LINK_APPLY;
    reading->replayed += link == LINK_REPLAY;
    reading->refused += link == LINK_GAP;
}

static void broken(struct reading *reading, enum halt halt, const char *text)
{
    reading->halt = halt;
    reading->text = text;
}

/* Collects what the entries that continue the chain change. */
static void read_entries(struct task *t, struct run_reader *run, struct reading *reading)
{
    struct entity_state *s = t->stage_state;
    const struct run_head *head = &run->head;
    struct run_entry entry;
    struct run_effect e;
    while (effects_run_next(run, &entry)) {
        enum link link = chain_judge(MUTANT(run_summed, &s->chains[head->source], &reading->chain), head->generation,
                                     MUTANT(run_summed, -1, entry.prev), MUTANT(run_summed, head->prev, entry.offset), head->confirmed);
        if (link == LINK_LOST) {
            broken(reading, HALT_EFFECTS_LOST, "an entry's predecessor was committed and never arrived");
            return;
        }
        while (effects_entry_next(run, &e)) {
            struct target *target = run_changes_target(&s->changes, e.target);
            target->counts |= e.op != RUN_PAIR;
            target->pairs |= e.op == RUN_PAIR;
            if (link == LINK_APPLY)
                run_changes_add(&s->changes, target, &e, entry.event_ms);
        }
        if (link == LINK_APPLY)
            chain_advance(&reading->chain, head->generation, entry.offset);
        count_entry(reading, link);
    }
    if (run->failed)
        broken(reading, HALT_RECORD_VERSION, "an effects record is damaged");
    else if (chain_judge(&reading->chain, head->generation, head->prev, INT64_MAX, head->confirmed) == LINK_LOST)
        broken(reading, HALT_EFFECTS_LOST, "a mark names a committed entry that never arrived");
}

/* Reads the record; fold(), which follows at once when all cells are there, goes on with what was read. */
static bool prepare(struct task *t, const struct record *r)
{
    struct entity_state *s = t->stage_state;
    struct run_reader run;
    run_changes_clear(&s->changes);
    s->reading = (struct reading){0};
    if (effects_run_open(r->value, &run) != ERR_NONE || run.head.source >= s->sources) {
        broken(&s->reading, HALT_RECORD_VERSION, "an effects record is not readable");
        return true;
    }
    s->reading.source = run.head.source;
    s->reading.chain = s->chains[run.head.source];
    read_entries(t, &run, &s->reading);
    return find_cells(t);
}

static void measure(struct task *t, struct cell *cell)
{
    cells_set_bytes(&t->cells, cell,
                    cell->key.class == 'c' ? counters_bytes(cell->object) : neighbours_bytes(cell->object));
}

static void changed(struct task *t, struct cell *cell)
{
    struct entity_state *s = t->stage_state;
    if (!cell->dirty)
        cells_touch_dirty(&t->cells, cell);
    measure(t, cell);
    entity_views_changed(s->views, cell);
}

static struct counters *counters_of(struct cell *cell)
{
    if (!cell->object)
        cell->object = counters_create();
    return cell->object;
}

static struct neighbours *neighbours_of(struct cell *cell)
{
    if (!cell->object)
        cell->object = neighbours_create();
    return cell->object;
}

/* All that the record changes in one entity. */
static void apply(struct task *t, const struct target *target)
{
    struct entity_state *s = t->stage_state;
    const struct entity_settings *settings = &t->fold->entity;
    const struct run_changes *changes = &s->changes;
    bool counted = target->tally, paired = false;
    for (uint32_t i = target->tally; i; i = changes->tallies[i - 1].next)
        if (MUTANT(judged_late_again, t->record_ms - changes->tallies[i - 1].event_ms <= t->fold->profile.late_ms_max, true))
            counters_add_count(counters_of(target->counters), settings, &changes->tallies[i - 1].sum,
                               changes->tallies[i - 1].event_ms);
    for (uint32_t i = target->first; i; i = changes->changes[i - 1].next) {
        const struct change *c = &changes->changes[i - 1];
        if (c->pair.other) {
            neighbours_apply(neighbours_of(target->neighbours), settings, &c->pair, c->event_ms);
            paired = true;
        } else {
            counters_add_rating(counters_of(target->counters), settings, target->name, c->pair.delta, c->event_ms);
            counted = true;
        }
    }
    if (counted)
        changed(t, target->counters);
    if (paired)
        changed(t, target->neighbours);
}

static void fold(struct task *t, const struct record *r, int64_t now_ms)
{
    struct entity_state *s = t->stage_state;
    const struct reading *reading = &s->reading;
    if (reading->halt) {
        task_halt(t, reading->halt, reading->text);
        return;
    }
    t->worker->counts.entries_applied += reading->applied;
    t->worker->counts.entries_replayed += reading->replayed;
    t->worker->counts.entries_refused += reading->refused;
    s->chains[reading->source] = reading->chain;
    for (uint32_t i = 0; i < s->changes.target_count; i++) {
        const struct cell *next = i + 1 < s->changes.target_count ? s->changes.targets[i + 1].neighbours : NULL;
        if (next && next->object)
            neighbours_fetch(next->object, false);
        apply(t, &s->changes.targets[i]);
    }
}

static void flush(struct task *t, int64_t now_ms, bool all)
{
    struct entity_state *s = t->stage_state;
    entity_views_flush(s->views, t, now_ms, all);
}

static void fetch(const struct cell *cell, int depth)
{
    if (depth == 0)
        __builtin_prefetch(cell->object);
    else if (cell->key.class == 'n')
        neighbours_fetch(cell->object, true);
}

static void encode(struct task *t, struct cell *cell, struct writer *out)
{
    if (cell->key.class == 'c')
        counters_encode(cell->object, out);
    else
        neighbours_encode(cell->object, out);
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
    .patient = true,
    .commit_ms = commit_ms,
    .create = create,
    .destroy = destroy,
    .open = open_chain,
    .fetch = fetch,
    .prepare = prepare,
    .fold = fold,
    .flush = flush,
    .encode_chain = encode_chain,
    .encode = encode,
    .decode = decode,
    .destroy_cell = destroy_cell,
};
