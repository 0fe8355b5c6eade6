/*
 * bench_growth USERS ITEMS EVENTS: CPU per event of a whole worker (decoding, loading, folding, effects, similarity
 * counts, commits; no Kafka, no Redis, no ranking) over so many users and items, all of whom have ordinary state in the
 * store. Users and items are drawn as in the reference job, 5,000 events a second of virtual time.
 */
#include "common/hash.h"
#include "common/hmac.h"
#include "server/worker/memory_worker.h"
#include "tests/bench/ordinary.h"
#include "tests/bench/cpu.h"

#include <stdio.h>
#include <stdlib.h>

enum { PARTITIONS = 4, KINDS = 1000, STEP_MS = 20, STEP_EVENTS = 100 };

struct world {
    struct worker_settings settings;
    struct memory_worker in;
    uint64_t users, items, seed, events;
    int64_t now_ms;
};

static double draw(struct world *w)
{
    w->seed = hash_mix(w->seed + 0x9e3779b97f4a7c15u);
    return (double)(w->seed >> 11) * 0x1p-53;
}

static void store_users(struct world *w)
{
    static struct writer blobs[KINDS];
    struct user_hmac *hmac = user_hmac_create((struct slice){(char *)w->settings.user_key, w->settings.user_key_size});
    for (uint64_t i = 0; i < KINDS; i++)
        ordinary_user(i, w->items, &blobs[i]);
    for (uint64_t i = 0; i < w->users; i++) {
        char user[24];
        uint8_t key[USER_KEY_BYTES];
        struct blob_key blob = {.class = 'u'};
        int size = snprintf(user, sizeof user, "u_%llu", (unsigned long long)i);
        user_hmac_of(hmac, slice_of(user), key);
        memcpy(&blob.id, key, sizeof blob.id);
        memory_redis_put(w->in.redis, STAGE_PROFILE, kafka_partition(user, (size_t)size, PARTITIONS), blob,
                         (struct slice){(char *)blobs[i % KINDS].data, (uint32_t)blobs[i % KINDS].size});
    }
    for (int i = 0; i < KINDS; i++)
        writer_fini(&blobs[i]);
    user_hmac_destroy(hmac);
}

/* A thousand different states, under the keys of all items. */
static void store_items(struct world *w)
{
    static struct writer counters[KINDS], neighbours[KINDS];
    uint64_t kinds = w->items < KINDS ? w->items : KINDS;
    for (uint64_t i = 0; i < kinds; i++) {
        ordinary_counters(i, &counters[i]);
        ordinary_neighbours(i, w->settings.entity.neighbours, &neighbours[i]);
    }
    for (uint64_t i = 0; i < w->items; i++) {
        char name[24];
        snprintf(name, sizeof name, "c_%llu", (unsigned long long)i);
        entity_id id = entity_id_of(ENTITY_ITEM, slice_of(name));
        const struct writer *c = &counters[i % kinds], *n = &neighbours[i % kinds];
        int32_t partition = entity_partition(id, PARTITIONS);
        memory_redis_put(w->in.redis, STAGE_ENTITY, partition, (struct blob_key){'c', id}, (struct slice){(char *)c->data, (uint32_t)c->size});
        memory_redis_put(w->in.redis, STAGE_ENTITY, partition, (struct blob_key){'n', id}, (struct slice){(char *)n->data, (uint32_t)n->size});
    }
    for (uint64_t i = 0; i < kinds; i++) {
        writer_fini(&counters[i]);
        writer_fini(&neighbours[i]);
    }
}

static void append_event(struct world *w)
{
    static const char *const types[16] = {"watch", "watch", "watch", "watch", "enter", "click", "chat", "like",
                                          "vote", "gift", "cart", "purchase", "impression", "impression", "leave", "question"};
    char value[400], user[24];
    double u = draw(w), v = draw(w);
    unsigned long long item = (unsigned long long)((double)w->items * v * v * v), room = item % 2000;
    snprintf(user, sizeof user, "u_%llu", (unsigned long long)((double)w->users * u * u));
    int size = snprintf(value, sizeof value,
                        "{\"v\":1,\"id\":\"e%llu\",\"ts\":%lld,\"type\":\"%s\",\"user\":\"%s\",\"room\":\"r_%llu\",\"host\":\"h_%llu\",\"item\":\"c_%llu\",\"scene\":\"home\","
                        "\"dwell_ms\":%d,\"option\":\"a\",\"order\":\"o%llu\",\"amount\":100,\"currency\":\"CNY\"}",
                        (unsigned long long)w->events, (long long)w->now_ms, types[(int)(draw(w) * 16)], user, room, room % 700, item,
                        (int)(draw(w) * 60000), (unsigned long long)w->events);
    memory_append(w->in.cluster, TOPIC_EVENTS, -1, slice_of(user), (struct slice){value, (uint32_t)size}, w->now_ms);
    w->events++;
}

/* Answers the CPU time of the worker alone: log and store are other programs' work. */
static double step(struct world *w)
{
    double cpu = 0;
    w->now_ms += STEP_MS;
    memory_log_set_now(w->in.log, w->now_ms);
    for (int i = 0; i < 4; i++) { /* loads, folds, commits and the entity stage's share */
        memory_log_deliver(w->in.log, w->in.worker, 10000, w->now_ms);
        memory_store_deliver(w->in.store, w->in.worker, 10000, w->now_ms);
        double start = cpu_ns();
        worker_turn(w->in.worker, w->now_ms);
        cpu += cpu_ns() - start;
    }
    return cpu;
}

static void open_world(struct world *w)
{
    static const int32_t partitions[TOPIC_INPUTS] = {PARTITIONS, PARTITIONS, 1, 1};
    struct topic_partition all[2 * PARTITIONS];
    for (int i = 0; i < 2 * PARTITIONS; i++)
        all[i] = (struct topic_partition){i < PARTITIONS ? TOPIC_EVENTS : TOPIC_EFFECTS, i % PARTITIONS};
    worker_settings_default(&w->settings);
    w->settings.user_key_size = 16;
    w->settings.profile.late_ms_max = INT64_MAX / 4;
    memory_worker_open(&w->in, partitions);
    memory_worker_start(&w->in, &w->settings, 1);
    memory_redis_init(w->in.redis, &w->settings, memory_log_port(w->in.log));
    store_users(w);
    store_items(w);
    worker_assigned(w->in.worker, all, 2 * PARTITIONS, w->now_ms);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    struct world w = {.users = strtoull(argv[1], NULL, 10), .items = strtoull(argv[2], NULL, 10), .seed = 7, .now_ms = 1732543000000};
    uint64_t events = strtoull(argv[3], NULL, 10);
    open_world(&w);
    double cpu = 0;
    uint64_t from = 0;
    for (uint64_t n = 0; n < events / STEP_EVENTS; n++) {
        for (int i = 0; i < STEP_EVENTS; i++)
            append_event(&w);
        double spent = step(&w);
        if (n >= events / STEP_EVENTS / 2) /* warm from here on */
            cpu += spent;
        else
            from = worker_get_counts(w.in.worker)->applied;
    }
    const struct worker_counts *c = worker_get_counts(w.in.worker);
    printf("{\"ns_per_event\":%.0f,\"load_keys_per_event\":%.2f,\"commit_keys_per_event\":%.2f,\"applied\":%llu,\"entries\":%llu}\n",
           cpu / (double)(c->applied - from), (double)c->load_keys / (double)c->applied, (double)c->commit_keys / (double)c->applied,
           (unsigned long long)c->applied, (unsigned long long)c->entries_applied);
    return c->applied < events * 9 / 10 || c->entries_applied == 0 || c->halts[0];
}
