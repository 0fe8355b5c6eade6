/*
 * The whole worker under the reference job, on virtual time and without Kafka or Redis: what sluice itself spends on an
 * event, however busy the machine is otherwise. Time counts only inside worker_turn(); views are dropped.
 *
 *   bench_worker CONFIG [EVENTS] [EVENTS A MS] [star]     star: a tenth of all events in one room
 */
#include "common/check.h"
#include "server/settings/settings.h"
#include "server/simulate/reference.h"
#include "server/worker/memory_log.h"
#include "server/worker/memory_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STEP_MS 5
#define START_MS 1732370000000ll

struct bench {
    struct memory_cluster *cluster;
    struct memory_log *log;
    struct memory_redis *redis;
    struct memory_store *store;
    struct store_port port; /* of the store, without views */
    struct worker *worker;
    int64_t now_ms;
    double cpu_s;
    uint64_t views, view_bytes;
};

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct bench bench;
static const struct store_port *under;

static void submit(void *self, struct store_request *r)
{
    under->submit(under->self, r);
}

static void reset(void *self, enum stage stage, int32_t partition)
{
    under->reset(under->self, stage, partition);
}

static void write_view(void *self, const struct view_write *write)
{
    bench.views++;
    bench.view_bytes += write->value.size;
    for (int i = 0; i < write->field_count; i++)
        bench.view_bytes += write->fields[i].size;
}

static size_t bytes_in_flight(void *self)
{
    return under->bytes_in_flight(under->self);
}

static void open_bench(struct bench *b, const struct worker_settings *settings, const int32_t partitions[TOPICS])
{
    b->cluster = memory_cluster_create(partitions);
    b->log = memory_log_create(b->cluster);
    b->redis = memory_redis_create();
    b->store = memory_store_create(b->redis);
    under = memory_store_port(b->store);
    b->port = *under;
    b->port.submit = submit;
    b->port.reset = reset;
    b->port.write_view = write_view;
    b->port.bytes_in_flight = bytes_in_flight;
    memory_redis_init(b->redis, settings, memory_log_port(b->log));
    b->worker = worker_create(settings, memory_log_port(b->log), &b->port, 1);
    b->now_ms = START_MS;
}

static void step(struct bench *b)
{
    b->now_ms += STEP_MS;
    memory_log_set_now(b->log, b->now_ms);
    memory_log_deliver(b->log, b->worker, 4096, b->now_ms);
    memory_store_deliver(b->store, b->worker, 10000, b->now_ms);
    double begin = cpu_s();
    worker_turn(b->worker, b->now_ms);
    b->cpu_s += cpu_s() - begin;
}

static void assign(struct bench *b, const int32_t partitions[TOPICS])
{
    struct topic_partition list[64];
    size_t n = 0;
    for (int t = 0; t < 2; t++)
        for (int32_t p = 0; p < partitions[t]; p++)
            list[n++] = (struct topic_partition){(enum topic)t, p};
    worker_assigned(b->worker, list, n, b->now_ms);
    for (int i = 0; i < 20; i++)
        step(b);
}

static void add_catalog(struct bench *b)
{
    static const char value[] = "{\"v\":1,\"title\":\"x\",\"category\":\"a\",\"tags\":[],\"format\":\"course\",\"price\":1,\"currency\":\"CNY\"}";
    for (int i = 0; i < 10000; i++) {
        char key[24];
        snprintf(key, sizeof key, "item:c_%d", i);
        struct record r = {.topic = TOPIC_CATALOG, .offset = i, .timestamp_ms = START_MS, .key = slice_of(key), .value = slice_of(value)};
        worker_table_record(b->worker, &r, b->now_ms);
    }
    worker_tables_ready(b->worker);
}

static void append(struct bench *b, const struct reference *r, bool star)
{
    char text[sizeof r->value + 8];
    struct slice value = {r->value, r->value_size};
    const char *room = star ? memmem(r->value, r->value_size, "\"r_", 3) : NULL;
    if (room) {
        int head = (int)(room - r->value), tail = (int)strcspn(room + 1, "\"") + 2;
        value.size = (uint32_t)snprintf(text, sizeof text, "%.*s\"r_0\"%.*s", head, r->value,
                                        (int)r->value_size - head - tail, room + tail);
        value.at = text;
    }
    memory_append(b->cluster, TOPIC_EVENTS, -1, (struct slice){r->key, r->key_size}, value, START_MS + (int64_t)(r->next / 20));
}

static void report(struct bench *b, long events)
{
    const struct worker_counts *c = worker_get_counts(b->worker);
    double per = 1.0 / (double)events;
    printf("{\"worker.ns_per_event\":%.0f,\"worker.effects_records_per_event\":%.4f,\"worker.effects_bytes_per_event\":%.1f,"
           "\"worker.pair_deltas\":%llu,\"worker.ratings_raised\":%llu,\"worker.entries_applied\":%llu,"
           "\"worker.commit_keys_per_event\":%.3f,\"worker.views_per_event\":%.3f,\"worker.view_bytes_per_event\":%.0f}\n",
           b->cpu_s * per * 1e9, (double)c->produced[TOPIC_EFFECTS] * per, (double)c->produced_bytes[TOPIC_EFFECTS] * per,
           (unsigned long long)c->pair_deltas, (unsigned long long)c->ratings_raised, (unsigned long long)c->entries_applied,
           (double)c->commit_keys * per, (double)b->views * per, (double)b->view_bytes * per);
}

int main(int argc, char **argv)
{
    static struct settings settings;
    int32_t partitions[TOPICS];
    long events = argc > 2 ? atol(argv[2]) : 3000000, a_ms = argc > 3 ? atol(argv[3]) : 100;
    bool star = argc > 4 && strcmp(argv[4], "star") == 0;
    struct reference r;
    settings_init(&settings);
    if (argc < 2 || !settings_load(&settings, argv[1], stderr) || !settings_finish(&settings, stderr))
        return 64;
    for (int t = 0; t < TOPICS; t++)
        partitions[t] = t < 2 ? 4 : 1;
    open_bench(&bench, &settings.daemon.worker, partitions);
    add_catalog(&bench);
    assign(&bench, partitions);
    bench.cpu_s = 0;
    reference_init(&r);
    for (long n = 0; n < events;) {
        for (long k = 0; k < a_ms * STEP_MS && n < events; k++, n++) {
            reference_next(&r);
            append(&bench, &r, star && n % 10 == 0);
        }
        step(&bench);
    }
    for (int still = 0; still < 100; still++) /* what is under way */
        step(&bench);
    report(&bench, events);
    return worker_get_counts(bench.worker)->applied != (uint64_t)events;
}
