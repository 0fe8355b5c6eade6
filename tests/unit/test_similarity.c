/* The users' cosine: the plain reference against its formula by hand, lists from the stream against the reference. */
#include "tests/unit/check.h"

#include "common/hash.h"
#include "server/evaluate/stream.h"
#include "server/evaluate/user_cosine.h"

#include <math.h>

#define USERS 40
#define ITEMS 48
#define T0 1732370000000ll

static void test_reference_when_three_users_then_the_formula(void)
{
    enum { A, B, C, D };
    float out[4];
    struct user_cosine *c = user_cosine_create(3, 4);
    user_cosine_rate(c, 0, A, 1);
    user_cosine_rate(c, 0, B, 1);
    user_cosine_rate(c, 1, A, 1);
    user_cosine_rate(c, 1, C, 1);
    user_cosine_rate(c, 1, C, 2); /* the greatest counts */
    user_cosine_rate(c, 1, C, 1);
    user_cosine_rate(c, 2, B, 1);
    user_cosine_rate(c, 2, C, 1);
    user_cosine_rate(c, 2, D, 1);
    user_cosine_score(c, 0, out);
    /* Each has two neighbours. Cosines with the first: 1 / (sqrt 2 sqrt 5), 1 / (sqrt 2 sqrt 3). */
    double with_1 = 1 / sqrt(10), with_2 = 1 / sqrt(6);
    CHECK(fabs(out[C] - (2 * with_1 / 2 + with_2 / 2) / (2 * sqrt(4.0 / 2 + 1.0 / 2))) < 1e-6);
    CHECK(fabs(out[D] - with_2 / 2 / (2 * sqrt(1.0 / 2))) < 1e-6);
    user_cosine_score(c, 1, out);
    CHECK(fabs(out[D] - 2 / (sqrt(5) * sqrt(3)) / 2 / (2 * sqrt(1.0 / 2))) < 1e-6);
    user_cosine_destroy(c);
}

static struct stream *open_stream(void)
{
    static struct stream_settings s;
    char name[16];
    stream_settings_default(&s);
    s.similarity.user_cosine = 10;
    s.similarity.next_weight_permille = 0;
    s.similarity.length = SIMILAR_MAX;
    s.all_pairs = s.lists_only = true;
    struct stream *stream = stream_create(&s);
    for (int i = 0; i < ITEMS; i++) {
        snprintf(name, sizeof name, "i%d", i);
        stream_item(stream, name);
    }
    for (int u = 0; u < USERS; u++) {
        snprintf(name, sizeof name, "u%d", u);
        stream_user(stream, name);
    }
    return stream;
}

/* Everybody has item 0 and as many others as `more` says; half of them near the user's own number. */
static void fill(struct stream *s, struct user_cosine *c, uint32_t (*more)(uint32_t user))
{
    int64_t ts_ms = T0;
    for (uint32_t u = 0; u < USERS; u++) {
        uint32_t count = 0;
        for (uint64_t draw = u * 1000; count <= more(u); draw++) {
            uint32_t item = count ? 1 + (uint32_t)(draw % 2 ? hash_mix(draw) % (ITEMS - 1) : (u + hash_mix(draw) % 8) % (ITEMS - 1)) : 0;
            if (stream_has(s, u, item))
                continue;
            CHECK(stream_event(s, u, "browse", item, ts_ms += 1000, ""));
            user_cosine_rate(c, u, item, 1);
            count++;
        }
    }
}

static uint32_t seven(uint32_t user)
{
    return 7;
}

static uint32_t differs(uint32_t user)
{
    return 3 + user % 20;
}

/* Users alike in number of items and neighbours: nothing is approximated but the scale, the same for everything. */
static void test_lists_when_users_are_alike_then_the_reference(void)
{
    float want[ITEMS];
    double scale = 0;
    int compared = 0;
    struct stream *s = open_stream();
    struct user_cosine *c = user_cosine_create(USERS, ITEMS);
    fill(s, c, seven);
    for (uint32_t u = 0; u < USERS; u++) {
        float *const *got = stream_rank(s, u, T0 + 1000000, false);
        user_cosine_score(c, u, want);
        for (uint32_t i = 0; i < ITEMS; i++) {
            if (got[METHOD_SLUICE][i] < 0 || want[i] <= 0)
                continue;
            scale = scale > 0 ? scale : got[METHOD_SLUICE][i] / want[i];
            CHECK(fabs(got[METHOD_SLUICE][i] / (scale * want[i]) - 1) < 1e-5); /* floats */
            compared++;
        }
    }
    CHECK(compared > USERS * 20);
    user_cosine_destroy(c);
    stream_destroy(s);
}

static uint32_t best_of(const float *scores, const float *among)
{
    uint32_t best = 0;
    for (uint32_t i = 0; i < ITEMS; i++)
        if (among[i] >= 0 && (among[best] < 0 || scores[i] > scores[best]))
            best = i;
    return best;
}

/* Users who differ: an approximation, which still finds most of the reference's first choices. */
static void test_lists_when_users_differ_then_near_the_reference(void)
{
    float want[ITEMS];
    int same = 0;
    struct stream *s = open_stream();
    struct user_cosine *c = user_cosine_create(USERS, ITEMS);
    fill(s, c, differs);
    for (uint32_t u = 0; u < USERS; u++) {
        float *const *got = stream_rank(s, u, T0 + 1000000, false);
        user_cosine_score(c, u, want);
        same += best_of(got[METHOD_SLUICE], got[METHOD_SLUICE]) == best_of(want, got[METHOD_SLUICE]);
    }
    printf("first choice as the reference's for %d of %d users\n", same, USERS);
    CHECK(same >= USERS / 2 && same < USERS);
    user_cosine_destroy(c);
    stream_destroy(s);
}

int main(void)
{
    test_reference_when_three_users_then_the_formula();
    test_lists_when_users_are_alike_then_the_reference();
    test_lists_when_users_differ_then_near_the_reference();
    return checks_failed != 0;
}
