/*
 * The profile stage: a user's events in, effects out. Effects of many events travel in one record a partition (a run),
 * each event's in an entry of its own with the offset of the entry before it (rule 4).
 */
#include "common/check.h"
#include "common/log.h"
#include "server/codec/effects_codec.h"
#include "server/codec/event_decode.h"
#include "server/worker/dead_letter.h"
#include "server/worker/worker_internal.h"

#include <stdlib.h>

struct run {
    struct writer bytes; /* owned; size 0: closed */
    int64_t opened_ms;
    int64_t sent_ms;     /* last run or mark */
    int64_t prev;        /* offset of the last entry for this partition; -1 */
};

struct profile_state {
    int32_t partitions;
    struct run *runs; /* owned; one an effects partition */
    struct effect_list effects;
    int32_t *touched; /* owned; scratch: partitions that an event has effects for */
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
    s->touched = calloc((size_t)s->partitions, sizeof *s->touched);
    ASSERT(s->runs && s->touched);
    return s;
}

static void destroy(struct task *t)
{
    struct profile_state *s = t->stage_state;
    for (int32_t p = 0; p < s->partitions; p++)
        writer_fini(&s->runs[p].bytes);
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
        s->runs[p].bytes.size = 0;
        s->runs[p].prev = chain.size ? (int64_t)get_varint(&r) - 1 : -1;
    }
    return r.failed || reader_left(&r) ? ERR_INVALID : ERR_NONE;
}

static void encode_chain(struct task *t, struct writer *out)
{
    const struct profile_state *s = t->stage_state;
    for (int32_t p = 0; p < s->partitions; p++)
        put_varint(out, (uint64_t)(s->runs[p].prev + 1));
}

static bool prepare(struct task *t, const struct record *r)
{
    if (r->key.size == 0 || r->key.size > EVENT_ID_BYTES)
        return true; /* refused when folded */
    uint64_t local = hash64(r->key.at, r->key.size, t->worker->secret);
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

static void close_run(struct task *t, int32_t partition, int64_t now_ms)
{
    struct profile_state *s = t->stage_state;
    struct run *run = &s->runs[partition];
    effects_run_close(&run->bytes, t->committed - 1, run->prev);
    task_produce(t, &(struct outgoing){.topic = TOPIC_EFFECTS,
                                       .partition = partition,
                                       .value = {(const char *)run->bytes.data, (uint32_t)run->bytes.size}},
                 now_ms);
    t->worker->counts.effect_runs++;
    run->bytes.size = 0;
    run->sent_ms = now_ms;
}

static void add_entries(struct task *t, const struct record *r, int64_t event_ms, int64_t now_ms)
{
    struct profile_state *s = t->stage_state;
    int32_t count = 0;
    for (size_t i = 0; i < s->effects.count; i++) {
        t->worker->counts.pair_deltas += s->effects.at[i].op == EFFECT_PAIR;
        t->worker->counts.ratings_raised += s->effects.at[i].op == EFFECT_RATING && s->effects.at[i].delta > 0;
        int32_t p = s->effects.at[i].partition = entity_partition(s->effects.at[i].target, s->partitions);
        int32_t k = 0;
        while (k < count && s->touched[k] != p)
            k++;
        if (k == count)
            s->touched[count++] = p;
    }
    for (int32_t k = 0; k < count; k++) {
        struct run *run = &s->runs[s->touched[k]];
        if (run->bytes.size == 0) {
            effects_run_begin(&run->bytes, t->partition);
            run->opened_ms = now_ms;
        }
        effects_run_add(&run->bytes, r->offset, run->prev, event_ms, &s->effects, s->touched[k]);
        run->prev = r->offset;
        t->worker->counts.effect_entries++;
        if (run->bytes.size >= t->worker->settings.run_bytes_max)
            close_run(t, s->touched[k], now_ms);
    }
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
    struct cell *cell = cells_find(&t->cells, hash64(r->key.at, r->key.size, t->worker->secret));
    struct profile *profile = cell->object;
    if (!profile)
        profile = cell->object = profile_create();
    s->effects.count = 0;
    enum profile_refusal answer = profile_apply(profile, &t->fold->profile, &event, r->timestamp_ms,
                                                &s->effects);
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
        if (run->bytes.size) {
            if (all || now_ms - run->opened_ms >= settings->run_close_ms)
                close_run(t, p, now_ms);
        } else if (all && run->prev >= 0 && now_ms - run->sent_ms >= settings->mark_ms) {
            effects_run_begin(&run->bytes, t->partition);
            close_run(t, p, now_ms);
        }
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
    .prepare = prepare,
    .fold = fold,
    .flush = flush,
    .encode_chain = encode_chain,
    .encode = encode,
    .decode = decode,
    .destroy_cell = destroy_cell,
};
