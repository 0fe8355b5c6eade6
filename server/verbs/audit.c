/*
 * audit: reads the logs and says which outputs break a rule. A recommendation names the event it follows (partition and
 * offset), so that the user's state at that moment is known exactly: everything of that partition up to that offset.
 * Rooms are told by the catalog, which workers read at their own pace: a closed room is a fault only GRACE_MS after the
 * record that closed it.
 */
#include "common/hash.h"
#include "common/map.h"
#include "server/codec/event_decode.h"
#include "server/engine/entity_id.h"
#include "server/verbs/connect.h"
#include "server/verbs/verb.h"

#include <jansson.h>
#include <librdkafka/rdkafka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define GRACE_MS 3000
#define SILENCE_MS 3000
#define ANSWER_MS 10000
#define PRINTED_MAX 100

/* What was so about (user, entity), from which event on. */
enum fact_kind { FACT_OWNED, FACT_REFUNDED, FACT_REFUSED, FACT_ALLOWED, FACT_SHOWN };

struct fact {
    enum fact_kind kind;
    int64_t offset, ts_ms;
    struct fact *before;
};

struct lifetime { /* of a room, by record timestamps */
    int64_t closed_ms; /* 0: open */
};

struct audit {
    struct settings settings;
    struct map facts;   /* hash of (user, entity) -> newest fact */
    struct map forgets; /* hash of user -> offset of the last forget + 1 */
    struct map rooms;   /* hash of room -> struct lifetime */
    uint64_t recommendations, places, weights, snapshots, faults;
};

typedef void record_handler(struct audit *a, const rd_kafka_message_t *m, int64_t ts_ms);

static void fault(struct audit *a, const char *rule, const rd_kafka_message_t *m, const char *what)
{
    if (a->faults++ < PRINTED_MAX)
        printf("%s partition %d offset %lld: %s: %s\n", rd_kafka_topic_name(m->rkt), (int)m->partition, (long long)m->offset, rule, what);
}

static uint64_t pair_of(struct slice user, enum entity_kind kind, struct slice id)
{
    uint64_t hash = hash64(user.at, user.size, 11 + (uint64_t)kind);
    return hash64(id.at, id.size, hash) | 1;
}

static void add_fact(struct audit *a, struct slice user, enum entity_kind kind, struct slice id, enum fact_kind what, int64_t offset, int64_t ts_ms)
{
    if (id.size == 0)
        return;
    struct fact *f = malloc(sizeof *f);
    if (!f)
        abort();
    uint64_t key = pair_of(user, kind, id);
    *f = (struct fact){what, offset, ts_ms, map_find(&a->facts, key)};
    map_put(&a->facts, key, f);
}

static void on_event(struct audit *a, const rd_kafka_message_t *m, int64_t ts_ms)
{
    static struct event_scratch scratch;
    struct event e;
    struct slice key = {m->key, (uint32_t)m->key_len}, value = {m->payload, (uint32_t)m->len};
    if (event_decode(&a->settings.daemon.worker.event_rules, key, value, &scratch, &e) != EVENT_ACCEPTED)
        return;
    const struct slice ids[] = {e.item, e.host, e.room};
    static const enum entity_kind kinds[] = {ENTITY_ITEM, ENTITY_HOST, ENTITY_ROOM};
    const struct profile_settings *p = &a->settings.daemon.worker.profile;
    if (ts_ms - e.event_ms > p->late_ms_max || e.event_ms - ts_ms > p->early_ms_max)
        return;
    if (e.type == EVENT_PURCHASE)
        add_fact(a, e.user, ENTITY_ITEM, e.item, FACT_OWNED, m->offset, e.event_ms);
    else if (e.type == EVENT_REFUND)
        add_fact(a, e.user, ENTITY_ITEM, e.item, FACT_REFUNDED, m->offset, e.event_ms);
    else if (e.type == EVENT_FOLLOW || e.type == EVENT_UNFOLLOW)
        add_fact(a, e.user, ENTITY_HOST, e.host, FACT_ALLOWED, m->offset, e.event_ms);
    else if (e.type == EVENT_FORGET)
        map_put(&a->forgets, hash64(e.user.at, e.user.size, 5) | 1, (void *)(uintptr_t)(m->offset + 1));
    for (int i = 0; i < 3; i++) {
        if (e.type == EVENT_BLOCK)
            add_fact(a, e.user, kinds[i], ids[i], FACT_REFUSED, m->offset, e.event_ms);
        if (e.type == EVENT_IMPRESSION && kinds[i] == ENTITY_ROOM)
            add_fact(a, e.user, kinds[i], ids[i], FACT_SHOWN, m->offset, e.event_ms);
    }
}

static void on_catalog(struct audit *a, const rd_kafka_message_t *m, int64_t ts_ms)
{
    const char *key = m->key;
    if (m->key_len < 6 || memcmp(key, "room:", 5) != 0)
        return;
    uint64_t id = hash64(key + 5, m->key_len - 5, 3) | 1;
    json_t *root = m->len ? json_loadb(m->payload, m->len, 0, NULL) : NULL;
    const char *status = json_string_value(json_object_get(root, "status"));
    struct lifetime *l = map_find(&a->rooms, id);
    if (!l) {
        l = calloc(1, sizeof *l);
        if (!l)
            abort();
        map_put(&a->rooms, id, l);
    }
    if (!status || strcmp(status, "open") != 0)
        l->closed_ms = l->closed_ms ? l->closed_ms : ts_ms;
    json_decref(root);
}

/* The newest fact of one of two kinds that the event at `offset` already had behind it. */
static const struct fact *fact_at(const struct audit *a, struct slice user, enum entity_kind kind, const char *id, int64_t offset,
                                  enum fact_kind one, enum fact_kind other)
{
    uint64_t forgotten = (uint64_t)(uintptr_t)map_find(&a->forgets, hash64(user.at, user.size, 5) | 1);
    const struct fact *f = id ? map_find(&a->facts, pair_of(user, kind, slice_of(id))) : NULL;
    while (f && (f->offset > offset || (f->kind != one && f->kind != other)))
        f = f->before;
    return f && (uint64_t)f->offset + 1 > forgotten ? f : NULL;
}

static void audit_place(struct audit *a, const rd_kafka_message_t *m, struct slice user, const json_t *place, int64_t offset, int64_t ts_ms, bool room)
{
    const char *id = json_string_value(json_object_get(place, "id")), *host = json_string_value(json_object_get(place, "host"));
    const char *item = room ? json_string_value(json_object_get(place, "item")) : id;
    const struct lifetime *l = room && id ? map_find(&a->rooms, hash64(id, strlen(id), 3) | 1) : NULL;
    const struct fact *owned = fact_at(a, user, ENTITY_ITEM, item, offset, FACT_OWNED, FACT_REFUNDED), *f;
    double sum = 0;
    size_t i;
    json_t *reason;
    a->places++;
    if (l && l->closed_ms && ts_ms > l->closed_ms + GRACE_MS)
        fault(a, "closed_room", m, id);
    if (owned && owned->kind == FACT_OWNED)
        fault(a, "owned_item", m, item);
    if ((f = fact_at(a, user, ENTITY_ROOM, room ? id : NULL, offset, FACT_REFUSED, FACT_ALLOWED)) || (f = fact_at(a, user, ENTITY_ITEM, item, offset, FACT_REFUSED, FACT_ALLOWED)))
        fault(a, "blocked", m, id);
    f = fact_at(a, user, ENTITY_HOST, host, offset, FACT_REFUSED, FACT_ALLOWED);
    if (f && f->kind == FACT_REFUSED)
        fault(a, "blocked_host", m, host);
    f = fact_at(a, user, ENTITY_ROOM, room ? id : NULL, offset, FACT_SHOWN, FACT_SHOWN);
    if (f && ts_ms - f->ts_ms < a->settings.daemon.worker.recommend.pause_ms - GRACE_MS)
        fault(a, "shown_within_pause", m, id);
    json_array_foreach(json_object_get(place, "reasons"), i, reason)
        sum += json_number_value(json_object_get(reason, "part"));
    if (fabs(sum - json_number_value(json_object_get(place, "score"))) > 0.0006)
        fault(a, "reasons_do_not_add_up", m, id);
}

static void on_recommendation(struct audit *a, const rd_kafka_message_t *m, int64_t record_ms)
{
    int partition;
    long long offset;
    size_t i;
    json_t *root = m->len ? json_loadb(m->payload, m->len, 0, NULL) : NULL, *place;
    const char *rec = json_string_value(json_object_get(root, "rec"));
    struct slice user = {m->key, (uint32_t)m->key_len};
    int64_t ts_ms = json_integer_value(json_object_get(root, "ts"));
    if (rec && sscanf(rec, "%d-%lld-", &partition, &offset) == 2) {
        a->recommendations++;
        json_array_foreach(json_object_get(root, "rooms"), i, place)
            audit_place(a, m, user, place, offset, ts_ms, true);
        json_array_foreach(json_object_get(root, "items"), i, place)
            audit_place(a, m, user, place, offset, ts_ms, false);
    } else if (m->len) {
        fault(a, "unreadable", m, "no rec");
    }
    json_decref(root);
}

static void on_snapshot(struct audit *a, const rd_kafka_message_t *m, int64_t record_ms)
{
    json_t *root = m->len ? json_loadb(m->payload, m->len, 0, NULL) : NULL, *room;
    const json_t *rooms = json_object_get(root, "rooms");
    const struct allocation_settings *s = &a->settings.daemon.worker.allocation;
    double sum = 0, count = (double)json_array_size(rooms), cap = s->cap_ppm / 1e6;
    size_t i;
    cap = count > 0 && cap < 1 / count ? 1 / count : cap;
    json_array_foreach(rooms, i, room) {
        const char *id = json_string_value(json_object_get(room, "id"));
        double weight = json_number_value(json_object_get(room, "weight"));
        const struct lifetime *l = id ? map_find(&a->rooms, hash64(id, strlen(id), 3) | 1) : NULL;
        a->weights++;
        sum += weight;
        if (weight > cap + 2e-6 && !json_is_true(json_object_get(room, "held")))
            fault(a, "above_cap", m, id);
        if (weight < 0)
            fault(a, "negative_weight", m, id);
        if (l && l->closed_ms && json_integer_value(json_object_get(root, "ts")) > l->closed_ms + GRACE_MS)
            fault(a, "weight_of_closed_room", m, id);
    }
    a->snapshots++;
    if (count > 0 && fabs(sum - 1) > 1e-4)
        fault(a, "weights_do_not_sum_to_one", m, "sum");
    json_decref(root);
}

/* Everything that stands in a topic now. False when it cannot be read. */
static bool read_topic(struct audit *a, rd_kafka_t *client, enum topic topic, record_handler *handle)
{
    const char *name = a->settings.daemon.kafka.topics[topic];
    const struct rd_kafka_metadata *meta;
    rd_kafka_topic_t *t = rd_kafka_topic_new(client, name, NULL);
    int partitions = 0;
    if (rd_kafka_metadata(client, 0, t, &meta, ANSWER_MS) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        partitions = meta->topic_cnt ? meta->topics[0].partition_cnt : 0;
        rd_kafka_metadata_destroy(meta);
    }
    bool ok = partitions > 0;
    for (int p = 0; ok && p < partitions; p++) {
        int64_t low, high, reached;
        ok = rd_kafka_query_watermark_offsets(client, name, p, &low, &high, ANSWER_MS) == RD_KAFKA_RESP_ERR_NO_ERROR;
        if (!ok || low == high)
            continue;
        rd_kafka_consume_start(t, p, low);
        int silent_ms = 0;
        for (reached = low; reached < high && silent_ms < SILENCE_MS;) {
            rd_kafka_message_t *m = rd_kafka_consume(t, p, 100);
            silent_ms = m ? 0 : silent_ms + 100;
            if (m && !m->err) {
                handle(a, m, rd_kafka_message_timestamp(m, NULL));
                reached = m->offset + 1;
            } else if (m && m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
                reached = high;
            }
            if (m)
                rd_kafka_message_destroy(m);
        }
        rd_kafka_consume_stop(t, p);
    }
    rd_kafka_topic_destroy(t);
    if (!ok)
        fprintf(stderr, "sluice audit: %s cannot be read\n", name);
    return ok;
}

static rd_kafka_t *open_client(const struct kafka_log_settings *k)
{
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    bool ok = rd_kafka_conf_set(conf, "bootstrap.servers", k->brokers, why, sizeof why) == RD_KAFKA_CONF_OK &&
              rd_kafka_conf_set(conf, "enable.partition.eof", "true", why, sizeof why) == RD_KAFKA_CONF_OK &&
              rd_kafka_conf_set(conf, "fetch.wait.max.ms", "10", why, sizeof why) == RD_KAFKA_CONF_OK;
    for (int i = 0; ok && i < k->property_count; i++)
        ok = rd_kafka_conf_set(conf, k->properties[i].name, k->properties[i].value, why, sizeof why) == RD_KAFKA_CONF_OK;
    rd_kafka_t *client = ok ? rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why) : NULL;
    if (!client)
        fprintf(stderr, "sluice audit: %s\n", why);
    return client;
}

int verb_audit(int argc, char **argv)
{
    struct audit *a = calloc(1, sizeof *a);
    if (!a)
        return 1;
    if (!connect_options(&argc, argv, &a->settings))
        return EXIT_CONFIG;
    if (!is_all_taken(argc, argv, 0))
        return EXIT_USAGE;
    rd_kafka_t *client = open_client(&a->settings.daemon.kafka);
    bool ok = client && read_topic(a, client, TOPIC_CATALOG, on_catalog) && read_topic(a, client, TOPIC_EVENTS, on_event) &&
              read_topic(a, client, TOPIC_RECOMMENDATIONS, on_recommendation) && read_topic(a, client, TOPIC_TRAFFIC_SNAPSHOT, on_snapshot);
    if (ok)
        printf("%llu recommendations with %llu places, %llu snapshots with %llu weights: %llu faults\n", (unsigned long long)a->recommendations,
               (unsigned long long)a->places, (unsigned long long)a->snapshots, (unsigned long long)a->weights, (unsigned long long)a->faults);
    if (client)
        rd_kafka_destroy(client);
    return ok && a->faults == 0 && a->recommendations + a->snapshots > 0 ? 0 : 1;
}
