#include "server/worker/tables.h"

#include "common/check.h"
#include "server/codec/catalog_decode.h"
#include "server/codec/control_decode.h"
#include "server/codec/learner_codec.h"
#include "server/worker/dead_letter.h"
#include "server/worker/worker_internal.h"

#include <stdlib.h>

void tables_init(struct tables *t, const struct catalog_limits *limits)
{
    t->catalog = catalog_create(limits);
    t->model = calloc(1, sizeof *t->model);
    ASSERT(t->model);
    t->controls = calloc(CONTROLS_MAX, sizeof *t->controls);
    ASSERT(t->controls);
    t->control_begin = t->control_end = 0;
}

static struct kept_control *control_at(struct tables *t, uint64_t number)
{
    return &t->controls[number % CONTROLS_MAX];
}

void tables_fini(struct tables *t)
{
    for (uint64_t n = t->control_begin; n < t->control_end; n++)
        free((char *)(uintptr_t)control_at(t, n)->bytes.at);
    free(t->controls);
    free(t->model);
    catalog_destroy(t->catalog);
}

static void keep_control(struct tables *t, const struct record *r)
{
    if (t->control_end - t->control_begin == CONTROLS_MAX)
        free((char *)(uintptr_t)control_at(t, t->control_begin++)->bytes.at);
    char *bytes = malloc((size_t)r->value.size + 1);
    ASSERT(bytes);
    memcpy(bytes, r->value.at, r->value.size);
    *control_at(t, t->control_end++) = (struct kept_control){r->partition, r->offset, {bytes, r->value.size}};
}

/* Every worker reads the bad record; the one that owns this task says so. */
static bool speaks_for_all(const struct worker *w)
{
    const struct task *t = w->tasks[STAGE_ALLOCATION][0];
    return t && t->state == TASK_RUN;
}

void tables_record(struct worker *w, const struct record *r)
{
    if (r->topic == TOPIC_CONTROL && !r->tombstone && r->value.size <= CONTROL_BYTES_MAX)
        keep_control(&w->tables, r);
    /* A snapshot that is not readable is of another version: the last readable one goes on. */
    if (r->topic == TOPIC_MODELS && !r->tombstone && model_decode(r->value, w->tables.model) != ERR_NONE)
        w->counts.models_refused++;
    if (r->topic != TOPIC_CATALOG)
        return;
    enum entity_kind kind;
    enum catalog_refusal refusal = catalog_decode(w->tables.catalog, r->key, r->value, r->tombstone, r->timestamp_ms, &kind);
    if (refusal != CATALOG_ACCEPTED)
        dead_letter_table(w, r, catalog_refusal_names[refusal], speaks_for_all(w));
}
