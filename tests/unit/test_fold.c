#include "tests/unit/check.h"

#include "server/engine/entity.h"
#include "server/engine/profile.h"

#include <stdlib.h>

static uint64_t draw(uint64_t *s, uint64_t below)
{
    *s = hash_mix(*s + 0x9e3779b97f4a7c15u);
    return *s % below;
}

struct texts {
    char id[16], room[16], host[16], item[16], order[16];
};

static struct event random_event(uint64_t *s, struct texts *t, int n)
{
    snprintf(t->id, sizeof t->id, "e%d", draw(s, 30) ? n : n / 2);
    snprintf(t->room, sizeof t->room, "r%d", (int)draw(s, 6));
    snprintf(t->host, sizeof t->host, "h%d", (int)draw(s, 4));
    snprintf(t->item, sizeof t->item, "c%d", (int)draw(s, 40));
    snprintf(t->order, sizeof t->order, "o%d", (int)draw(s, 50));
    struct event e = {
        .type = (enum event_type)draw(s, EVENT_TYPES - (draw(s, 50) ? 1 : 0)),
        .event_ms = 1732370000000 + n * 500 - (int64_t)draw(s, 90000),
        .id = slice_of(t->id), .user = slice_of("u"), .scene = slice_of("home"), .room = slice_of(t->room),
        .host = slice_of(t->host), .item = slice_of(t->item), .order = slice_of(t->order), .dwell_ms = (uint32_t)draw(s, 100000),
        .amount = (int64_t)draw(s, 1000), .currency = 'C' << 16 | 'N' << 8 | 'Y', .qty = 1, .value = (uint8_t)(1 + draw(s, 5)),
        .percent = (uint8_t)draw(s, 101),
    };
    if (e.type == EVENT_DISLIKE || e.type == EVENT_BLOCK)
        e.room = e.host = (struct slice){0};
    return e;
}

static struct profile *reopened(struct profile *p)
{
    struct writer w = {0}, again = {0};
    struct profile *q = NULL;
    profile_encode(p, &w);
    CHECK(profile_decode((struct slice){(char *)w.data, (uint32_t)w.size}, &q) == ERR_NONE);
    profile_encode(q, &again);
    CHECK(w.size == again.size && memcmp(w.data, again.data, w.size) == 0);
    writer_fini(&w);
    writer_fini(&again);
    profile_destroy(p);
    return q;
}

static void test_profile_reopened_anywhere_folds_the_same(void)
{
    struct profile_settings s;
    profile_settings_default(&s);
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct profile *a = profile_create(), *b = profile_create();
        struct effect_list ea = {0}, eb = {0};
        uint64_t random = seed, other = seed * 77;
        for (int n = 0; n < 400; n++) {
            struct texts t;
            struct event e = random_event(&random, &t, n);
            effect_list_clear(&ea);
            effect_list_clear(&eb);
            CHECK(profile_apply(a, &s, &e, e.event_ms + 100, &ea) == profile_apply(b, &s, &e, e.event_ms + 100, &eb));
            CHECK_INT(ea.count_count, eb.count_count);
            CHECK_INT(ea.rating_count, eb.rating_count);
            CHECK_INT(ea.pair_count, eb.pair_count);
            if (draw(&other, 10) == 0)
                b = reopened(b);
        }
        a = reopened(a);
        b = reopened(b);
        struct writer wa = {0}, wb = {0};
        profile_encode(a, &wa);
        profile_encode(b, &wb);
        CHECK(wa.size == wb.size && memcmp(wa.data, wb.data, wa.size) == 0);
        writer_fini(&wa);
        writer_fini(&wb);
        effect_list_fini(&ea);
        effect_list_fini(&eb);
        profile_destroy(a);
        profile_destroy(b);
    }
}

/* Ratings and pair counts that the effects add up to are those of the profile while nothing falls out of it. */
static void test_pairs_add_up_to_the_minimum_of_ratings(void)
{
    struct profile_settings s;
    profile_settings_default(&s);
    s.history = 60;
    struct profile *p = profile_create();
    struct effect_list out = {0};
    uint64_t random = 5;
    for (int n = 0; n < 300; n++) {
        struct texts t;
        struct event e = random_event(&random, &t, n);
        if (e.type != EVENT_FORGET)
            profile_apply(p, &s, &e, e.event_ms, &out);
    }
    for (uint32_t i = 0; i < p->history_count; i++)
        for (uint32_t k = 0; k < p->history_count; k++) {
            const struct history_entry *a = &p->history[i], *b = &p->history[k];
            if (entity_kind_of(a->id) != ENTITY_ITEM || entity_kind_of(b->id) != ENTITY_ITEM)
                continue;
            int64_t sum = 0, want = i == k ? a->rating : a->rating < b->rating ? a->rating : b->rating;
            for (uint32_t j = 0; i == k && j < out.rating_count; j++)
                sum += out.ratings[j].target == a->id ? out.ratings[j].delta : 0;
            for (uint32_t j = 0; i != k && j < out.pair_count; j++) {
                const struct pair_effect *e = &out.pairs[j];
                if ((e->target == a->id && e->other == b->id) || (e->target == b->id && e->other == a->id))
                    sum += e->delta;
            }
            CHECK_INT(sum, want);
        }
    effect_list_clear(&out);
    struct event forget = {.type = EVENT_FORGET, .event_ms = 1732370000000, .id = slice_of("x"), .scene = slice_of("home")};
    int64_t ratings = 0;
    for (uint32_t i = 0; i < p->history_count; i++)
        ratings += p->history[i].rating;
    CHECK(profile_apply(p, &s, &forget, forget.event_ms, &out) == PROFILE_APPLIED);
    for (uint32_t j = 0; j < out.rating_count; j++)
        ratings += out.ratings[j].delta;
    CHECK_INT(ratings, 0);
    CHECK_INT(p->events, 0);
    effect_list_fini(&out);
    profile_destroy(p);
}

static void test_money_is_judged_by_its_order(void)
{
    struct profile_settings s;
    profile_settings_default(&s);
    struct profile *p = profile_create();
    struct effect_list out = {0};
    struct event buy = {.type = EVENT_PURCHASE, .event_ms = 1000000, .id = slice_of("1"), .scene = slice_of("home"),
                        .item = slice_of("c1"), .order = slice_of("o1"), .amount = 500, .qty = 1, .currency = 'C' << 16 | 'N' << 8 | 'Y'};
    CHECK(profile_apply(p, &s, &buy, 1000000, &out) == PROFILE_APPLIED);
    CHECK(profile_apply(p, &s, &buy, 1000000, &out) == PROFILE_DUPLICATE);
    buy.id = slice_of("2");
    CHECK(profile_apply(p, &s, &buy, 1000000, &out) == PROFILE_DUPLICATE);
    struct event back = buy;
    back.type = EVENT_REFUND;
    back.id = slice_of("3");
    back.amount = 501;
    CHECK(profile_apply(p, &s, &back, 1000000, &out) == PROFILE_REFUND_EXCEEDS);
    back.amount = 300;
    CHECK(profile_apply(p, &s, &back, 1000000, &out) == PROFILE_APPLIED);
    back.id = slice_of("4");
    CHECK(profile_apply(p, &s, &back, 1000000, &out) == PROFILE_REFUND_EXCEEDS);
    back.order = slice_of("o2");
    CHECK(profile_apply(p, &s, &back, 1000000, &out) == PROFILE_UNKNOWN_ORDER);
    buy.id = slice_of("5");
    buy.currency = 1;
    buy.order = slice_of("o3");
    CHECK(profile_apply(p, &s, &buy, 1000000, &out) == PROFILE_UNKNOWN_CURRENCY);
    buy.currency = 'C' << 16 | 'N' << 8 | 'Y';
    buy.amount = 10000001;
    CHECK(profile_apply(p, &s, &buy, 1000000, &out) == PROFILE_AMOUNT_TOO_LARGE);
    buy.amount = 1;
    CHECK(profile_apply(p, &s, &buy, 1000000 + 86400001, &out) == PROFILE_LATE);
    CHECK(profile_apply(p, &s, &buy, 1000000 - 300001, &out) == PROFILE_EARLY);
    CHECK_INT(p->spent - p->refunded, 200);
    CHECK_INT(p->orders, 1);
    effect_list_fini(&out);
    profile_destroy(p);
}

static void test_counters_do_not_depend_on_order(void)
{
    enum { N = 500 };
    struct entity_settings s;
    entity_settings_default(&s);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct count_effect effects[N];
        bool rates[N];
        int64_t times[N];
        uint64_t random = seed;
        for (int i = 0; i < N; i++) {
            rates[i] = draw(&random, 4) == 0;
            effects[i] = (struct count_effect){.target = 1, .name = slice_of("c1"), .scene = slice_of("home"),
                                               .source = (enum event_source)draw(&random, SOURCES), .counter_count = 1};
            effects[i].counters[0] = (struct counter_delta){(enum counter)draw(&random, COUNTERS), 1 + (int64_t)draw(&random, 9)};
            times[i] = 1732370000000 + (int64_t)draw(&random, 90000000);
        }
        struct counters *c[2] = {counters_create(), counters_create()};
        for (int i = 0; i < 2 * N; i++) {
            int at = i < N ? i : 2 * N - 1 - i;
            if (rates[at])
                counters_add_rating(c[i / N], &s, effects[at].name, 1, times[at]);
            else
                counters_add_count(c[i / N], &s, &effects[at], times[at]);
        }
        struct writer w[2] = {{0}};
        for (int k = 0; k < 2; k++) {
            struct counters *again;
            counters_encode(c[k], &w[k]);
            CHECK(counters_decode((struct slice){(char *)w[k].data, (uint32_t)w[k].size}, &again) == ERR_NONE);
            w[k].size = 0;
            counters_encode(again, &w[k]);
            counters_destroy(again);
            counters_destroy(c[k]);
        }
        CHECK(w[0].size == w[1].size && memcmp(w[0].data, w[1].data, w[0].size) == 0);
        writer_fini(&w[0]);
        writer_fini(&w[1]);
    }
}

/* Two minutes around the midnight of Shanghai, and what is out of the window by one bucket of each level. */
static void test_buckets_are_cut_by_the_clock_and_days_by_their_offset(void)
{
    const int64_t midnight = 1732377600000; /* 2024-11-24T00:00+08:00 */
    struct { int64_t after_ms; int days, hours, minutes; } cases[] = {
        {-1, 2, 2, 2}, {0, 1, 1, 1}, {59999, 1, 1, 1}, {60000, 1, 1, 2}, {60 * 60000 - 1, 1, 1, 2}, {60 * 60000, 1, 2, 1}, {48 * 3600000, 2, 1, 1}, {35 * 86400000ll, 1, 1, 1},
    };
    struct entity_settings s;
    entity_settings_default(&s);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct count_effect e = {.target = 1, .name = slice_of("c1"), .scene = slice_of("home"), .counter_count = 1, .counters = {{COUNTER_CLICK, 1}}};
        struct counters *c = counters_create();
        struct counter_bucket b;
        int levels[LEVELS] = {0};
        int64_t last_day = 0;
        counters_add_count(c, &s, &e, midnight);
        counters_add_count(c, &s, &e, midnight + cases[i].after_ms);
        for (uint32_t k = 0; counters_bucket(c, k, &b); k++) {
            levels[b.level]++;
            last_day = b.level == DAYS && b.start_ms > last_day ? b.start_ms : last_day;
        }
        CHECK_INT(levels[DAYS], cases[i].days);
        CHECK_INT(levels[HOURS], cases[i].hours);
        CHECK_INT(levels[MINUTES], cases[i].minutes);
        CHECK_INT(last_day, midnight + s.day_offset_ms + (cases[i].after_ms > 0 ? cases[i].after_ms / 86400000 * 86400000 : 0));
        counters_destroy(c);
    }
}

/* Followed and rated in one scene, ended in another: neither shows less than none. */
static void test_what_stands_is_the_same_in_every_scene(void)
{
    const struct { const char *scene; enum counter counter; int64_t delta; } changes[] = {
        {"home", COUNTER_FOLLOW, 1}, {"home", COUNTER_ENTER, 1}, {"home", COUNTER_RATING_COUNT, 1}, {"home", COUNTER_RATING_SUM, 5},
        {"night", COUNTER_RATING_SUM, -3}, {"night", COUNTER_FOLLOW, -1},
    };
    struct entity_settings s;
    struct counters *c = counters_create();
    int64_t totals[COUNTERS];
    entity_settings_default(&s);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct count_effect e = {.target = 1, .name = slice_of("c1"), .scene = slice_of(changes[i].scene), .counter_count = 1};
        e.counters[0] = (struct counter_delta){changes[i].counter, changes[i].delta};
        counters_add_count(c, &s, &e, 1732370000000);
    }
    CHECK_INT(counters_scenes(c), 2);
    for (int i = 0; i < 2; i++) {
        bool home = slice_equal(counters_scene(c, i, totals), slice_of("home"));
        CHECK_INT(totals[COUNTER_FOLLOW], 0);
        CHECK_INT(totals[COUNTER_RATING_COUNT], 1);
        CHECK_INT(totals[COUNTER_RATING_SUM], 2);
        CHECK_INT(totals[COUNTER_ENTER], home ? 1 : 0);
    }
    counters_total(c, false, totals);
    CHECK_INT(totals[COUNTER_FOLLOW], 0);
    CHECK_INT(totals[COUNTER_RATING_SUM], 2);
    counters_destroy(c);
}

/* The first eight have counters of their own, the others share one row; what says no scene is a scene without a name. */
static void test_scenes_beyond_the_limit_share_a_row(void)
{
    struct entity_settings s;
    struct counters *c = counters_create();
    int64_t totals[COUNTERS];
    entity_settings_default(&s);
    for (int n = 0; n < 3 * 12; n++) {
        char scene[8];
        snprintf(scene, sizeof scene, "s%d", n % 12);
        struct count_effect e = {.target = 1, .name = slice_of("c1"), .scene = slice_of(n % 12 ? scene : ""), .counter_count = 1};
        e.counters[0] = (struct counter_delta){COUNTER_ENTER, 1};
        counters_add_count(c, &s, &e, 1732370000000);
    }
    CHECK_INT(counters_scenes(c), SCENES_PER_ENTITY + 1);
    for (int i = 0; i <= SCENES_PER_ENTITY; i++) {
        struct slice name = counters_scene(c, i, totals);
        CHECK_INT(name.size, i == 0 || i == SCENES_PER_ENTITY ? 0 : 2);
        CHECK_INT(totals[COUNTER_ENTER], i == SCENES_PER_ENTITY ? 3 * (12 - SCENES_PER_ENTITY) : 3);
    }
    counters_destroy(c);
}

static void test_neighbours_reopened_anywhere_fold_the_same(void)
{
    struct entity_settings s;
    entity_settings_default(&s);
    s.neighbours = 16;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct neighbours *a = neighbours_create(), *b = neighbours_create();
        uint64_t random = seed;
        struct writer wa = {0}, wb = {0};
        for (int n = 0; n < 3000; n++) {
            entity_id other = (entity_id)ENTITY_ITEM << 46 | draw(&random, 60);
            int32_t delta = draw(&random, 5) ? 1 + (int32_t)draw(&random, 4) : -1;
            int64_t at = 1732370000000 + n * 2000000ll - (int64_t)draw(&random, 900000000);
            struct neighbour_change e = {other, delta, (uint8_t)(delta > 0 ? other % 4 : 0)};
            neighbours_apply(a, &s, &e, at);
            neighbours_apply(b, &s, &e, at);
            if (draw(&random, 20))
                continue;
            wb.size = 0;
            neighbours_encode(b, &wb);
            neighbours_destroy(b);
            CHECK(neighbours_decode((struct slice){(char *)wb.data, (uint32_t)wb.size}, &b) == ERR_NONE);
        }
        wb.size = 0;
        neighbours_encode(a, &wa);
        neighbours_encode(b, &wb);
        CHECK(wa.size == wb.size && memcmp(wa.data, wb.data, wa.size) == 0);
        writer_fini(&wa);
        writer_fini(&wb);
        neighbours_destroy(a);
        neighbours_destroy(b);
    }
}

int main(void)
{
    test_profile_reopened_anywhere_folds_the_same();
    test_pairs_add_up_to_the_minimum_of_ratings();
    test_money_is_judged_by_its_order();
    test_counters_do_not_depend_on_order();
    test_buckets_are_cut_by_the_clock_and_days_by_their_offset();
    test_what_stands_is_the_same_in_every_scene();
    test_scenes_beyond_the_limit_share_a_row();
    test_neighbours_reopened_anywhere_fold_the_same();
    return checks_failed != 0;
}
