/*
 * Time passes in steps, so that what a worker does by the clock (runs, commits, lists, models) happens between two
 * records as it would; a long silence is crossed in PASSING_STEPS of them, for nothing happens in it but what was due.
 * Allocation runs only when asked for: it decides rooms' shares of the traffic, not a user's list.
 */
#include "server/rehearse/shadow.h"

#include "common/check.h"
#include "server/worker/memory_worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define STEP_MS 50
#define PASSING_STEPS 20
#define ROUNDS_MAX 64 /* turns until a record is folded: its state is read first */
#define TASKS_MAX 64
#define TRIM_EVERY_MS 5000
#define TRIM_KEPT 16 /* a task looks at the record before its position when it starts */

struct shadow {
    struct worker_settings settings;
    struct shadow_hears hears;
    struct memory_worker in;
    int64_t heard[TOPICS]; /* next offset of an output, or of the models */
    int64_t entered[TOPICS]; /* records of the catalog and of controls so far */
    int64_t now_ms, trimmed_ms;
    double cpu_ns;
    char reason[128];
};

double process_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* What was published since the last time; the models go back to the worker, as they do through Kafka. */
static void hear(struct shadow *s)
{
    for (int t = TOPIC_RECOMMENDATIONS; t < TOPICS; t++)
        for (; s->heard[t] < memory_end(s->in.cluster, (enum topic)t, 0); s->heard[t]++) {
            const struct record *r = memory_find(s->in.cluster, (enum topic)t, 0, s->heard[t]);
            if (s->hears.take)
                s->hears.take(s->hears.arg, r);
        }
    memory_worker_hear_models(&s->in, &s->heard[TOPIC_MODELS], s->now_ms);
}

static void turn(struct shadow *s)
{
    double before = process_cpu_ns();
    memory_log_set_now(s->in.log, s->now_ms);
    memory_log_deliver(s->in.log, s->in.worker, SIZE_MAX, s->now_ms);
    memory_store_deliver(s->in.store, s->in.worker, SIZE_MAX, s->now_ms);
    worker_turn(s->in.worker, s->now_ms);
    s->cpu_ns += process_cpu_ns() - before;
    hear(s);
}

struct shadow *shadow_create(const struct worker_settings *settings, const struct shadow_hears *hears)
{
    static const enum topic fed[] = {TOPIC_EVENTS, TOPIC_EFFECTS, TOPIC_SAMPLES, TOPIC_ROLLUPS};
    struct topic_partition list[TASKS_MAX];
    size_t n = 0;
    struct shadow *s = calloc(1, sizeof *s);
    ASSERT(s);
    s->settings = *settings;
    s->settings.cache_bytes = 8ull << 30; /* there is no second copy to read back from that would be cheaper */
    s->hears = *hears;
    memory_worker_open(&s->in, memory_input_partitions);
    memory_worker_start(&s->in, &s->settings, 1);
    memory_redis_init(s->in.redis, &s->settings, memory_log_port(s->in.log));
    for (size_t t = 0; t < 3u + hears->allocation; t++)
        for (int32_t p = 0; p < s->in.partitions[fed[t]]; p++)
            list[n++] = (struct topic_partition){fed[t], p};
    worker_assigned(s->in.worker, list, n, 0);
    worker_tables_ready(s->in.worker);
    return s;
}

void shadow_destroy(struct shadow *s)
{
    if (!s)
        return;
    memory_worker_close(&s->in, s->now_ms);
    free(s);
}

static void trim(struct shadow *s)
{
    struct task_report tasks[TASKS_MAX];
    size_t n = worker_report(s->in.worker, s->now_ms, tasks, TASKS_MAX);
    s->trimmed_ms = s->now_ms;
    for (size_t i = 0; i < n; i++)
        memory_trim(s->in.cluster, (enum topic)tasks[i].stage, tasks[i].partition, tasks[i].committed - TRIM_KEPT);
    for (int t = TOPIC_INPUTS; t < TOPICS; t++)
        memory_trim(s->in.cluster, (enum topic)t, 0, memory_end(s->in.cluster, (enum topic)t, 0));
    for (int32_t p = 0; !s->hears.allocation && p < s->in.partitions[TOPIC_ROLLUPS]; p++)
        memory_trim(s->in.cluster, TOPIC_ROLLUPS, p, memory_end(s->in.cluster, TOPIC_ROLLUPS, p));
}

void shadow_advance(struct shadow *s, int64_t now_ms)
{
    if (s->now_ms == 0 && now_ms > 0) { /* the first moment: claims */
        for (s->now_ms = now_ms - 1; s->now_ms < now_ms || !worker_is_under_way(s->in.worker);)
            turn(s), s->now_ms += s->now_ms < now_ms;
        s->trimmed_ms = now_ms;
    }
    int64_t passing = (now_ms - s->now_ms) / STEP_MS;
    int64_t step_ms = passing > PASSING_STEPS ? (now_ms - s->now_ms) / PASSING_STEPS : STEP_MS;
    while (now_ms - s->now_ms >= STEP_MS) {
        s->now_ms = now_ms - s->now_ms < step_ms ? now_ms : s->now_ms + step_ms;
        turn(s);
    }
    s->now_ms = now_ms > s->now_ms ? now_ms : s->now_ms;
    if (s->now_ms - s->trimmed_ms >= TRIM_EVERY_MS)
        trim(s);
}

static void put_in_table(struct shadow *s, const struct journal_record *r)
{
    struct record record = {.topic = r->topic, .offset = s->entered[r->topic]++, .timestamp_ms = r->timestamp_ms, .key = r->key, .value = r->value,
                            .tombstone = r->value.at == NULL};
    worker_table_record(s->in.worker, &record, s->now_ms);
}

/* Why a task stopped, for whoever has to change the file or the settings. */
static bool is_halted(struct shadow *s)
{
    struct task_report tasks[TASKS_MAX];
    size_t n = worker_report(s->in.worker, s->now_ms, tasks, TASKS_MAX);
    for (size_t i = 0; i < n; i++)
        if (tasks[i].halt) {
            snprintf(s->reason, sizeof s->reason, "%s.%d halted: %s", stage_names[tasks[i].stage], (int)tasks[i].partition, tasks[i].halt);
            return true;
        }
    return false;
}

/* The reason whose count rose. */
static void name_reason(struct shadow *s, const struct worker_counts *before)
{
    const struct worker_counts *after = worker_get_counts(s->in.worker);
    for (int i = 0; i < DEAD_REASONS_MAX && after->dead[i].reason; i++)
        if (after->dead[i].count != before->dead[i].count)
            snprintf(s->reason, sizeof s->reason, "%s", after->dead[i].reason);
}

static enum shadow_answer fold(struct shadow *s, const struct journal_record *r, const struct worker_counts *before)
{
    const struct worker_counts *now = worker_get_counts(s->in.worker);
    memory_append(s->in.cluster, TOPIC_EVENTS, -1, r->key, r->value, r->timestamp_ms);
    for (int i = 0; i < ROUNDS_MAX; i++) {
        turn(s);
        if (now->applied != before->applied)
            return SHADOW_APPLIED;
        if (now->duplicates != before->duplicates)
            return SHADOW_DUPLICATE;
        if (now->dead_letters != before->dead_letters)
            return SHADOW_REFUSED;
    }
    if (!is_halted(s))
        snprintf(s->reason, sizeof s->reason, "not folded");
    return SHADOW_STUCK;
}

enum shadow_answer shadow_record(struct shadow *s, const struct journal_record *r)
{
    enum shadow_answer answer = SHADOW_PASSED;
    shadow_advance(s, r->timestamp_ms);
    struct worker_counts before = *worker_get_counts(s->in.worker);
    if (r->topic == TOPIC_EVENTS)
        answer = fold(s, r, &before);
    if (r->topic == TOPIC_CATALOG || r->topic == TOPIC_CONTROL) {
        put_in_table(s, r);
        answer = worker_get_counts(s->in.worker)->dead_letters == before.dead_letters ? SHADOW_APPLIED : SHADOW_REFUSED;
    }
    if (answer == SHADOW_REFUSED)
        name_reason(s, &before);
    return answer;
}

void shadow_append(struct shadow *s, const struct journal_record *r)
{
    shadow_advance(s, r->timestamp_ms);
    memory_append(s->in.cluster, TOPIC_EVENTS, -1, r->key, r->value, r->timestamp_ms);
}

const char *shadow_reason(const struct shadow *s)
{
    return s->reason;
}

struct worker *shadow_worker(struct shadow *s)
{
    return s->in.worker;
}

int64_t shadow_now_ms(const struct shadow *s)
{
    return s->now_ms;
}

double shadow_cpu_ns(const struct shadow *s)
{
    return s->cpu_ns;
}
