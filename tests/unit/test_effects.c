#include "tests/unit/check.h"

#include "server/engine/entity.h"
#include "server/worker/run_changes.h"

#include <stdlib.h>

static uint64_t draw(uint64_t *s, uint64_t below)
{
    *s = hash_mix(*s + 0x9e3779b97f4a7c15u);
    return *s % below;
}

static entity_id item(uint64_t n)
{
    return (entity_id)ENTITY_ITEM << 46 | n;
}

/* A run of two entries: a count, a rating with two pairs, and the other halves of two more. */
static void write_run(struct effects_run *run, struct writer *out)
{
    struct effect_list list = {0};
    struct count_effect *e = effect_list_add_count(&list, item(7));
    e->name = slice_of("r_1");
    e->scene = slice_of("home");
    e->explained = true;
    count_effect_add(e, COUNTER_GMV, -2);
    count_effect_add(e, COUNTER_GMV, -3);
    struct rating_effect *r = effect_list_add_rating(&list, item(8));
    r->name = slice_of("c_1");
    r->delta = -4;
    effect_list_add_pair(&list, item(9), -3);
    effect_list_add_pair(&list, item(10), 200);
    list.pairs[0].step = 3;
    list.pairs[1].step = 1;
    effects_run_begin_entry(run, 100, -1, 5000);
    effects_run_add_mirror(run, &list.pairs[0]);
    effects_run_add_mirror(run, &list.pairs[1]);
    effects_run_add_count(run, e);
    effects_run_end_entry(run);
    effects_run_begin_entry(run, 107, 100, 4000);
    effects_run_add_rating(run, r, list.pairs);
    effects_run_end_entry(run);
    struct slice record = effects_run_close(run, &(struct run_head){3, 5, 99, 107});
    out->size = 0;
    put_bytes(out, record.at, record.size);
    CHECK(effects_run_is_empty(run));
    effect_list_fini(&list);
}

static bool is_pair(struct run_reader *run, uint64_t target, uint64_t other, int32_t delta, uint8_t step)
{
    struct run_effect e;
    return effects_entry_next(run, &e) && e.op == RUN_PAIR && e.target == item(target) && e.other == item(other) && e.delta == delta && e.step == step;
}

static void test_effects_come_back_entry_by_entry(void)
{
    struct effects_run run = {0};
    struct run_reader reader;
    struct writer w = {0};
    struct run_entry entry;
    struct run_effect got;
    for (int again = 0; again < 2; again++) {
        write_run(&run, &w);
        CHECK(effects_run_open((struct slice){(char *)w.data, (uint32_t)w.size}, &reader) == ERR_NONE);
        CHECK(reader.head.source == 3 && reader.head.generation == 5 && reader.head.confirmed == 99 && reader.head.prev == 107);
        CHECK(effects_run_next(&reader, &entry) && entry.offset == 100 && entry.prev == -1 && entry.event_ms == 5000);
        CHECK(is_pair(&reader, 9, 8, -3, 3) && is_pair(&reader, 10, 8, 200, 1));
        CHECK(effects_entry_next(&reader, &got) && got.op == RUN_COUNT && got.count.explained && got.count.counter_count == 1);
        CHECK(got.count.counters[0].delta == -5 && got.count.name.size == 3 && slice_equal(got.count.scene, slice_of("home")));
        CHECK(!effects_entry_next(&reader, &got) && !reader.failed);
        CHECK(effects_run_next(&reader, &entry) && entry.offset == 107 && entry.prev == 100 && entry.event_ms == 4000);
        CHECK(effects_entry_next(&reader, &got) && got.op == RUN_RATING && got.target == item(8) && got.delta == -4);
        CHECK(slice_equal(got.name, slice_of("c_1")));
        CHECK(is_pair(&reader, 8, 9, -3, 0) && is_pair(&reader, 8, 10, 200, 0)); /* the way back is no transition */
        CHECK(!effects_entry_next(&reader, &got) && !effects_run_next(&reader, &entry) && !reader.failed);
    }
    CHECK(effects_run_open(effects_run_close(&run, &(struct run_head){3, 5, 8, 7}), &reader) == ERR_NONE); /* a mark */
    CHECK(reader.head.confirmed == 8 && reader.head.prev == 7 && !effects_run_next(&reader, &entry) && !reader.failed);
    writer_fini(&run.bytes);
    writer_fini(&w);
}

static void read_all(struct slice value)
{
    struct run_reader reader;
    struct run_entry entry;
    struct run_effect e;
    if (effects_run_open(value, &reader) != ERR_NONE)
        return;
    while (effects_run_next(&reader, &entry))
        while (effects_entry_next(&reader, &e))
            CHECK(e.op != RUN_COUNT || (e.count.counter_count <= COUNTERS && e.count.source < SOURCES));
}

/* Whatever the bytes, nothing is read beyond them; the sanitizers of `tests/run --sanitize` watch. */
static void test_effects_that_are_damaged_are_refused(void)
{
    struct effects_run run = {0};
    struct run_reader reader;
    struct writer w = {0};
    write_run(&run, &w);
    uint64_t random = 3;
    for (size_t size = 0; size < w.size; size++) {
        char *cut = malloc(size + 1);
        memcpy(cut, w.data, size);
        read_all((struct slice){cut, (uint32_t)size});
        free(cut);
    }
    struct slice value = {(char *)w.data, (uint32_t)w.size};
    for (size_t at = 1; at < w.size; at++)
        for (int n = 0; n < 200; n++) {
            uint8_t was = w.data[at];
            w.data[at] = (uint8_t)draw(&random, 256);
            read_all(value);
            w.data[at] = was;
        }
    w.data[0] = EFFECTS_VERSION + 1;
    CHECK(effects_run_open(value, &reader) == ERR_VERSION);
    writer_fini(&run.bytes);
    writer_fini(&w);
}

/* Folding a record entity by entity, counters summed first, gives what folding it effect by effect gives. */
static void test_changes_of_a_record_grouped_fold_the_same(void)
{
    enum { N = 2000, TARGETS = 150 };
    struct entity_settings s;
    entity_settings_default(&s);
    struct run_changes changes = {0};
    struct counters *one[TARGETS], *all[TARGETS];
    uint64_t random = 11;
    int64_t pairs = 0;
    entity_id target_of[N + 1];
    for (int i = 0; i < TARGETS; i++) {
        one[i] = counters_create();
        all[i] = counters_create();
    }
    run_changes_clear(&changes);
    for (int n = 0; n < N; n++) {
        struct run_effect e = {.op = (enum run_op)(RUN_COUNT + draw(&random, 3)), .target = 1 + draw(&random, draw(&random, TARGETS) + 1),
                               .other = 77, .delta = n + 1};
        int64_t event_ms = 1732370000000 + (int64_t)draw(&random, 300000);
        target_of[e.delta] = e.target;
        e.count = (struct count_effect){.target = e.target, .name = slice_of("c1"), .scene = slice_of(draw(&random, 2) ? "a" : "b"),
                                        .source = (enum event_source)draw(&random, SOURCES), .explained = draw(&random, 2)};
        count_effect_add(&e.count, (enum counter)draw(&random, COUNTERS), 1 + (int64_t)draw(&random, 9));
        count_effect_add(&e.count, COUNTER_CLICK, 1);
        run_changes_add(&changes, run_changes_target(&changes, e.target), &e, event_ms);
        if (e.op == RUN_COUNT)
            counters_add_count(one[e.target - 1], &s, &e.count, event_ms);
        pairs += e.op == RUN_PAIR;
    }
    for (uint32_t i = 0; i < changes.target_count; i++) {
        const struct target *target = &changes.targets[i];
        for (uint32_t k = target->tally; k; k = changes.tallies[k - 1].next)
            counters_add_count(all[target->id - 1], &s, &changes.tallies[k - 1].sum, changes.tallies[k - 1].event_ms);
        int32_t before = 0;
        for (uint32_t k = target->first; k; k = changes.changes[k - 1].next) {
            const struct neighbour_change *change = &changes.changes[k - 1].pair;
            CHECK(target_of[change->delta] == target->id && change->delta > before);
            before = change->delta;
            pairs -= change->other == 77;
        }
    }
    CHECK_INT(pairs, 0);
    for (int i = 0; i < TARGETS; i++) {
        int64_t a[COUNTERS], b[COUNTERS];
        counters_total(one[i], false, a);
        counters_total(all[i], false, b);
        CHECK(memcmp(a, b, sizeof a) == 0);
        CHECK_INT(counters_last_ms(one[i]), counters_last_ms(all[i]));
        CHECK_INT(counters_newest_minute(one[i], a), counters_newest_minute(all[i], b));
        CHECK(memcmp(a, b, sizeof a) == 0);
        counters_destroy(one[i]);
        counters_destroy(all[i]);
    }
    run_changes_fini(&changes);
}

int main(void)
{
    test_effects_come_back_entry_by_entry();
    test_effects_that_are_damaged_are_refused();
    test_changes_of_a_record_grouped_fold_the_same();
    return checks_failed != 0;
}
