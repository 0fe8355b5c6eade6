/* Where being exact is impossible the task stops and says so: one test a halt (rules 4, 7, 12, 13 and 14). */
#include "tests/unit/check.h"

#include "common/log.h"
#include "server/codec/effects_codec.h"
#include "server/worker/memory_worker.h"
#include "server/worker/position.h"

#include <stdlib.h>

struct world {
    struct worker_settings settings;
    struct memory_worker in;
    int64_t now_ms;
    int64_t events;
};

static void start(struct world *s)
{
    static const struct topic_partition all[] = {{TOPIC_EVENTS, 0}, {TOPIC_EFFECTS, 0}};
    memory_worker_start(&s->in, &s->settings, (uint64_t)s->now_ms);
    worker_assigned(s->in.worker, all, 2, s->now_ms);
}

static void crash(struct world *s)
{
    memory_worker_stop(&s->in, s->now_ms);
}

static void open_stage(struct world *s, bool init)
{
    *s = (struct world){.now_ms = 1732370000000};
    worker_settings_default(&s->settings);
    s->settings.user_key_size = 16;
    memory_worker_open(&s->in, NULL);
    start(s);
    if (init)
        memory_redis_init(s->in.redis, &s->settings, memory_log_port(s->in.log));
}

static void close_stage(struct world *s)
{
    memory_worker_close(&s->in, s->now_ms);
}

static struct task_report report(struct world *s, enum stage stage)
{
    struct task_report tasks[8];
    size_t n = worker_report(s->in.worker, s->now_ms, tasks, 8);
    for (size_t i = 0; i < n; i++)
        if (tasks[i].stage == stage)
            return tasks[i];
    return (struct task_report){.state = "none"};
}

static void one_turn(struct world *s, bool stored)
{
    s->now_ms += 50;
    memory_log_set_now(s->in.log, s->now_ms);
    memory_log_deliver(s->in.log, s->in.worker, 1000, s->now_ms);
    if (stored)
        memory_store_deliver(s->in.store, s->in.worker, 1000, s->now_ms);
    worker_turn(s->in.worker, s->now_ms);
}

static void run(struct world *s, int turns)
{
    for (int i = 0; i < turns; i++)
        one_turn(s, true);
}

static void event_on(struct world *s, const char *user, int item)
{
    char value[300];
    snprintf(value, sizeof value,
             "{\"v\":1,\"id\":\"e%d\",\"ts\":%lld,\"type\":\"like\",\"user\":\"%s\",\"scene\":\"home\",\"room\":\"r1\",\"host\":\"h1\",\"item\":\"c%d\"}",
             (int)s->events++, (long long)s->now_ms, user, item);
    memory_append(s->in.cluster, TOPIC_EVENTS, 0, slice_of(user), slice_of(value), s->now_ms);
}

static void event(struct world *s, const char *user)
{
    event_on(s, user, 1);
}

static void check_halt(struct world *s, enum stage stage, enum halt halt)
{
    struct task_report t = report(s, stage);
    CHECK(t.halt && strcmp(t.halt, halt_names[halt]) == 0);
    if (!t.halt || strcmp(t.halt, halt_names[halt]) != 0)
        fprintf(stderr, "  %s.0 is %s%s%s\n", stage_names[stage], t.state, t.halt ? " " : "", t.halt ? t.halt : "");
    CHECK_INT(worker_get_counts(s->in.worker)->halts[halt], 1);
    CHECK(strlen(halt_steps[halt]) > 10);
}

/* Not a halt: profile tasks wait for entity tasks whose effects might leave the log. */
static void test_profile_waits_for_entities(void)
{
    struct world s;
    open_stage(&s, true);
    event(&s, "u1");
    run(&s, 20);
    CHECK_INT(report(&s, STAGE_PROFILE).folded, 1);
    worker_effects_late(s.in.worker, true);
    event(&s, "u1");
    run(&s, 100);
    CHECK_INT(report(&s, STAGE_PROFILE).folded, 1);
    CHECK(report(&s, STAGE_ENTITY).folded > 0);
    CHECK(!report(&s, STAGE_PROFILE).halt);
    worker_effects_late(s.in.worker, false);
    run(&s, 20);
    CHECK_INT(report(&s, STAGE_PROFILE).folded, 2);
    close_stage(&s);
}

/* What comes after the SIGTERM is the next owner's: the drain does not wait for it. */
static void test_drain_under_load_ends(void)
{
    struct world s;
    open_stage(&s, true);
    for (int i = 0; i < 10; i++)
        event(&s, "u1");
    run(&s, 20);
    event(&s, "u1");
    one_turn(&s, true);
    CHECK(!worker_is_drained(s.in.worker)); /* there is something to commit */
    worker_drain(s.in.worker, s.now_ms);
    int turns = 0;
    for (; turns < 100 && !worker_is_drained(s.in.worker); turns++) {
        event(&s, "u1");
        one_turn(&s, true);
    }
    CHECK(turns > 0 && turns < 20);
    CHECK_INT(report(&s, STAGE_PROFILE).committed, 11);
    CHECK_INT(report(&s, STAGE_PROFILE).next, 11);
    close_stage(&s);
}

static void test_not_initialised(void)
{
    struct world s;
    open_stage(&s, false);
    event(&s, "u1");
    worker_assigned(s.in.worker, (struct topic_partition[]){{TOPIC_EVENTS, 0}}, 1, s.now_ms);
    run(&s, 20);
    check_halt(&s, STAGE_PROFILE, HALT_NOT_INITIALISED);
    close_stage(&s);
}

static void test_position_missing(void)
{
    struct world s;
    open_stage(&s, true);
    event(&s, "u1");
    run(&s, 40);
    CHECK_INT(report(&s, STAGE_PROFILE).committed, 1);
    crash(&s);
    struct memory_redis *lost = memory_redis_create();
    struct slice header = memory_redis_find(s.in.redis, STAGE_PROFILE, 0, HEADER_KEY);
    memory_redis_put(lost, STAGE_PROFILE, 0, HEADER_KEY, header);
    memory_redis_destroy(s.in.redis);
    s.in.redis = lost;
    start(&s);
    worker_assigned(s.in.worker, (struct topic_partition[]){{TOPIC_EVENTS, 0}}, 1, s.now_ms);
    run(&s, 20);
    check_halt(&s, STAGE_PROFILE, HALT_POSITION_MISSING);
    close_stage(&s);
}

static void test_other_settings(void)
{
    struct world s;
    open_stage(&s, true);
    run(&s, 20);
    CHECK(strcmp(report(&s, STAGE_PROFILE).state, "run") == 0);
    crash(&s);
    s.settings.fold_hash++;
    start(&s);
    worker_assigned(s.in.worker, (struct topic_partition[]){{TOPIC_EVENTS, 0}}, 1, s.now_ms);
    run(&s, 20);
    check_halt(&s, STAGE_PROFILE, HALT_HEADER);
    close_stage(&s);
}

static void events_on(struct world *s, int first, int last)
{
    for (int i = first; i < last; i++)
        event_on(s, i % 3 ? "u1" : "u2", i);
}

static void change_slot(struct world *s, enum stage stage, int64_t from)
{
    struct writer bytes = {0};
    struct slot_header h;
    enum err err = slot_header_decode(memory_redis_find(s->in.redis, stage, 0, HEADER_KEY), &h);
    CHECK_INT(err, ERR_NONE);
    h.fold_count += from > 0;
    h.folds[h.fold_count - 1] = (struct fold_span){from, s->settings.fold_hash};
    slot_header_encode(&h, &bytes);
    memory_redis_put(s->in.redis, stage, 0, HEADER_KEY, (struct slice){(const char *)bytes.data, (uint32_t)bytes.size});
    writer_fini(&bytes);
}

/* What `task migrate` writes; the entity stage folds the same under both. */
static void change_fold(struct world *s, int64_t from)
{
    change_slot(s, STAGE_PROFILE, from);
    change_slot(s, STAGE_ENTITY, 0);
}

/* The log folded from its origin with whatever the header says; answers the digest of the profile task. */
static uint64_t folded_again(struct world *s, int64_t from)
{
    uint64_t digest;
    struct memory_redis *kept = s->in.redis;
    crash(s);
    s->in.redis = memory_redis_create();
    start(s);
    memory_redis_init(s->in.redis, s->settings.before_count ? s->settings.before[0] : &s->settings, memory_log_port(s->in.log));
    if (from)
        change_fold(s, from);
    run(s, 60);
    CHECK_INT(report(s, STAGE_PROFILE).committed, s->events);
    digest = memory_redis_digest(s->in.redis, STAGE_PROFILE, 0);
    memory_redis_destroy(s->in.redis);
    s->in.redis = kept;
    return digest;
}

/* Rule 12: records below the offset of a change are folded as before it, also when they are folded again. */
static void test_changed_fold(void)
{
    struct world s;
    struct worker_settings old;
    const struct worker_settings *before[] = {&old};
    open_stage(&s, true);
    old = s.settings;
    events_on(&s, 0, 30);
    run(&s, 40);
    CHECK_INT(report(&s, STAGE_PROFILE).committed, 30);
    crash(&s);
    s.settings.fold_hash++;
    s.settings.profile.history = 20;
    s.settings.profile.weights[EVENT_LIKE] = 4;
    change_fold(&s, 30);
    start(&s); /* `before` does not hold the old ones; nothing below the change is left to fold, so they are not needed */
    events_on(&s, 30, 60);
    run(&s, 40);
    CHECK_INT(report(&s, STAGE_PROFILE).committed, 60);
    uint64_t digest = memory_redis_digest(s.in.redis, STAGE_PROFILE, 0);
    s.settings.before = before;
    s.settings.before_count = 1;
    CHECK(folded_again(&s, 30) == digest);
    CHECK(folded_again(&s, 31) != digest); /* the offset matters, so the test can fail */
    close_stage(&s);
}

/* Replaying below a change needs the settings of that time. */
static void test_fold_of_nobody(void)
{
    struct world s;
    open_stage(&s, true);
    events_on(&s, 0, 5);
    crash(&s);
    s.settings.fold_hash++;
    change_fold(&s, 3);
    start(&s);
    run(&s, 20);
    check_halt(&s, STAGE_PROFILE, HALT_HEADER);
    close_stage(&s);
}

static void test_rewritten(void)
{
    struct world s;
    open_stage(&s, true);
    event(&s, "u1");
    event(&s, "u2");
    run(&s, 40);
    CHECK_INT(report(&s, STAGE_PROFILE).committed, 2);
    crash(&s);
    memory_truncate(s.in.cluster, TOPIC_EVENTS, 0, 1);
    event(&s, "u3"); /* another record at the same offset */
    start(&s);
    run(&s, 20);
    check_halt(&s, STAGE_PROFILE, HALT_LOG_REWRITTEN);
    close_stage(&s);
}

static void test_truncated(void)
{
    struct world s;
    open_stage(&s, true);
    for (int i = 0; i < 3; i++)
        event(&s, "u1");
    run(&s, 40);
    crash(&s);
    memory_truncate(s.in.cluster, TOPIC_EVENTS, 0, 2); /* the position is beyond the end now */
    start(&s);
    run(&s, 400);
    check_halt(&s, STAGE_PROFILE, HALT_LOG_TRUNCATED);
    close_stage(&s);
    open_stage(&s, true);
    event(&s, "u1");
    run(&s, 40);
    crash(&s);
    for (int i = 0; i < 3; i++)
        event(&s, "u1");
    memory_trim(s.in.cluster, TOPIC_EVENTS, 0, 3); /* retention went past the position */
    start(&s);
    run(&s, 20);
    check_halt(&s, STAGE_PROFILE, HALT_LOG_TRUNCATED);
    close_stage(&s);
}

static bool turn_until_short(struct world *s, uint32_t answers)
{
    struct task_report t = report(s, STAGE_PROFILE);
    for (int64_t until_ms = s->now_ms + answers * s->settings.audit_ms + s->settings.audit_ms / 2; s->now_ms < until_ms && !t.halt; t = report(s, STAGE_PROFILE))
        run(s, 1);
    return !t.halt;
}

/* A broker that was the leader tells where the log ended for it: not a halt, if it learns in time. What it then tells is compared. */
static void test_former_leader(void)
{
    for (int same = 0; same < 2; same++) {
        struct world s;
        open_stage(&s, true);
        for (int i = 0; i < 3; i++)
            event(&s, "u1");
        run(&s, 40);
        CHECK_INT(report(&s, STAGE_PROFILE).committed, 3);
        crash(&s);
        struct writer bytes = {0};
        const struct record *last = memory_find(s.in.cluster, TOPIC_EVENTS, 0, 2);
        int64_t at_ms = last->timestamp_ms;
        put_bytes(&bytes, last->value.at, last->value.size);
        memory_truncate(s.in.cluster, TOPIC_EVENTS, 0, 1);
        start(&s);
        CHECK(turn_until_short(&s, s.settings.beyond_max - 1));
        if (same)
            memory_append(s.in.cluster, TOPIC_EVENTS, 0, slice_of("u1"), (struct slice){(const char *)bytes.data, (uint32_t)bytes.size}, at_ms);
        else
            event(&s, "u2");
        event(&s, "u3");
        run(&s, 200);
        if (same)
            CHECK_INT(report(&s, STAGE_PROFILE).committed, 4);
        else
            check_halt(&s, STAGE_PROFILE, HALT_LOG_REWRITTEN);
        writer_fini(&bytes);
        close_stage(&s);
    }
}

/* An operator's verb writes the position: the task goes on without a restart, and halts no more than once before that. */
static void test_halted_goes_on(void)
{
    struct world s;
    struct writer bytes = {0};
    struct position p = {.next = 3, .token = 77};
    open_stage(&s, true);
    event(&s, "u1");
    run(&s, 40);
    crash(&s);
    for (int i = 0; i < 3; i++)
        event(&s, "u1");
    memory_trim(s.in.cluster, TOPIC_EVENTS, 0, 3);
    start(&s);
    run(&s, 400);
    check_halt(&s, STAGE_PROFILE, HALT_LOG_TRUNCATED);
    position_encode(&p, &bytes);
    memory_redis_put(s.in.redis, STAGE_PROFILE, 0, POSITION_KEY, (struct slice){(const char *)bytes.data, (uint32_t)bytes.size});
    run(&s, 200);
    CHECK(!report(&s, STAGE_PROFILE).halt);
    CHECK_INT(report(&s, STAGE_PROFILE).committed, 4);
    writer_fini(&bytes);
    close_stage(&s);
}

/* Retention up to exactly the position is legal: nothing is left to compare. */
static void test_trimmed_to_position(void)
{
    struct world s;
    open_stage(&s, true);
    event(&s, "u1");
    run(&s, 40);
    crash(&s);
    event(&s, "u1");
    memory_trim(s.in.cluster, TOPIC_EVENTS, 0, 1);
    start(&s);
    run(&s, 40);
    CHECK_INT(report(&s, STAGE_PROFILE).committed, 2);
    close_stage(&s);
}

static void append_run(struct world *s, int64_t confirmed, int64_t prev, int64_t offset)
{
    struct effects_run run = {0};
    effects_run_begin_entry(&run, offset, prev, s->now_ms);
    effects_run_end_entry(&run);
    struct slice record = effects_run_close(&run, &(struct run_head){.confirmed = confirmed, .prev = offset});
    memory_append(s->in.cluster, TOPIC_EFFECTS, 0, (struct slice){0}, record, s->now_ms);
    writer_fini(&run.bytes);
}

static void test_effects_lost(void)
{
    struct world s;
    open_stage(&s, true);
    append_run(&s, -1, -1, 3);
    append_run(&s, 3, 7, 9); /* runs ahead of a gap that is not committed yet: refused, no halt */
    run(&s, 20);
    CHECK(!report(&s, STAGE_ENTITY).halt);
    CHECK_INT(worker_get_counts(s.in.worker)->entries_refused, 1);
    append_run(&s, 7, 7, 9); /* 7 was committed and never arrived */
    run(&s, 20);
    check_halt(&s, STAGE_ENTITY, HALT_EFFECTS_LOST);
    close_stage(&s);
}

static void test_unreadable_effects(void)
{
    struct world s;
    open_stage(&s, true);
    memory_append(s.in.cluster, TOPIC_EFFECTS, 0, (struct slice){0}, slice_of("\xff what is this"), s.now_ms);
    run(&s, 20);
    check_halt(&s, STAGE_ENTITY, HALT_RECORD_VERSION);
    close_stage(&s);
}

/* A record that ends its folder: each life dies as soon as it has folded it. Only its own task stops in the end. */
static void test_poison(void)
{
    struct world s;
    int lives = 0;
    open_stage(&s, true);
    event(&s, "u1");
    for (; lives < 30; lives++) {
        bool folded = false;
        for (int i = 0; i < 40 && !folded && !report(&s, STAGE_PROFILE).halt; i++) {
            one_turn(&s, true);
            folded = report(&s, STAGE_PROFILE).folded > 0;
        }
        if (report(&s, STAGE_PROFILE).halt)
            break;
        CHECK(folded);
        crash(&s);
        start(&s);
    }
    check_halt(&s, STAGE_PROFILE, HALT_POISON);
    CHECK(lives >= (int)(s.settings.claims_max + s.settings.tries_max - 1));
    CHECK(strcmp(report(&s, STAGE_ENTITY).state, "run") == 0);
    close_stage(&s);
}

/* Takeovers in order, more than claims_max and none with a commit between: no crash, so nothing is folded one at a time. */
static void test_handed_over(void)
{
    static const struct topic_partition all[] = {{TOPIC_EVENTS, 0}, {TOPIC_EFFECTS, 0}};
    struct world s;
    open_stage(&s, true);
    s.settings.profile_commit_ms = UINT32_MAX;
    worker_reload(s.in.worker, &s.settings);
    for (int i = 0; i < 30; i++) {
        event(&s, "u1");
        run(&s, 10);
        CHECK_INT(report(&s, STAGE_PROFILE).next, i + 1); /* all in one attempt, nothing committed */
        CHECK_INT(report(&s, STAGE_PROFILE).committed, 0);
        worker_assigned(s.in.worker, NULL, 0, s.now_ms);
        run(&s, 2);
        worker_assigned(s.in.worker, all, 2, s.now_ms);
    }
    close_stage(&s);
}

/* A limit that was raised or lowered while the worker runs is the one that holds. */
static void test_pace_after_reload(void)
{
    struct world s;
    open_stage(&s, true);
    uint32_t before = s.settings.turn_records_max;
    CHECK_INT(worker_pace(s.in.worker, 10 * before), before);
    s.settings.turn_records_max = 4 * before;
    worker_reload(s.in.worker, &s.settings);
    CHECK_INT(worker_pace(s.in.worker, 10 * before), 4 * before);
    CHECK_INT(worker_pace(s.in.worker, 2 * before), 2 * before);
    s.settings.turn_records_max = 1;
    worker_reload(s.in.worker, &s.settings);
    CHECK_INT(worker_pace(s.in.worker, 2 * before), 1);
    close_stage(&s);
}

int main(void)
{
    log_set_level((enum log_level)(LOG_ERROR + 1)); /* the halts are meant */
    test_profile_waits_for_entities();
    test_drain_under_load_ends();
    test_not_initialised();
    test_position_missing();
    test_other_settings();
    test_changed_fold();
    test_fold_of_nobody();
    test_rewritten();
    test_truncated();
    test_former_leader();
    test_halted_goes_on();
    test_trimmed_to_position();
    test_effects_lost();
    test_unreadable_effects();
    test_poison();
    test_handed_over();
    test_pace_after_reload();
    return checks_failed != 0;
}
