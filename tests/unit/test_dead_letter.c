/* Refused records of the tables: every worker reads them, one speaks, and whatever came before it could is not lost. */
#include "tests/unit/check.h"

#include "server/codec/catalog_decode.h"
#include "server/codec/control_decode.h"
#include "server/worker/dead_letter.h"
#include "server/worker/memory_worker.h"
#include "server/worker/worker_internal.h"

#include <stdlib.h>

#define NOW 1732370000000ll

struct world {
    struct worker_settings settings;
    struct memory_worker in;
};

static void open_world(struct world *s)
{
    *s = (struct world){0};
    worker_settings_default(&s->settings);
    s->settings.user_key_size = 16;
    memory_worker_open(&s->in, NULL);
    memory_worker_start(&s->in, &s->settings, 1);
    memory_redis_init(s->in.redis, &s->settings, memory_log_port(s->in.log));
}

static void close_world(struct world *s)
{
    memory_worker_close(&s->in, NOW);
}

static void table(struct world *s, enum topic topic, const char *key, const char *value, int64_t offset)
{
    struct record r = {.topic = topic, .offset = offset, .timestamp_ms = NOW, .key = slice_of(key), .value = slice_of(value)};
    worker_table_record(s->in.worker, &r, NOW);
}

static void test_letters_wait_for_the_one_that_speaks(void)
{
    static const struct topic_partition other[] = {{TOPIC_EVENTS, 0}}, speaker[] = {{TOPIC_EVENTS, 0}, {TOPIC_ROLLUPS, 0}};
    struct world s;
    open_world(&s);
    worker_assigned(s.in.worker, other, 1, NOW);
    table(&s, TOPIC_CATALOG, "item:c1", "{", 0);
    table(&s, TOPIC_CATALOG, "item:c2", "{\"v\":1,\"format\":\"course\"}", 1);
    table(&s, TOPIC_CONTROL, "home", "{\"v\":1,\"id\":\"k\",\"scene\":\"home\",\"op\":\"pin\",\"room\":\"r\",\"by\":\"ops\"}", 0);
    worker_turn(s.in.worker, NOW);
    CHECK_INT(memory_end(s.in.cluster, TOPIC_DEADLETTER, 0), 0);
    CHECK_INT(worker_get_counts(s.in.worker)->dead_letters, 2);
    worker_assigned(s.in.worker, speaker, 2, NOW);
    worker_turn(s.in.worker, NOW);
    CHECK_INT(memory_end(s.in.cluster, TOPIC_DEADLETTER, 0), 2);
    const struct record *letter = memory_find(s.in.cluster, TOPIC_DEADLETTER, 0, 0), *answer = memory_find(s.in.cluster, TOPIC_ALERTS, 0, 0);
    CHECK(letter && slice_equal(letter->key, slice_of("item:c1")) && slice_equal(letter->value, slice_of("{")));
    CHECK(answer && memmem(answer->value.at, answer->value.size, "\"answer\":\"bad_value\"", 20));
    table(&s, TOPIC_CATALOG, "thing:c1", "{}", 2);
    worker_turn(s.in.worker, NOW);
    CHECK_INT(memory_end(s.in.cluster, TOPIC_DEADLETTER, 0), 3);
    close_world(&s);
}

static void test_more_than_can_wait_leave_oldest_first(void)
{
    static const struct topic_partition speaker[] = {{TOPIC_ROLLUPS, 0}};
    struct world s;
    char key[32];
    open_world(&s);
    for (int i = 0; i < REFUSED_MAX + 5; i++) {
        snprintf(key, sizeof key, "item:c%d", i);
        table(&s, TOPIC_CATALOG, key, "{", i);
    }
    worker_assigned(s.in.worker, speaker, 1, NOW);
    worker_turn(s.in.worker, NOW);
    CHECK_INT(memory_end(s.in.cluster, TOPIC_DEADLETTER, 0), REFUSED_MAX);
    CHECK_INT(worker_get_counts(s.in.worker)->dead_letters, REFUSED_MAX + 5);
    close_world(&s);
}

static void test_every_reason_has_a_text(void)
{
    for (int i = 1; i < EVENT_REFUSALS; i++)
        CHECK(dead_letter_text(event_refusal_names[i]) != event_refusal_names[i]);
    for (int i = PROFILE_DUPLICATE + 1; i < PROFILE_REFUSALS; i++)
        CHECK(dead_letter_text(profile_refusal_names[i]) != profile_refusal_names[i]);
    for (int i = 1; i < CATALOG_REFUSALS; i++)
        CHECK(dead_letter_text(catalog_refusal_names[i]) != catalog_refusal_names[i]);
    for (int i = 1; i <= CONTROL_BAD_TEXT; i++)
        CHECK(dead_letter_text(control_refusal_names[i]) != control_refusal_names[i]);
}

int main(void)
{
    test_letters_wait_for_the_one_that_speaks();
    test_more_than_can_wait_leave_oldest_first();
    test_every_reason_has_a_text();
    return checks_failed != 0;
}
