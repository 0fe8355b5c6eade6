/* Arms: who is in which, that one arm's change moves no other's users, what is refused, what an arm changes. */
#include "tests/unit/check.h"

#include "server/engine/experiment.h"

#include <stdio.h>

#define USERS 20000

static int arm_of(const struct experiment_settings *s, int user)
{
    char name[16];
    snprintf(name, sizeof name, "u_%d", user);
    return experiment_arm(s, slice_of(name));
}

/* Within five standard deviations of a fair draw; the hash is fixed, so this is one draw for ever. */
static void test_shares_are_what_they_say(void)
{
    struct experiment_settings s;
    int counts[ARMS] = {0};
    experiment_settings_default(&s);
    for (int u = 0; u < 1000; u++)
        CHECK_INT(arm_of(&s, u), 0);
    s.share[0] = 250;
    s.from[2] = 900;
    s.share[2] = 100;
    for (int u = 0; u < USERS; u++)
        counts[arm_of(&s, u)]++;
    CHECK(counts[1] > 5000 - 307 && counts[1] < 5000 + 307);
    CHECK(counts[3] > 2000 - 213 && counts[3] < 2000 + 213);
    CHECK_INT(counts[0] + counts[1] + counts[3], USERS);
    CHECK(experiment_uses(&s, 0) && experiment_uses(&s, 1) && !experiment_uses(&s, 2));
}

static void test_another_arms_change_moves_nobody_else(void)
{
    struct experiment_settings before, after;
    int joined = 0;
    experiment_settings_default(&before);
    before.share[0] = 100;
    before.from[1] = 500;
    before.share[1] = 100;
    after = before;
    after.share[1] = 300; /* grows */
    after.from[2] = 900;  /* begins */
    after.share[2] = 50;
    for (int u = 0; u < USERS; u++) {
        int was = arm_of(&before, u), is = arm_of(&after, u);
        CHECK(was == is || (was == 0 && is != 1));
        joined += was != is;
    }
    CHECK(joined > 4000 && joined < 6000);
    after = before;
    after.salt = 1; /* deals anew: about one in ten of the arm stays in it */
    int stay = 0, had = 0;
    for (int u = 0; u < USERS; u++) {
        had += arm_of(&before, u) == 1;
        stay += arm_of(&before, u) == 1 && arm_of(&after, u) == 1;
    }
    CHECK(stay > had / 20 && stay < had / 5);
}

static void test_no_user_is_in_two_arms(void)
{
    struct experiment_settings s;
    experiment_settings_default(&s);
    CHECK(experiment_fault(&s) == NULL);
    s.share[0] = 500;
    s.from[1] = 500;
    s.share[1] = 500;
    CHECK(experiment_fault(&s) == NULL);
    s.from[1] = 499;
    CHECK(experiment_fault(&s) != NULL);
    s.from[1] = 501;
    CHECK(experiment_fault(&s) != NULL); /* beyond the thousand */
    s.share[1] = 0;
    s.from[1] = 100;
    CHECK(experiment_fault(&s) == NULL); /* not in use */
}

static void test_an_arm_changes_what_it_names(void)
{
    struct experiment_settings s;
    struct recommend_settings plain, changed;
    experiment_settings_default(&s);
    recommend_settings_default(&plain);
    s.explore_ppm[6] = 0;
    s.weights[6][REASON_POPULAR] = 0;
    s.weights[0][REASON_POPULAR] = 7;
    changed = plain;
    experiment_apply(&s, 0, &changed);
    CHECK(memcmp(&changed, &plain, sizeof plain) == 0);
    experiment_apply(&s, 7, &changed);
    CHECK_INT(changed.explore_ppm, 0);
    CHECK_INT(changed.weights[REASON_POPULAR], 0);
    CHECK_INT(changed.weights[REASON_INTEREST], plain.weights[REASON_INTEREST]);
}

int main(void)
{
    test_shares_are_what_they_say();
    test_another_arms_change_moves_nobody_else();
    test_no_user_is_in_two_arms();
    test_an_arm_changes_what_it_names();
    return checks_failed != 0;
}
