/*
 * Weights: of every snapshot that they sum to one and keep under the cap; of live.traffic, which has a record for every
 * change, that no weight moved further than a step in a tick. A step gives way where rooms came or went or an operator
 * holds a room of the scene (server/engine/allocation_weights.c); those ticks are left out. Where compaction has removed
 * records in between, as many steps are allowed as there were ticks.
 */
#include "server/verbs/audit.h"

#include "common/check.h"
#include "common/hash.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#define ROUNDING_PPM 3

static int64_t ppm_of(const json_t *value)
{
    return llround(json_number_value(value) * 1e6);
}

void audit_snapshot(struct audit *a, const rd_kafka_message_t *m, int64_t record_ms)
{
    json_t *root = m->len ? json_loadb(m->payload, m->len, 0, NULL) : NULL, *room;
    const json_t *rooms = json_object_get(root, "rooms");
    const struct allocation_settings *s = &a->settings.daemon.worker.allocation;
    const char *topic = rd_kafka_topic_name(m->rkt);
    int64_t sum = 0, weighed = 0, ts_ms = json_integer_value(json_object_get(root, "ts"));
    bool held = false;
    size_t i;
    json_array_foreach(rooms, i, room) {
        held |= json_is_true(json_object_get(room, "held"));
        weighed += ppm_of(json_object_get(room, "weight")) > 0;
    }
    int64_t cap = weighed > 0 && s->cap_ppm < 1000000 / weighed ? 1000000 / weighed + 1 : s->cap_ppm;
    json_array_foreach(rooms, i, room) {
        const char *id = json_string_value(json_object_get(room, "id"));
        int64_t weight = ppm_of(json_object_get(room, "weight"));
        const struct entry *e = audit_entry(a, ENTITY_ROOM, id);
        a->shares++;
        sum += weight;
        if (weight > cap + ROUNDING_PPM && !held)
            audit_fault(a, "above_cap", topic, m->partition, m->offset, id);
        if (weight < 0)
            audit_fault(a, "negative_weight", topic, m->partition, m->offset, id);
        if (e && e->closed_ms && ts_ms > e->closed_ms + GRACE_MS)
            audit_fault(a, "weight_of_closed_room", topic, m->partition, m->offset, id);
    }
    a->snapshots++;
    if (json_array_size(rooms) > 0 && llabs(sum - 1000000) > (int64_t)json_array_size(rooms))
        audit_fault(a, "weights_do_not_sum_to_one", topic, m->partition, m->offset, "sum");
    json_decref(root);
}

static bool is_held(const json_t *reasons)
{
    static const char *const free_codes[] = {"entrance", "dwell", "interaction", "conversion", "gpm", "new_room"};
    size_t i;
    json_t *reason;
    json_array_foreach(reasons, i, reason) {
        const char *code = json_string_value(json_object_get(reason, "code"));
        bool is_free = false;
        for (size_t k = 0; code && k < sizeof free_codes / sizeof *free_codes; k++)
            is_free |= strcmp(code, free_codes[k]) == 0;
        if (!is_free)
            return true;
    }
    return false;
}

void audit_weight(struct audit *a, const rd_kafka_message_t *m, int64_t ts_ms)
{
    const char *key = m->key, *bar = m->key_len ? memchr(key, '|', m->key_len) : NULL;
    if (m->offset == 0 || m->offset < a->next)
        a->gaps = 0;
    else
        a->gaps += m->offset != a->next;
    a->next = m->offset + 1;
    if (!bar)
        return;
    uint64_t scene = hash64(key, (size_t)(bar - key), 4) | 1;
    if (m->len == 0) {
        a->gone = audit_grow(a->gone, &a->gone_capacity, a->gone_count, sizeof *a->gone);
        a->gone[a->gone_count++] = (struct gone){scene, ts_ms};
        return;
    }
    json_t *root = json_loadb(m->payload, m->len, 0, NULL);
    const json_t *version = json_object_get(root, "version");
    a->weights = audit_grow(a->weights, &a->weight_capacity, a->weight_count, sizeof *a->weights);
    a->weights[a->weight_count++] = (struct weight){
        .offset = json_integer_value(json_array_get(version, 0)), .ts_ms = json_integer_value(json_object_get(root, "ts")), .scene = scene,
        .room = hash64(key, m->key_len, 4) | 1, .at = m->offset, .partition = m->partition, .gaps = a->gaps,
        .ppm = (int32_t)ppm_of(json_object_get(root, "weight")), .held = is_held(json_object_get(root, "reasons")),
    };
    json_decref(root);
}

static int by_tick(const void *a, const void *b)
{
    const struct weight *x = a, *y = b;
    if (x->scene != y->scene)
        return x->scene < y->scene ? -1 : 1;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return x->room < y->room ? -1 : x->room > y->room;
}

/* Of one scene, up to the tick being looked at. */
struct walk {
    struct map last; /* room -> its newest struct weight */
    int held;        /* rooms that an operator holds */
};

static bool went(const struct audit *a, uint64_t scene, int64_t from_ms, int64_t to_ms)
{
    for (size_t i = 0; i < a->gone_count; i++)
        if (a->gone[i].scene == scene && a->gone[i].ts_ms >= from_ms && a->gone[i].ts_ms <= to_ms)
            return true;
    return false;
}

/* One tick: the records [from, to). */
static void audit_tick(struct audit *a, struct walk *w, const struct weight *from, const struct weight *to)
{
    const struct worker_settings *s = &a->settings.daemon.worker;
    int64_t tick_ms = s->tick_ms ? s->tick_ms : 1000;
    bool loose = w->held > 0 || went(a, from->scene, from->ts_ms - 2 * tick_ms - GRACE_MS, from->ts_ms + tick_ms + GRACE_MS);
    for (const struct weight *x = from; x < to; x++)
        loose |= x->held || !map_find(&w->last, x->room);
    for (const struct weight *x = from; x < to; x++) {
        const struct weight *before = map_find(&w->last, x->room);
        int64_t ticks = before && before->gaps != x->gaps && x->ts_ms > before->ts_ms ? (x->ts_ms - before->ts_ms + tick_ms - 1) / tick_ms : 1;
        a->steps += before && !loose;
        if (before && !loose && llabs((int64_t)x->ppm - before->ppm) > ticks * s->allocation.step_ppm + ROUNDING_PPM)
            audit_fault(a, "step", a->settings.daemon.kafka.topics[TOPIC_TRAFFIC], x->partition, x->at, "the weight moved further than a step in one tick");
        w->held += (int)x->held - (before && before->held);
        map_put(&w->last, x->room, (void *)(uintptr_t)x);
    }
}

void audit_steps(struct audit *a)
{
    struct walk w = {{0}, 0};
    qsort(a->weights, a->weight_count, sizeof *a->weights, by_tick);
    for (size_t i = 0, end; i < a->weight_count; i = end) {
        if (i == 0 || a->weights[i].scene != a->weights[i - 1].scene) {
            map_fini(&w.last);
            w = (struct walk){{0}, 0};
        }
        for (end = i + 1; end < a->weight_count && a->weights[end].scene == a->weights[i].scene && a->weights[end].offset == a->weights[i].offset; end++) {
        }
        audit_tick(a, &w, &a->weights[i], &a->weights[end]);
    }
    map_fini(&w.last);
}
