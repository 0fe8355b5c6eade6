/* What the learner promises: labels that wait for their window, and predictions that tell buyers from others. */
#include "tests/unit/check.h"

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

static void test_labels_wait_for_the_window(void)
{
    struct learner_settings s;
    learner_settings_default(&s);
    struct learner *l = learner_create(&s, NULL);
    feed(l, 1000000, 1000);
    CHECK_INT(learner_model(l)->intent.examples, 0);
    struct sample later = seen(99999, 1000000 + s.intent_ms + 120000, 0);
    learner_apply(l, &later);
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
    struct sample later = seen(99, 1000000 + s.intent_ms + 1, 0);
    learner_apply(l, &later);
    CHECK_INT(learner_model(l)->churn.examples, 10);
    CHECK_INT(learner_model(l)->churn.positives, 5);
    learner_destroy(l);
}

int main(void)
{
    test_labels_wait_for_the_window();
    test_silent_until_examples_span_three_quarters_of_the_horizon();
    test_span_when_another_takes_over_then_it_goes_on();
    test_features_are_numbers_whatever_the_times_and_counts();
    test_a_purchase_after_the_window_is_no_label();
    test_who_comes_back_in_the_second_half_has_not_left();
    return checks_failed != 0;
}
