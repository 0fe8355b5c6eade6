#include "server/worker/tables.h"

#include "common/check.h"
#include "server/codec/catalog_decode.h"
#include "server/codec/control_decode.h"
#include "server/codec/learner_codec.h"
#include "server/worker/worker_internal.h"

#include <stdlib.h>

void tables_init(struct tables *t, const struct catalog_limits *limits)
{
    t->catalog = catalog_create(limits);
    t->model = calloc(1, sizeof *t->model);
    ASSERT(t->model);
    t->controls = NULL; /* most workers never hear of one */
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
    if (!t->controls)
        t->controls = malloc(CONTROLS_MAX * sizeof *t->controls);
    char *bytes = malloc((size_t)r->value.size + 1);
    ASSERT(t->controls);
    ASSERT(bytes);
    memcpy(bytes, r->value.at, r->value.size);
    *control_at(t, t->control_end++) = (struct kept_control){r->partition, r->offset, {bytes, r->value.size}};
}

/* A control that does not decode goes no further; what the others mean is up to their scene. */
static const char *take_control(struct tables *t, const struct record *r)
{
    struct control_entry entry;
    struct control_json *json = NULL;
    if (r->tombstone)
        return NULL;
    enum control_answer answer = control_decode(r->value, &entry, &json);
    control_json_destroy(json);
    if (answer == CONTROL_APPLIED)
        keep_control(t, r);
    return answer == CONTROL_APPLIED ? NULL : control_refusal_names[answer];
}

const char *tables_record(struct worker *w, const struct record *r)
{
    /* A snapshot that is not readable is of another version: the last readable one goes on. */
    if (r->topic == TOPIC_MODELS && !r->tombstone && model_decode(r->value, w->tables.model) != ERR_NONE)
        w->counts.models_refused++;
    if (r->topic == TOPIC_CONTROL)
        return take_control(&w->tables, r);
    if (r->topic != TOPIC_CATALOG)
        return NULL;
    enum entity_kind kind;
    enum catalog_refusal refusal = catalog_decode(w->tables.catalog, r->key, r->value, r->tombstone, r->timestamp_ms, &kind);
    return refusal == CATALOG_ACCEPTED ? NULL : catalog_refusal_names[refusal];
}
