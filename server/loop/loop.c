/*
 * Every step_ms of virtual time: the world acts, its records go into the log, the worker takes turns until nothing is
 * left to read, and what it published is handed to the world before the next step. What has been read by everybody is
 * trimmed, so that memory does not grow with the length of the run.
 */
#include "server/loop/loop.h"

#include "common/check.h"
#include "server/simulate/line.h"
#include "server/simulate/listener.h"
#include "server/worker/memory_worker.h"

#include <stdlib.h>

#define ROUNDS_MAX 8 /* turns within a step; what is left waits for the next */
#define TASKS_MAX 64
#define TRIM_KEPT 16 /* a task looks at the record before its position when it starts */

static const enum topic heard_as[HEARDS] = {TOPIC_RECOMMENDATIONS, TOPIC_TRAFFIC, TOPIC_SEGMENTS, TOPIC_HOSTS, TOPIC_ALERTS};

struct loop {
    struct loop_settings settings;
    struct world *world;
    struct report *report;
    struct memory_worker in;
    int64_t heard[TOPICS]; /* next offset of an output, or of the models */
    int64_t catalog;       /* records so far */
    int64_t now_ms, trimmed_ms;
    bool unwritten; /* not everything was recorded */
};

struct loop *loop_create(const struct loop_settings *settings)
{
    struct loop *l = calloc(1, sizeof *l);
    ASSERT(l);
    l->settings = *settings;
    l->now_ms = settings->world.start_ms;
    l->world = world_create(&settings->world);
    l->report = report_create(l->world, &settings->predictions);
    memory_worker_open(&l->in, memory_input_partitions);
    memory_worker_start(&l->in, settings->worker, 1);
    memory_redis_init(l->in.redis, settings->worker, memory_log_port(l->in.log));
    return l;
}

void loop_destroy(struct loop *l)
{
    if (!l)
        return;
    memory_worker_close(&l->in, l->now_ms);
    report_destroy(l->report);
    world_destroy(l->world);
    free(l);
}

static void record(struct loop *l, const struct line *line)
{
    if (l->settings.record && !line_write(l->settings.record, line))
        l->unwritten = true;
}

static void on_emit(void *self, const struct world_record *r)
{
    struct loop *l = self;
    if (r->topic == WORLD_EVENTS) {
        int64_t offset = memory_append(l->in.cluster, TOPIC_EVENTS, -1, r->key, r->value, r->timestamp_ms);
        record(l, &(struct line){NULL, offset, r});
        return;
    }
    record(l, &(struct line){"live.catalog", -1, r});
    struct record entry = {.topic = TOPIC_CATALOG, .offset = l->catalog++, .timestamp_ms = r->timestamp_ms, .key = r->key,
                            .value = r->value, .tombstone = r->value.size == 0};
    worker_table_record(l->in.worker, &entry, l->now_ms);
}

/* What was published since the last time. */
static void hear(struct loop *l)
{
    struct listener to = {l->world, l->report};
    for (int h = 0; h < HEARDS; h++) {
        enum topic t = heard_as[h];
        for (; l->heard[t] < memory_end(l->in.cluster, t, 0); l->heard[t]++) {
            const struct record *r = memory_find(l->in.cluster, t, 0, l->heard[t]);
            if (t == TOPIC_RECOMMENDATIONS || t == TOPIC_TRAFFIC)
                record(l, &(struct line){heard_topics[h], -1, &(struct world_record){.timestamp_ms = l->now_ms, .key = r->key, .value = r->value}});
            listener_take(&to, (enum heard)h, r->key, r->value, l->now_ms);
        }
    }
    memory_worker_hear_models(&l->in, &l->heard[TOPIC_MODELS], l->now_ms);
}

static void take_turns(struct loop *l)
{
    memory_log_set_now(l->in.log, l->now_ms);
    for (int i = 0; i < ROUNDS_MAX; i++) {
        size_t read = memory_log_deliver(l->in.log, l->in.worker, SIZE_MAX, l->now_ms);
        size_t stored = memory_store_deliver(l->in.store, l->in.worker, SIZE_MAX, l->now_ms);
        worker_turn(l->in.worker, l->now_ms);
        hear(l);
        if (read + stored == 0 && i > 0)
            break;
    }
}

static bool trim(struct loop *l)
{
    struct task_report tasks[TASKS_MAX];
    size_t n = worker_report(l->in.worker, l->now_ms, tasks, TASKS_MAX);
    for (size_t i = 0; i < n; i++) {
        if (tasks[i].halt)
            return false;
        memory_trim(l->in.cluster, (enum topic)tasks[i].stage, tasks[i].partition, tasks[i].committed - TRIM_KEPT);
    }
    for (int t = TOPIC_INPUTS; t < TOPICS; t++)
        memory_trim(l->in.cluster, (enum topic)t, 0, memory_end(l->in.cluster, (enum topic)t, 0));
    return true;
}

bool loop_run(struct loop *l, const volatile sig_atomic_t *stopped)
{
    struct topic_partition list[TASKS_MAX];
    struct world_sink sink = {l, on_emit};
    size_t n = 0;
    int64_t end_ms = l->now_ms + (int64_t)(l->settings.seconds * 1000);
    for (int t = 0; t < TOPIC_INPUTS; t++)
        for (int32_t p = 0; p < l->in.partitions[t]; p++)
            list[n++] = (struct topic_partition){(enum topic)t, p};
    worker_assigned(l->in.worker, list, n, l->now_ms);
    worker_tables_ready(l->in.worker);
    while (l->now_ms < end_ms && !*stopped) {
        l->now_ms += l->settings.step_ms;
        world_step(l->world, l->now_ms, &sink);
        take_turns(l);
        report_tick(l->report, l->now_ms);
        if (l->now_ms - l->trimmed_ms < 1000)
            continue;
        l->trimmed_ms = l->now_ms;
        if (!trim(l))
            return false;
    }
    return !l->unwritten;
}

const struct world *loop_world(const struct loop *l)
{
    return l->world;
}

struct findings loop_findings(const struct loop *l)
{
    return report_findings(l->report, l->now_ms);
}
