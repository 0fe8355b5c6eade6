/* What a guarantee promises: delivery on its line although less arrives than the weights say, and nothing once it is met. */
#include "tests/unit/check.h"

#include "server/engine/allocation.h"

#include <stdlib.h>

#define ROOMS 10
#define SPAN_MS 1200000
#define PROMISED 9000
#define RATE 50 /* exposures a second of the scene */

struct run {
    int64_t half;      /* delivered when half of the time was over */
    int64_t met_ms;    /* after the start; 0: missed */
    int32_t after_ppm; /* weight two minutes after it was met */
    int alerts;
};

static void apply(struct scene *c, const struct allocation_settings *s, const struct scene_entry *e, struct scene_out *out)
{
    scene_out_clear(out);
    CHECK_INT(scene_apply(c, s, e, out), SCENE_APPLIED);
}

static void open_rooms(struct scene *c, const struct allocation_settings *s, int64_t now_ms, struct scene_out *out)
{
    char room[16], host[16];
    for (int i = 0; i < ROOMS; i++) {
        struct scene_entry e = {.type = SCENE_ROOM};
        snprintf(room, sizeof room, "r%d", i);
        snprintf(host, sizeof host, "h%d", i);
        e.room = (struct room_entry){.position = {1, 0, i}, .open = true, .record_ms = now_ms - 3600000, .room = slice_of(room),
                                     .host = slice_of(host), .category = slice_of("a")};
        apply(c, s, &e, out);
    }
}

static int32_t weight_of(const struct scene *c, uint32_t room)
{
    bool live;
    int32_t ppm = 0;
    scene_room(c, room, &live, &ppm);
    return ppm;
}

static void expose(struct scene *c, const struct allocation_settings *s, uint32_t room, int64_t offset, int64_t exposures, struct scene_out *out)
{
    bool live;
    int32_t ppm;
    struct scene_entry e = {.type = SCENE_ROLLUP};
    struct slice name = scene_room(c, room, &live, &ppm);
    e.rollup = (struct rollup){.scene = slice_of("home"), .name = name, .id = entity_id_of(ENTITY_ROOM, name), .offset = offset};
    e.rollup.totals[COUNTER_EXPOSURE] = exposures;
    apply(c, s, &e, out);
}

struct stage {
    const struct allocation_settings *settings;
    struct scene *c;
    struct scene_out out;
    double exposures[ROOMS];
    uint32_t target;
    double reach; /* the part of its weight that the guaranteed room really gets */
    int64_t now_ms;
};

static void second(struct stage *s)
{
    s->now_ms += 1000;
    for (uint32_t i = 0; i < ROOMS; i++) {
        s->exposures[i] += RATE * (double)weight_of(s->c, i) / PPM * (i == s->target ? s->reach : 1);
        expose(s->c, s->settings, i, s->now_ms, (int64_t)s->exposures[i], &s->out);
    }
    apply(s->c, s->settings, &(struct scene_entry){.type = SCENE_TICK, .tick = {1, s->now_ms}}, &s->out);
}

static void open_stage(struct stage *s, const struct allocation_settings *settings, double reach)
{
    *s = (struct stage){.settings = settings, .c = scene_create(slice_of("home")), .reach = reach, .now_ms = 1732370000000};
    apply(s->c, settings, &(struct scene_entry){.type = SCENE_TICK, .tick = {1, s->now_ms}}, &s->out);
    open_rooms(s->c, settings, s->now_ms, &s->out);
    for (uint32_t i = 0; i < ROOMS; i++) {
        bool live;
        int32_t ppm;
        s->target = slice_equal(scene_room(s->c, i, &live, &ppm), slice_of("r4")) ? i : s->target;
    }
    for (int i = 0; i < 600; i++) /* the scene's rate is known */
        second(s);
}

static struct run guarantee(const struct allocation_settings *settings, double reach)
{
    struct stage s;
    struct run run = {0};
    open_stage(&s, settings, reach);
    struct scene_entry e = {.type = SCENE_CONTROL};
    e.control = (struct control_entry){.position = {1, 0, 1}, .id = slice_of("k"), .scene = slice_of("home"), .op = CONTROL_GUARANTEE,
                                       .room = slice_of("r4"), .value = PROMISED, .until_ms = s.now_ms + SPAN_MS};
    apply(s.c, settings, &e, &s.out);
    double before = s.exposures[s.target];
    for (int64_t at = 1000; at <= SPAN_MS + 1000; at += 1000) {
        second(&s);
        run.half = at <= SPAN_MS / 2 ? (int64_t)(s.exposures[s.target] - before) : run.half;
        for (size_t i = 0; i < s.out.alert_count; i++) {
            run.alerts++;
            run.met_ms = s.out.alerts[i].kind == ALERT_GUARANTEE_MET ? at : run.met_ms;
        }
        if (run.met_ms && at == run.met_ms + 120000)
            run.after_ppm = weight_of(s.c, s.target);
    }
    printf("reach %.1f: %lld at half time, met after %lld ms, then %d ppm\n", reach, (long long)run.half, (long long)run.met_ms, run.after_ppm);
    scene_destroy(s.c);
    scene_out_fini(&s.out);
    return run;
}

static void test_guarantee_is_met_and_then_ends(void)
{
    struct allocation_settings s;
    allocation_settings_default(&s);
    struct run run = guarantee(&s, 1);
    CHECK(run.met_ms > SPAN_MS * 8 / 10 && run.met_ms <= SPAN_MS); /* neither missed nor rushed */
    CHECK(run.half > PROMISED * 45 / 100 && run.half < PROMISED * 60 / 100);
    CHECK_INT(run.alerts, 1);
}

static void test_guarantee_catches_up_with_what_does_not_arrive(void)
{
    struct allocation_settings s;
    allocation_settings_default(&s);
    s.guarantee_max_ppm = 600000;
    s.cap_ppm = 600000;
    struct run with = guarantee(&s, 0.6);
    memset(s.guarantee_gain_ppm, 0, sizeof s.guarantee_gain_ppm);
    struct run without = guarantee(&s, 0.6);
    CHECK(with.half > PROMISED * 42 / 100);
    CHECK(with.half > without.half + PROMISED / 20);
    CHECK(with.met_ms > 0 && with.met_ms <= SPAN_MS);
}

/* Met early by its own merits: the floor is gone although the integral still holds something. */
static void test_met_guarantee_asks_for_nothing(void)
{
    struct allocation_settings s;
    allocation_settings_default(&s);
    struct run run = guarantee(&s, 4);
    CHECK(run.met_ms > 0 && run.met_ms < SPAN_MS - 200000);
    CHECK(run.after_ppm <= PPM / ROOMS + 2 * s.step_ppm);
    CHECK_INT(run.alerts, 1);
}

int main(void)
{
    test_guarantee_is_met_and_then_ends();
    test_guarantee_catches_up_with_what_does_not_arrive();
    test_met_guarantee_asks_for_nothing();
    return checks_failed != 0;
}
