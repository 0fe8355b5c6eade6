/*
 * audit: reads the logs and says which outputs break a rule. A recommendation names the event it follows (partition and
 * offset), so that the user's state at that moment is known exactly: everything of that partition up to that offset.
 * Rooms and items are told by the catalog, which workers read at their own pace: what it says is a fault only GRACE_MS
 * after the record that said so.
 */
#include "server/verbs/audit.h"

#include "server/io/kafka_client.h"
#include "server/verbs/connect.h"
#include "server/verbs/verb.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define SILENCE_MS 3000
#define ANSWER_MS 10000
#define PRINTED_MAX 100
#define PLACES_MAX 64

typedef void record_handler(struct audit *a, const rd_kafka_message_t *m, int64_t ts_ms);

void audit_fault(struct audit *a, const char *rule, const char *topic, int32_t partition, int64_t offset, const char *what)
{
    if (a->faults++ < PRINTED_MAX)
        printf("%s partition %d offset %lld: %s: %s\n", topic, (int)partition, (long long)offset, rule, what);
}

/* One list being looked at. */
struct list {
    struct audit *a;
    const rd_kafka_message_t *m;
    struct slice user;
    int64_t offset; /* of the event it follows */
    int64_t ts_ms;
    uint64_t hosts[PLACES_MAX], categories[PLACES_MAX]; /* of its rooms */
    uint32_t count;
};

static void fault(const struct list *l, const char *rule, const char *what)
{
    audit_fault(l->a, rule, rd_kafka_topic_name(l->m->rkt), l->m->partition, l->m->offset, what ? what : "");
}

static void audit_item(const struct list *l, const char *item)
{
    const struct fact *owned = audit_fact(l->a, l->user, ENTITY_ITEM, item, l->offset, FACT_OWNED, FACT_REFUNDED);
    const struct entry *e = audit_entry(l->a, ENTITY_ITEM, item);
    if (owned && owned->kind == FACT_OWNED)
        fault(l, "owned_item", item);
    if (audit_fact(l->a, l->user, ENTITY_ITEM, item, l->offset, FACT_REFUSED, FACT_REFUSED))
        fault(l, "blocked", item);
    if (e && e->restricted_ms && l->ts_ms > e->restricted_ms + GRACE_MS)
        fault(l, "restricted", item);
}

static void audit_host(const struct list *l, const char *host)
{
    const struct fact *f = audit_fact(l->a, l->user, ENTITY_HOST, host, l->offset, FACT_REFUSED, FACT_ALLOWED);
    if (f && f->kind == FACT_REFUSED)
        fault(l, "blocked_host", host);
}

static void audit_room(struct list *l, const char *id, const char *host)
{
    const struct recommend_settings *s = &l->a->settings.daemon.worker.recommend;
    const struct entry *e = audit_entry(l->a, ENTITY_ROOM, id);
    const struct fact *f = audit_fact(l->a, l->user, ENTITY_ROOM, id, l->offset, FACT_SHOWN, FACT_SHOWN);
    uint32_t same_host = 0, same_category = 0;
    if (e && e->closed_ms && l->ts_ms > e->closed_ms + GRACE_MS)
        fault(l, "closed_room", id);
    if (audit_fact(l->a, l->user, ENTITY_ROOM, id, l->offset, FACT_REFUSED, FACT_REFUSED))
        fault(l, "blocked", id);
    if (f && l->ts_ms - f->ts_ms < s->pause_ms - GRACE_MS)
        fault(l, "shown_within_pause", id);
    if (!host || l->count == PLACES_MAX)
        return;
    uint64_t host_key = audit_key(ENTITY_HOST, host, strlen(host)), category = e ? e->category : 0;
    for (uint32_t i = 0; i < l->count; i++) {
        same_host += l->hosts[i] == host_key;
        same_category += category && l->categories[i] == category;
    }
    l->hosts[l->count] = host_key;
    l->categories[l->count++] = category;
    if (same_host >= s->per_host)
        fault(l, "too_many_of_one_host", host);
    if (same_category >= s->per_category)
        fault(l, "too_many_of_one_category", id);
}

static void audit_place(struct list *l, const json_t *place, enum entity_kind kind)
{
    const char *id = json_string_value(json_object_get(place, "id")), *host = json_string_value(json_object_get(place, "host"));
    double sum = 0;
    size_t i;
    json_t *reason;
    l->a->places++;
    if (kind == ENTITY_ROOM)
        audit_room(l, id, host);
    audit_host(l, kind == ENTITY_HOST ? id : host);
    audit_item(l, kind == ENTITY_ITEM ? id : json_string_value(json_object_get(place, "item")));
    json_array_foreach(json_object_get(place, "reasons"), i, reason)
        sum += json_number_value(json_object_get(reason, "part"));
    if (fabs(sum - json_number_value(json_object_get(place, "score"))) > 0.0006)
        fault(l, "reasons_do_not_add_up", id);
}

static void on_recommendation(struct audit *a, const rd_kafka_message_t *m, int64_t record_ms)
{
    static const struct {
        const char *name;
        enum entity_kind kind;
    } lists[] = {{"rooms", ENTITY_ROOM}, {"items", ENTITY_ITEM}, {"hosts", ENTITY_HOST}};
    int partition;
    long long offset;
    json_t *root = m->len ? json_loadb(m->payload, m->len, 0, NULL) : NULL, *place;
    const char *rec = json_string_value(json_object_get(root, "rec"));
    struct list l = {.a = a, .m = m, .user = {m->key, (uint32_t)m->key_len}, .ts_ms = json_integer_value(json_object_get(root, "ts"))};
    if (rec && sscanf(rec, "%d-%lld-", &partition, &offset) == 2) {
        a->recommendations++;
        l.offset = offset;
        for (int k = 0; k < 3; k++) {
            size_t i;
            json_array_foreach(json_object_get(root, lists[k].name), i, place)
                audit_place(&l, place, lists[k].kind);
        }
    } else if (m->len) {
        fault(&l, "unreadable", "no rec");
    }
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
    const char *options[] = {"enable.partition.eof", "true", "fetch.wait.max.ms", "10", NULL};
    rd_kafka_t *client = kafka_client_open(k, RD_KAFKA_CONSUMER, options, why);
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
    bool ok = client && read_topic(a, client, TOPIC_CATALOG, audit_catalog) && read_topic(a, client, TOPIC_EVENTS, audit_event) &&
              read_topic(a, client, TOPIC_RECOMMENDATIONS, on_recommendation) && read_topic(a, client, TOPIC_TRAFFIC_SNAPSHOT, audit_snapshot) &&
              read_topic(a, client, TOPIC_TRAFFIC, audit_weight);
    audit_steps(a);
    if (ok)
        printf("%llu recommendations with %llu places, %llu snapshots with %llu weights, %llu steps: %llu faults\n", (unsigned long long)a->recommendations,
               (unsigned long long)a->places, (unsigned long long)a->snapshots, (unsigned long long)a->shares, (unsigned long long)a->steps,
               (unsigned long long)a->faults);
    if (client)
        rd_kafka_destroy(client);
    return ok && a->faults == 0 && a->recommendations + a->snapshots > 0 ? 0 : 1;
}
