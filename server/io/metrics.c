#include "server/io/metrics.h"

#include "common/text.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TASKS_MAX 4096
#define UNPOLLED_MS 5000
#define UNCOMMITTED_MS 10000 /* beyond the longest cadence of commits */
#define REDIS_GONE_MS 5000

enum metric {
    BUILD_UP, TURNS, RSS_BYTES,
    RECORDS, PRODUCED, PRODUCED_BYTES, EVENTS, DUPLICATES, DEAD_LETTERS, RANKINGS, RECOMMENDATIONS, THROTTLED, ARM_LISTS, ARM_EVENTS, PAIR_DELTAS, RATINGS_RAISED, MODELS_REFUSED, EXAMPLES_THINNED,
    EFFECT_RUNS, EFFECT_ENTRIES, ENTRIES_APPLIED, ENTRIES_REPLAYED, ENTRIES_REFUSED, ROLLUPS, SCENE_ENTRIES, SCENES_REFUSED,
    COMMITS, COMMIT_KEYS, COMMIT_BYTES, COMMIT_CONFLICTS, LOADS, LOAD_KEYS, EVICTIONS, REWINDS, REPEATED, TASKS_LOST, MEMORY_REFUSALS,
    TASKS, HALTED, HALTS_TOTAL, WAITING, REPLAYED, LAG_RECORDS, LAG_SECONDS, COMMIT_AGE, STATE_BYTES,
    KAFKA_UP, KAFKA_DROPPED, KAFKA_RESTARTS, KAFKA_GAPS, KAFKA_REBALANCES, KAFKA_ERRORS, KAFKA_QUEUE, KAFKA_FULL, KAFKA_UNDELIVERED,
    REDIS_SLOTS, REDIS_SLOTS_READY, REDIS_RECONNECTS, REDIS_IN_FLIGHT, REDIS_BYTES, REDIS_BYTES_MAX, VIEWS_WRITTEN, VIEWS_BYTES, VIEWS_DROPPED, VIEWS_READ,
    READY, METRICS
};

static const struct {
    const char *name, *type, *labels, *help;
} table[METRICS] = {
    [BUILD_UP] = {"sluice_uptime_seconds", "gauge", "", "seconds since the start"},
    [TURNS] = {"sluice_turns_total", "counter", "", "turns of the loop"},
    [RSS_BYTES] = {"sluice_resident_bytes", "gauge", "", "memory of the process; absent when unknown"},
    [RECORDS] = {"sluice_records_total", "counter", "topic", "records consumed"},
    [PRODUCED] = {"sluice_produced_total", "counter", "topic", "records produced"},
    [PRODUCED_BYTES] = {"sluice_produced_bytes_total", "counter", "topic", "bytes of keys and values produced"},
    [EVENTS] = {"sluice_events_total", "counter", "type", "events applied"},
    [DUPLICATES] = {"sluice_duplicates_total", "counter", "", "events dropped because their id was seen before"},
    [DEAD_LETTERS] = {"sluice_dead_letters_total", "counter", "reason", "records refused"},
    [RANKINGS] = {"sluice_rankings_total", "counter", "", "rankings made; a list is pushed when its top changed or is old"},
    [RECOMMENDATIONS] = {"sluice_recommendations_total", "counter", "", "lists pushed"},
    [THROTTLED] = {"sluice_throttled_total", "counter", "", "rankings put off because the user had one within the throttle"},
    [ARM_LISTS] = {"sluice_arm_lists_total", "counter", "arm", "lists pushed, by arm of the experiment"},
    [ARM_EVENTS] = {"sluice_arm_events_total", "counter", "arm,type,by", "events of the users of an arm, by recommendation or not"},
    [MODELS_REFUSED] = {"sluice_models_refused_total", "counter", "", "snapshots of the models that this version does not read"},
    [EXAMPLES_THINNED] = {"sluice_examples_thinned_total", "counter", "", "examples of intent and churn left out because more came than learner.examples_max lets wait"},
    [PAIR_DELTAS] = {"sluice_pair_deltas_total", "counter", "", "changes of co-ratings sent to entity tasks, both directions"},
    [RATINGS_RAISED] = {"sluice_ratings_raised_total", "counter", "", "ratings that an event raised"},
    [EFFECT_RUNS] = {"sluice_effect_runs_total", "counter", "", "effects records sent"},
    [EFFECT_ENTRIES] = {"sluice_effect_entries_total", "counter", "", "entries in them"},
    [ENTRIES_APPLIED] = {"sluice_entries_applied_total", "counter", "", "effects entries folded"},
    [ENTRIES_REPLAYED] = {"sluice_entries_replayed_total", "counter", "", "effects entries that had been folded before"},
    [ENTRIES_REFUSED] = {"sluice_entries_refused_total", "counter", "", "effects entries that ran ahead of a gap"},
    [ROLLUPS] = {"sluice_rollups_total", "counter", "", "rollups sent to allocation"},
    [SCENE_ENTRIES] = {"sluice_scene_entries_total", "counter", "verdict", "entries of the rollups log that allocation folded or dropped"},
    [SCENES_REFUSED] = {"sluice_scenes_refused_total", "counter", "", "times a scene was left out because its task has 256 already"},
    [COMMITS] = {"sluice_commits_total", "counter", "", "commits"},
    [COMMIT_KEYS] = {"sluice_commit_keys_total", "counter", "", "blobs written by commits"},
    [COMMIT_BYTES] = {"sluice_commit_bytes_total", "counter", "", "bytes written by commits"},
    [COMMIT_CONFLICTS] = {"sluice_commit_conflicts_total", "counter", "", "commits refused because another owner wrote"},
    [LOADS] = {"sluice_loads_total", "counter", "", "bulk reads of state"},
    [LOAD_KEYS] = {"sluice_load_keys_total", "counter", "", "blobs asked for by them"},
    [EVICTIONS] = {"sluice_evictions_total", "counter", "", "state objects that left the cache"},
    [REWINDS] = {"sluice_rewinds_total", "counter", "", "attempts given up and begun again from the stored position"},
    [REPEATED] = {"sluice_repeated_records_total", "counter", "", "records delivered again after they were folded, dropped"},
    [TASKS_LOST] = {"sluice_tasks_lost_total", "counter", "", "tasks found in the hands of another owner"},
    [MEMORY_REFUSALS] = {"sluice_redis_memory_refusals_total", "counter", "", "commits and claims refused because Redis is out of memory"},
    [TASKS] = {"sluice_tasks", "gauge", "stage,state", "tasks owned"},
    [HALTED] = {"sluice_tasks_halted", "gauge", "stage,reason", "tasks that stopped and wait for the operator"},
    [HALTS_TOTAL] = {"sluice_halts_total", "counter", "reason", "times a task halted"},
    [WAITING] = {"sluice_profile_waiting", "gauge", "", "1 while profile tasks wait for an entity task whose lag eats into retention"},
    [REPLAYED] = {"sluice_replayed_records_total", "counter", "stage", "records folded again after a rewind"},
    [LAG_RECORDS] = {"sluice_lag_records", "gauge", "stage,partition", "records behind the end of the log; absent when unknown"},
    [LAG_SECONDS] = {"sluice_lag_seconds", "gauge", "stage,partition", "age of the last folded record while records wait; absent when unknown"},
    [COMMIT_AGE] = {"sluice_commit_age_seconds", "gauge", "stage,partition", "time since the last commit while something waits for one"},
    [STATE_BYTES] = {"sluice_state_bytes", "gauge", "stage", "state held in memory"},
    [KAFKA_UP] = {"sluice_kafka_up", "gauge", "", "brokers answered the last request for metadata"},
    [KAFKA_DROPPED] = {"sluice_kafka_dropped_total", "counter", "", "messages that were not owned or came twice"},
    [KAFKA_RESTARTS] = {"sluice_kafka_restarts_total", "counter", "", "partitions read again because an offset was skipped"},
    [KAFKA_GAPS] = {"sluice_kafka_gaps_total", "counter", "", "skips that repeated"},
    [KAFKA_REBALANCES] = {"sluice_kafka_rebalances_total", "counter", "", "changes of the assignment"},
    [KAFKA_ERRORS] = {"sluice_kafka_errors_total", "counter", "", "errors that the client reported, transient ones too"},
    [KAFKA_QUEUE] = {"sluice_kafka_produce_queue", "gauge", "", "records not yet acknowledged"},
    [KAFKA_FULL] = {"sluice_kafka_queue_full_total", "counter", "", "records that had to wait for room in the producer's queue or for the topic's partitions"},
    [KAFKA_UNDELIVERED] = {"sluice_kafka_undelivered_total", "counter", "", "records that brokers did not acknowledge; the commit that needs them is given up"},
    [REDIS_SLOTS] = {"sluice_redis_slots", "gauge", "", "task slots with a connection wanted"},
    [REDIS_SLOTS_READY] = {"sluice_redis_slots_ready", "gauge", "", "those whose connection is up"},
    [REDIS_RECONNECTS] = {"sluice_redis_reconnects_total", "counter", "", "connections lost"},
    [REDIS_IN_FLIGHT] = {"sluice_redis_in_flight_bytes", "gauge", "", "bytes of requests not yet answered"},
    [REDIS_BYTES] = {"sluice_redis_used_bytes", "gauge", "", "memory in use at the first Redis node"},
    [REDIS_BYTES_MAX] = {"sluice_redis_max_bytes", "gauge", "", "memory the first Redis node may use; 0 = no limit"},
    [VIEWS_WRITTEN] = {"sluice_views_written_total", "counter", "", "views written"},
    [VIEWS_BYTES] = {"sluice_views_written_bytes_total", "counter", "", "bytes of the commands that wrote views"},
    [VIEWS_DROPPED] = {"sluice_views_dropped_total", "counter", "", "views not written because Redis was behind or away"},
    [VIEWS_READ] = {"sluice_views_read_total", "counter", "", "views read"},
    [READY] = {"sluice_ready", "gauge", "", "1 when /readyz answers 200"},
};

static void begin(struct writer *w, enum metric m)
{
    text_printf(w, "# HELP %s %s\n# TYPE %s %s\n", table[m].name, table[m].help, table[m].name, table[m].type);
}

static void one(struct writer *w, enum metric m, double value)
{
    begin(w, m);
    text_printf(w, "%s %.15g\n", table[m].name, value);
}

static void labelled(struct writer *w, enum metric m, const char *label, const char *name, double value)
{
    text_printf(w, "%s{%s=\"%s\"} %.15g\n", table[m].name, label, name, value);
}

/* Takes no memory, since it is asked for when there may be none. */
static void render_resident(struct writer *w)
{
    char text[128], *at;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    text[size > 0 ? size : 0] = 0;
    strtol(text, &at, 10); /* of the address space */
    long pages = strtol(at, NULL, 10);
    if (pages > 0)
        one(w, RSS_BYTES, (double)pages * (double)sysconf(_SC_PAGESIZE));
}

static void render_topics(const struct worker_counts *c, struct writer *w)
{
    begin(w, RECORDS);
    for (int t = 0; t <= TOPIC_CONTROL; t++)
        labelled(w, RECORDS, "topic", topic_defaults[t], (double)c->records[t]);
    begin(w, PRODUCED);
    for (int t = 0; t < TOPICS; t++)
        if (t != TOPIC_EVENTS && t != TOPIC_CATALOG && t != TOPIC_CONTROL)
            labelled(w, PRODUCED, "topic", topic_defaults[t], (double)c->produced[t]);
    begin(w, PRODUCED_BYTES);
    for (int t = 0; t < TOPICS; t++)
        if (t != TOPIC_EVENTS && t != TOPIC_CATALOG && t != TOPIC_CONTROL)
            labelled(w, PRODUCED_BYTES, "topic", topic_defaults[t], (double)c->produced_bytes[t]);
    begin(w, EVENTS);
    for (int t = 0; t < EVENT_TYPES; t++)
        labelled(w, EVENTS, "type", event_type_name((enum event_type)t), (double)c->events[t]);
    begin(w, DEAD_LETTERS);
    for (int i = 0; i < DEAD_REASONS_MAX && c->dead[i].reason; i++)
        labelled(w, DEAD_LETTERS, "reason", c->dead[i].reason, (double)c->dead[i].count);
    begin(w, SCENE_ENTRIES);
    for (int v = 0; v < SCENE_VERDICTS; v++)
        labelled(w, SCENE_ENTRIES, "verdict", scene_verdict_names[v], (double)c->scene_entries[v]);
    begin(w, HALTS_TOTAL);
    for (int h = HALT_NONE + 1; h < HALTS; h++)
        labelled(w, HALTS_TOTAL, "reason", halt_names[h], (double)c->halts[h]);
}

/* Of the arms that did anything; of events what tells one ranker from another. */
static void render_arms(const struct worker_counts *c, struct writer *w)
{
    static const enum event_type types[] = {EVENT_IMPRESSION, EVENT_CLICK, EVENT_ENTER, EVENT_CART, EVENT_PURCHASE, EVENT_DISLIKE};
    static const char *const by[] = {"other", "recommendation"};
    begin(w, ARM_LISTS);
    for (int arm = 0; arm < ARMS; arm++)
        if (c->arms[arm].lists || arm == 0)
            labelled(w, ARM_LISTS, "arm", arm_names[arm], (double)c->arms[arm].lists);
    begin(w, ARM_EVENTS);
    for (int arm = 0; arm < ARMS; arm++)
        for (size_t t = 0; t < sizeof types / sizeof *types; t++)
            for (int r = 0; r < 2; r++)
                if (c->arms[arm].events[types[t]][r] || arm == 0)
                    text_printf(w, "%s{arm=\"%s\",type=\"%s\",by=\"%s\"} %llu\n", table[ARM_EVENTS].name, arm_names[arm], event_type_name(types[t]), by[r],
                                (unsigned long long)c->arms[arm].events[types[t]][r]);
}

static void render_counts(const struct worker_counts *c, struct writer *w)
{
    const struct {
        enum metric metric;
        uint64_t value;
    } rows[] = {
        {DUPLICATES, c->duplicates},           {RANKINGS, c->rankings}, {RECOMMENDATIONS, c->recommendations},   {THROTTLED, c->throttled},
        {EFFECT_RUNS, c->effect_runs},         {EFFECT_ENTRIES, c->effect_entries},     {ENTRIES_APPLIED, c->entries_applied},
        {ENTRIES_REPLAYED, c->entries_replayed}, {ENTRIES_REFUSED, c->entries_refused}, {ROLLUPS, c->rollups}, {SCENES_REFUSED, c->scenes_refused},
        {COMMITS, c->commits},                 {COMMIT_KEYS, c->commit_keys},           {COMMIT_BYTES, c->commit_bytes},
        {COMMIT_CONFLICTS, c->conflicts},      {LOADS, c->loads}, {LOAD_KEYS, c->load_keys}, {MODELS_REFUSED, c->models_refused}, {EXAMPLES_THINNED, c->examples_thinned}, {PAIR_DELTAS, c->pair_deltas}, {RATINGS_RAISED, c->ratings_raised}, {EVICTIONS, c->evictions},
        {REWINDS, c->rewinds}, {REPEATED, c->unexpected}, {TASKS_LOST, c->lost},                   {MEMORY_REFUSALS, c->memory_refusals},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        one(w, rows[i].metric, (double)rows[i].value);
}

static void task_line(struct writer *w, enum metric m, const struct task_report *t, double value)
{
    text_printf(w, "%s{stage=\"%s\",partition=\"%d\"} %.15g\n", table[m].name, stage_names[t->stage], (int)t->partition, value);
}

static void render_states(const struct task_report *tasks, size_t count, struct writer *w)
{
    static const char *const states[] = {"read", "claim", "verify", "run", "halted", "lost"};
    begin(w, TASKS);
    for (int s = 0; s < STAGES; s++)
        for (size_t k = 0; k < sizeof states / sizeof *states; k++) {
            int n = 0;
            for (size_t i = 0; i < count; i++)
                n += (int)tasks[i].stage == s && strcmp(tasks[i].state, states[k]) == 0;
            if (n)
                text_printf(w, "%s{stage=\"%s\",state=\"%s\"} %d\n", table[TASKS].name, stage_names[s], states[k], n);
        }
    begin(w, HALTED);
    for (int s = 0; s < STAGES; s++)
        for (int h = HALT_NONE + 1; h < HALTS; h++) {
            int n = 0;
            for (size_t i = 0; i < count; i++)
                n += (int)tasks[i].stage == s && tasks[i].halt == halt_names[h];
            if (n)
                text_printf(w, "%s{stage=\"%s\",reason=\"%s\"} %d\n", table[HALTED].name, stage_names[s], halt_names[h], n);
        }
}

static void render_tasks(const struct task_report *tasks, size_t count, int64_t now_ms, struct writer *w)
{
    uint64_t replayed[STAGES] = {0}, bytes[STAGES] = {0};
    render_states(tasks, count, w);
    begin(w, LAG_RECORDS);
    for (size_t i = 0; i < count; i++)
        if (tasks[i].lag_records >= 0)
            task_line(w, LAG_RECORDS, &tasks[i], (double)tasks[i].lag_records);
    begin(w, LAG_SECONDS);
    for (size_t i = 0; i < count; i++)
        if (tasks[i].lag_records == 0 || (tasks[i].lag_records > 0 && tasks[i].record_ms))
            task_line(w, LAG_SECONDS, &tasks[i], tasks[i].lag_records ? ((double)now_ms - (double)tasks[i].record_ms) / 1000 : 0);
    begin(w, COMMIT_AGE);
    for (size_t i = 0; i < count; i++)
        task_line(w, COMMIT_AGE, &tasks[i], (double)tasks[i].commit_age_ms / 1000);
    for (size_t i = 0; i < count; i++) {
        replayed[tasks[i].stage] += tasks[i].replayed;
        bytes[tasks[i].stage] += tasks[i].cell_bytes;
    }
    begin(w, REPLAYED);
    for (int s = 0; s < STAGES; s++)
        labelled(w, REPLAYED, "stage", stage_names[s], (double)replayed[s]);
    begin(w, STATE_BYTES);
    for (int s = 0; s < STAGES; s++)
        labelled(w, STATE_BYTES, "stage", stage_names[s], (double)bytes[s]);
}

static size_t tasks_of(const struct metrics_input *in, struct task_report *tasks)
{
    size_t count = worker_report(in->worker, in->now_ms, tasks, TASKS_MAX);
    return count < TASKS_MAX ? count : TASKS_MAX;
}

const char *metrics_unready(const struct metrics_input *in)
{
    static struct task_report tasks[TASKS_MAX];
    static char why[100];
    size_t count = tasks_of(in, tasks);
    if (in->draining)
        return "draining";
    if (!in->kafka.tables_ready)
        return "catalog, models and control are not read yet";
    if (in->kafka.turn_age_ms >= UNPOLLED_MS)
        return "the consumer was not polled for 5 s";
    if (in->redis.down_ms >= REDIS_GONE_MS)
        return "Redis has been away for 5 s";
    for (size_t i = 0; i < count; i++) {
        if (tasks[i].halt) {
            snprintf(why, sizeof why, "%s.%d is halted: %s", stage_names[tasks[i].stage], (int)tasks[i].partition, tasks[i].halt);
            return why;
        }
        bool memory = in->now_ms - worker_get_counts(in->worker)->memory_refused_ms < UNCOMMITTED_MS;
        if (tasks[i].commit_age_ms >= UNCOMMITTED_MS + tasks[i].commit_every_ms || tasks[i].stopped_ms >= UNCOMMITTED_MS)
            return memory ? "a task did not commit for 10 s: Redis is out of memory" : "a task with work pending did not commit for 10 s";
    }
    return NULL;
}

void metrics_render(const struct metrics_input *in, struct writer *w)
{
    static struct task_report tasks[TASKS_MAX];
    const struct worker_counts *c = worker_get_counts(in->worker);
    const struct kafka_log_stats *k = &in->kafka;
    const struct redis_store_stats *r = &in->redis;
    one(w, BUILD_UP, (double)(in->now_ms - in->started_ms) / 1000);
    one(w, TURNS, (double)in->turns);
    render_resident(w);
    render_topics(c, w);
    render_arms(c, w);
    render_counts(c, w);
    render_tasks(tasks, tasks_of(in, tasks), in->now_ms, w);
    const struct {
        enum metric metric;
        double value;
    } rows[] = {
        {KAFKA_UP, k->connected},           {KAFKA_DROPPED, (double)k->dropped}, {KAFKA_RESTARTS, (double)k->restarts},
        {KAFKA_GAPS, (double)k->gaps},      {KAFKA_REBALANCES, (double)k->rebalances}, {KAFKA_ERRORS, (double)k->errors},
        {KAFKA_QUEUE, k->produce_queue},    {KAFKA_FULL, (double)k->queue_full}, {KAFKA_UNDELIVERED, (double)k->undelivered}, {REDIS_SLOTS, r->slots},             {REDIS_SLOTS_READY, r->slots_ready},
        {REDIS_RECONNECTS, (double)r->reconnects}, {REDIS_IN_FLIGHT, (double)r->bytes_in_flight}, {REDIS_BYTES, (double)r->used_bytes}, {REDIS_BYTES_MAX, (double)r->max_bytes},
        {VIEWS_WRITTEN, (double)r->views_written}, {VIEWS_BYTES, (double)r->views_written_bytes}, {VIEWS_DROPPED, (double)r->views_dropped}, {VIEWS_READ, (double)r->views_read},
        {WAITING, worker_is_waiting_for_entities(in->worker)},
        {READY, metrics_unready(in) == NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        one(w, rows[i].metric, rows[i].value);
}

void metrics_catalogue(struct writer *out)
{
    text_add(out, "{\n  \"metrics\": [\n");
    for (int m = 0; m < METRICS; m++)
        text_printf(out, "    {\"name\": \"%s\", \"type\": \"%s\", \"labels\": \"%s\", \"help\": \"%s\"}%s\n", table[m].name, table[m].type,
                    table[m].labels, table[m].help, m + 1 < METRICS ? "," : "");
    text_add(out, "  ]\n}\n");
}
