/*
 * The small global models as every worker reads them: segments of users by taste, two logistic regressions, and what the
 * sources of the ranker's score are worth. A snapshot is a value; for a given snapshot everything derived from it is deterministic.
 */
#pragma once

#include "server/engine/audience.h"
#include "server/engine/blend.h"
#include "server/engine/user_features.h"
#include "server/engine/scene_entry.h"

#define SEGMENTS_MAX 16
#define SEGMENT_TAGS 24 /* strongest tags of a centroid */
#define SAMPLE_TAGS 8   /* strongest tags of a user */

struct model_tag {
    uint8_t size;
    char text[SCENE_ID_BYTES];
    float weight;
};

/* False: the text is too long for one. */
bool model_tag_set(struct model_tag *out, struct slice text, float weight);

struct segment_model {
    uint64_t users;     /* samples it took */
    uint32_t tag_count; /* 0: not in use */
    struct model_tag tags[SEGMENT_TAGS]; /* strongest first, unit length together */
    struct segment_audience audience;
};

/* p = 1 / (1 + exp(-(bias + sum weight z))), z = (x - mean) / deviation within 5 either way. */
struct logistic_model {
    uint64_t examples, positives;
    int64_t from_ms; /* time of the first example; 0: none yet */
    bool mature;     /* has learned enough to tell */
    double bias;
    double mean[FEATURES], deviation[FEATURES], weight[FEATURES];
};

struct model {
    uint64_t number; /* of the snapshot, rising; 0: none yet */
    uint32_t segment_count;
    struct segment_model segments[SEGMENTS_MAX]; /* the index is the segment's id, for ever */
    struct logistic_model intent, churn;
    struct blend_model blend;
};

/* Index of the segment whose centroid is nearest by cosine, or -1. */
int model_segment(const struct model *m, const struct model_tag *tags, uint32_t count);
/* z of the input; 0 when it has not varied. */
double logistic_input(const struct logistic_model *m, int feature, float x);
/* In (0, 1); -1 while the model is not mature. */
double logistic_predict(const struct logistic_model *m, const float x[FEATURES]);
