/*
 * The ranking of one user, made again outside the daemon. State and similarity lists come from Redis, the catalog from its
 * topic. Demand (popular, trending, explore) is what a worker saw go by: here the newest events of all partitions, in the order of
 * their record timestamps. A worker that has run for long or that shares the partitions with others has seen other ones, so these
 * three parts may differ a little from those of the list that was sent, which is printed beside.
 */
#include "server/verbs/inspect_why.h"

#include "common/check.h"
#include "common/hash.h"
#include "server/codec/catalog_decode.h"
#include "server/codec/event_decode.h"
#include "server/codec/learner_codec.h"
#include "server/engine/recommend_why.h"
#include "server/engine/similarity.h"
#include "server/verbs/read_log.h"
#include "server/worker/sim_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define EVENTS_MAX 10000 /* newest of each partition */

struct seen {
    int64_t ms;
    struct slice key, value; /* owned bytes, one behind the other */
};

struct list {
    entity_id id;
    uint32_t count;
    struct similar at[SIMILAR_MAX];
    float next[SIMILAR_MAX];
};

struct ranking {
    const struct why_question *question;
    struct catalog *catalog;
    struct recommender *recommender;
    struct recommend_settings settings; /* of the user's arm */
    int arm;
    struct seen *events; /* owned, as are their bytes */
    size_t event_count, event_capacity;
    struct list *lists; /* owned; of the history */
    size_t list_count;
    int64_t now_ms;
    struct model model; /* the newest */
};

static void on_catalog(void *arg, const rd_kafka_message_t *m)
{
    struct ranking *r = arg;
    enum entity_kind kind;
    struct slice key = {m->key, (uint32_t)m->key_len}, value = {m->payload, (uint32_t)m->len};
    (void)catalog_decode(r->catalog, key, value, m->payload == NULL, rd_kafka_message_timestamp(m, NULL), &kind); /* a bad entry leaves the old one */
}

static void on_event(void *arg, const rd_kafka_message_t *m)
{
    struct ranking *r = arg;
    if (r->event_count == r->event_capacity) {
        r->event_capacity = r->event_capacity ? 2 * r->event_capacity : 4096;
        r->events = realloc(r->events, r->event_capacity * sizeof *r->events);
        ASSERT(r->events);
    }
    char *bytes = malloc(m->key_len + m->len + 1);
    ASSERT(bytes);
    if (m->key_len)
        memcpy(bytes, m->key, m->key_len);
    if (m->len)
        memcpy(bytes + m->key_len, m->payload, m->len);
    r->events[r->event_count++] = (struct seen){rd_kafka_message_timestamp(m, NULL), {bytes, (uint32_t)m->key_len}, {bytes + m->key_len, (uint32_t)m->len}};
}

static void on_models(void *arg, const rd_kafka_message_t *m)
{
    struct ranking *r = arg;
    if (m->payload && model_decode((struct slice){m->payload, (uint32_t)m->len}, &r->model) != ERR_NONE)
        return; /* of another version: the one before stays in force, as in a worker */
}

static int by_time(const void *a, const void *b)
{
    const struct seen *x = a, *y = b;
    return x->ms < y->ms ? -1 : x->ms > y->ms;
}

static void see_events(struct ranking *r)
{
    struct event_scratch *scratch = malloc(sizeof *scratch);
    const struct worker_settings *w = &r->question->settings->daemon.worker;
    struct event event;
    ASSERT(scratch);
    if (r->event_count)
        qsort(r->events, r->event_count, sizeof *r->events, by_time);
    for (size_t i = 0; i < r->event_count; i++)
        if (event_decode(&w->event_rules, r->events[i].key, r->events[i].value, scratch, &event) == EVENT_ACCEPTED)
            recommender_see(r->recommender, &event, r->events[i].ms);
    free(scratch);
}

static void fetch_list(struct ranking *r, entity_id id)
{
    char key[300];
    const struct catalog_item *it = catalog_item(r->catalog, id);
    if (!it)
        return;
    snprintf(key, sizeof key, "%s:sim:%.*s", r->question->settings->daemon.redis.prefix, (int)it->name.size, it->name.at);
    redisReply *value = redis_ask_key(r->question->redis, "GET", key);
    if (value && value->type == REDIS_REPLY_STRING) {
        struct list *l = &r->lists[r->list_count++];
        l->id = id;
        l->count = similar_view_parse(r->catalog, (struct slice){value->str, (uint32_t)value->len}, l->at, l->next, SIMILAR_MAX);
    }
    if (value)
        freeReplyObject(value);
}

static void fetch_lists(struct ranking *r)
{
    const struct profile *p = r->question->profile;
    r->lists = calloc(p->history_count + 1, sizeof *r->lists);
    ASSERT(r->lists);
    for (uint32_t i = 0; i < p->history_count; i++)
        if (entity_kind_of(p->history[i].id) == ENTITY_ITEM && p->history[i].rating)
            fetch_list(r, p->history[i].id);
}

static struct similar_list similar(void *arg, entity_id id)
{
    const struct ranking *r = arg;
    for (size_t i = 0; i < r->list_count; i++)
        if (r->lists[i].id == id)
            return (struct similar_list){r->lists[i].count, r->lists[i].at, r->lists[i].next, similar_list_scale(r->lists[i].at, r->lists[i].count)};
    return (struct similar_list){0};
}

/* With its kind before it, or the first of room, item and host that has this id. */
static entity_id find_entity(const struct catalog *c, const char *text)
{
    static const struct {
        const char *prefix;
        enum entity_kind kind;
    } kinds[] = {{"room:", ENTITY_ROOM}, {"item:", ENTITY_ITEM}, {"host:", ENTITY_HOST}};
    for (int i = 0; i < 3; i++)
        if (strncmp(text, kinds[i].prefix, 5) == 0)
            return entity_id_of(kinds[i].kind, slice_of(text + 5));
    for (int i = 0; i < 3; i++) {
        entity_id id = entity_id_of(kinds[i].kind, slice_of(text));
        if (catalog_room(c, id) || catalog_item(c, id) || catalog_host(c, id))
            return id;
    }
    return entity_id_of(ENTITY_ROOM, slice_of(text));
}

static struct slice scene_of(const struct ranking *r, entity_id id)
{
    const char *told = json_string_value(json_object_get(r->question->told, "scene"));
    const struct catalog_room *room = catalog_room(r->catalog, id);
    if (r->question->scene || told)
        return slice_of(r->question->scene ? r->question->scene : told);
    if (!room && catalog_open_count(r->catalog))
        room = catalog_open(r->catalog, 0);
    return room && room->scene_count ? catalog_text(r->catalog, room->scenes[0]) : slice_of("home");
}

static void set_text(json_t *out, const char *name, struct slice text)
{
    if (text.size)
        json_object_set_new(out, name, json_stringn(text.at, text.size));
}

static json_t *sources_json(const struct explanation *e, enum reason reason)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < e->source_count; i++) {
        const struct why_source *s = &e->sources[i];
        if (s->reason != reason)
            continue;
        json_t *one = json_object();
        if (s->of.size)
            set_text(one, reason == REASON_INTEREST ? "tag" : "item", s->of);
        else
            json_object_set_new(one, "embedding", json_true());
        json_object_set_new(one, "part", json_real(s->part));
        json_array_append_new(list, one);
    }
    return list;
}

/* What of the host's past with the user the part rests on. */
static void add_host(const struct ranking *r, json_t *one, struct slice host)
{
    const struct history_entry *h = host.size ? profile_find(r->question->profile, entity_id_of(ENTITY_HOST, host)) : NULL;
    set_text(one, "host", host);
    if (!h)
        return;
    json_object_set_new(one, "rating", json_integer(h->rating));
    json_object_set_new(one, "watched_ms", json_integer((json_int_t)h->dwell_s * 1000));
    json_object_set_new(one, "touched_ms", json_integer(h->touched_ms));
}

/* The parts that count, strongest first as in a list that is sent. */
static json_t *parts_json(const struct ranking *r, const struct explanation *e, struct slice host)
{
    bool done[REASONS] = {false};
    json_t *list = json_array();
    for (int n = 0; n < REASONS; n++) {
        int best = -1;
        for (int i = 0; i < REASONS; i++)
            if (!done[i] && e->entry.parts[i] > 0 && (best < 0 || e->entry.parts[i] > e->entry.parts[best]))
                best = i;
        if (best < 0)
            break;
        done[best] = true;
        json_t *one = json_pack("{s:s,s:f,s:f}", "code", reason_names[best], "part", e->entry.parts[best], "weight",
                                recommender_weight(r->recommender, (enum reason)best) / 1000);
        if (best == REASON_INTEREST || best == REASON_SIMILAR_ITEM)
            json_object_set_new(one, "from", sources_json(e, (enum reason)best));
        if (best == REASON_KNOWN_HOST || best == REASON_FOLLOWED)
            add_host(r, one, host);
        if (best == REASON_POPULAR)
            json_object_set_new(one, "against_average", json_pack("{s:f,s:f,s:f}", "room", e->lifts[0], "host", e->lifts[1], "item", e->lifts[2]));
        json_array_append_new(list, one);
    }
    return list;
}

/* What the user was sent of it, with its place. NULL: nothing. */
static json_t *told_json(const struct ranking *r, const char *lists, struct slice name)
{
    const json_t *list = json_object_get(r->question->told, lists);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *id = json_string_value(json_object_get(json_array_get(list, i), "id"));
        if (!id || !slice_equal(slice_of(id), name))
            continue;
        json_t *one = json_deep_copy(json_array_get(list, i));
        json_object_set_new(one, "place", json_integer((json_int_t)i + 1));
        json_object_set(one, "ts", json_object_get(r->question->told, "ts"));
        json_object_set(one, "rec", json_object_get(r->question->told, "rec"));
        return one;
    }
    return NULL;
}

static json_t *answer_json(const struct ranking *r, entity_id id, struct slice scene, const struct explanation *e)
{
    static const char *const kinds[] = {[ENTITY_ROOM] = "room", [ENTITY_ITEM] = "item", [ENTITY_HOST] = "host"};
    static const char *const lists[] = {[ENTITY_ROOM] = "rooms", [ENTITY_ITEM] = "items", [ENTITY_HOST] = "hosts"};
    enum entity_kind kind = entity_kind_of(id);
    const char *colon = strchr(r->question->entity, ':');
    struct slice name = slice_of(colon ? colon + 1 : r->question->entity);
    json_t *out = json_pack("{s:s,s:s%,s:s%,s:s,s:I,s:s,s:s}", "kind", kinds[kind], "id", name.at, (size_t)name.size, "scene", scene.at, (size_t)scene.size, "arm", arm_names[r->arm], "ts",
                            (json_int_t)r->now_ms, "verdict", why_names[e->why], "text", why_texts[e->why]);
    if (e->place)
        json_object_set_new(out, "place", json_integer(e->place));
    set_text(out, "because", e->because);
    if (e->until_ms)
        json_object_set_new(out, "until", json_integer(e->until_ms));
    if (e->scored) {
        struct slice host = kind == ENTITY_HOST ? e->entry.name : e->entry.host;
        set_text(out, "host", kind == ENTITY_ROOM ? host : (struct slice){0});
        set_text(out, "item", kind != ENTITY_ITEM ? e->entry.item : (struct slice){0});
        json_object_set_new(out, "score", json_real(e->entry.score));
        json_object_set_new(out, "parts", parts_json(r, e, host));
    }
    json_t *told = told_json(r, lists[kind], name);
    if (told)
        json_object_set_new(out, "sent", told);
    json_object_set_new(out, "read", json_pack("{s:I,s:I,s:f}", "events", (json_int_t)r->event_count, "lists", (json_int_t)r->list_count, "explore",
                                               r->settings.explore_ppm / 1e6));
    return out;
}

static bool read_logs(struct ranking *r)
{
    const struct kafka_log_settings *k = &r->question->settings->daemon.kafka;
    const struct read_log catalog = {.topic = k->topics[TOPIC_CATALOG], .each = on_catalog, .arg = r};
    const struct read_log events = {.topic = k->topics[TOPIC_EVENTS], .newest = EVENTS_MAX, .each = on_event, .arg = r};
    const struct read_log models = {.topic = k->topics[TOPIC_MODELS], .each = on_models, .arg = r};
    rd_kafka_t *client = read_log_open(k, "inspect");
    bool ok = client && read_log(client, &catalog) && read_log(client, &events) && read_log(client, &models);
    if (client && !ok)
        fprintf(stderr, "sluice inspect: %s, %s or %s cannot be read: --why needs --brokers too\n", catalog.topic, events.topic, models.topic);
    if (client)
        rd_kafka_destroy(client);
    return ok;
}

static int64_t wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

json_t *inspect_why(const struct why_question *q)
{
    const struct worker_settings *w = &q->settings->daemon.worker;
    struct ranking r = {.question = q, .arm = experiment_arm(&w->experiment, slice_of(q->user)), .catalog = catalog_create(&w->catalog)};
    json_t *answer = NULL;
    if (read_logs(&r)) {
        struct explanation e;
        r.settings = w->recommend;
        experiment_apply(&w->experiment, r.arm, &r.settings);
        r.recommender = recommender_create(&r.settings, r.catalog);
        recommender_blend(r.recommender, &r.model.blend);
        see_events(&r);
        fetch_lists(&r);
        r.now_ms = wall_ms();
        entity_id id = find_entity(r.catalog, q->entity);
        struct slice scene = scene_of(&r, id);
        struct asker a = {q->profile, r.now_ms, similar, &r};
        recommend_why(r.recommender, &a, scene, id, &e);
        answer = answer_json(&r, id, scene, &e);
        recommender_destroy(r.recommender);
    }
    for (size_t i = 0; i < r.event_count; i++)
        free((char *)(uintptr_t)r.events[i].key.at);
    free(r.events);
    free(r.lists);
    catalog_destroy(r.catalog);
    return answer;
}
