/*
 * The profile stage: a user's events in, effects out. Effects of many events travel in one record a partition (a run),
 * each event's in an entry of its own with the offset of the entry before it (rule 4).
 */
#include "common/check.h"
#include "common/log.h"
#include "common/mutant.h"
#include "server/codec/effects_codec.h"
#include "server/codec/event_decode.h"
#include "server/worker/dead_letter.h"
#include "server/worker/worker_internal.h"

#include <stdlib.h>

/* To one effects partition. */
struct run {
    struct effects_run effects;
    int64_t opened_ms;
    int64_t sent_ms; /* last run or mark */
    int64_t prev;    /* offset of the last entry for this partition; -1 */
    bool touched;    /* the event being folded has an entry here */
};

struct profile_state {
    int32_t partitions;
    struct run *runs;    /* owned; one an effects partition */
    struct run **touched; /* owned; scratch */
    int32_t touched_count;
    struct effect_list effects;
};

static int64_t commit_ms(const struct task *t)
{
    return t->worker->settings.profile_commit_ms;
}

static void *create(struct task *t)
{
    struct profile_state *s = calloc(1, sizeof *s);
    ASSERT(s);
    s->partitions = t->worker->log->partitions(t->worker->log->self, TOPIC_EFFECTS);
    s->runs = calloc((size_t)s->partitions, sizeof *s->runs);
    s->touched = calloc((size_t)s->partitions, sizeof(struct run *));
    ASSERT(s->runs && s->touched);
    return s;
}

static void destroy(struct task *t)
{
    struct profile_state *s = t->stage_state;
    for (int32_t p = 0; p < s->partitions; p++)
        writer_fini(&s->runs[p].effects.bytes);
    effect_list_fini(&s->effects);
    free(s->runs);
    free(s->touched);
    free(s);
}

static enum err open_chain(struct task *t, struct slice chain)
{
    struct profile_state *s = t->stage_state;
    struct reader r = reader_of(chain.at, chain.size);
    for (int32_t p = 0; p < s->partitions; p++) {
        effects_run_clear(&s->runs[p].effects);
        int64_t prev = chain.size ? (int64_t)get_varint_max(&r, NUMBER_MAX) - 1 : -1;
        s->runs[p].prev = MUTANT(chain_kept, prev > s->runs[p].prev ? prev : s->runs[p].prev, prev);
    }
    return r.failed || reader_left(&r) ? ERR_INVALID : ERR_NONE;
}

static void encode_chain(struct task *t, struct writer *out)
{
    const struct profile_state *s = t->stage_state;
    for (int32_t p = 0; p < s->partitions; p++)
        put_varint(out, (uint64_t)(s->runs[p].prev + 1));
}

static uint64_t local_of(const struct task *t, const struct record *r)
{
    return hash64(r->key.at, r->key.size, t->worker->secret);
}

static void fetch(const struct cell *cell, int depth)
{
    if (depth == 0)
        push_fetch(cell->soft);
    profile_fetch(cell->object, depth);
}

static bool prepare(struct task *t, const struct record *r)
{
    if (r->key.size == 0 || r->key.size > EVENT_ID_BYTES)
        return true; /* refused when folded */
    uint64_t local = task_local(t, r);
    struct cell *cell = cells_find(&t->cells, local);
    if (cell)
        return !cell->loading;
    bool missing = false;
    uint8_t key[USER_KEY_BYTES];
    struct blob_key blob = {.class = 'u'};
    user_hmac_of(t->worker->users, r->key, key);
    memcpy(&blob.id, key, sizeof blob.id);
    task_need(t, local, blob, &missing);
    return false;
}

static void close_run(struct task *t, struct run *run, int64_t now_ms)
{
    struct profile_state *s = t->stage_state;
    const struct run_head head = {.source = t->partition, .generation = t->generation, .confirmed = MUTANT(confirmed_early, t->next, t->committed) - 1, .prev = run->prev};
    task_produce(t, &(struct outgoing){.topic = TOPIC_EFFECTS,
                                       .partition = (int32_t)(run - s->runs),
                                       .value = effects_run_close(&run->effects, &head)},
                 now_ms);
    t->worker->counts.effect_runs++;
    run->sent_ms = now_ms;
}

/* The entry being folded. */
struct entry {
    struct profile_state *state;
    int64_t offset, event_ms, now_ms;
};

/* The run of an entity's partition, with the entry begun. */
static struct effects_run *run_of(const struct entry *entry, entity_id id)
{
    struct profile_state *s = entry->state;
    struct run *run = &s->runs[entity_partition(id, s->partitions)];
    if (run->touched)
        return &run->effects;
    if (effects_run_is_empty(&run->effects))
        run->opened_ms = entry->now_ms;
    effects_run_begin_entry(&run->effects, entry->offset, run->prev, entry->event_ms);
    run->prev = entry->offset;
    run->touched = true;
    s->touched[s->touched_count++] = run;
    return &run->effects;
}

static void end_entries(struct task *t, int64_t now_ms)
{
    struct profile_state *s = t->stage_state;
    for (int32_t i = 0; i < s->touched_count; i++) {
        struct run *run = s->touched[i];
        run->touched = false;
        effects_run_end_entry(&run->effects);
        if (run->effects.bytes.size >= t->worker->settings.run_bytes_max)
            close_run(t, run, now_ms);
    }
    t->worker->counts.effect_entries += (uint64_t)s->touched_count;
    s->touched_count = 0;
}

static void add_entries(struct task *t, const struct record *r, int64_t event_ms, int64_t now_ms)
{
    struct profile_state *s = t->stage_state;
    const struct effect_list *list = &s->effects;
    const struct entry entry = {s, r->offset, event_ms, now_ms};
    const struct pair_effect *pair = list->pairs;
    for (uint32_t i = 0; i < list->count_count; i++)
        effects_run_add_count(run_of(&entry, list->counts[i].target), &list->counts[i]);
    for (uint32_t i = 0; i < list->rating_count; i++) {
        const struct rating_effect *rating = &list->ratings[i];
        effects_run_add_rating(run_of(&entry, rating->target), rating, pair);
        for (const struct pair_effect *end = pair + rating->pairs; pair < end; pair++)
            effects_run_add_mirror(run_of(&entry, pair->other), pair);
        t->worker->counts.ratings_raised += rating->delta > 0;
    }
    t->worker->counts.pair_deltas += 2 * (uint64_t)list->pair_count;
    end_entries(t, now_ms);
}

static void refuse(struct task *t, const struct record *r, const char *reason, int64_t now_ms)
{
    dead_letter(t, r, reason, now_ms);
}

static void fold(struct task *t, const struct record *r, int64_t now_ms)
{
    struct profile_state *s = t->stage_state;
    struct event event;
    struct event_scratch scratch;
    enum event_refusal refusal = event_decode(&t->fold->event_rules, r->key, r->value, &scratch, &event);
    if (refusal != EVENT_ACCEPTED) {
        refuse(t, r, event_refusal_names[refusal], now_ms);
        return;
    }
    struct cell *cell = cells_find(&t->cells, task_local(t, r));
    struct profile *profile = cell->object;
    push_before(t->worker->push, cell, &event, r, now_ms);
    if (!profile)
        profile = cell->object = profile_create();
    effect_list_clear(&s->effects);
    enum profile_refusal answer = profile_apply(profile, &t->fold->profile, &event,
                                                MUTANT(wall_clock, now_ms, r->timestamp_ms), &s->effects);
    if (answer == PROFILE_DUPLICATE) {
        t->worker->counts.duplicates++;
        return;
    }
    if (answer != PROFILE_APPLIED) {
        refuse(t, r, profile_refusal_names[answer], now_ms);
        return;
    }
    t->worker->counts.applied++;
    t->worker->counts.events[event.type]++;
    cells_touch_dirty(&t->cells, cell);
    cells_set_bytes(&t->cells, cell, profile_bytes(profile));
    add_entries(t, r, event.event_ms, now_ms);
    push_event(t->worker->push, t, cell, &event, r, now_ms);
}

static void flush(struct task *t, int64_t now_ms, bool all)
{
    struct profile_state *s = t->stage_state;
    const struct worker_settings *settings = &t->worker->settings;
    for (int32_t p = 0; p < s->partitions; p++) {
        struct run *run = &s->runs[p];
        bool empty = effects_run_is_empty(&run->effects);
        int64_t due_ms = empty ? run->sent_ms + settings->mark_ms : run->opened_ms + settings->run_close_ms;
        if (empty ? all && MUTANT(no_marks, false, run->prev >= 0) && now_ms >= due_ms : all || now_ms >= due_ms)
            close_run(t, run, now_ms);
    }
}

static void encode(struct task *t, struct cell *cell, struct writer *out)
{
    profile_encode(cell->object, out);
}

static enum err decode(struct task *t, struct cell *cell, struct slice bytes)
{
    struct profile *p;
    enum err err = profile_decode(bytes, &p);
    if (err != ERR_NONE)
        return err;
    cell->object = p;
    cells_set_bytes(&t->cells, cell, profile_bytes(p));
    return ERR_NONE;
}

static void destroy_cell(struct cell *cell)
{
    profile_destroy(cell->object);
    free(cell->soft);
}

const struct stage_ops profile_stage = {
    .stage = STAGE_PROFILE,
    .chain = true,
    .commit_ms = commit_ms,
    .create = create,
    .destroy = destroy,
    .open = open_chain,
    .local = local_of,
    .fetch = fetch,
    .prepare = prepare,
    .fold = fold,
    .flush = flush,
    .encode_chain = encode_chain,
    .encode = encode,
    .decode = decode,
    .destroy_cell = destroy_cell,
};
