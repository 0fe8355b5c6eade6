/* How readily things are bought: factors are told apart, nothing is known of a stranger, and the table keeps its bound. */
#include "tests/unit/check.h"

#include "server/engine/conversion.h"

#include <math.h>

#define NOW 1732370000000
#define DAY 86400000ll

/* `times` looks of ten seconds, of which every `nth` ends in a purchase; each by another user unless one is given. */
static void show(struct conversions *c, const struct look *at, int times, int nth, struct conversion *user)
{
    for (int i = 0; i < times; i++) {
        struct conversion one = {0}, *who = user ? user : &one;
        conversions_watch(c, at, 10, NOW, who);
        if (nth && i % nth == 0)
            conversions_buy(c, at, NOW, who);
    }
}

static void test_items_hosts_and_kinds_are_told_apart(void)
{
    struct conversions *c = conversions_create(100);
    const struct conversion stranger = {0};
    struct look all[8];
    for (int i = 0; i < 8; i++)
        all[i] = (struct look){.item = i & 1 ? 11 : 12, .host = i & 2 ? 21 : 22, .match = i & 4 ? 0.9f : 0.1f};
    for (int round = 0; round < 50; round++)
        for (int i = 0; i < 8; i++)
            show(c, &all[i], 32, (i & 1 ? 1 : 2) * (i & 2 ? 1 : 2) * (i & 4 ? 1 : 2) * 2, NULL);
    struct conversion_factors most = conversions_factors(c, &all[7], NOW, &stranger), least = conversions_factors(c, &all[0], NOW, &stranger);
    CHECK(fabs(most.item / least.item - 2) < 0.3);
    CHECK(fabs(most.host / least.host - 2) < 0.3);
    CHECK(fabs(most.match / least.match - 2) < 0.3);
    CHECK(most.user == 1.0);
    conversions_destroy(c);
}

static void test_a_buyer_is_known_by_what_was_watched(void)
{
    struct conversions *c = conversions_create(100);
    struct conversion keen = {0}, idle = {0};
    struct look at = {.item = 11, .host = 21, .match = 0.5f};
    show(c, &at, 1000, 20, NULL);
    show(c, &at, 200, 5, &keen);
    show(c, &at, 200, 0, &idle);
    CHECK(conversions_factors(c, &at, NOW, &keen).user > 2.5);
    CHECK(conversions_factors(c, &at, NOW, &idle).user < 0.3);
    conversions_destroy(c);
}

static void test_nothing_is_known_of_a_stranger_and_all_is_forgotten(void)
{
    struct conversions *c = conversions_create(2);
    const struct conversion stranger = {0};
    struct look at = {.item = 11, .host = 21}, third = {.item = 13, .host = 21};
    struct conversion_factors f = conversions_factors(c, &at, NOW, &stranger);
    CHECK(f.item == 1.0 && f.host == 1.0 && f.match == 1.0 && f.user == 1.0);
    show(c, &at, 100, 2, NULL);
    CHECK(conversions_factors(c, &at, NOW, &stranger).item != 1.0);
    CHECK(conversions_factors(c, &third, NOW, &stranger).item == 1.0);
    CHECK(fabs(conversions_factors(c, &at, NOW + 60 * DAY, &stranger).item - 1) < 1e-9);
    conversions_destroy(c);
}

/* Room for ten: of items that come one after the other the last stay, and the host of them all, looked at each time. */
static void test_beyond_the_bound_the_one_unseen_for_longest_is_forgotten(void)
{
    struct conversions *c = conversions_create(10);
    const struct conversion stranger = {0};
    struct look at = {.host = 21};
    for (entity_id item = 100; item < 200; item++) {
        at.item = item;
        show(c, &at, 10, 0, NULL);
    }
    for (at.item = 100; at.item < 200; at.item++)
        CHECK_INT(conversions_factors(c, &at, NOW, &stranger).item != 1.0, at.item >= 191);
    at.item = 191; /* seen again, so that 192 goes before it */
    show(c, &at, 1, 0, NULL);
    at.item = 300;
    show(c, &at, 1, 0, NULL);
    at.item = 191;
    CHECK(conversions_factors(c, &at, NOW, &stranger).item != 1.0);
    at.item = 192;
    CHECK(conversions_factors(c, &at, NOW, &stranger).item == 1.0);
    CHECK(conversions_factors(c, &at, NOW, &stranger).host != 1.0);
    conversions_destroy(c);
}

int main(void)
{
    test_items_hosts_and_kinds_are_told_apart();
    test_a_buyer_is_known_by_what_was_watched();
    test_nothing_is_known_of_a_stranger_and_all_is_forgotten();
    test_beyond_the_bound_the_one_unseen_for_longest_is_forgotten();
    return checks_failed != 0;
}
