/* What the learner promises: labels that wait for their window, and predictions that tell buyers from others. */
#include "tests/unit/check.h"

#include "server/engine/examples.h"
#include "server/engine/learner.h"

static struct sample seen(uint64_t user, int64_t ts_ms, float hot)
{
    struct sample s = {.kind = SAMPLE_SEEN, .user = user, .ts_ms = ts_ms};
    s.features[FEATURE_HOT] = hot;
    return s;
}

/* Every fourth user is hot, and buys a minute later; the others never do. */
static void feed(struct learner *l, int64_t from_ms, int users)
{
    for (int u = 0; u < users; u++) {
        struct sample s = seen((uint64_t)u + 1, from_ms + u, u % 4 == 0 ? 3 : 0);
        learner_apply(l, &s);
    }
    for (int u = 0; u < users; u += 4) {
        struct sample bought = {.kind = SAMPLE_BOUGHT, .user = (uint64_t)u + 1, .ts_ms = from_ms + 60000 + u};
        learner_apply(l, &bought);
    }
}

/* Samples of a stranger, as many as it takes to learn all that is due of some thousand. */
static void pass(struct learner *l, int64_t now_ms)
{
    struct sample bought = {.kind = SAMPLE_BOUGHT, .user = 777777, .ts_ms = now_ms, .format = FORMATS};
    for (int k = 0; k < 20; k++)
        learner_apply(l, &bought);
}

static void test_labels_wait_for_the_window(void)
{
    struct learner_settings s;
    learner_settings_default(&s);
    struct learner *l = learner_create(&s, NULL);
    feed(l, 1000000, 1000);
    CHECK_INT(learner_model(l)->intent.examples, 0);
    pass(l, 1000000 + s.intent_ms + 120000);
    const struct logistic_model *m = &learner_model(l)->intent;
    CHECK_INT(m->examples, 1000);
    CHECK_INT(m->positives, 250);
    learner_destroy(l);
}

static void test_silent_until_examples_span_three_quarters_of_the_horizon(void)
{
    struct learner_settings s;
    learner_settings_default(&s);
    struct learner *l = learner_create(&s, NULL);
    const struct logistic_model *m = &learner_model(l)->intent;
    struct sample hot = seen(1, 0, 3), cold = seen(2, 0, 0);
    int64_t enough_ms = 1000000 + s.intent_ms / 4 * 3;
    struct sample rest[] = {seen(99997, enough_ms - 1, 0), seen(99998, enough_ms, 0), seen(99999, enough_ms + s.intent_ms, 0)};
    feed(l, 1000000, 1000);
    for (int i = 0; i < 3; i++)
        learner_apply(l, &rest[i]);
    pass(l, rest[2].ts_ms);
    CHECK_INT(m->examples, 1001);
    CHECK(logistic_predict(m, hot.features) == -1.0);
    rest[2].ts_ms++;
    learner_apply(l, &rest[2]);
    CHECK_INT(m->examples, 1002);
    CHECK(logistic_predict(m, hot.features) > 0.5);
    CHECK(logistic_predict(m, cold.features) < 0.2);
    learner_destroy(l);
}

static void test_span_when_another_takes_over_then_it_goes_on(void)
{
    struct learner_settings s;
    learner_settings_default(&s);
    struct learner *first = learner_create(&s, NULL);
    int64_t enough_ms = 1000000 + s.intent_ms / 4 * 3;
    struct sample rest[] = {seen(99997, 1000000 + s.intent_ms + 2000, 0), seen(99998, enough_ms, 0), seen(99999, enough_ms + s.intent_ms + 1, 0)};
    feed(first, 1000000, 1000);
    learner_apply(first, &rest[0]);
    pass(first, rest[0].ts_ms);
    CHECK_INT(learner_model(first)->intent.examples, 1000);
    struct learner *next = learner_create(&s, learner_model(first));
    learner_apply(next, &rest[1]);
    CHECK(!learner_model(next)->intent.mature);
    learner_apply(next, &rest[2]);
    CHECK(learner_model(next)->intent.mature);
    learner_destroy(next);
    learner_destroy(first);
}

/* What comes a day late, and who clicks and is never shown anything. */
static void test_features_are_numbers_whatever_the_times_and_counts(void)
{
    static const int64_t now_ms = 1732370000000, after_ms[] = {864000, 1800000, 1801000, 86400000, 0};
    for (int i = 0; i < 5; i++) {
        float x[FEATURES];
        struct profile *p = profile_create();
        struct moment at = {.known_ms = now_ms + after_ms[i], .visits = 1};
        p->first_ms = p->last_ms = now_ms + after_ms[i];
        p->events = 1;
        p->counts[EVENT_CLICK] = UINT32_MAX;
        features_of(p, &at, now_ms, x);
        for (int k = 0; k < FEATURES; k++)
            CHECK(x[k] >= -FEATURE_MAX && x[k] <= FEATURE_MAX);
        profile_destroy(p);
    }
}

static void test_a_purchase_after_the_window_is_no_label(void)
{
    struct learner_settings s;
    learner_settings_default(&s);
    struct learner *l = learner_create(&s, NULL);
    struct sample one = seen(1, 1000000, 3), bought = {.kind = SAMPLE_BOUGHT, .user = 1, .ts_ms = 1000000 + s.intent_ms + 1};
    learner_apply(l, &one);
    learner_apply(l, &bought);
    CHECK_INT(learner_model(l)->intent.examples, 1);
    CHECK_INT(learner_model(l)->intent.positives, 0);
    learner_destroy(l);
}

static void test_who_comes_back_in_the_second_half_has_not_left(void)
{
    struct learner_settings s;
    learner_settings_default(&s);
    s.churn_ms = 1000000;
    struct learner *l = learner_create(&s, NULL);
    for (uint64_t u = 1; u <= 10; u++) { /* half of them come back */
        struct sample first = seen(u, 1000000, 0);
        learner_apply(l, &first);
    }
    for (uint64_t u = 1; u <= 5; u++) {
        struct sample again = seen(u, 1700000, 0);
        learner_apply(l, &again);
    }
    struct sample later = seen(99, 1000000 + s.churn_ms + 1, 0);
    learner_apply(l, &later);
    CHECK_INT(learner_model(l)->churn.examples, 10);
    CHECK_INT(learner_model(l)->churn.positives, 5);
    learner_destroy(l);
}

/*
 * A thousand users, one example a minute each, where two thousand may wait: 30,000 come within the horizon of intent and
 * 120,000 within that of churn. Both models learn, and of a fair share: a fourth of the users is hot and buys a minute
 * later; every second one never comes after the first two hours.
 */
static void test_more_come_than_may_wait_then_both_models_learn_a_fair_share(void)
{
    struct learner_settings s;
    learner_settings_default(&s);
    s.churn_ms = 2 * 3600000;
    s.examples_max = 2000;
    struct learner *l = learner_create(&s, NULL);
    for (int minute = 0; minute < 360; minute++)
        for (int u = 0; u < 1000; u++) {
            int64_t now_ms = 1000000 + minute * 60000ll + u;
            struct sample one = seen((uint64_t)u + 1, now_ms, u % 4 == 0 ? 3 : 0);
            struct sample bought = {.kind = SAMPLE_BOUGHT, .user = (uint64_t)u + 1, .ts_ms = now_ms + 1};
            if (u % 2 && minute >= 120)
                continue;
            learner_apply(l, &one);
            if (u % 4 == 0)
                learner_apply(l, &bought);
        }
    const struct logistic_model *intent = &learner_model(l)->intent, *churn = &learner_model(l)->churn;
    double share = (double)intent->positives / (double)intent->examples, left = (double)churn->positives / (double)churn->examples;
    CHECK(intent->mature && churn->mature);
    CHECK(intent->examples > 5000);  /* 1,000 to 2,000 a horizon of half an hour */
    CHECK(churn->examples > 1500);
    CHECK(share > 0.35 && share < 0.45); /* .25 for two hours, .5 for three and a half */
    CHECK(left > 0.12 && left < 0.24);   /* who leaves, in the last of his two hours: 1 of 6 of four hours' examples */
    struct sample hot = seen(1, 0, 3), cold = seen(2, 0, 0);
    CHECK(logistic_predict(intent, hot.features) > 0.9);
    CHECK(logistic_predict(intent, cold.features) < 0.1);
    CHECK(learner_thinned(l) > 300000);
    learner_destroy(l);
}

/* Labels find a user's examples after the others left from between them. */
static void test_thinned_then_labels_still_reach_what_stayed(void)
{
    float none[FEATURES] = {0};
    struct examples *q = examples_create(100, 1000000);
    const struct example *e;
    int count = 0, labelled = 0;
    for (int i = 0; i < 1000; i++)
        examples_add(q, (uint64_t)(i % 10) + 1, i, none);
    examples_label(q, 3, 1000, 0, 1000);
    while ((e = examples_close(q, 2000000))) {
        CHECK_INT(e->label, e->user == 3);
        count++;
        labelled += e->label;
    }
    CHECK(count > 30 && count <= 100);
    CHECK(labelled > 0 && labelled < 25);
    CHECK_INT((long long)examples_thinned(q), 1000 - count);
    for (int i = 0; i < 20; i++) /* few come now: after a window each, more of them are kept, at last all */
        for (int k = 0; k < 10; k++) {
            examples_add(q, 1, 3000000ll + i * 1100000ll + k, none);
            while (i < 19 && examples_close(q, INT64_MAX))
                ;
        }
    for (count = 0; examples_close(q, INT64_MAX); count++)
        ;
    CHECK_INT(count, 10);
    examples_destroy(q);
}

/* After a pause no sample has to do the work of all that wait; the next ones share it, and no label comes to what is over. */
static void test_after_a_pause_what_is_due_is_learned_over_several_samples(void)
{
    struct learner_settings s;
    learner_settings_default(&s);
    struct learner *l = learner_create(&s, NULL);
    for (int u = 0; u < 1000; u++) {
        struct sample one = seen((uint64_t)u + 1, 1000000 + u, 0);
        learner_apply(l, &one);
    }
    for (int k = 0; k < 20; k++) {
        uint64_t before = learner_model(l)->intent.examples;
        struct sample bought = {.kind = SAMPLE_BOUGHT, .user = 1000, .ts_ms = 1000000 + 2 * s.intent_ms, .format = FORMATS};
        learner_apply(l, &bought);
        CHECK(learner_model(l)->intent.examples - before <= 100);
    }
    CHECK_INT(learner_model(l)->intent.examples, 1000);
    CHECK_INT(learner_model(l)->intent.positives, 0);
    learner_destroy(l);
}

/* The same user at the same time again and again: nothing tells these apart, and still the room suffices. */
static void test_equal_examples_beyond_the_room_are_left_out(void)
{
    float none[FEATURES] = {0};
    struct examples *q = examples_create(4, 1000);
    for (int i = 0; i < 50; i++)
        examples_add(q, 7, 5, none);
    int count = 0;
    while (examples_close(q, 2000))
        count++;
    CHECK_INT(count + (long long)examples_thinned(q), 50);
    CHECK(count <= 4);
    examples_destroy(q);
}

int main(void)
{
    test_labels_wait_for_the_window();
    test_silent_until_examples_span_three_quarters_of_the_horizon();
    test_span_when_another_takes_over_then_it_goes_on();
    test_features_are_numbers_whatever_the_times_and_counts();
    test_a_purchase_after_the_window_is_no_label();
    test_who_comes_back_in_the_second_half_has_not_left();
    test_more_come_than_may_wait_then_both_models_learn_a_fair_share();
    test_thinned_then_labels_still_reach_what_stayed();
    test_equal_examples_beyond_the_room_are_left_out();
    test_after_a_pause_what_is_due_is_learned_over_several_samples();
    return checks_failed != 0;
}
