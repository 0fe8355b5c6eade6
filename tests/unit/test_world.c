#include "tests/unit/check.h"

#include "common/hash.h"
#include "server/simulate/reference.h"
#include "server/simulate/report.h"
#include "server/simulate/world_state.h"

#include <jansson.h>
#include <stdlib.h>

enum need { NEED_ROOM = 1, NEED_ITEM = 2, NEED_DWELL = 4, NEED_AMOUNT = 8, NEED_ORDER = 16, NEED_ONE = 32,
            NEED_ANY = 64, NEED_VALUE = 128, NEED_PERCENT = 256, NEED_HOST = 512, NEED_OPTION = 1024,
            NEED_CURRENCY = 2048 };

/* What the contract asks of each type. */
static const int needs[EVENT_TYPES] = {
    [EVENT_IMPRESSION] = NEED_ANY, [EVENT_CLICK] = NEED_ANY, [EVENT_ENTER] = NEED_ROOM, [EVENT_LEAVE] = NEED_ROOM,
    [EVENT_WATCH] = NEED_ROOM | NEED_DWELL, [EVENT_CHAT] = NEED_ROOM, [EVENT_QUESTION] = NEED_ROOM,
    [EVENT_LIKE] = NEED_ANY, [EVENT_SHARE] = NEED_ANY, [EVENT_FOLLOW] = NEED_HOST, [EVENT_UNFOLLOW] = NEED_HOST,
    [EVENT_BROWSE] = NEED_ITEM, [EVENT_CART] = NEED_ITEM, [EVENT_VOTE] = NEED_ROOM | NEED_OPTION,
    [EVENT_GIFT] = NEED_ROOM | NEED_AMOUNT | NEED_CURRENCY, [EVENT_TRIAL] = NEED_ITEM,
    [EVENT_PURCHASE] = NEED_ITEM | NEED_ORDER | NEED_AMOUNT | NEED_CURRENCY, [EVENT_REFUND] = NEED_ORDER | NEED_AMOUNT,
    [EVENT_RATING] = NEED_ITEM | NEED_VALUE, [EVENT_PROGRESS] = NEED_ITEM | NEED_PERCENT, [EVENT_DISLIKE] = NEED_ONE,
    [EVENT_BLOCK] = NEED_ONE, [EVENT_FORGET] = 0,
};

struct seen {
    uint64_t hash;
    uint64_t records, invalid, malformed, late, catalog;
    int64_t last_ms;
    bool in_order;
    bool validate;
};

/* Under valgrind, which looks for faults of memory, runs are a tenth as long and what needs their length is not judged. */
static bool is_short;

static int64_t run_seconds(int64_t seconds)
{
    return is_short ? seconds / 10 : seconds;
}

static bool has_text(const json_t *o, const char *name)
{
    const char *text = json_string_value(json_object_get(o, name));
    if (!text || !*text || strlen(text) > EVENT_ID_BYTES)
        return false;
    return strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") == strlen(text);
}

static bool has_whole(const json_t *o, const char *name, json_int_t low, json_int_t high)
{
    const json_t *v = json_object_get(o, name);
    return json_is_integer(v) && json_integer_value(v) >= low && json_integer_value(v) <= high;
}

static bool is_valid(const json_t *o, const struct world_record *r)
{
    const char *type = json_string_value(json_object_get(o, "type"));
    int t = 0;
    while (type && t < EVENT_TYPES && strcmp(event_type_name((enum event_type)t), type) != 0)
        t++;
    if (!type || t == EVENT_TYPES)
        return false;
    int n = needs[t];
    const char *user = json_string_value(json_object_get(o, "user"));
    bool room = has_text(o, "room"), host = has_text(o, "host"), item = has_text(o, "item");
    int64_t ts = json_integer_value(json_object_get(o, "ts"));
    return has_text(o, "id") && has_text(o, "user") && has_text(o, "scene") && user && strlen(user) == r->key.size &&
           memcmp(user, r->key.at, r->key.size) == 0 && has_whole(o, "v", 1, 1) && r->timestamp_ms - ts >= 0 &&
           r->timestamp_ms - ts <= 86400000 && (!(n & NEED_ROOM) || room) && (!(n & NEED_ITEM) || item) &&
           (!(n & NEED_HOST) || host) && (!(n & NEED_ANY) || room || host || item) &&
           (!(n & NEED_ONE) || room + host + item == 1) && (!(n & NEED_DWELL) || has_whole(o, "dwell_ms", 1, 1 << 30)) &&
           (!(n & NEED_AMOUNT) || has_whole(o, "amount", 1, 1 << 30)) && (!(n & NEED_ORDER) || has_text(o, "order")) &&
           (!(n & NEED_CURRENCY) || has_text(o, "currency")) && (!(n & NEED_OPTION) || has_text(o, "option")) &&
           (!(n & NEED_VALUE) || has_whole(o, "value", 1, 5)) && (!(n & NEED_PERCENT) || has_whole(o, "percent", 0, 100));
}

static void on_emit(void *self, const struct world_record *r)
{
    struct seen *s = self;
    s->hash = hash64(r->value.at, r->value.size, s->hash ^ (uint64_t)r->timestamp_ms ^ hash64(r->key.at, r->key.size, 3));
    s->in_order = s->in_order && r->timestamp_ms >= s->last_ms;
    s->last_ms = r->timestamp_ms;
    if (r->topic == WORLD_CATALOG) {
        s->catalog++;
    } else {
        s->records++;
        s->malformed += r->malformed;
    }
    if (!s->validate || r->malformed)
        return;
    json_t *o = json_loadb(r->value.at, r->value.size, JSON_REJECT_DUPLICATES, NULL);
    if (r->topic == WORLD_CATALOG ? !json_is_object(o) : !is_valid(o, r)) {
        if (s->invalid++ == 0)
            fprintf(stderr, "invalid: %.*s\n", (int)r->value.size, r->value.at);
    }
    json_decref(o);
}

static struct world *run(const struct world_settings *settings, int64_t seconds, struct seen *s)
{
    struct world *w = world_create(settings);
    struct world_sink sink = {s, on_emit};
    s->in_order = true;
    for (int64_t second = 1; second <= seconds; second++)
        world_step(w, settings->start_ms + second * 1000, &sink);
    return w;
}

static void test_world_of_one_seed_gives_the_same_bytes(void)
{
    struct seen seen[3] = {{0}};
    for (int i = 0; i < 3; i++) {
        struct world_settings s = world_defaults();
        s.seed = i < 2 ? 7 : 8;
        s.faults_per_hour = 60;
        world_destroy(run(&s, 120, &seen[i]));
        CHECK(seen[i].in_order);
    }
    CHECK(seen[0].hash == seen[1].hash && seen[0].records == seen[1].records);
    CHECK(seen[0].hash != seen[2].hash);
}

static void test_world_of_half_an_hour_has_every_type_and_keeps_the_contract(void)
{
    struct world_settings s = world_defaults();
    struct seen seen = {.validate = true};
    s.duplicates = 0.02;
    s.late = 0.01;
    s.malformed = 0.01;
    s.faults_per_hour = 120;
    s.scenes = 3;
    struct world *w = run(&s, run_seconds(1800), &seen);
    const struct world_counts *c = world_counts(w);
    CHECK_INT(seen.invalid, 0);
    if (is_short) {
        world_destroy(w);
        return;
    }
    for (int t = 0; t < EVENT_TYPES; t++)
        if (c->by_type[t] == 0) {
            fprintf(stderr, "no %s\n", event_type_name((enum event_type)t));
            CHECK(c->by_type[t] > 0);
        }
    /* Shares within four standard deviations; the rate within 10 %. */
    double n = (double)c->events;
    CHECK(n > 0.9 * 1800 * s.rate && n < 1.1 * 1800 * s.rate);
    CHECK((double)c->duplicates > 0.019 * n && (double)c->duplicates < 0.021 * n);
    CHECK((double)c->late > 0.009 * n && (double)c->late < 0.011 * n);
    CHECK((double)c->malformed > 0.009 * n && (double)c->malformed < 0.011 * n);
    CHECK(c->faults > 35 && c->faults < 85); /* 60 expected, sigma 8 */
    CHECK(c->users_control > 415 && c->users_control < 585); /* 500 of 5,000, sigma 21 */
    CHECK(seen.catalog > s.items + s.hosts + s.rooms);
    world_destroy(w);
}

static struct findings findings_of(const struct world_settings *s, int64_t seconds)
{
    struct seen seen = {0};
    struct world *w = run(s, seconds, &seen);
    struct report *r = report_create(w, &(struct report_settings){1800000, 1800000, 0});
    struct findings f = report_findings(r, s->start_ms + seconds * 1000);
    report_destroy(r);
    world_destroy(w);
    return f;
}

static void test_oracle_beats_the_control_whose_rate_is_stable(void)
{
    double low = 1, high = 0;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct world_settings s = world_defaults();
        s.seed = seed;
        s.rate = 1000;
        s.users = 20000;
        struct findings plain = findings_of(&s, run_seconds(600));
        s.oracle = true;
        struct findings best = findings_of(&s, run_seconds(600));
        if (is_short)
            return;
        low = plain.control_rate < low ? plain.control_rate : low;
        high = plain.control_rate > high ? plain.control_rate : high;
        /* Without recommendations treatment is the control: 1 within four standard errors. */
        CHECK(plain.uplift > 1 - 4 * plain.uplift_se && plain.uplift < 1 + 4 * plain.uplift_se);
        CHECK(best.uplift > 1.5 && best.uplift - 3 * best.uplift_se > 1.2);
    }
    CHECK(low > 0 && high < 4 * low); /* worlds differ: hosts are drawn anew for each seed */
}

static void test_flash_brings_a_tenth_of_the_users_to_the_star(void)
{
    struct world_settings s = world_defaults();
    struct seen seen = {0};
    s.scenario = SCENARIO_FLASH;
    struct world *w = run(&s, 125, &seen);
    CHECK_INT(w->arrivals_left, 0);
    CHECK(w->happened && w->rooms[w->star_room].host == s.hosts - 1);
    CHECK(w->rooms[w->star_room].viewers > 20);
    world_destroy(w);
}

static void test_course_launch_shows_the_course_with_several_hosts(void)
{
    struct world_settings s = world_defaults();
    struct seen seen = {.validate = true};
    s.scenario = SCENARIO_COURSE_LAUNCH;
    struct world *w = run(&s, run_seconds(1500), &seen);
    uint32_t hosts = 0;
    for (uint32_t i = 0; i < w->room_count; i++)
        hosts += w->rooms[i].items[0] == s.items - 1;
    CHECK(hosts > 2 || is_short);
    CHECK_INT(seen.invalid, 0);
    world_destroy(w);
}

static void recommend_all(struct world *w, const char *room, int64_t version)
{
    char user[16];
    for (uint32_t u = 0; u < w->settings.users; u++) {
        snprintf(user, sizeof user, "u_%u", u);
        struct advice r = {.rec = slice_of("7-1-0-0"), .user = slice_of(user), .scene = slice_of("home"),
                           .valid_until = 60000, .version = {version, 0, 0}, .room_count = 1};
        r.rooms[0].id = slice_of(room);
        CHECK(world_recommend(w, &r, w->now_ms));
        r.version[0] = version - 1;
        CHECK(!world_recommend(w, &r, w->now_ms));
    }
}

/* A list handed in is what the user sees next, once; an older version changes nothing. */
static void test_recommendation_decides_what_the_user_is_shown(void)
{
    struct world_settings s = world_defaults();
    struct seen seen = {0};
    struct world *w = run(&s, 5, &seen);
    char room[EVENT_ID_BYTES + 1];
    world_room_id(w, w->live[3], room);
    recommend_all(w, room, 5);
    struct world_sink sink = {&seen, on_emit};
    uint64_t before = w->counts.slates_recommended, other = w->counts.slates_other;
    world_step(w, s.start_ms + 30000, &sink);
    CHECK(w->counts.slates_recommended > before + 50);
    CHECK(w->counts.slates_other > other); /* the list of one room was paged to its end */
    recommend_all(w, room, 7);
    world_weigh(w, slice_of("home"), slice_of(room), -1, w->now_ms, 60000);
    before = w->counts.slates_recommended;
    world_step(w, s.start_ms + 50000, &sink);
    CHECK_INT(w->counts.slates_recommended, before);
    world_destroy(w);
}

static void test_reference_stream_is_the_published_one(void)
{
    static const char first[] = "{\"v\":1,\"id\":\"01J0000000000000\",\"ts\":1732370000123,\"type\":\"watch\",\"user\":"
                                "\"u_44984\",\"room\":\"r_44\",\"host\":\"h_44\",\"item\":\"c_44\",\"scene\":\"home\","
                                "\"dwell_ms\":50853}";
    struct reference r;
    uint64_t purchases = 0, impressions = 0;
    reference_init(&r);
    int records = is_short ? 30000 : 3000000;
    for (int n = 0; n < records; n++) {
        reference_next(&r);
        if (n == 0)
            CHECK(r.value_size == sizeof first - 1 && memcmp(r.value, first, r.value_size) == 0);
        purchases += r.type[0] == 'p';
        impressions += r.type[0] == 'i';
    }
    CHECK_INT(r.ts, 1732370000123 + (records - 1) / 20);
    if (is_short)
        return;
    /* Counts of an independent computation of the same generator. */
    CHECK_INT(purchases, 187252);
    CHECK_INT(impressions, 376016);
}

int main(void)
{
    is_short = getenv("SLUICE_SHORT") != NULL;
    test_world_of_one_seed_gives_the_same_bytes();
    test_world_of_half_an_hour_has_every_type_and_keeps_the_contract();
    test_oracle_beats_the_control_whose_rate_is_stable();
    test_flash_brings_a_tenth_of_the_users_to_the_star();
    test_course_launch_shows_the_course_with_several_hosts();
    test_recommendation_decides_what_the_user_is_shown();
    test_reference_stream_is_the_published_one();
    return checks_failed != 0;
}
