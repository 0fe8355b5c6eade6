/* Decisions of a scene as JSON to Kafka, and as views to Redis. */
#include "server/worker/allocation_stage.h"

#include "common/text.h"
#include "server/worker/audience_emit.h"
#include "server/worker/worker_internal.h"

#include <stdio.h>

struct emission {
    struct task *task;
    struct allocation_state *s;
    struct slice scene;
    int64_t offset;
    int64_t now_ms;
    int64_t tick_ms;
    const struct allocation_settings *settings;
};

static struct slice written(const struct writer *w)
{
    return (struct slice){(const char *)w->data, (uint32_t)w->size};
}

static void add_field(struct writer *w, const char *field)
{
    text_add(w, ",\"");
    text_add(w, field);
    text_add(w, "\":");
}

static void add_name(struct writer *w, const char *field, struct slice text)
{
    add_field(w, field);
    text_add_json(w, text);
}

static void add_ppm(struct writer *w, const char *field, int64_t ppm)
{
    add_field(w, field);
    text_add_decimal(w, (double)ppm / PPM, 6);
}

static void add_number(struct writer *w, const char *before, int64_t value)
{
    text_add(w, before);
    text_add_int(w, value);
}

static void add_code(struct writer *w, const char *before, const char *code, int64_t part_ppm)
{
    text_add(w, before);
    text_add(w, "{\"code\":\"");
    text_add(w, code);
    text_add(w, "\",\"part\":");
    text_add_decimal(w, (double)part_ppm / PPM, 6);
    text_add(w, "}");
}

/* {"v":1,"scene":…,"ts":…,"version":[…],"valid_until":…; the last only with `valid_ms`. */
static struct writer *begin_value(struct emission *e, int64_t valid_ms)
{
    struct writer *w = &e->s->value;
    w->size = 0;
    text_add(w, "{\"v\":1");
    add_name(w, "scene", e->scene);
    add_number(w, ",\"ts\":", e->tick_ms ? e->tick_ms : e->now_ms);
    add_number(w, ",\"version\":[", e->offset);
    add_number(w, ",", e->task->position.epoch);
    add_number(w, ",", e->s->n++);
    text_add(w, "]");
    if (valid_ms)
        add_number(w, ",\"valid_until\":", e->tick_ms + valid_ms);
    return w;
}

static void send(struct emission *e, enum topic topic, struct slice rest, bool tombstone)
{
    struct writer *key = &e->s->key;
    key->size = 0;
    text_add_slice(key, e->scene);
    if (rest.size) {
        text_add(key, "|");
        text_add_slice(key, rest);
    }
    task_produce(e->task,
                 &(struct outgoing){.topic = topic, .partition = -1, .key = written(key),
                                    .value = tombstone ? (struct slice){0} : written(&e->s->value), .tombstone = tombstone},
                 e->now_ms);
}

static void add_reasons(struct writer *w, const char *const *names, const int32_t *parts, int count)
{
    for (int i = 0; i < count; i++)
        add_code(w, i ? "," : "", names[i], parts[i]);
}

static void add_weight(struct writer *w, const struct out_weight *o)
{
    add_ppm(w, "weight", o->weight_ppm);
    add_ppm(w, "propensity", o->weight_ppm); /* the share is the probability */
    add_name(w, "tier", slice_of(tier_names[o->tier]));
    add_ppm(w, "score", o->score_ppm);
    text_add(w, ",\"reasons\":[");
    add_reasons(w, score_part_names, o->parts, SCORE_PARTS);
    for (int op = 0; op < CONTROL_HELD; op++)
        if (o->held >> op & 1)
            add_code(w, ",", control_op_names[op], 0);
    if (o->young)
        add_code(w, ",", "new_room", 0);
    text_add(w, "]");
}

static void emit_weights(struct emission *e)
{
    const struct scene_out *out = &e->s->out;
    for (size_t i = 0; i < out->weight_count; i++) {
        const struct out_weight *o = &out->weights[i];
        if (!o->due)
            continue;
        struct writer *w = begin_value(e, e->settings->valid_ms);
        add_name(w, "room", name_slice(&o->room));
        add_name(w, "host", name_slice(&o->host));
        add_weight(w, o);
        text_add(w, "}");
        send(e, TOPIC_TRAFFIC, name_slice(&o->room), false);
    }
    for (size_t i = 0; i < out->closed_count; i++)
        send(e, TOPIC_TRAFFIC, name_slice(&out->closed[i]), true);
}

static void emit_snapshot(struct emission *e)
{
    const struct scene_out *out = &e->s->out;
    if (!out->snapshot)
        return;
    struct writer *w = begin_value(e, e->settings->valid_ms);
    text_add(w, ",\"rooms\":[");
    for (size_t i = 0; i < out->weight_count; i++) {
        text_add(w, i ? ",{\"id\":" : "{\"id\":");
        text_add_json(w, name_slice(&out->weights[i].room));
        add_ppm(w, "weight", out->weights[i].weight_ppm);
        add_name(w, "tier", slice_of(tier_names[out->weights[i].tier]));
        text_add(w, out->weights[i].held ? ",\"held\":true}" : "}");
    }
    text_add(w, "]}");
    send(e, TOPIC_TRAFFIC_SNAPSHOT, (struct slice){0}, false);
}

static void emit_rankings(struct emission *e)
{
    const struct scene_out *out = &e->s->out;
    for (size_t i = 0; i < out->ranking_count; i++) {
        const struct out_ranking *r = &out->rankings[i];
        struct writer *w = begin_value(e, 2 * e->settings->rank_refresh_ms);
        add_name(w, "item", name_slice(&r->item));
        text_add(w, ",\"hosts\":[");
        for (uint32_t k = 0; k < r->count; k++) {
            const struct ranked_host *h = &r->hosts[k];
            text_add(w, k ? ",{\"id\":" : "{\"id\":");
            text_add_json(w, name_slice(&h->host));
            text_add(w, h->live ? ",\"live\":true" : ",\"live\":false");
            add_ppm(w, "score", h->score_ppm);
            text_add(w, ",\"reasons\":[");
            add_reasons(w, host_part_names, h->parts, HOST_PARTS);
            text_add(w, "]}");
        }
        text_add(w, "]");
        audience_emit(e->task->worker, e->scene, name_slice(&r->item), e->now_ms, w);
        text_add(w, "}");
        send(e, TOPIC_HOSTS, name_slice(&r->item), false);
    }
}

static void emit_alerts(struct emission *e)
{
    const struct scene_out *out = &e->s->out;
    for (size_t i = 0; i < out->alert_count; i++) {
        const struct out_alert *a = &out->alerts[i];
        struct writer *w = begin_value(e, 0);
        text_printf(w, ",\"kind\":\"%s\"", alert_kind_names[a->kind]);
        add_name(w, "room", name_slice(&a->room));
        if (a->kind <= ALERT_CLEARED)
            text_printf(w, ",\"step\":\"%s\"", funnel_step_names[a->step]);
        text_printf(w, ",\"measured\":%lld,\"expected\":%lld,\"trials\":%lld}", (long long)a->rate_ppm, (long long)a->cohort_ppm,
                    (long long)a->trials);
        send(e, TOPIC_ALERTS, (struct slice){0}, false);
    }
}

static void emit_answers(struct emission *e)
{
    const struct scene_out *out = &e->s->out;
    const struct store_port *store = e->task->worker->store;
    for (size_t i = 0; i < out->answer_count; i++) {
        const struct out_answer *a = &out->answers[i];
        struct writer *w = begin_value(e, 0);
        text_add(w, ",\"kind\":\"control\"");
        add_name(w, "id", a->id);
        text_printf(w, ",\"op\":\"%s\",\"answer\":\"%s\"", control_op_names[a->op], control_answer_names[a->answer]);
        add_name(w, "room", a->room);
        add_name(w, "by", a->by);
        add_name(w, "why", a->why);
        text_printf(w, ",\"until\":%lld}", (long long)a->until_ms);
        send(e, TOPIC_ALERTS, (struct slice){0}, false);
        const struct slice fields[] = {slice_of("kind"), slice_of("control"), slice_of("entry"), written(w)};
        store->append_decision(store->self, fields, 4);
    }
}

static void append_decisions(struct emission *e)
{
    const struct scene_out *out = &e->s->out;
    const struct store_port *store = e->task->worker->store;
    for (size_t i = 0; i < out->decision_count; i++) {
        const struct out_decision *d = &out->decisions[i];
        char before[24], after[24];
        snprintf(before, sizeof before, "%lld", (long long)d->before);
        snprintf(after, sizeof after, "%lld", (long long)d->after);
        const struct slice fields[] = {slice_of("kind"), slice_of(decision_kind_names[d->kind]), slice_of("scene"), e->scene,
                                       slice_of("room"), name_slice(&d->room), slice_of("before"), slice_of(before),
                                       slice_of("after"), slice_of(after)};
        store->append_decision(store->self, fields, 10);
    }
}

#define CARD_FIELDS (COUNTERS + 12)

static void view_card(struct emission *e, const struct out_card *card)
{
    static const char *const kinds[] = {[ENTITY_ITEM] = "item:", [ENTITY_HOST] = "host:", [ENTITY_ROOM] = "room:"};
    struct slice fields[2 * CARD_FIELDS];
    char numbers[CARD_FIELDS][24];
    struct writer *key = &e->s->key;
    int n = 0;
    for (int i = 0; i < COUNTERS; i++)
        if (card->totals[i]) {
            snprintf(numbers[n], sizeof numbers[n], "%lld", (long long)card->totals[i]);
            fields[2 * n] = slice_of(counter_names[i]);
            fields[2 * n + 1] = slice_of(numbers[n]);
            n++;
        }
    fields[2 * n] = slice_of("scene");
    fields[2 * n++ + 1] = e->scene;
    if (card->roi.has_ratio) {
        snprintf(numbers[n], sizeof numbers[n], "%.4f", (double)card->roi.ratio_ppm / PPM);
        fields[2 * n] = slice_of("roi");
        fields[2 * n + 1] = slice_of(numbers[n]);
        n++;
    }
    if (card->kind == ENTITY_ROOM) {
        fields[2 * n] = slice_of("host");
        fields[2 * n++ + 1] = name_slice(&card->host);
        fields[2 * n] = slice_of("live");
        fields[2 * n++ + 1] = slice_of(card->live ? "1" : "0");
        fields[2 * n] = slice_of("tier");
        fields[2 * n++ + 1] = slice_of(tier_names[card->tier]);
        snprintf(numbers[n], sizeof numbers[n], "%.6f", (double)card->weight_ppm / PPM);
        fields[2 * n] = slice_of("weight");
        fields[2 * n + 1] = slice_of(numbers[n]);
        n++;
        snprintf(numbers[n], sizeof numbers[n], "%.4f", (double)card->score_ppm / PPM);
        fields[2 * n] = slice_of("score");
        fields[2 * n + 1] = slice_of(numbers[n]);
        n++;
    }
    key->size = 0;
    text_add(key, kinds[card->kind]);
    text_add_slice(key, name_slice(&card->name));
    const struct store_port *store = e->task->worker->store;
    store->write_view(store->self, &(struct view_write){.key = written(key), .fields = fields, .field_count = 2 * n});
}

void allocation_emit(struct task *t, const struct scene *c, int64_t offset, int64_t now_ms)
{
    struct allocation_state *s = t->stage_state;
    struct emission e = {t, s, scene_name(c), offset, now_ms, s->out.tick_ms, &t->fold->allocation};
    s->n = 0;
    emit_weights(&e);
    emit_snapshot(&e);
    allocation_summarise(t, &s->out, e.scene);
    emit_rankings(&e);
    emit_alerts(&e);
    emit_answers(&e);
    append_decisions(&e);
    for (size_t i = 0; i < s->out.card_count; i++)
        view_card(&e, &s->out.cards[i]);
}
