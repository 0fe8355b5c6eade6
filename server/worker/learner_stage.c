/*
 * The learner: samples in, models out. One task, one cell, which holds the model; the rest of what it learns from is
 * lost with the process. Outside the digest (floats).
 */
#include "common/check.h"
#include "server/codec/learner_codec.h"
#include "server/worker/worker_internal.h"

#include <stdlib.h>

static const struct blob_key MODEL_KEY = {'m', 0};
#define MODEL_LOCAL 1

struct learner_state {
    struct learner *learner; /* owned; NULL until the first record */
    uint64_t published;      /* samples applied when a snapshot was last sent */
    int64_t published_ms;
};

static int64_t commit_ms(const struct task *t)
{
    return t->worker->settings.learner_commit_ms;
}

static void *create(struct task *t)
{
    struct learner_state *s = calloc(1, sizeof *s);
    ASSERT(s);
    return s;
}

static void destroy(struct task *t)
{
    struct learner_state *s = t->stage_state;
    learner_destroy(s->learner);
    free(s);
}

static enum err open_chain(struct task *t, struct slice chain)
{
    struct learner_state *s = t->stage_state;
    learner_destroy(s->learner);
    *s = (struct learner_state){0};
    return ERR_NONE;
}

static bool prepare(struct task *t, const struct record *r)
{
    bool missing = false;
    task_need(t, MODEL_LOCAL, MODEL_KEY, &missing);
    return !missing;
}

static struct learner *begin(const struct worker_settings *w, const struct model *from)
{
    struct learner_settings s = w->learner;
    memcpy(s.weights, w->recommend.weights, sizeof s.weights);
    return learner_create(&s, from);
}

static void fold(struct task *t, const struct record *r, int64_t now_ms)
{
    struct learner_state *s = t->stage_state;
    struct cell *cell = map_find(&t->cells.by_local, MODEL_LOCAL);
    struct sample sample;
    ASSERT(cell);
    if (sample_decode(r->value, &sample) != ERR_NONE) {
        task_halt(t, HALT_RECORD_VERSION, "a sample is not readable");
        return;
    }
    if (!s->learner)
        s->learner = begin(&t->worker->settings, cell->object);
    if (!cell->object) {
        cell->object = calloc(1, sizeof(struct model));
        ASSERT(cell->object);
    }
    uint64_t thinned = learner_thinned(s->learner);
    learner_apply(s->learner, &sample);
    t->worker->counts.examples_thinned += learner_thinned(s->learner) - thinned;
    if (!cell->dirty)
        cells_touch_dirty(&t->cells, cell);
    cells_set_bytes(&t->cells, cell, sizeof(struct model));
}

/* The snapshot of the cut is what everybody reads. */
static void flush(struct task *t, int64_t now_ms, bool all)
{
    struct learner_state *s = t->stage_state;
    struct cell *cell = map_find(&t->cells.by_local, MODEL_LOCAL);
    if (!s->learner || !cell || !cell->object || learner_samples(s->learner) == s->published)
        return;
    if (!all && now_ms - s->published_ms < t->worker->settings.learner_commit_ms)
        return;
    struct model *model = cell->object;
    uint64_t number = model->number;
    learner_count_audience(s->learner);
    *model = *learner_model(s->learner);
    model->number = number + 1;
    s->published = learner_samples(s->learner);
    s->published_ms = now_ms;
    struct writer bytes = {0};
    model_encode(model, &bytes);
    task_produce(t, &(struct outgoing){.topic = TOPIC_MODELS, .partition = -1, .key = slice_of("models"),
                                       .value = {(const char *)bytes.data, (uint32_t)bytes.size}}, now_ms);
    writer_fini(&bytes);
}

static void encode_chain(struct task *t, struct writer *out)
{
}

static void encode(struct task *t, struct cell *cell, struct writer *out)
{
    model_encode(cell->object, out);
}

static enum err decode(struct task *t, struct cell *cell, struct slice bytes)
{
    struct model *m = malloc(sizeof *m);
    ASSERT(m);
    enum err err = model_decode(bytes, m);
    if (err != ERR_NONE) {
        free(m);
        return err;
    }
    cell->object = m;
    cells_set_bytes(&t->cells, cell, sizeof *m);
    return ERR_NONE;
}

static void destroy_cell(struct cell *cell)
{
    free(cell->object);
}

const struct stage_ops learner_stage = {
    .stage = STAGE_LEARNER,
    .chain = false,
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
