/* Audiences: users are counted once, where they were last seen; formats are held against each other; order and bounds. */
#include "tests/unit/check.h"

#include "server/engine/audience.h"
#include "server/engine/learner.h"

#include <math.h>
#include <stdio.h>

#define DAY 86400000ll
#define NOW (100 * DAY)

static void tag(struct model_tag *out, const char *text, float weight)
{
    *out = (struct model_tag){.size = (uint8_t)strlen(text), .weight = weight};
    memcpy(out->text, text, out->size);
}

/* Two segments, of one tag each. */
static void two_segments(struct model *m)
{
    *m = (struct model){.segment_count = 2};
    m->segments[0].tag_count = m->segments[1].tag_count = 1;
    tag(&m->segments[0].tags[0], "go", 1);
    tag(&m->segments[1].tags[0], "db", 1);
}

static void see(struct audience *a, uint64_t user, int64_t ms, int segment, enum value_tier value, float intent)
{
    audience_see(a, &(struct audience_user){user, ms, intent, 0.5f, (int8_t)segment, (uint8_t)value});
}

static void test_users_are_counted_where_they_were_last_seen(void)
{
    struct audience_settings s;
    struct model m;
    audience_settings_default(&s);
    struct audience *a = audience_create(&s);
    two_segments(&m);
    for (uint64_t u = 1; u <= 10; u++)
        see(a, u, NOW, 0, VALUE_ORDINARY, 0.1f);
    for (uint64_t u = 1; u <= 4; u++)
        see(a, u, NOW + 1, 1, VALUE_HIGH, u % 2 ? 0.4f : 0.2f);
    see(a, 5, NOW + 1, -1, VALUE_HIGH, 0.9f); /* of no segment */
    see(a, 6, NOW + 1, 0, VALUE_ORDINARY, -1); /* intent unknown: no part in the mean */
    see(a, 20, NOW - s.away_ms, 1, VALUE_HIGH, 0.9f);
    see(a, 21, NOW - s.keep_ms, 1, VALUE_HIGH, 0.9f);
    audience_count(a, NOW + 1, &m);
    const struct audience_tier *first = m.segments[0].audience.tiers, *second = m.segments[1].audience.tiers;
    CHECK_INT(first[VALUE_ORDINARY].users, 5);
    CHECK(fabsf(first[VALUE_ORDINARY].intent - 0.1f) < 1e-6f && fabsf(first[VALUE_ORDINARY].churn - 0.5f) < 1e-6f);
    CHECK_INT(first[VALUE_HIGH].users, 0);
    CHECK(first[VALUE_HIGH].intent < 0);
    CHECK_INT(second[VALUE_HIGH].users, 4);
    CHECK(fabsf(second[VALUE_HIGH].intent - 0.3f) < 1e-6f);
    CHECK_INT(second[VALUE_DORMANT].users, 1); /* and who is too old is forgotten */
    CHECK(audience_find(a, 21) == NULL && audience_find(a, 20) != NULL);
    audience_destroy(a);
}

/* A full table takes nobody new until the longest unseen have left. */
static void test_it_stays_within_its_bound(void)
{
    struct audience_settings s;
    struct model m;
    audience_settings_default(&s);
    s.users_max = 100;
    struct audience *a = audience_create(&s);
    two_segments(&m);
    for (uint64_t u = 1; u <= 150; u++)
        see(a, u, NOW + (int64_t)u, 0, VALUE_HIGH, 0);
    CHECK(audience_find(a, 100) && !audience_find(a, 101));
    audience_count(a, NOW + 101, &m);
    CHECK_INT(m.segments[0].audience.tiers[VALUE_HIGH].users, 50);
    CHECK(!audience_find(a, 50) && audience_find(a, 51));
    see(a, 101, NOW + 101, 0, VALUE_HIGH, 0);
    CHECK(audience_find(a, 101) != NULL);
    audience_destroy(a);
}

static void test_formats_against_each_other(void)
{
    struct segment_audience s = {0};
    CHECK(fabs(audience_lift(&s, FORMAT_BOOK) - 1) < 1e-9);
    for (int i = 0; i < 1000; i++) {
        audience_format_seen(&s, i % 2 ? FORMAT_COURSE : FORMAT_BOOK, false);
        if (i % 10 == 1)
            audience_format_seen(&s, FORMAT_COURSE, true);
    }
    CHECK_INT(s.formats[FORMAT_COURSE].buys, 100); /* 50 at the rate of all */
    CHECK(fabs(audience_lift(&s, FORMAT_COURSE) - 105.0 / 55) < 1e-9);
    CHECK(fabs(audience_lift(&s, FORMAT_BOOK) - 5.0 / 55) < 1e-9);
    CHECK(fabs(audience_lift(&s, FORMAT_LECTURE) - 1) < 1e-9);
}

static void test_reach_and_invites_are_in_order(void)
{
    struct model m;
    struct audience_reach reach[2], one[1];
    struct audience_invite invites[3];
    two_segments(&m);
    m.segments[0].audience.tiers[VALUE_ORDINARY] = (struct audience_tier){100, 0.01f, 0.3f}; /* one buyer */
    m.segments[1].audience.tiers[VALUE_HIGH] = (struct audience_tier){10, 0.5f, 0.1f};       /* five */
    m.segments[1].audience.tiers[VALUE_DORMANT] = (struct audience_tier){20, 0, -1};
    struct audience_target both = {.format = FORMAT_COURSE, .tag_count = 2, .tags = {slice_of("go"), slice_of("db")}}, other = {.tag_count = 1, .tags = {slice_of("art")}};
    CHECK_INT(audience_reach(&m, &both, reach, 2), 2);
    CHECK_INT(reach[0].segment, 1);
    CHECK(fabsf(reach[0].match - sqrtf(0.5f)) < 1e-6f && fabsf(reach[0].worth - 5 * sqrtf(0.5f)) < 1e-4f);
    CHECK_INT(audience_reach(&m, &both, one, 1), 1);
    CHECK_INT(one[0].segment, 1);
    CHECK_INT(audience_reach(&m, &other, one, 1), 0);
    m.segments[0].tags[0].weight = 0.24f; /* of the other's match */
    CHECK_INT(audience_reach(&m, &both, reach, 2), 1);
    CHECK_INT(reach[0].segment, 1);
    m.segments[0].tags[0].weight = 1;
    CHECK_INT(audience_reach(&m, &both, reach, 2), 2);
    CHECK_INT(audience_invite(&m, reach, 2, invites, 3), 3);
    CHECK(invites[0].segment == 0 && invites[0].value == VALUE_ORDINARY); /* 30 expected to leave */
    CHECK(invites[1].segment == 1 && invites[1].value == VALUE_DORMANT);  /* 20 who left */
    CHECK(invites[2].segment == 1 && invites[2].value == VALUE_HIGH);
    CHECK_INT(audience_invite(&m, reach, 2, invites, 1), 1);
    CHECK_INT(invites[0].segment, 0);
}

/* Through the learner: samples of two tastes, one of which buys courses. */
static void test_the_learner_counts(void)
{
    struct learner_settings s;
    learner_settings_default(&s);
    struct learner *l = learner_create(&s, NULL);
    for (uint64_t u = 1; u <= 100; u++)
        for (int again = 0; again < 2; again++) {
            struct sample seen = {.kind = SAMPLE_SEEN, .user = u, .ts_ms = NOW + again, .format = u % 4 < 2 ? FORMAT_COURSE : FORMAT_BOOK, .value = VALUE_POTENTIAL, .tag_count = 1};
            tag(&seen.tags[0], u % 2 ? "go" : "db", 1);
            learner_apply(l, &seen);
        }
    for (uint64_t u = 1; u <= 100; u += 4) {
        struct sample bought = {.kind = SAMPLE_BOUGHT, .user = u, .ts_ms = NOW + 2, .format = FORMAT_COURSE};
        learner_apply(l, &bought);
    }
    learner_count_audience(l);
    const struct model *m = learner_model(l);
    CHECK_INT(m->segment_count, 2);
    CHECK_INT(m->segments[0].audience.tiers[VALUE_POTENTIAL].users, 50);
    CHECK_INT(m->segments[1].audience.tiers[VALUE_POTENTIAL].users, 50);
    CHECK_INT(m->segments[0].audience.formats[FORMAT_COURSE].buys, 25);
    CHECK_INT(m->segments[1].audience.formats[FORMAT_COURSE].buys, 0);
    CHECK(audience_lift(&m->segments[0].audience, FORMAT_COURSE) > 1.5);
    learner_destroy(l);
}

int main(void)
{
    test_users_are_counted_where_they_were_last_seen();
    test_it_stays_within_its_bound();
    test_formats_against_each_other();
    test_reach_and_invites_are_in_order();
    test_the_learner_counts();
    return checks_failed != 0;
}
