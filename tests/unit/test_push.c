/* When a list is pushed and when its view is written, on a worker in memory. */
#include "tests/unit/check.h"

#include "common/hmac.h"
#include "server/codec/learner_codec.h"
#include "server/worker/audience_emit.h"
#include "server/worker/memory_worker.h"

#include <jansson.h>
#include <stdlib.h>

#define STEP_MS 50

struct world {
    struct worker_settings settings;
    struct memory_worker in;
    int64_t now_ms;
    int64_t events;
};

static void table(struct world *s, const char *key, const char *value)
{
    struct record r = {.topic = TOPIC_CATALOG, .timestamp_ms = s->now_ms, .key = slice_of(key), .value = slice_of(value)};
    worker_table_record(s->in.worker, &r, s->now_ms);
}

static void fill_catalog(struct world *s)
{
    char key[32], value[300];
    for (int i = 0; i < 30; i++) {
        snprintf(key, sizeof key, "item:c%d", i);
        snprintf(value, sizeof value, "{\"v\":1,\"title\":\"t\",\"category\":\"a%d\",\"tags\":[\"t%d\",\"t%d\"],\"format\":\"course\",\"price\":1,\"currency\":\"CNY\"}", i, i % 7, i % 5);
        table(s, key, value);
        snprintf(key, sizeof key, "room:r%d", i);
        snprintf(value, sizeof value, "{\"v\":1,\"host\":\"h%d\",\"scenes\":[\"home\"],\"status\":\"open\",\"title\":\"t\",\"category\":\"a%d\",\"tags\":[],\"items\":[\"c%d\"]}", i, i, i);
        table(s, key, value);
    }
    worker_tables_ready(s->in.worker);
}

static void run_ms(struct world *s, int64_t ms)
{
    for (int64_t end = s->now_ms + ms; s->now_ms < end;) {
        s->now_ms += STEP_MS;
        memory_log_set_now(s->in.log, s->now_ms);
        memory_log_deliver(s->in.log, s->in.worker, 100000, s->now_ms);
        memory_store_deliver(s->in.store, s->in.worker, 100000, s->now_ms);
        worker_turn(s->in.worker, s->now_ms);
    }
}

static void choose_settings(struct world *s)
{
    *s = (struct world){.now_ms = 1732370000000};
    worker_settings_default(&s->settings);
    s->settings.user_key_size = 16;
}

static void start_stage(struct world *s)
{
    static const struct topic_partition all[] = {{TOPIC_EVENTS, 0}, {TOPIC_EFFECTS, 0}};
    memory_worker_open(&s->in, NULL);
    memory_worker_start(&s->in, &s->settings, 1);
    memory_redis_init(s->in.redis, &s->settings, memory_log_port(s->in.log));
    worker_assigned(s->in.worker, all, 2, s->now_ms);
    fill_catalog(s);
    run_ms(s, 1000);
}

static void open_stage_with(struct world *s, uint32_t share_of_b)
{
    choose_settings(s);
    s->settings.experiment.share[0] = share_of_b;
    s->settings.experiment.weights[0][REASON_EXPLORE] = 0;
    start_stage(s);
}

static void open_stage(struct world *s)
{
    open_stage_with(s, 0);
}

static void close_stage(struct world *s)
{
    memory_worker_close(&s->in, s->now_ms);
}

static void event(struct world *s, const char *type, int room)
{
    char value[300];
    snprintf(value, sizeof value, "{\"v\":1,\"id\":\"e%d\",\"ts\":%lld,\"type\":\"%s\",\"user\":\"u_88\",\"scene\":\"home\",\"room\":\"r%d\",\"host\":\"h%d\",\"item\":\"c%d\"}",
             (int)s->events++, (long long)s->now_ms, type, room, room, room);
    memory_append(s->in.cluster, TOPIC_EVENTS, 0, slice_of("u_88"), slice_of(value), s->now_ms);
}

static int64_t lists(const struct world *s)
{
    return memory_end(s->in.cluster, TOPIC_RECOMMENDATIONS, 0);
}

static json_t *last_list(const struct world *s)
{
    const struct record *r = memory_find(s->in.cluster, TOPIC_RECOMMENDATIONS, 0, lists(s) - 1);
    return r ? json_loadb(r->value.at, r->value.size, 0, NULL) : NULL;
}

/* Of the user; `prefix` ends with ':'. */
static struct slice view_bytes(const struct world *s, const char *prefix)
{
    char key[64];
    uint8_t bytes[USER_KEY_BYTES];
    size_t size = strlen(strcpy(key, prefix));
    struct user_hmac *users = user_hmac_create((struct slice){(const char *)s->settings.user_key, s->settings.user_key_size});
    user_hmac_of(users, slice_of("u_88"), bytes);
    user_key_text(bytes, key + size);
    user_hmac_destroy(users);
    return memory_redis_view(s->in.redis, slice_of(key));
}

static json_t *view(const struct world *s)
{
    struct slice v = view_bytes(s, "rec:");
    return v.size ? json_loadb(v.at, v.size, 0, NULL) : NULL;
}

static bool same_rec(const json_t *a, const json_t *b)
{
    const char *x = json_string_value(json_object_get(a, "rec")), *y = json_string_value(json_object_get(b, "rec"));
    return x && y && strcmp(x, y) == 0;
}

static bool view_is_newest(const struct world *s)
{
    json_t *v = view(s), *l = last_list(s);
    bool same = same_rec(v, l);
    CHECK(v == NULL || json_object_get(v, "user") == NULL);
    json_decref(v);
    json_decref(l);
    return same;
}

/* Until a change pushes one more list. */
static bool push_one_more(struct world *s)
{
    int64_t before = lists(s);
    for (int room = 1; room < 30 && lists(s) == before; room++) {
        event(s, "like", room);
        run_ms(s, 300);
    }
    return lists(s) > before;
}

static void test_views_are_written_at_once_then_once_an_interval(void)
{
    struct world s;
    open_stage(&s);
    event(&s, "like", 0);
    run_ms(&s, 100);
    CHECK_INT(lists(&s), 1);
    CHECK(view_is_newest(&s));
    int64_t written_ms = s.now_ms;
    CHECK(push_one_more(&s));
    CHECK(s.now_ms - written_ms < s.settings.push.view_ms);
    CHECK(!view_is_newest(&s));
    run_ms(&s, s.settings.push.view_ms + 100);
    CHECK(view_is_newest(&s));
    close_stage(&s);
}

static void test_a_drain_writes_the_views_that_wait(void)
{
    struct world s;
    open_stage(&s);
    event(&s, "like", 0);
    run_ms(&s, 100);
    CHECK(push_one_more(&s));
    CHECK(!view_is_newest(&s));
    worker_drain(s.in.worker, s.now_ms);
    CHECK(view_is_newest(&s));
    close_stage(&s);
}

static void test_views_wait_while_the_store_is_behind(void)
{
    struct world s;
    open_stage(&s);
    memory_store_views_late(s.in.store, true);
    event(&s, "like", 0);
    run_ms(&s, 2 * s.settings.push.view_ms);
    CHECK_INT(lists(&s), 1);
    CHECK(view(&s) == NULL);
    memory_store_views_late(s.in.store, false);
    run_ms(&s, 100);
    CHECK(view_is_newest(&s));
    close_stage(&s);
}

static void test_nothing_of_a_forgotten_user_comes_back(void)
{
    struct world s;
    open_stage(&s);
    event(&s, "like", 0);
    run_ms(&s, 100);
    CHECK(push_one_more(&s));
    char value[200];
    snprintf(value, sizeof value, "{\"v\":1,\"id\":\"f\",\"ts\":%lld,\"type\":\"forget\",\"user\":\"u_88\",\"scene\":\"home\"}", (long long)s.now_ms);
    memory_append(s.in.cluster, TOPIC_EVENTS, 0, slice_of("u_88"), slice_of(value), s.now_ms);
    run_ms(&s, 2 * s.settings.push.view_ms);
    CHECK(view(&s) == NULL);
    close_stage(&s);
}

static void test_an_impression_asks_only_when_the_list_is_old(void)
{
    struct world s;
    open_stage(&s);
    event(&s, "impression", 3);
    run_ms(&s, 300);
    CHECK_INT(lists(&s), 1); /* none was sent before */
    uint64_t rankings = worker_get_counts(s.in.worker)->rankings;
    event(&s, "impression", 4);
    run_ms(&s, 300);
    CHECK_INT(lists(&s), 1);
    CHECK_INT(worker_get_counts(s.in.worker)->rankings, rankings);
    run_ms(&s, s.settings.push.refresh_ms);
    event(&s, "impression", 5);
    run_ms(&s, 300);
    CHECK_INT(lists(&s), 2);
    close_stage(&s);
}

/* Events that change nothing rank again with the same draws, so nothing is sent until the list is old. */
static void test_chance_alone_pushes_nothing(void)
{
    struct world s;
    open_stage(&s);
    event(&s, "chat", 0);
    run_ms(&s, 1000);
    int64_t before = lists(&s);
    uint64_t rankings = worker_get_counts(s.in.worker)->rankings;
    for (int i = 0; i < 40; i++) {
        event(&s, "chat", 0);
        run_ms(&s, 250);
    }
    CHECK(worker_get_counts(s.in.worker)->rankings >= rankings + 40);
    CHECK(lists(&s) - before <= 1);
    close_stage(&s);
}

/* All users in arm b, which does not explore: the list says so, and so do the counts of the arm. */
static void test_an_arm_ranks_its_own_way_and_is_counted(void)
{
    static const char *const names[] = {"a", "b"};
    for (int arm = 0; arm < 2; arm++) {
        struct world s;
        open_stage_with(&s, arm ? 1000 : 0);
        event(&s, "click", 3);
        run_ms(&s, 1000);
        event(&s, "enter", 4);
        run_ms(&s, 1000);
        const struct arm_counts *c = worker_get_counts(s.in.worker)->arms;
        json_t *list = last_list(&s), *room, *reason;
        size_t i, k, explored = 0;
        CHECK(strcmp(json_string_value(json_object_get(list, "arm")), names[arm]) == 0);
        json_array_foreach(json_object_get(list, "rooms"), i, room)
            json_array_foreach(json_object_get(room, "reasons"), k, reason)
                explored += strcmp(json_string_value(json_object_get(reason, "code")), "explore") == 0;
        CHECK(arm ? explored == 0 : explored > 0);
        CHECK(c[arm].lists > 0 && c[!arm].lists == 0);
        CHECK_INT(c[arm].events[EVENT_CLICK][0] + c[arm].events[EVENT_ENTER][0], 2);
        CHECK_INT(c[!arm].events[EVENT_CLICK][0], 0);
        json_decref(list);
        close_stage(&s);
    }
}

/* Two segments: many users who look at t1, a few who like t2 and leave. */
static void learn(struct world *s)
{
    static struct model m;
    struct writer bytes = {0};
    m = (struct model){.number = 1, .segment_count = 2};
    for (int i = 0; i < 2; i++) {
        m.segments[i].tag_count = 1;
        m.segments[i].tags[0] = (struct model_tag){.size = 2, .text = "t1", .weight = 1};
    }
    m.segments[1].tags[0].text[1] = '2';
    m.segments[0].audience.tiers[VALUE_HIGH] = (struct audience_tier){100, 0.2f, 0};
    m.segments[0].audience.formats[FORMAT_COURSE] = (struct audience_format){100, 10};
    m.segments[1].audience.tiers[VALUE_ORDINARY] = (struct audience_tier){10, 0.1f, 0.9f};
    model_encode(&m, &bytes);
    worker_table_record(s->in.worker, &(struct record){.topic = TOPIC_MODELS, .timestamp_ms = s->now_ms, .key = slice_of("models"), .value = {(const char *)bytes.data, (uint32_t)bytes.size}}, s->now_ms);
    writer_fini(&bytes);
}

/* A producer sets the time of its record: nanoseconds, say. */
static void test_a_room_with_a_time_that_none_can_have_halts_nothing(void)
{
    static const struct topic_partition rollups = {TOPIC_ROLLUPS, 0};
    struct task_report tasks[8];
    struct world s;
    open_stage(&s);
    worker_assigned(s.in.worker, &rollups, 1, s.now_ms);
    run_ms(&s, 1000);
    struct record r = {.topic = TOPIC_CATALOG, .timestamp_ms = 1732370000000000000, .key = slice_of("room:r99"),
                       .value = slice_of("{\"v\":1,\"host\":\"h1\",\"scenes\":[\"home\"],\"status\":\"open\",\"title\":\"t\",\"category\":\"a\",\"tags\":[],\"items\":[]}")};
    worker_table_record(s.in.worker, &r, s.now_ms);
    run_ms(&s, 3000);
    size_t n = worker_report(s.in.worker, s.now_ms, tasks, 8), allocating = 0;
    for (size_t i = 0; i < n; i++) {
        CHECK(tasks[i].halt == NULL);
        allocating += tasks[i].stage == STAGE_ALLOCATION && tasks[i].folded > 0;
    }
    CHECK_INT(allocating, 1);
    close_stage(&s);
}

static json_t *audience_of(struct world *s, const char *item)
{
    struct writer out = {0};
    put_bytes(&out, "{\"v\":1", 6);
    audience_emit(s->in.worker, slice_of("home"), slice_of(item), s->now_ms, &out);
    put_bytes(&out, "}", 1);
    json_t *root = json_loadb((const char *)out.data, out.size, 0, NULL);
    CHECK(root != NULL);
    writer_fini(&out);
    return root;
}

static const char *first(const json_t *root, const char *list, const char *field)
{
    const char *text = json_string_value(json_object_get(json_array_get(json_object_get(root, list), 0), field));
    return text ? text : "";
}

/* c8 is worth more than c9, but where it is on show c9 comes next. */
static void test_an_audience_is_told(void)
{
    struct world s;
    open_stage(&s);
    table(&s, "room:rA", "{\"v\":1,\"host\":\"h8\",\"scenes\":[\"home\"],\"status\":\"open\",\"items\":[\"c9\",\"c8\"],\"explaining\":\"c8\"}");
    table(&s, "room:rB", "{\"v\":1,\"host\":\"h8\",\"scenes\":[\"away\"],\"status\":\"open\",\"items\":[\"c8\"]}");
    json_t *nobody = audience_of(&s, "c8");
    CHECK_INT(json_array_size(json_object_get(nobody, "audience")), 0);
    learn(&s);
    json_t *eight = audience_of(&s, "c8"), *nine = audience_of(&s, "c9");
    CHECK(strcmp(first(eight, "audience", "segment"), "s0") == 0 && strcmp(first(nine, "audience", "segment"), "s1") == 0);
    const json_t *formats = json_object_get(json_array_get(json_object_get(eight, "audience"), 0), "formats");
    CHECK_INT(json_integer_value(json_object_get(json_array_get(formats, 0), "sold")), 10);
    size_t i, rooms = 0;
    json_t *room;
    json_array_foreach(json_object_get(eight, "rooms"), i, room) { /* r8, where nothing is on show, and rA; rB is elsewhere */
        bool shows_it = strcmp(json_string_value(json_object_get(room, "id")), "rA") == 0;
        CHECK(json_is_true(json_object_get(room, "next")) == !shows_it);
        rooms++;
    }
    CHECK_INT(rooms, 2);
    json_array_foreach(json_object_get(nine, "rooms"), i, room) {
        CHECK(json_is_true(json_object_get(room, "next")));
        CHECK(strcmp(first(room, "invite", "segment"), "s1") == 0 && strcmp(first(room, "invite", "value"), "ordinary") == 0);
    }
    run_ms(&s, 100);
    json_decref(nobody);
    json_decref(eight);
    json_decref(nine);
    close_stage(&s);
}

/* Samples of choices so far; the newest is handed out. */
static int choices(const struct world *s, struct choice *out_newest)
{
    int count = 0;
    for (int64_t i = 0; i < memory_end(s->in.cluster, TOPIC_SAMPLES, 0); i++) {
        const struct record *r = memory_find(s->in.cluster, TOPIC_SAMPLES, 0, i);
        struct sample sample;
        CHECK(r && sample_decode(r->value, &sample) == ERR_NONE);
        if (!r || sample.kind != SAMPLE_CHOICE)
            continue;
        count++;
        *out_newest = sample.choice;
    }
    return count;
}

static void test_a_choice_is_told_as_things_stood_before_it(void)
{
    static const enum reason of_the_user[] = {REASON_INTEREST, REASON_SIMILAR_ITEM, REASON_FOLLOWED, REASON_KNOWN_HOST, REASON_SERIES, REASON_AGAIN};
    struct world s;
    struct choice c = {0};
    open_stage(&s);
    for (int room = 1; room <= 4; room++)
        event(&s, "impression", room);
    run_ms(&s, 1000); /* what is taken within the second in which it was shown does not say that it was taken */
    event(&s, "enter", 2);
    run_ms(&s, 300);
    CHECK_INT(choices(&s, &c), 1);
    CHECK_INT(c.count, 4); /* what was shown, the entered first */
    for (int j = 0; j < c.count; j++)
        for (size_t k = 0; k < sizeof of_the_user / sizeof *of_the_user; k++)
            CHECK_INT(c.values[j][of_the_user[k]], 0); /* nothing was known of the user; entering tells of taste and host */
    event(&s, "enter", 3);
    run_ms(&s, 300);
    CHECK_INT(choices(&s, &c), 1); /* the visit goes on */
    run_ms(&s, s.settings.segments.session_gap_ms);
    event(&s, "enter", 2);
    run_ms(&s, 300);
    CHECK_INT(choices(&s, &c), 2);
    CHECK_INT(c.count, CHOICE_MAX); /* of the best: nothing was shown lately */
    CHECK(c.values[0][REASON_KNOWN_HOST] > 0);
    s.events--; /* the same event again is none */
    run_ms(&s, s.settings.segments.session_gap_ms);
    event(&s, "enter", 2);
    run_ms(&s, 300);
    CHECK_INT(choices(&s, &c), 2);
    close_stage(&s);
}

/* A key holds at most 10,000 bytes: of a long history with long ids the newest items that fit. */
static void test_the_view_of_a_long_history_is_bounded(void)
{
    struct world s;
    char id[65], text[300];
    choose_settings(&s);
    s.settings.push.enabled = false;
    start_stage(&s);
    for (int i = 0; i < 150; i++) {
        snprintf(id, sizeof id, "c%063d", i);
        snprintf(text, sizeof text, "item:%s", id);
        table(&s, text, "{\"v\":1,\"title\":\"t\",\"category\":\"a\",\"tags\":[],\"format\":\"course\",\"price\":1,\"currency\":\"CNY\"}");
        snprintf(text, sizeof text, "{\"v\":1,\"id\":\"e%d\",\"ts\":%lld,\"type\":\"click\",\"user\":\"u_88\",\"scene\":\"home\",\"item\":\"%s\"}", i, (long long)s.now_ms, id);
        memory_append(s.in.cluster, TOPIC_EVENTS, 0, slice_of("u_88"), slice_of(text), s.now_ms);
        run_ms(&s, 100);
    }
    run_ms(&s, 3 * s.settings.push.view_ms);
    snprintf(text, sizeof text, "{\"v\":1,\"id\":\"last\",\"ts\":%lld,\"type\":\"click\",\"user\":\"u_88\",\"scene\":\"home\",\"item\":\"%s\"}", (long long)s.now_ms, id);
    memory_append(s.in.cluster, TOPIC_EVENTS, 0, slice_of("u_88"), slice_of(text), s.now_ms);
    run_ms(&s, 3 * s.settings.push.view_ms);
    struct slice v = view_bytes(&s, "history:");
    json_t *have = json_loadb(v.at, v.size, 0, NULL), *items = json_object_get(have, "items");
    CHECK(v.size > 7000 && v.size <= 10000);
    CHECK(json_array_size(items) > 70);
    CHECK(strcmp(json_string_value(json_object_get(json_array_get(items, json_array_size(items) - 1), "id")), id) == 0);
    json_decref(have);
    close_stage(&s);
}

int main(void)
{
    test_a_room_with_a_time_that_none_can_have_halts_nothing();
    test_a_choice_is_told_as_things_stood_before_it();
    test_an_audience_is_told();
    test_an_arm_ranks_its_own_way_and_is_counted();
    test_views_are_written_at_once_then_once_an_interval();
    test_a_drain_writes_the_views_that_wait();
    test_the_view_of_a_long_history_is_bounded();
    test_views_wait_while_the_store_is_behind();
    test_nothing_of_a_forgotten_user_comes_back();
    test_an_impression_asks_only_when_the_list_is_old();
    test_chance_alone_pushes_nothing();
    return checks_failed != 0;
}
