/* Logs whose figures are known beforehand. */
#include "server/rehearse/hindsight.h"
#include "server/rehearse/offpolicy.h"
#include "server/rehearse/plain.h"
#include "server/rehearse/shadow.h"
#include "tests/unit/check.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#define START_MS 1700000000000ll
#define HOUR_MS 3600000

static char path[] = "/tmp/test_rehearse.XXXXXX";
static FILE *file;
static int events;

static void begin(void)
{
    file = fopen(path, "w");
    CHECK(file != NULL);
    events = 0;
}

__attribute__((format(printf, 2, 3))) static void put_catalog(const char *key, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(file, "{\"topic\":\"live.catalog\",\"timestamp\":%lld,\"key\":\"%s\",\"value\":{\"v\":1,", START_MS, key);
    vfprintf(file, format, arguments);
    fputs("}}\n", file);
    va_end(arguments);
}

static void put_rooms(int count)
{
    char key[32];
    for (int i = 0; i < count; i++) {
        snprintf(key, sizeof key, "room:r_%d", i);
        put_catalog(key, "\"host\":\"h_%d\",\"scenes\":[\"home\"],\"status\":\"open\",\"title\":\"\",\"items\":[]", i);
    }
}

static void put_items(int count)
{
    char key[32];
    for (int i = 0; i < count; i++) {
        snprintf(key, sizeof key, "item:c_%d", i);
        put_catalog(key, "\"title\":\"\",\"format\":\"course\"");
    }
}

static void put_event(int64_t ms, const char *user, const char *type, const char *fields)
{
    fprintf(file, "{\"timestamp\":%lld,\"key\":\"%s\",\"value\":{\"v\":1,\"id\":\"e%d\",\"ts\":%lld,\"type\":\"%s\",\"user\":\"%s\",\"scene\":\"home\",%s}}\n",
            (long long)(START_MS + ms), user, events++, (long long)(START_MS + ms), type, user, fields);
}

struct outcome_of {
    struct hindsight_counts counts;
    struct valued values[TALLY_VALUES];
    uint64_t bad;
};

static struct outcome_of run(int64_t within_ms)
{
    static struct worker_settings worker;
    struct outcome_of o;
    fclose(file);
    worker_settings_default(&worker);
    struct hindsight_settings s = {&worker, INTEREST_DEFAULT, within_ms};
    struct journal *j = journal_open(path);
    CHECK(j != NULL);
    struct tally *t = tally_create();
    CHECK(hindsight_run(&s, j, t, &o.counts));
    tally_values(t, o.values);
    struct valued same[TALLY_VALUES];
    tally_differences(t, t, same);
    for (int i = 0; i < TALLY_VALUES; i++)
        CHECK(!isfinite(same[i].value) || (same[i].value == 0 && !(same[i].error > 0)));
    o.bad = journal_bad(j);
    tally_destroy(t);
    journal_close(j);
    return o;
}

static double value(const struct outcome_of *o, int scope, enum rival r, enum measure m)
{
    return o->values[value_at(scope, r, m)].value;
}

static bool near(double a, double b)
{
    return fabs(a - b) < 1e-9;
}

/* With one room open, whatever makes a list names it first. */
static void test_only_room_is_always_hit(void)
{
    begin();
    put_rooms(1);
    for (int i = 0; i < 50; i++) {
        char user[16];
        snprintf(user, sizeof user, "u_%d", i);
        put_event(1000 * (i + 1), user, "impression", "\"room\":\"r_0\",\"host\":\"h_0\"");
        put_event(1000 * (i + 1) + 1, user, "click", "\"room\":\"r_0\",\"host\":\"h_0\"");
        put_event(1000 * (i + 1) + 2, user, "enter", "\"room\":\"r_0\",\"host\":\"h_0\"");
        put_event(1000 * (i + 1) + 5, user, "enter", "\"room\":\"r_0\",\"host\":\"h_0\""); /* again within the time: not another choice */
    }
    struct outcome_of o = run(WITHIN_DEFAULT_MS);
    CHECK_INT(o.counts.applied, 200);
    CHECK_INT(o.counts.asked[KIND_ROOM], 50);
    CHECK_INT(o.counts.new_users, 0); /* the impression came first */
    for (int r = 0; r < RIVALS; r++) {
        CHECK(near(value(&o, 0, (enum rival)r, MEASURE_HR_10), 1));
        CHECK(near(value(&o, 1, (enum rival)r, MEASURE_NDCG_10), 1));
        CHECK(near(value(&o, 1, (enum rival)r, MEASURE_COVERAGE), 1));
        CHECK(near(value(&o, 1, (enum rival)r, MEASURE_GINI), 0));
        CHECK(o.values[value_at(0, (enum rival)r, MEASURE_HR_10)].error == 0);
    }
}

/* The list made right before the event leaves out what was shown a moment ago: the same log without the memory of lists. */
static void test_pause_hides_what_was_just_shown(void)
{
    begin();
    put_rooms(1);
    for (int i = 0; i < 20; i++) {
        char user[16];
        snprintf(user, sizeof user, "u_%d", i);
        put_event(1000 * (i + 1), user, "impression", "\"room\":\"r_0\",\"host\":\"h_0\"");
        put_event(1000 * (i + 1) + 1, user, "enter", "\"room\":\"r_0\",\"host\":\"h_0\"");
    }
    struct outcome_of o = run(0);
    CHECK_INT(o.counts.asked[KIND_ROOM], 20);
    CHECK(near(value(&o, 0, RIVAL_SLUICE, MEASURE_HR_20), 0));
    CHECK(near(value(&o, 0, RIVAL_POPULARITY, MEASURE_HR_20), 1));
}

/* A room that nobody announced can be in no list. */
static void test_unknown_room_is_never_hit(void)
{
    begin();
    put_rooms(3);
    for (int i = 0; i < 30; i++) {
        char user[16];
        snprintf(user, sizeof user, "u_%d", i);
        put_event(1000 * (i + 1), user, "enter", "\"room\":\"r_99\",\"host\":\"h_9\"");
    }
    struct outcome_of o = run(WITHIN_DEFAULT_MS);
    CHECK_INT(o.counts.asked[KIND_ROOM], 30);
    CHECK_INT(o.counts.impossible[KIND_ROOM], 30);
    CHECK_INT(o.counts.new_users, 30);
    for (int r = 0; r < RIVALS; r++)
        CHECK(near(value(&o, 0, (enum rival)r, MEASURE_HR_20), 0));
}

/* Who owns a course is offered it by nobody; what all others bought stands first by popularity. */
static void test_owned_course_is_never_offered_again(void)
{
    const char *course = "\"item\":\"c_7\",\"order\":\"o_%d\",\"amount\":100,\"currency\":\"CNY\"";
    char user[16], fields[128];
    begin();
    put_items(40);
    for (int i = 0; i < 40; i++) {
        snprintf(user, sizeof user, "u_%d", i);
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(fields, sizeof fields, course, i);
        put_event(1000 * (i + 1), user, "purchase", fields);
    }
    struct outcome_of o = run(WITHIN_DEFAULT_MS);
    double popular = value(&o, 0, RIVAL_POPULARITY, MEASURE_NDCG_10);
    CHECK_INT(o.counts.asked[KIND_ITEM], 40);
    CHECK(popular >= 39.0 / 40 - 1e-9 && popular <= 1); /* nobody can know the first */
    begin();
    put_items(40);
    for (int i = 0; i < 20; i++) {
        snprintf(fields, sizeof fields, course, i);
        put_event(2 * HOUR_MS * (i + 1), "u_1", "purchase", fields);
    }
    o = run(WITHIN_DEFAULT_MS);
    CHECK_INT(o.counts.asked[KIND_ITEM], 20);
    for (int r = 0; r < RIVALS; r++)
        CHECK(value(&o, 2, (enum rival)r, MEASURE_HR_20) <= 1.0 / 20 + 1e-9); /* the first alone may be guessed */
}

static void test_bad_lines_are_counted_and_the_rest_is_run(void)
{
    begin();
    put_rooms(1);
    fputs("not json\n[1]\n{\"timestamp\":1,\"key\":\"a\"}\n{\"timestamp\":\"x\",\"key\":\"a\",\"value\":{}}\n", file);
    put_event(2000, "u_1", "enter", "\"room\":\"r_0\"");
    put_event(1000, "u_2", "enter", "\"room\":\"r_0\""); /* not in the order of time */
    put_event(3000, "u_3", "dance", "\"room\":\"r_0\"");
    struct outcome_of o = run(WITHIN_DEFAULT_MS);
    CHECK_INT(o.bad, 4);
    CHECK_INT(o.counts.applied, 2);
    CHECK_INT(o.counts.dead_letters, 1);
    CHECK_INT(o.counts.asked[KIND_ROOM], 2);
}

static double no_surprise(void *arg, enum kind kind, uint32_t thing)
{
    return 2;
}

/* Half of the users are shown what they take, all of it one thing of four. */
static void test_figures_of_a_tally_are_those_of_the_formulas(void)
{
    struct tally *t = tally_create();
    struct valued v[TALLY_VALUES];
    struct list lists[RIVALS];
    for (int r = 0; r < RIVALS; r++)
        lists[r] = (struct list){1, {0}};
    lists[RIVAL_DECAYED] = (struct list){4, {0, 1, 2, 3}};
    for (uint64_t u = 0; u < 6400; u++)
        tally_add(t, &(struct outcome){KIND_ITEM, u + 1, u % 2 ? 0 : 3, lists, no_surprise, NULL});
    tally_candidates(t, KIND_ITEM, 4);
    for (int i = 0; i < 1000; i++)
        tally_guess(t, (uint64_t)i + 1, i % 2 ? 0.25 : 0.75, i % 4 == 1 || (i % 2 == 0 && i % 8 != 0));
    tally_values(t, v);
    const struct valued *hit = &v[value_at(0, RIVAL_SLUICE, MEASURE_HR_10)];
    CHECK(near(hit->value, 0.5));
    CHECK(hit->error > 0.5 * 0.00625 && hit->error < 1.5 * 0.00625); /* sqrt(p (1 - p) / n), from 64 groups */
    CHECK(near(v[value_at(0, RIVAL_SLUICE, MEASURE_COVERAGE)].value, 0.25));
    CHECK(near(v[value_at(0, RIVAL_SLUICE, MEASURE_GINI)].value, 0.75));
    CHECK(near(v[value_at(0, RIVAL_SLUICE, MEASURE_NOVELTY)].value, 2));
    CHECK(near(v[value_at(0, RIVAL_DECAYED, MEASURE_GINI)].value, 0));
    CHECK(near(v[value_at(0, RIVAL_DECAYED, MEASURE_HR_10)].value, 1));
    CHECK(near(v[value_at(0, RIVAL_DECAYED, MEASURE_NDCG_10)].value, 0.5 + 0.5 / log2(5)));
    /* Of those told .25 a half buys, of those told .75 three quarters. */
    CHECK(near(v[value_of_guess(GUESS_ECE)].value, 0.125));
    CHECK(near(v[value_of_guess(GUESS_LOGLOSS)].value, -(0.5 * (0.5 * log(0.25) + 0.5 * log(0.75)) + 0.5 * (0.75 * log(0.75) + 0.25 * log(0.25)))));
    tally_destroy(t);
}

static void test_plain_methods_are_those_of_the_formulas(void)
{
    struct plain *p = plain_create();
    uint32_t x = plain_thing(p, entity_id_of(ENTITY_ITEM, slice_of("x"))), y = plain_thing(p, entity_id_of(ENTITY_ITEM, slice_of("y")));
    plain_note(p, 0, x, 0);
    plain_note(p, 0, y, 0);
    plain_note(p, 1, x, 0);
    CHECK(fabs((double)plain_related(p, 1)[y] - 1 / sqrt(2)) < 1e-6); /* single precision */
    CHECK(near(plain_popular(p, x), 2));
    CHECK(near(plain_decayed(p, x, 7 * 24 * HOUR_MS), 1));
    plain_destroy(p);
}

/* What is said of the places of a list is what it was drawn with. */
static void test_given_list_has_its_own_propensities(void)
{
    static struct worker_settings worker;
    static struct recommendation list;
    struct list_place places[DRAWS_MAX];
    struct journal_record r;
    begin();
    put_rooms(30);
    for (int i = 0; i < 20; i++)
        put_event(1000 * (i + 1), "u_1", "enter", i % 2 ? "\"room\":\"r_3\",\"host\":\"h_3\"" : "\"room\":\"r_8\",\"host\":\"h_8\"");
    fclose(file);
    worker_settings_default(&worker);
    worker.recommend.explore_ppm = 300000;
    struct journal *j = journal_open(path);
    struct shadow *s = shadow_create(&worker, &(struct shadow_hears){NULL, NULL});
    while (j && journal_next(j, &r))
        CHECK(shadow_record(s, &r) == SHADOW_APPLIED);
    int explored = 0;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        entity_id ids[DRAWS_MAX];
        struct question q = {slice_of("u_1"), slice_of("home"), shadow_now_ms(s), seed};
        worker_ask(shadow_worker(s), &q, &list);
        CHECK(list.room_count == RECOMMEND_ROOMS);
        for (int k = 0; k < DRAWS_MAX; k++)
            ids[k] = list.rooms[k].id;
        CHECK_INT(worker_ask_given(shadow_worker(s), &q, &(struct given){DRAWS_MAX, ids}, places), DRAWS_MAX);
        for (int k = 0; k < DRAWS_MAX; k++) {
            bool best = places[k].rooms[0] == ids[k];
            explored += !best;
            CHECK(near(list.rooms[k].propensity, best ? places[k].best : places[k].other));
            CHECK(near(places[k].best + (places[k].count - 1) * places[k].other, 1));
        }
    }
    CHECK(explored > 50 && explored < 250); /* of 500 places 145 on the average */
    entity_id nobody[2] = {entity_id_of(ENTITY_ROOM, slice_of("r_99")), entity_id_of(ENTITY_ROOM, slice_of("r_1"))};
    CHECK_INT(worker_ask_given(shadow_worker(s), &(struct question){slice_of("u_2"), slice_of("home"), shadow_now_ms(s), 1}, &(struct given){2, nobody}, places), 1);
    shadow_destroy(s);
    journal_close(j);
}

/*
 * Lists of one place over two rooms, logged with a coin; r_0 is entered always, r_1 never. The default settings rank r_0
 * first or second, and the estimates must be the probability with which they show it: 0.975 or 0.025.
 */
static void test_estimates_are_the_value_of_the_policy(void)
{
    static struct worker_settings worker;
    struct offpolicy_answer a;
    begin();
    put_rooms(2);
    for (int i = 0; i < 400; i++) {
        char user[16], fields[64];
        snprintf(user, sizeof user, "u_%d", i);
        int64_t ms = 10000 + 100 * i;
        fprintf(file, "{\"topic\":\"live.recommendations\",\"timestamp\":%lld,\"key\":\"%s\",\"value\":{\"v\":1,\"rec\":\"x-%d\",\"user\":\"%s\",\"scene\":\"home\","
                      "\"version\":[%d,1,0],\"rooms\":[{\"id\":\"r_%d\",\"propensity\":0.5}]}}\n", START_MS + ms, user, i, user, i, i % 2);
        snprintf(fields, sizeof fields, "\"room\":\"r_%d\",\"rec\":\"x-%d\",\"pos\":0", i % 2, i);
        put_event(ms + 10, user, "impression", fields);
        if (i % 2 == 0)
            put_event(ms + 20, user, "click", fields);
    }
    fclose(file);
    worker_settings_default(&worker);
    struct offpolicy_settings s = {.worker = &worker, .reward = EVENT_CLICK, .places = 3, .clip = 1e9};
    struct journal *j = journal_open(path);
    CHECK(j && offpolicy_lists(&s, j, &a));
    CHECK_INT(a.decisions, 400);
    CHECK_INT(a.estimated.shown, 400);
    CHECK_INT(a.estimated.rewards, 200);
    CHECK(near(a.estimated.of[ESTIMATE_LOGGED].value, 0.5));
    /* r_0 is the better one by what happened as soon as it was clicked; who of the first is ranked first hangs on ties. */
    double first = a.estimated.of[ESTIMATE_SNIPS].value;
    CHECK(first > 0.9 && first < 0.99);
    CHECK(fabs(a.estimated.of[ESTIMATE_IPS].value - first) < 0.05);
    CHECK(fabs(a.estimated.of[ESTIMATE_DR].value - first) < 0.05);
    CHECK(fabs(a.estimated.of[ESTIMATE_WEIGHT].value - 1) < 0.05);
    CHECK(a.estimated.effective > 180 && a.estimated.effective < 230); /* half of the log is what the policy shows */
    CHECK_INT(a.estimated.clipped, 0);
    s.clip = 1;
    CHECK(offpolicy_lists(&s, j, &a));
    CHECK_INT(a.estimated.clipped, 200);
    CHECK(a.estimated.of[ESTIMATE_IPS].value <= 0.5);
    journal_close(j);
}

static void put_weights(int count, const double weights[])
{
    for (int i = 0; i < count; i++)
        fprintf(file, "{\"topic\":\"live.traffic\",\"timestamp\":%lld,\"key\":\"home|r_%d\",\"value\":{\"v\":1,\"scene\":\"home\",\"room\":\"r_%d\",\"weight\":%g,"
                      "\"valid_until\":%lld}}\n", START_MS + 5000, i, i, weights[i], START_MS + HOUR_MS);
}

static void put_showing(int64_t ms, int number, int room, const char *more)
{
    char user[16], fields[80];
    snprintf(user, sizeof user, "u_%d", number);
    snprintf(fields, sizeof fields, "\"room\":\"r_%d\"%s", room, more);
    put_event(ms, user, "impression", fields);
}

static void put_click(int64_t ms, int number, int room)
{
    char user[16], fields[80];
    snprintf(user, sizeof user, "u_%d", number);
    snprintf(fields, sizeof fields, "\"room\":\"r_%d\",\"source\":\"feed\"", room);
    put_event(ms, user, "click", fields);
}

/* Judged are settings under which all rooms weigh the same. */
static struct offpolicy_answer judge_even_weights(double clip)
{
    static struct worker_settings worker;
    struct offpolicy_answer a;
    worker_settings_default(&worker);
    worker.allocation.cap_ppm = 1;
    worker.allocation.floor_ppm = 0;
    struct journal *j = journal_open(path);
    struct offpolicy_settings s = {.worker = &worker, .reward = EVENT_CLICK, .places = DRAWS_MAX, .clip = clip, .within_ms = 1000};
    CHECK(j && offpolicy_traffic(&s, j, &a));
    journal_close(j);
    return a;
}

/* Of weights .8 and .2 the log shows exactly these shares; the room that is shown less is clicked always, the other never. */
static void test_weights_of_known_value_are_estimated(void)
{
    begin();
    put_rooms(2);
    put_weights(2, (const double[]){0.8, 0.2});
    for (int i = 0; i < 500; i++) {
        put_showing(10000 + 100 * i, i, i % 5 == 0, ",\"source\":\"feed\"");
        if (i % 5 == 0)
            put_click(10020 + 100 * i, i, 1);
    }
    put_click(10030, 1, 1);   /* not shown to this user */
    put_click(11300, 2, 0);   /* shown 1,100 ms before: too late */
    put_showing(10400, 3, 0, ",\"rec\":\"x-1\",\"pos\":0");
    put_click(10500, 3, 0);   /* what was recommended since leads there */
    put_showing(70000, 600, 1, ",\"rec\":\"x-1\",\"pos\":0"); /* recommended */
    put_showing(70000, 601, 1, ",\"source\":\"search\"");
    put_click(70100, 600, 1);
    fclose(file);
    struct offpolicy_answer a = judge_even_weights(1e9);
    CHECK_INT(a.decisions, 2);
    CHECK_INT(a.estimated.shown, 500);
    CHECK_INT(a.estimated.rewards, 100);
    CHECK(near(a.estimated.of[ESTIMATE_LOGGED].value, 0.2));
    CHECK(near(a.estimated.of[ESTIMATE_WEIGHT].value, 1));
    CHECK(near(a.estimated.of[ESTIMATE_IPS].value, 0.5));
    CHECK(near(a.estimated.of[ESTIMATE_SNIPS].value, 0.5));
    CHECK(fabs(a.estimated.of[ESTIMATE_DR].value - 0.5) < 0.02);
    CHECK(fabs(a.estimated.effective - 320) < 1);
    CHECK_INT(a.estimated.clipped, 0);
    a = judge_even_weights(2); /* the weight of a click is 2.5 */
    CHECK_INT(a.estimated.clipped, 100);
    CHECK(near(a.estimated.of[ESTIMATE_IPS].value, 0.4));
}

/*
 * Screens of two of three rooms with weights 2, 1, 1, drawn without repetition: in every twelve the pairs stand as often as
 * they are probable. What is clicked is r_1 below r_0: of one pair in four as logged, of one in six when all weigh the same.
 */
static void test_places_of_a_screen_hang_on_those_above(void)
{
    static const int pairs[12][2] = {{0, 1}, {0, 1}, {0, 1}, {0, 2}, {0, 2}, {0, 2}, {1, 0}, {1, 0}, {2, 0}, {2, 0}, {1, 2}, {2, 1}};
    begin();
    put_rooms(3);
    put_weights(3, (const double[]){0.5, 0.25, 0.25});
    for (int i = 0; i < 240; i++) {
        const int *pair = pairs[i % 12];
        put_showing(10000 + 100 * i, i, pair[0], "");
        put_showing(10000 + 100 * i, i, pair[1], "");
        if (i % 12 < 3)
            put_click(10020 + 100 * i, i, 1);
    }
    fclose(file);
    struct offpolicy_answer a = judge_even_weights(1e9);
    CHECK_INT(a.estimated.shown, 480);
    CHECK(near(a.estimated.of[ESTIMATE_LOGGED].value, 0.125));
    CHECK(near(a.estimated.of[ESTIMATE_WEIGHT].value, 1));
    CHECK(fabs(a.estimated.of[ESTIMATE_IPS].value - 1.0 / 12) < 1e-6); /* thirds of a million are not even */
    CHECK(fabs(a.estimated.of[ESTIMATE_SNIPS].value - 1.0 / 12) < 1e-6);
    CHECK(fabs(a.estimated.of[ESTIMATE_DR].value - 1.0 / 12) < 0.01);
}

int main(void)
{
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    close(fd);
    test_only_room_is_always_hit();
    test_pause_hides_what_was_just_shown();
    test_unknown_room_is_never_hit();
    test_owned_course_is_never_offered_again();
    test_bad_lines_are_counted_and_the_rest_is_run();
    test_figures_of_a_tally_are_those_of_the_formulas();
    test_plain_methods_are_those_of_the_formulas();
    test_given_list_has_its_own_propensities();
    test_estimates_are_the_value_of_the_policy();
    test_weights_of_known_value_are_estimated();
    test_places_of_a_screen_hang_on_those_above();
    unlink(path);
    return checks_failed != 0;
}
