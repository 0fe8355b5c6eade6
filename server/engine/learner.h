/*
 * Learns the models from samples, online. Outside the exactness digest: floats, and examples under way are lost with
 * the process.
 *
 *   segments  streaming spherical k-means over tag vectors (Dhillon and Modha 2001, one pass, decaying step); a user far
 *             from all centroids founds a new one while there is room, so that ids stay what they are
 *   intent    logistic regression: will the user buy within intent_ms
 *   churn     likewise: will the user be away in the second half of churn_ms
 * Both are fitted by the extended Kalman filter, a Newton step an example with the covariance of the weights kept (Bishop,
 * Pattern Recognition, 4.5; Amari 1998): nearly the best fit of a batch after one pass, with no rate to choose. Older
 * examples fade.
 *   blend     what the sources of the ranker's score are worth: blend.h
 * Labels are delayed: an example waits until its window is over and is learned then, whatever its label; so what is
 * predicted never sees its own future, and buyers are not learned before the others of their time. A model is silent until
 * what it learned spans three quarters of its horizon: before that it knows beginners only, and tells worse than the share of all.
 */
#pragma once

#include "server/engine/model.h"

struct learner_settings {
    int64_t intent_ms;      /* horizon of intent; 1,800,000 */
    int64_t churn_ms;       /* horizon of churn; 7 days */
    uint32_t examples_max;  /* of a model, waiting for their labels; 200,000, thinned evenly beyond (examples.h) */
    uint32_t segments;      /* at most SEGMENTS_MAX; 12 */
    uint32_t found_permille; /* a user whose best cosine is below this founds a segment; 400 */
    uint32_t step_ppm;      /* least step of a centroid; 2,000 */
    uint32_t memory;        /* examples after which one counts 1/e; 30,000 */
    uint32_t weights[REASONS]; /* the ranker's settings, about which the blend is learned */
    struct audience_settings audience;
};

void learner_settings_default(struct learner_settings *s);

enum sample_kind { SAMPLE_SEEN = 1, SAMPLE_BOUGHT = 2, SAMPLE_CHOICE = 3 };

struct sample {
    enum sample_kind kind;
    uint64_t user;   /* keyed hash */
    int64_t ts_ms;
    uint8_t format;  /* enum item_format of the item on show, or that was bought; FORMATS: none */
    uint8_t value;   /* SEEN: enum value_tier */
    float features[FEATURES];            /* SEEN */
    uint32_t tag_count;                  /* SEEN */
    struct model_tag tags[SAMPLE_TAGS];  /* unit length together */
    struct choice choice;                /* CHOICE */
};

#define LOGISTIC_INPUTS (FEATURES + 1) /* and the bias */

/* What a logistic regression remembers of its inputs, Welford's moments, and the covariance of its weights. */
struct logistic_moments {
    double count, mean[FEATURES], square[FEATURES];
    double covariance[LOGISTIC_INPUTS][LOGISTIC_INPUTS];
};

/* One step of online learning; `memory` in examples. All zero is a model and moments that know nothing. */
void logistic_learn(struct logistic_model *m, struct logistic_moments *o, double memory, const float x[FEATURES], bool label);

struct learner;

/* `from` may be NULL: begin with nothing. */
struct learner *learner_create(const struct learner_settings *s, const struct model *from);
void learner_destroy(struct learner *l);
void learner_apply(struct learner *l, const struct sample *sample);
/* The models as they stand. */
const struct model *learner_model(struct learner *l);
/* Counts the audience in the models again; reads every user remembered. */
void learner_count_audience(struct learner *l);
uint64_t learner_samples(const struct learner *l); /* applied since it was created */
uint64_t learner_thinned(const struct learner *l); /* examples left out since then, of both models */
