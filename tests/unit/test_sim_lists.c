/* Similarity lists of entity tasks in several workers: the cosine needs counts that the other worker holds. */
#include "tests/unit/check.h"

#include "server/engine/entity_id.h"
#include "server/worker/memory_worker.h"

#include <stdlib.h>

#define ITEMS 8
#define USERS 30

struct world {
    struct worker_settings settings;
    struct memory_worker workers[2]; /* over the logs and the store of the first */
    int count;
    int64_t now_ms;
};

static void add_worker(struct world *s, const struct topic_partition *list, size_t tasks)
{
    struct memory_worker *o = &s->workers[s->count++];
    o->cluster = s->workers[0].cluster;
    o->redis = s->workers[0].redis;
    memory_worker_start(o, &s->settings, (uint64_t)s->count);
    worker_assigned(o->worker, list, tasks, s->now_ms);
    for (int i = 0; i < 2 * ITEMS; i++) {
        char key[32];
        const char *value = i % 2 ? "{\"v\":1,\"fans\":5}" : "{\"v\":1,\"format\":\"course\",\"tags\":[\"t\"]}";
        snprintf(key, sizeof key, "%s%d", i % 2 ? "host:h" : "item:c", i / 2);
        struct record r = {.topic = TOPIC_CATALOG, .offset = i, .timestamp_ms = s->now_ms, .key = slice_of(key), .value = slice_of(value)};
        worker_table_record(o->worker, &r, s->now_ms);
    }
    worker_tables_ready(o->worker);
}

static void open_world(struct world *s, bool apart)
{
    static const struct topic_partition all[] = {{TOPIC_EVENTS, 0}, {TOPIC_EFFECTS, 0}, {TOPIC_EFFECTS, 1}}, rest[] = {{TOPIC_EFFECTS, 1}};
    static const int32_t partitions[TOPIC_INPUTS] = {1, 2, 1, 1};
    *s = (struct world){.now_ms = 1732370000000};
    worker_settings_default(&s->settings);
    s->settings.user_key_size = 16;
    memory_worker_open(&s->workers[0], partitions);
    add_worker(s, all, apart ? 2 : 3);
    if (apart)
        add_worker(s, rest, 1);
    memory_redis_init(s->workers[0].redis, &s->settings, memory_log_port(s->workers[0].log));
    for (int i = 0; i < s->count; i++) /* claimed before init: once more */
        worker_assigned(s->workers[i].worker, NULL, 0, s->now_ms), worker_assigned(s->workers[i].worker, i ? rest : all, i ? 1 : apart ? 2 : 3, s->now_ms);
}

static void close_world(struct world *s)
{
    for (int i = 1; i < s->count; i++)
        memory_worker_stop(&s->workers[i], s->now_ms);
    memory_worker_close(&s->workers[0], s->now_ms);
}

static void run(struct world *s, int turns)
{
    while (turns-- > 0) {
        s->now_ms += 50;
        for (int i = 0; i < s->count; i++) {
            struct memory_worker *o = &s->workers[i];
            memory_log_set_now(o->log, s->now_ms);
            memory_log_deliver(o->log, o->worker, 1000, s->now_ms);
            memory_store_deliver(o->store, o->worker, 1000, s->now_ms);
            worker_turn(o->worker, s->now_ms);
        }
    }
}

/* Each user touches a few items, the first ones most of all, with actions of different weight. */
static void act(struct world *s)
{
    static const char *const types[] = {"browse", "cart", "like"};
    int n = 0;
    for (int u = 0; u < USERS; u++)
        for (int i = 0; i < ITEMS; i++) {
            char user[16], value[300];
            if ((u * 7 + i * i) % (i + 2))
                continue;
            snprintf(user, sizeof user, "u%d", u);
            snprintf(value, sizeof value, "{\"v\":1,\"id\":\"e%d\",\"ts\":%lld,\"type\":\"%s\",\"user\":\"%s\",\"scene\":\"home\",\"item\":\"c%d\",\"host\":\"h%d\"}", n++,
                     (long long)s->now_ms, types[(u + i) % 3], user, i, i);
            memory_append(s->workers[0].cluster, TOPIC_EVENTS, 0, slice_of(user), slice_of(value), s->now_ms);
        }
}

static struct slice list_of(struct world *s, const char *prefix, const char *name)
{
    char key[24];
    snprintf(key, sizeof key, "%s%s", prefix, name);
    return memory_redis_view(s->workers[0].redis, slice_of(key));
}

static void check_lists(struct world *one, struct world *two, enum entity_kind kind, const char *prefix)
{
    int apart = 0, lists = 0;
    for (int i = 0; i < ITEMS; i++) {
        char name[8];
        snprintf(name, sizeof name, "%c%d", kind == ENTITY_HOST ? 'h' : 'c', i);
        struct slice a = list_of(one, prefix, name), b = list_of(two, prefix, name);
        apart += entity_partition(entity_id_of(kind, slice_of(name)), 2);
        lists += a.size > 0;
        CHECK(slice_equal(a, b));
        if (!slice_equal(a, b))
            fprintf(stderr, "of one:\n%.*sof two:\n%.*s", (int)a.size, a.at, (int)b.size, b.at);
        for (uint32_t k = 1; k < a.size; k++) /* of its own kind */
            CHECK(a.at[k - 1] != '\n' || a.at[k] == name[0]);
    }
    CHECK(lists > 4 && apart > 1 && apart < ITEMS - 1); /* both workers have some */
}

static void test_lists_of_two_workers_are_those_of_one(void)
{
    struct world one, two;
    open_world(&one, false);
    open_world(&two, true);
    act(&one);
    act(&two);
    run(&one, 400); /* 20 s: twice list_ms after the first lists, and no event in between */
    run(&two, 400);
    check_lists(&one, &two, ENTITY_ITEM, "sim:");
    check_lists(&one, &two, ENTITY_HOST, "sim:host:");
    close_world(&one);
    close_world(&two);
}

int main(void)
{
    test_lists_of_two_workers_are_those_of_one();
    return checks_failed != 0;
}
