/* The phases of a run, and what must hold at its end. */
#include "common/hash.h"
#include "common/mutant.h"
#include "tests/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>

#define ROUND_MS 60     /* of the liveness phase */
#define ROUNDS_MAX 4000 /* of it: then it has failed */

uint64_t sim_draw(struct sim *s, uint64_t below)
{
    s->random = hash_mix(s->random + 0x9e3779b97f4a7c15u);
    return s->random % below;
}

void sim_fail(struct sim *s, const char *format, ...)
{
    if (s->why[0])
        return; /* the first is the one to look at */
    va_list args;
    va_start(args, format);
    vsnprintf(s->why, sizeof s->why, format, args);
    va_end(args);
}

static void settings_draw(struct sim *s)
{
    struct worker_settings *w = &s->settings;
    worker_settings_default(w);
    w->user_key_size = 16;
    w->catalog = (struct catalog_limits){64, 64, 64, 256};
    w->profile.history = 6;
    w->profile.past = 3;
    w->profile.history_hosts = 3;
    w->profile.history_rooms = 3;
    w->allocation.rooms_max = w->allocation.hosts_max = w->allocation.items_max = 64;
    w->push.enabled = sim_draw(s, 4) == 0;
    w->push.list_max = w->push.pending_max = 64;
    w->push.throttle_ms = 50;
    w->push.view_ms = UINT32_MAX;
    w->segments.sample_ms = 100;
    w->learner.examples_max = 64;
    w->profile_commit_ms = 50 + (uint32_t)sim_draw(s, 300);
    w->entity_commit_ms = 100 + (uint32_t)sim_draw(s, 900);
    w->allocation_commit_ms = 50 + (uint32_t)sim_draw(s, 500);
    w->learner_commit_ms = 100 + (uint32_t)sim_draw(s, 500);
    w->run_close_ms = 5 + (uint32_t)sim_draw(s, 60);
    w->rollup_ms = 50 + (uint32_t)sim_draw(s, 500);
    w->list_ms = 1000;
    w->tick_ms = 400 + (uint32_t)sim_draw(s, 1200);
    w->mark_ms = 50 + (uint32_t)sim_draw(s, 150);
    w->audit_ms = 200 + (uint32_t)sim_draw(s, 200);
    w->beyond_max = 2 + (uint32_t)sim_draw(s, 2);
    w->retry_ms = 20;
    w->reclaim_ms = 100 + (uint32_t)sim_draw(s, 200);
    w->claims_max = 3 + (uint32_t)sim_draw(s, 4);
    w->steps = 10;
    w->cut_keys_max = 3 + (uint32_t)sim_draw(s, 30);
    w->entity_cut_keys_max = 8 * w->cut_keys_max;
    w->cut_turn_bytes = w->rollup_ms % 2 ? 262144 : 1 + 7 * (w->mark_ms % 100); /* no draw of its own: recorded schedules stay what they were */
    w->cuts_in_flight_max = 1 + (uint32_t)sim_draw(s, 4);
    w->cache_bytes = sim_draw(s, 2) ? 1u << 20 : 1u << 14;
}

static void initialise(struct sim *s)
{
    struct writer bytes = {0};
    struct slot_header header = worker_header_of(&s->settings, &s->members[0].client.port);
    struct position position = {0};
    for (int t = 0; t < STAGES; t++)
        for (int32_t p = 0; p < header.partitions[t]; p++) {
            bytes.size = 0;
            slot_header_encode(&header, &bytes);
            redis_put(&s->redis, (enum stage)t, p, HEADER_KEY, (struct slice){(const char *)bytes.data, (uint32_t)bytes.size});
            bytes.size = 0;
            position_encode(&position, &bytes);
            redis_put(&s->redis, (enum stage)t, p, POSITION_KEY, (struct slice){(const char *)bytes.data, (uint32_t)bytes.size});
        }
    writer_fini(&bytes);
}

static void begin(struct sim *s, const struct schedule *schedule, struct totals *totals)
{
    static const int32_t usual[TOPICS] = {3, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    static const int32_t small[TOPICS] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    s->schedule = schedule;
    s->totals = totals;
    s->random = hash_mix(schedule->seed + 1);
    s->step = s->reorder_until = s->storm = s->bad_events = 0;
    s->now_ms = 1732370000000;
    s->migrated = false;
    s->members_made = s->operations = 0;
    s->why[0] = '\0';
    memset(s->may_halt, 0, sizeof s->may_halt);
    memset(s->torn, 0, sizeof s->torn);
    memset(s->struck, 0, sizeof s->struck);
    memset(s->slot_until, 0, sizeof s->slot_until);
    arena_reset(&s->arena);
    kafka_begin(&s->kafka, &s->arena, schedule->small ? small : usual);
    redis_begin(&s->redis, &s->arena);
    settings_draw(s);
    traffic_begin(s);
    s->member_count = 2 + (int)sim_draw(s, schedule->small ? 1 : MEMBERS - 1);
    for (int i = 0; i < s->member_count; i++) {
        struct member *m = &s->members[i];
        m->down = m->stalled = m->stopped = m->delayed = m->silent = m->dealt_while_silent = m->misconfigured = -1;
        m->skew_ms = 0;
        member_start(s, m);
    }
    initialise(s);
    group_rebalance(s);
}

static void safety_phase(struct sim *s)
{
    const struct schedule *schedule = s->schedule;
    for (int k = 0; s->step < schedule->steps; s->step++) {
        s->random = hash_mix(schedule->seed ^ hash_mix((uint64_t)s->step + 1));
        s->now_ms += (int64_t)sim_draw(s, 20);
        s->kafka.now_ms = s->redis.now_ms = s->now_ms;
        struct member *m = &s->members[sim_draw(s, (uint64_t)s->member_count)];
        size_t records = 1 + sim_draw(s, 20), answers = 1 + sim_draw(s, 8);
        traffic_step(s);
        while (k < schedule->count && schedule->strikes[k].step <= s->step)
            fault_strike(s, &schedule->strikes[k++]);
        faults_step(s);
        member_drive(s, m, records, answers);
    }
}

/* By what its slot says, not only by what it believes. */
static bool may_rest(const struct sim *s, const struct task_report *t)
{
    struct position p = {.next = -1};
    const struct stored *stored = redis_find(&s->redis, t->stage, t->partition, POSITION_KEY);
    const struct log_partition *log = &s->kafka.logs[t->stage][t->partition];
    if (t->halt)
        return strcmp(t->state, "halted") == 0;
    if (!stored || position_decode(stored->value, &p) != ERR_NONE || p.next != t->committed)
        return false;
    return strcmp(t->state, "run") == 0 && t->committed == t->next &&
           (t->lag_records == 0 || t->next == log->never); /* nothing is behind it that would show the gap */
}

static size_t reports(const struct sim *s, struct task_report *out)
{
    size_t n = 0;
    for (int i = 0; i < s->member_count; i++)
        if (s->members[i].worker)
            n += worker_report(s->members[i].worker, s->now_ms, out + n, STAGES * PARTITIONS);
    return n;
}

static bool all_rest(const struct sim *s, char *out_why, size_t size)
{
    struct task_report tasks[MEMBERS * STAGES * PARTITIONS];
    size_t n = reports(s, tasks), want = 0;
    for (int t = 0; t < TOPIC_INPUTS; t++)
        want += (size_t)s->kafka.partitions[t];
    for (size_t i = 0; i < n; i++)
        if (!may_rest(s, &tasks[i])) {
            snprintf(out_why, size, "%s.%d is in %s at %lld, committed %lld, lag %lld", stage_names[tasks[i].stage],
                     (int)tasks[i].partition, tasks[i].state, (long long)tasks[i].next, (long long)tasks[i].committed,
                     (long long)tasks[i].lag_records);
            return false;
        }
    for (int i = 0; i < s->member_count; i++)
        if (!s->members[i].worker)
            n = 0; /* it comes back yet, and takes its part */
    if (n != want)
        snprintf(out_why, size, "%zu of %zu tasks have an owner", n, want);
    return n == want;
}

/* Rounds until nothing moves any more for longer than the audits and the marks take. */
static void settle(struct sim *s)
{
    char why[256] = "";
    int64_t rested_ms = 0;
    for (int i = 0; i < ROUNDS_MAX; i++) {
        s->step++;
        s->now_ms += ROUND_MS;
        faults_step(s);
        for (int k = 0; k < s->member_count; k++)
            member_drive(s, &s->members[k], 1000, 1000);
        rested_ms = all_rest(s, why, sizeof why) ? rested_ms + ROUND_MS : 0;
        if (rested_ms > s->settings.audit_ms + 2 * ROUND_MS)
            return;
    }
    sim_fail(s, "lag does not reach zero: %s", why);
}

/*
 * A halted task must be entitled to its halt. One that must halt in any case may be taken for poison when another record
 * keeps killing its process before it can say that it halted in order.
 */
static void judge_halts(struct sim *s)
{
    struct task_report tasks[MEMBERS * STAGES * PARTITIONS];
    size_t n = reports(s, tasks);
    for (size_t i = 0; i < n; i++) {
        uint32_t may = s->may_halt[tasks[i].stage][tasks[i].partition];
        int halt = 0;
        may |= may && s->struck[FAULT_POISON] ? 1u << HALT_POISON : 0;
        may |= may && s->migrated ? 1u << HALT_HEADER : 0; /* the verb does nothing to a slot that is not whole */
        while (tasks[i].halt && strcmp(halt_names[halt], tasks[i].halt) != 0)
            halt++;
        if (tasks[i].halt && !(may >> halt & 1))
            sim_fail(s, "%s.%d halted at %lld without cause: %s: %s", stage_names[tasks[i].stage], (int)tasks[i].partition,
                     (long long)tasks[i].next, tasks[i].halt, tasks[i].halt_text);
    }
}

static void liveness_phase(struct sim *s)
{
    s->random = hash_mix(s->schedule->seed ^ 0x11fe);
    s->settings.tick_ms = s->later.tick_ms = UINT32_MAX; /* else there is always one more record to fold */
    faults_end(s);
    for (int i = 0; i < s->member_count; i++)
        worker_reload(s->members[i].worker, &s->settings); /* cadences */
    bool bad = sim_draw(s, 2) || s->struck[FAULT_EFFECTS_LOST];
    settle(s);
    if (s->struck[FAULT_FAILOVER]) { /* what is idle must find by itself that it is not where it believes */
        s->struck[FAULT_FAILOVER] += redis_lose(&s->redis, (int)sim_draw(s, SHARDS), 1 + sim_draw(s, 4)) > 0;
        settle(s);
    }
    for (int32_t p = 0; p < s->kafka.partitions[TOPIC_EVENTS]; p++) /* then marks must follow what was sent last */
        for (int64_t end = s->kafka.logs[TOPIC_EVENTS][p].count; s->kafka.logs[TOPIC_EVENTS][p].count == end;)
            (bad ? traffic_bad_event : traffic_event)(s);
    settle(s);
}

static void end(struct sim *s)
{
    for (int i = 0; i < s->member_count; i++)
        member_crash(s, &s->members[i], 1);
    struct totals *t = s->totals;
    if (!t)
        return;
    t->seeds++;
    t->poor += s->events < EVENTS_LEAST;
    t->diverged += s->why[0] != '\0';
    for (int f = 0; f < FAULTS; f++)
        t->struck[f] += s->struck[f];
    for (int i = 0; i < TOPIC_INPUTS; i++)
        for (int32_t p = 0; p < s->kafka.partitions[i]; p++)
            t->records[i] += (uint64_t)s->kafka.logs[i][p].count;
}

bool sim_run(struct sim *s, const struct schedule *schedule, struct totals *totals)
{
    begin(s, schedule, totals);
    safety_phase(s);
    liveness_phase(s);
    if (!s->why[0])
        judge_halts(s);
    if (!s->why[0])
        reference_compare(s);
    end(s);
    return !s->why[0];
}

bool sim_run_points(struct sim *s, const struct schedule *schedule, const struct crash_point *points, int count)
{
    s->points = points;
    s->point_count = count;
    bool well = sim_run(s, schedule, NULL);
    s->points = NULL;
    s->point_count = 0;
    return well;
}

void sim_fini(struct sim *s)
{
    for (int i = 0; i < MEMBERS; i++) {
        client_fini(&s->members[i].client);
        link_fini(&s->members[i].link);
    }
    kafka_fini(&s->kafka);
    redis_fini(&s->redis);
    arena_fini(&s->arena);
}
