#include "server/verbs/state_json.h"

#include <stdio.h>
#include <time.h>

#define NEIGHBOURS_SHOWN 256

const char *entity_kind_text(entity_id id)
{
    switch (entity_kind_of(id)) {
    case ENTITY_ITEM: return "item";
    case ENTITY_HOST: return "host";
    case ENTITY_ROOM: return "room";
    default: return "none";
    }
}

static json_t *id_json(entity_id id)
{
    return json_sprintf("%012llx", (unsigned long long)id);
}

static void add_number(json_t *to, const char *name, int64_t value)
{
    if (value)
        json_object_set_new(to, name, json_integer(value));
}

static json_t *history_of(const struct profile *p)
{
    json_t *list = json_array();
    for (uint32_t i = p->history_count; i-- > 0;) {
        const struct history_entry *h = &p->history[i];
        json_t *one = json_pack("{s:s,s:o,s:i,s:i,s:I,s:b,s:I}", "kind", entity_kind_text(h->id), "id", id_json(h->id), "rating", h->rating, "stars",
                                h->stars, "watched_ms", (json_int_t)h->dwell_s * 1000, "negative", (h->flags & HISTORY_NEGATIVE) != 0, "touched_ms",
                                (json_int_t)h->touched_ms);
        add_number(one, "percent", h->percent);
        add_number(one, "again", h->times);
        add_number(one, "impressed_ms", h->flags & HISTORY_IMPRESSED ? h->impressed_ms : 0);
        add_number(one, "shown_ms", h->shown_ms);
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *owned_of(const struct profile *p, const struct profile_settings *s)
{
    json_t *list = json_array();
    for (uint32_t i = p->owned_count; i-- > 0;) {
        const struct owned_item *o = &p->owned[i];
        const entity_id ids[] = {o->item, o->host, o->room};
        json_t *one = json_pack("{s:I,s:I,s:b}", "paid", (json_int_t)o->paid, "refunded", (json_int_t)o->refunded, "kept", owned_is_kept(o));
        if (o->currency < CURRENCIES_MAX) {
            uint32_t c = s->currencies[o->currency].currency;
            json_object_set_new(one, "currency", json_sprintf("%c%c%c", c >> 16 & 0xff, c >> 8 & 0xff, c & 0xff));
        }
        for (int k = 0; k < 3; k++)
            if (ids[k])
                json_object_set_new(one, entity_kind_text(ids[k]),
                                    json_pack("{s:o,s:s}", "id", id_json(ids[k]), "source", event_source_name(owned_source(o, entity_kind_of(ids[k])))));
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *relations_of(const struct profile *p)
{
    json_t *list = json_array();
    for (uint32_t i = p->relation_count; i-- > 0;) {
        const struct relation *r = &p->relations[i];
        json_array_append_new(list, json_pack("{s:s,s:o,s:b}", "kind", entity_kind_text(r->id), "id", id_json(r->id), "blocked", r->blocked));
    }
    return list;
}

json_t *profile_json(const struct profile *p, const struct profile_settings *s)
{
    json_t *counts = json_object(), *out;
    for (int i = 0; i < EVENT_TYPES; i++)
        if (p->counts[i])
            json_object_set_new(counts, event_type_name((enum event_type)i), json_integer(p->counts[i]));
    out = json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:i,s:i,s:o,s:o,s:o,s:o}", "events", (json_int_t)p->events, "watch_ms", (json_int_t)p->dwell_ms,
                    "first_ms", (json_int_t)p->first_ms, "last_ms", (json_int_t)p->last_ms, "spent", (json_int_t)p->spent, "refunded",
                    (json_int_t)p->refunded, "gifted", (json_int_t)p->gifted, "last_paid_ms", (json_int_t)p->last_paid_ms, "orders", (int)p->orders,
                    "visits_lost", (int)p->visits_lost, "counts", counts, "history", history_of(p), "owned", owned_of(p, s), "relations", relations_of(p));
    return out;
}

static json_t *totals_json(const int64_t totals[COUNTERS])
{
    json_t *out = json_object();
    for (int i = 0; i < COUNTERS; i++)
        if (totals[i])
            json_object_set_new(out, counter_names[i], json_integer(totals[i]));
    return out;
}

static json_t *object_in(json_t *parent, const char *name)
{
    json_t *object = json_object_get(parent, name);
    if (!object)
        json_object_set_new(parent, name, object = json_object());
    return object;
}

static void add_bucket(json_t *level, const struct counter_bucket *b, const char *time, const char *scene)
{
    json_t *sums = object_in(object_in(level, time), scene);
    if (b->source != SOURCES)
        sums = object_in(sums, event_source_name(b->source));
    for (int k = 0; k < COUNTERS; k++)
        if (b->sums[k])
            json_object_set_new(sums, counter_names[k], json_integer(json_integer_value(json_object_get(sums, counter_names[k])) + b->sums[k]));
}

static json_t *buckets_json(const struct counters *c)
{
    static const char *const names[LEVELS] = {"minutes", "hours", "days"}, *const formats[LEVELS] = {"%Y-%m-%dT%H:%MZ", "%Y-%m-%dT%HZ", "%Y-%m-%d"};
    json_t *out = json_object();
    struct counter_bucket b;
    for (uint32_t i = 0; counters_bucket(c, i, &b); i++) {
        int64_t unused[COUNTERS];
        char time[32], scene[EVENT_ID_BYTES + 1];
        struct slice name = counters_scene(c, b.scene, unused);
        struct tm parts;
        time_t start_s = (time_t)(b.start_ms / 1000);
        strftime(time, sizeof time, formats[b.level], gmtime_r(&start_s, &parts));
        snprintf(scene, sizeof scene, "%.*s", (int)name.size, name.at);
        add_bucket(object_in(out, names[b.level]), &b, time, scene);
        if (b.explained)
            add_bucket(object_in(out, "explained_days"), &b, time, scene);
    }
    return out;
}

json_t *counters_json(const struct counters *c)
{
    int64_t totals[COUNTERS];
    json_t *scenes = json_object();
    struct slice name = counters_name(c);
    for (int i = 0; i < counters_scenes(c); i++) {
        char text[EVENT_ID_BYTES + 1];
        struct slice scene = counters_scene(c, i, totals);
        snprintf(text, sizeof text, "%.*s", (int)scene.size, scene.at);
        json_object_set_new(scenes, text, totals_json(totals));
    }
    counters_total(c, true, totals);
    return json_pack("{s:s%,s:o,s:o,s:o,s:I}", "name", name.at, (size_t)name.size, "scenes", scenes, "explained", totals_json(totals), "buckets",
                     buckets_json(c), "rating", (json_int_t)counters_rating(c));
}

json_t *neighbours_json(const struct neighbours *n, const struct entity_settings *s)
{
    struct neighbour top[NEIGHBOURS_SHOWN];
    uint32_t count = neighbours_top(n, s, NEIGHBOURS_SHOWN, top);
    json_t *pairs = json_object(), *next = json_object();
    for (uint32_t i = 0; i < count; i++) {
        char id[24];
        snprintf(id, sizeof id, "%012llx", (unsigned long long)top[i].id);
        json_object_set_new(pairs, id, json_integer(top[i].pair_count));
        add_number(next, id, top[i].next);
    }
    return json_pack("{s:o,s:o,s:I}", "pairs", pairs, "next", next, "next_sum", (json_int_t)neighbours_next_sum(n));
}
