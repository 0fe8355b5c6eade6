/*
 * audit: reads the logs and says which outputs break a rule. A recommendation names the event it follows (partition and
 * offset), so that the user's state at that moment is known exactly: everything of that partition up to that offset.
 * Rooms and items are told by the catalog, which workers read at their own pace: what it says is a fault only GRACE_MS
 * after the record that said so.
 */
#include "server/verbs/audit.h"

#include "server/verbs/connect.h"
#include "server/verbs/read_log.h"
#include "server/verbs/verb.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

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

struct reading {
    struct audit *a;
    record_handler *handle;
};

static void on_record(void *arg, const rd_kafka_message_t *m)
{
    const struct reading *r = arg;
    r->handle(r->a, m, rd_kafka_message_timestamp(m, NULL));
}

static bool read_topic(struct audit *a, rd_kafka_t *client, enum topic topic, record_handler *handle)
{
    struct reading reading = {a, handle};
    const struct read_log what = {.topic = a->settings.daemon.kafka.topics[topic], .each = on_record, .arg = &reading};
    bool ok = read_log(client, &what);
    if (!ok)
        fprintf(stderr, "sluice audit: %s cannot be read\n", what.topic);
    return ok;
}

int verb_audit(int argc, char **argv)
{
    static struct audit audit; /* what was read is kept until the process ends */
    struct audit *a = &audit;
    if (!connect_options(&argc, argv, &a->settings))
        return EXIT_CONFIG;
    if (!is_all_taken(&argc, argv, 0))
        return EXIT_USAGE;
    rd_kafka_t *client = read_log_open(&a->settings.daemon.kafka, "audit");
    bool ok = client && read_topic(a, client, TOPIC_CATALOG, audit_catalog) && read_topic(a, client, TOPIC_EVENTS, audit_event) &&
              read_topic(a, client, TOPIC_RECOMMENDATIONS, on_recommendation) && read_topic(a, client, TOPIC_TRAFFIC_SNAPSHOT, audit_snapshot) &&
              read_topic(a, client, TOPIC_TRAFFIC, audit_weight);
    audit_steps(a);
    if (ok && a->mistaken)
        printf("%llu events were dropped: another's id has the same %d bits\n", (unsigned long long)a->mistaken, DEDUPE_BITS);
    if (ok)
        printf("%llu recommendations with %llu places, %llu snapshots with %llu weights, %llu steps: %llu faults\n", (unsigned long long)a->recommendations,
               (unsigned long long)a->places, (unsigned long long)a->snapshots, (unsigned long long)a->shares, (unsigned long long)a->steps,
               (unsigned long long)a->faults);
    if (ok && a->recommendations + a->snapshots == 0)
        fputs("sluice audit: there is nothing to judge in the topics\n", stderr);
    if (client)
        rd_kafka_destroy(client);
    return ok && a->faults == 0 && a->recommendations + a->snapshots > 0 ? 0 : 1;
}
