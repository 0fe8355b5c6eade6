/* What a host ranking promises: results an exposure, believed as far as they reach; fame, domain and age in their place. */
#include "tests/unit/check.h"

#include "server/engine/allocation.h"

#include <stdlib.h>
#include <string.h>

#define HOSTS 10
#define HOUR_MS 3600000

struct stage {
    struct allocation_settings settings;
    struct scene *c;
    struct scene_out out;
    int64_t tick_ms, position;
    struct out_ranking last; /* the last ranking of c1 */
    int rankings;
};

static void apply(struct stage *s, const struct scene_entry *e)
{
    scene_out_clear(&s->out);
    CHECK_INT(scene_apply(s->c, &s->settings, e, &s->out), SCENE_APPLIED);
    for (size_t i = 0; i < s->out.ranking_count; i++) {
        if (!slice_equal(name_slice(&s->out.rankings[i].item), slice_of("c1")))
            continue;
        s->last = s->out.rankings[i];
        s->rankings++;
    }
}

static void tick_at(struct stage *s, int64_t later_ms)
{
    s->tick_ms += later_ms;
    apply(s, &(struct scene_entry){.type = SCENE_TICK, .tick = {1, s->tick_ms}});
}

/* `wares`: the category of what is on show. */
static void open_with(struct stage *s, int host, const char *domain, int64_t fans, const char *wares)
{
    char room[16], name[16];
    struct scene_entry e = {.type = SCENE_ROOM};
    snprintf(room, sizeof room, "r%d", host);
    snprintf(name, sizeof name, "h%d", host);
    e.room = (struct room_entry){.position = {1, 0, ++s->position}, .open = true, .record_ms = s->tick_ms, .room = slice_of(room),
                                 .host = slice_of(name), .category = slice_of("a"), .item_count = 2, .fans = fans,
                                 .domains = {1, {slice_of(domain)}}};
    e.room.items[0] = (struct scene_item){.name = slice_of("c1"), .category = slice_of("a")};
    e.room.items[1] = (struct scene_item){.name = slice_of("c2"), .category = slice_of("b")};
    e.room.explaining = e.room.items[strcmp(wares, "a") != 0].name;
    apply(s, &e);
}

static void open_room(struct stage *s, int host, const char *domain, int64_t fans)
{
    open_with(s, host, domain, fans, "a");
}

static void show(struct stage *s, int host, const char *wares)
{
    open_with(s, host, "a", 1000, wares);
}

/* Watch time and interactions follow from the enters. */
static void add_counts(int64_t counters[COUNTERS], int64_t exposures, int64_t enters, int64_t orders)
{
    counters[COUNTER_EXPOSURE] += exposures;
    counters[COUNTER_CLICK] += enters;
    counters[COUNTER_ENTER] += enters;
    counters[COUNTER_WATCH_MS] += enters * 20000;
    counters[COUNTER_INTERACTION] += enters;
    counters[COUNTER_PURCHASE] += orders;
    counters[COUNTER_GMV] += orders * 9900;
}

static struct scene_entry rollup_of(struct stage *s, int host)
{
    static char name[16];
    struct scene_entry e = {.type = SCENE_ROLLUP};
    snprintf(name, sizeof name, "h%d", host);
    e.rollup = (struct rollup){.scene = slice_of("home"), .name = slice_of(name), .id = entity_id_of(ENTITY_HOST, slice_of(name)),
                               .offset = ++s->position, .last_ms = s->tick_ms};
    return e;
}

static void results(struct stage *s, int host, int64_t exposures, int64_t enters, int64_t orders)
{
    struct scene_entry e = rollup_of(s, host);
    add_counts(e.rollup.totals, exposures, enters, orders);
    apply(s, &e);
}

/* So many exposures by recommendations, of which a tenth enter and a hundredth buy, and so many others: half of that. */
static void results_by_way(struct stage *s, int host, int64_t recommended, int64_t others, int64_t more)
{
    struct scene_entry e = rollup_of(s, host);
    add_counts(e.rollup.recommended, recommended, recommended / 10, recommended / 100);
    add_counts(e.rollup.totals, recommended, recommended / 10, recommended / 100);
    add_counts(e.rollup.totals, others, others / 20 + more, others / 200);
    apply(s, &e);
}

static void open_stage(struct stage *s)
{
    *s = (struct stage){.tick_ms = 1732370000000};
    allocation_settings_default(&s->settings);
    s->c = scene_create(slice_of("home"));
    tick_at(s, 1000);
    for (int h = 0; h < HOSTS; h++)
        open_room(s, h, "a", 1000);
}

static void close_stage(struct stage *s)
{
    scene_destroy(s->c);
    scene_out_fini(&s->out);
}

static int rank_of(const struct stage *s, int host)
{
    char name[16];
    snprintf(name, sizeof name, "h%d", host);
    for (uint32_t i = 0; i < s->last.count; i++)
        if (slice_equal(name_slice(&s->last.hosts[i].host), slice_of(name)))
            return (int)i;
    return -1;
}

static int32_t part_of(const struct stage *s, int host, enum host_part part)
{
    int rank = rank_of(s, host);
    CHECK(rank >= 0);
    return rank < 0 ? 0 : s->last.hosts[rank].parts[part];
}

static void test_rates_decide_not_volume(void)
{
    struct stage s;
    open_stage(&s);
    for (int h = 0; h < HOSTS; h++) /* h9 is shown a hundred times as often and does worse */
        results(&s, h, h == 9 ? 200000 : 2000, h == 9 ? 4000 : 100 + 10 * h, h == 9 ? 100 : 10 + h);
    tick_at(&s, 1000);
    for (int h = 0; h + 1 < 9; h++)
        CHECK(rank_of(&s, h) > rank_of(&s, h + 1));
    CHECK_INT(rank_of(&s, 9), HOSTS - 1);
    int64_t sum = 0;
    for (int p = 0; p < HOST_PARTS; p++)
        sum += s.last.hosts[0].parts[p];
    CHECK_INT(sum, s.last.hosts[0].score_ppm);
    close_stage(&s);
}

/* Two orders of ten visits are less than fifty of five hundred; and a host without results stands in the middle. */
static void test_little_evidence_is_shrunk(void)
{
    struct stage s;
    open_stage(&s);
    for (int h = 0; h < HOSTS - 2; h++)
        results(&s, h, 5000, 200 + 50 * h, 20 + 5 * h);
    results(&s, 8, 60, 10, 2); /* three times the rate of the best, on sixty exposures */
    tick_at(&s, 1000);
    CHECK(rank_of(&s, 7) < rank_of(&s, 8));
    CHECK(rank_of(&s, 9) > rank_of(&s, 7) && rank_of(&s, 9) < rank_of(&s, 0));
    int32_t unknown = part_of(&s, 9, HOST_CONVERSION), half = (int32_t)(s.settings.host_part_ppm[HOST_CONVERSION] / 2);
    CHECK(abs(unknown - half) <= 1);
    close_stage(&s);
}

/* Followers who come by themselves are not a sign of a better host. */
static void test_enters_without_exposure_are_no_merit(void)
{
    struct stage s;
    open_stage(&s);
    for (int h = 0; h < HOSTS; h++)
        results(&s, h, 2000, 100 + 10 * (h % 5), 10);
    struct scene_entry e = rollup_of(&s, 0);
    e.rollup.totals[COUNTER_EXPOSURE] = 2000;
    e.rollup.totals[COUNTER_CLICK] = 100;
    e.rollup.totals[COUNTER_ENTER] = 1100; /* a thousand followers */
    e.rollup.totals[COUNTER_WATCH_MS] = 1100 * 20000;
    e.rollup.totals[COUNTER_INTERACTION] = 1100;
    e.rollup.totals[COUNTER_PURCHASE] = 100;
    e.rollup.totals[COUNTER_GMV] = 100 * 9900;
    apply(&s, &e);
    tick_at(&s, 1000);
    CHECK(rank_of(&s, 0) > rank_of(&s, 4));
    close_stage(&s);
}

/* Lists show a host to those it suits, so everybody does better there; who does well elsewhere is the better host. */
static void test_who_was_recommended_is_not_better(void)
{
    struct stage s;
    open_stage(&s);
    for (int h = 0; h < HOSTS; h++)
        results_by_way(&s, h, 1000 * h, 1000 * (HOSTS - h), h == 0 ? 100 : 0);
    tick_at(&s, 1000);
    CHECK_INT(rank_of(&s, 0), 0);
    for (int h = 1; h + 1 < HOSTS; h++) /* they do alike */
        CHECK(abs(part_of(&s, h, HOST_ENTRANCE) - part_of(&s, h + 1, HOST_ENTRANCE)) < s.settings.host_part_ppm[HOST_ENTRANCE] / 50);
    close_stage(&s);
}

/* With the wares of another field on show all sell half; those who had to are not worse. */
static void test_wares_of_another_field_are_no_fault(void)
{
    struct stage s;
    open_stage(&s);
    for (int h = 0; h < HOSTS; h++)
        results(&s, h, 4000, 400, 40);
    for (int h = 0; h < HOSTS; h += 2)
        show(&s, h, "b");
    for (int h = 0; h < HOSTS; h++) {
        int64_t half = h % 2 ? 1 : 2, more = h == 0 ? 10 : 0;
        results(&s, h, 8000, 400 + 400 / half, 40 + 40 / half + more);
    }
    tick_at(&s, 1000);
    CHECK_INT(rank_of(&s, 0), 0);
    CHECK(abs(part_of(&s, 2, HOST_CONVERSION) - part_of(&s, 1, HOST_CONVERSION)) < s.settings.host_part_ppm[HOST_CONVERSION] / 50);
    close_stage(&s);
}

/* What came by recommendations is told of the days that are kept: when a day leaves, nothing is taken back. */
static void test_a_day_that_leaves_takes_nothing_back(void)
{
    struct stage s;
    open_stage(&s);
    for (int h = 0; h < HOSTS; h++)
        results_by_way(&s, h, 2000, 2000, 10 * h);
    tick_at(&s, 1000);
    struct out_ranking before = s.last;
    for (int h = 0; h < HOSTS; h++) {
        struct scene_entry e = rollup_of(&s, h);
        add_counts(e.rollup.totals, 4000, 300 + 10 * h, 30);
        apply(&s, &e);
    }
    tick_at(&s, s.settings.rank_refresh_ms);
    CHECK_INT(s.rankings, 2);
    for (int h = 0; h < HOSTS; h++)
        CHECK_INT(s.last.hosts[h].score_ppm, before.hosts[h].score_ppm);
    close_stage(&s);
}

/* A platform that sends neither clicks nor watch time has its hosts ranked by what it sends. */
static void test_steps_that_nobody_counts_are_passed_over(void)
{
    struct stage s;
    open_stage(&s);
    for (int h = 0; h < HOSTS; h++) {
        struct scene_entry e = rollup_of(&s, h);
        e.rollup.totals[COUNTER_EXPOSURE] = 20000;
        e.rollup.totals[COUNTER_PURCHASE] = 100 + 20 * h;
        apply(&s, &e);
    }
    tick_at(&s, 1000);
    for (int h = 0; h + 1 < HOSTS; h++)
        CHECK(rank_of(&s, h) > rank_of(&s, h + 1));
    close_stage(&s);
}

/* A single wholesale order, a hundred times the usual, says little of how much a host sells. */
static void test_one_large_order_does_not_make_a_host(void)
{
    struct stage s;
    open_stage(&s);
    for (int h = 0; h < HOSTS; h++)
        results(&s, h, 4000, 400, 40);
    tick_at(&s, 1000);
    struct scene_entry e = rollup_of(&s, 0);
    add_counts(e.rollup.totals, 4000, 400, 41);
    e.rollup.totals[COUNTER_GMV] += 99 * 9900;
    apply(&s, &e);
    results(&s, 1, 4000, 400, 70);
    tick_at(&s, 1000);
    CHECK(rank_of(&s, 1) < rank_of(&s, 0));
    e.rollup.offset = ++s.position;
    e.rollup.totals[COUNTER_REFUND_AMOUNT] += 100 * 9900; /* it goes back */
    apply(&s, &e);
    tick_at(&s, s.settings.rank_refresh_ms);
    CHECK(abs(part_of(&s, 0, HOST_GPM) - part_of(&s, 2, HOST_GPM)) < s.settings.host_part_ppm[HOST_GPM] / 20);
    close_stage(&s);
}

static void test_domain_and_fans_count(void)
{
    struct stage s;
    open_stage(&s);
    open_room(&s, 1, "b", 1000);     /* another field */
    open_room(&s, 2, "a", 10000000); /* famous */
    tick_at(&s, 1000);
    CHECK_INT(rank_of(&s, 1), HOSTS - 1);
    CHECK_INT(rank_of(&s, 2), 0);
    CHECK_INT(part_of(&s, 1, HOST_DOMAIN), 0);
    CHECK_INT(part_of(&s, 0, HOST_DOMAIN), s.settings.host_part_ppm[HOST_DOMAIN]);
    close_stage(&s);
}

/* What a host did long ago counts less than what the others do now. */
static void test_results_fade(void)
{
    struct stage s;
    open_stage(&s);
    s.settings.silent_ms = s.settings.retired_ms = 400ll * 24 * HOUR_MS;
    for (int h = 0; h < HOSTS; h++)
        results(&s, h, 2000, h == 3 ? 400 : 100, h == 3 ? 60 : 10);
    tick_at(&s, 1000);
    CHECK_INT(rank_of(&s, 3), 0);
    for (int day = 0; day < 120; day++)
        tick_at(&s, 24 * HOUR_MS);
    for (int h = 0; h < HOSTS; h++)
        results(&s, h, 4000, h == 3 ? 480 : 220, h == 3 ? 66 : 22); /* since then h3 is a little worse */
    tick_at(&s, 1000);
    CHECK(rank_of(&s, 3) > 0);
    close_stage(&s);
}

static void test_rankings_are_sent_again_before_they_expire(void)
{
    struct stage s;
    open_stage(&s);
    s.settings.silent_ms = HOUR_MS;
    tick_at(&s, 1000);
    int first = s.rankings;
    CHECK(first > 0);
    for (int i = 0; i < 299; i++)
        tick_at(&s, 1000);
    CHECK_INT(s.rankings, first);
    tick_at(&s, 1000);
    CHECK_INT(s.rankings, first + 1);
    close_stage(&s);
}

int main(void)
{
    test_rates_decide_not_volume();
    test_little_evidence_is_shrunk();
    test_enters_without_exposure_are_no_merit();
    test_who_was_recommended_is_not_better();
    test_wares_of_another_field_are_no_fault();
    test_a_day_that_leaves_takes_nothing_back();
    test_steps_that_nobody_counts_are_passed_over();
    test_one_large_order_does_not_make_a_host();
    test_domain_and_fans_count();
    test_results_fade();
    test_rankings_are_sent_again_before_they_expire();
    return checks_failed != 0;
}
