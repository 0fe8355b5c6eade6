/* The blend: simulated users choose by weights of their own, which are found again from what they took. */
#include "tests/unit/check.h"

#include "common/hash.h"
#include "server/engine/learner.h"

#include <math.h>
#include <string.h>

#define SCALE 8.0 /* log odds a score of 1 */

static const uint32_t weights[REASONS] = {400, 250, 0, 0, 0, 250, 0, 0, 800};

static double draw(uint64_t *random)
{
    *random = hash_mix(*random + 0x9e3779b97f4a7c15u);
    return (double)(*random >> 11) * 0x1p-53;
}

/* Eight alternatives with values at random, of which one is taken by the true factors. */
static struct sample choose(uint64_t *random, const double truth[REASONS])
{
    struct sample s = {.kind = SAMPLE_CHOICE, .choice.count = CHOICE_MAX};
    double odds[CHOICE_MAX], sum = 0;
    for (int j = 0; j < CHOICE_MAX; j++) {
        double score = 0;
        for (int k = 0; k < REASONS; k++) {
            double value = weights[k] ? draw(random) : 0;
            s.choice.values[j][k] = (uint16_t)(value * CHOICE_ONE);
            score += weights[k] / 1000.0 * truth[k] * value;
        }
        sum += odds[j] = exp(SCALE * score);
    }
    double at = draw(random) * sum;
    int taken = 0;
    while (taken < CHOICE_MAX - 1 && (at -= odds[taken]) > 0)
        taken++;
    uint16_t first[REASONS];
    memcpy(first, s.choice.values[0], sizeof first);
    memcpy(s.choice.values[0], s.choice.values[taken], sizeof first);
    memcpy(s.choice.values[taken], first, sizeof first);
    return s;
}

static struct learner *begin(const struct model *from)
{
    struct learner_settings s;
    learner_settings_default(&s);
    s.examples_max = 10;
    memcpy(s.weights, weights, sizeof weights);
    return learner_create(&s, from);
}

static void teach(struct learner *l, uint64_t seed, int examples, const double truth[REASONS])
{
    for (int n = 0; n < examples; n++) {
        struct sample s = choose(&seed, truth);
        learner_apply(l, &s);
    }
}

/* Factors are known up to one for all, which the scale takes up. */
static double ratio(struct learner *l, int a, int b)
{
    const struct blend_model *m = &learner_model(l)->blend;
    return blend_factor(m, a, 1000) / blend_factor(m, b, 1000);
}

static void test_planted_factors_are_found(void)
{
    const double truth[REASONS] = {[REASON_INTEREST] = 0.6, [REASON_SIMILAR_ITEM] = 2.4, [REASON_POPULAR] = 0.8, [REASON_AGAIN] = 1.2};
    struct learner *l = begin(NULL);
    teach(l, 1, 20000, truth);
    /* Within a tenth: three standard errors of so many choices, and the prior's pull. */
    CHECK(fabs(ratio(l, REASON_SIMILAR_ITEM, REASON_INTEREST) / 4 - 1) < 0.1);
    CHECK(fabs(ratio(l, REASON_POPULAR, REASON_INTEREST) / (0.8 / 0.6) - 1) < 0.1);
    CHECK(fabs(ratio(l, REASON_AGAIN, REASON_INTEREST) / 2 - 1) < 0.1);
    CHECK(fabs(blend_factor(&learner_model(l)->blend, REASON_FOLLOWED, 1000) - 1) < 1e-9); /* nothing was told of it */
    learner_destroy(l);
}

static void test_factors_stay_within_their_bound(void)
{
    const double truth[REASONS] = {[REASON_SIMILAR_ITEM] = 60};
    struct learner *l = begin(NULL);
    teach(l, 2, 5000, truth);
    for (int k = 0; k < REASONS; k++) {
        double factor = blend_factor(&learner_model(l)->blend, k, 1000);
        CHECK(factor >= 1 / BLEND_MOST - 1e-9 && factor <= BLEND_MOST + 1e-9);
    }
    CHECK(ratio(l, REASON_SIMILAR_ITEM, REASON_AGAIN) > BLEND_MOST);
    learner_destroy(l);
}

static void test_few_examples_change_nothing_and_strength_is_a_power(void)
{
    const double truth[REASONS] = {[REASON_SIMILAR_ITEM] = 4, [REASON_AGAIN] = 1};
    struct learner *l = begin(NULL);
    const struct blend_model *m = &learner_model(l)->blend;
    teach(l, 3, BLEND_EXAMPLES_MIN - 1, truth);
    CHECK(blend_factor(m, REASON_SIMILAR_ITEM, 1000) == 1);
    teach(l, 4, 2000, truth);
    double whole = blend_factor(m, REASON_SIMILAR_ITEM, 1000), half = blend_factor(m, REASON_SIMILAR_ITEM, 500);
    CHECK(whole > 1.2);
    CHECK(fabs(half * half - whole) < 1e-9);
    CHECK(blend_factor(m, REASON_SIMILAR_ITEM, 0) == 1);
    learner_destroy(l);
}

/* A learner that goes on from a snapshot knows what the one before knew, and how surely. */
static void test_a_snapshot_goes_on(void)
{
    const double truth[REASONS] = {[REASON_SIMILAR_ITEM] = 2, [REASON_POPULAR] = 1, [REASON_AGAIN] = 0.5};
    struct learner *l = begin(NULL);
    teach(l, 5, 5000, truth);
    struct model snapshot = *learner_model(l);
    struct learner *next = begin(&snapshot);
    double before = ratio(l, REASON_SIMILAR_ITEM, REASON_AGAIN);
    CHECK(ratio(next, REASON_SIMILAR_ITEM, REASON_AGAIN) == before);
    teach(next, 6, 100, truth);
    CHECK(fabs(ratio(next, REASON_SIMILAR_ITEM, REASON_AGAIN) / before - 1) < 0.2);
    learner_destroy(next);
    learner_destroy(l);
}

static void test_the_same_samples_make_the_same_model(void)
{
    const double truth[REASONS] = {[REASON_SIMILAR_ITEM] = 2, [REASON_AGAIN] = 1};
    struct learner *a = begin(NULL), *b = begin(NULL);
    teach(a, 7, 1000, truth);
    teach(b, 7, 1000, truth);
    CHECK(memcmp(&learner_model(a)->blend, &learner_model(b)->blend, sizeof(struct blend_model)) == 0);
    learner_destroy(a);
    learner_destroy(b);
}

int main(void)
{
    test_planted_factors_are_found();
    test_factors_stay_within_their_bound();
    test_few_examples_change_nothing_and_strength_is_a_power();
    test_a_snapshot_goes_on();
    test_the_same_samples_make_the_same_model();
    return checks_failed != 0;
}
