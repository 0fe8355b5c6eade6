#include "server/engine/learner.h"

#include "common/check.h"
#include "server/engine/examples.h"

#include <math.h>
#include <stdlib.h>

struct learner {
    struct learner_settings settings;
    struct model model;
    struct logistic_moments intent, churn;
    struct blend_moments blend;
    struct examples *shopping, *staying; /* owned; of intent and of churn, whose labels are that they bought, that they came */
    struct audience *audience; /* owned */
    int64_t now_ms;
    uint64_t samples;
};

void learner_settings_default(struct learner_settings *s)
{
    *s = (struct learner_settings){.intent_ms = 1800000, .churn_ms = 7 * 86400000ll, .examples_max = 200000, .segments = 12,
                                   .found_permille = 400, .step_ppm = 2000, .memory = 30000};
    audience_settings_default(&s->audience);
}

#define WEIGHT_VARIANCE 0.1 /* before anything is known, of a weight of a standardised input */
#define BIAS_VARIANCE 9.0
#define TAKEN_OVER_MAX 10000.0 /* examples that a snapshot counts for */

static double prior_of(int input)
{
    return input == FEATURES ? BIAS_VARIANCE : WEIGHT_VARIANCE;
}

static void begin(struct logistic_moments *o, double information)
{
    for (int i = 0; i < LOGISTIC_INPUTS; i++)
        o->covariance[i][i] = 1 / (1 / prior_of(i) + information);
}

/* A snapshot has no covariance: it counts as independent inputs would leave it. */
static void take_over(const struct logistic_model *m, struct logistic_moments *o)
{
    double positive = m->examples ? (double)m->positives / (double)m->examples : 0;
    o->count = (double)m->examples < TAKEN_OVER_MAX ? (double)m->examples : TAKEN_OVER_MAX;
    for (int i = 0; i < FEATURES; i++) {
        o->mean[i] = m->mean[i];
        o->square[i] = m->deviation[i] * m->deviation[i] * o->count;
    }
    if (o->count > 0)
        begin(o, o->count * positive * (1 - positive));
}

struct learner *learner_create(const struct learner_settings *s, const struct model *from)
{
    struct learner *l = calloc(1, sizeof *l);
    ASSERT(l);
    l->settings = *s;
    if (from)
        l->model = *from;
    take_over(&l->model.intent, &l->intent);
    take_over(&l->model.churn, &l->churn);
    l->shopping = examples_create(s->examples_max, s->intent_ms);
    l->staying = examples_create(s->examples_max, s->churn_ms);
    l->audience = audience_create(&s->audience);
    return l;
}

void learner_destroy(struct learner *l)
{
    if (!l)
        return;
    audience_destroy(l->audience);
    examples_destroy(l->staying);
    examples_destroy(l->shopping);
    free(l);
}

static void take_moments(struct logistic_model *m, struct logistic_moments *o, const float x[FEATURES], double z[LOGISTIC_INPUTS])
{
    if (o->count == 0)
        begin(o, 0);
    o->count++;
    for (int i = 0; i < FEATURES; i++) {
        double delta = x[i] - o->mean[i];
        o->mean[i] += delta / o->count;
        o->square[i] += delta * (x[i] - o->mean[i]);
        m->mean[i] = o->mean[i];
        m->deviation[i] = sqrt(o->square[i] / o->count);
        z[i] = logistic_input(m, i, x[i]);
    }
    z[FEATURES] = 1;
}

/* Older examples fade: the covariance grows again, within the prior's. */
static void fade(struct logistic_moments *o, double memory)
{
    for (int i = 0; i < LOGISTIC_INPUTS; i++) {
        double variance = o->covariance[i][i], factor = variance * (1 + 1 / memory) > prior_of(i) ? 1 : sqrt(1 + 1 / memory);
        for (int k = 0; k < LOGISTIC_INPUTS; k++) {
            o->covariance[i][k] *= factor;
            o->covariance[k][i] *= factor;
        }
    }
}

void logistic_learn(struct logistic_model *m, struct logistic_moments *o, double memory, const float x[FEATURES], bool label)
{
    double z[LOGISTIC_INPUTS], gain[LOGISTIC_INPUTS], sum = m->bias, spread = 0;
    take_moments(m, o, x, z);
    fade(o, memory);
    for (int i = 0; i < LOGISTIC_INPUTS; i++) {
        gain[i] = 0;
        for (int k = 0; k < LOGISTIC_INPUTS; k++)
            gain[i] += o->covariance[i][k] * z[k];
        spread += gain[i] * z[i];
        sum += i < FEATURES ? m->weight[i] * z[i] : 0;
    }
    sum = sum > 30 ? 30 : sum < -30 ? -30 : sum;
    double chance = 1 / (1 + exp2(-sum * M_LOG2E)), curvature = chance * (1 - chance);
    double step = (label - chance) / (1 + curvature * spread), shrink = curvature / (1 + curvature * spread);
    for (int i = 0; i < LOGISTIC_INPUTS; i++) {
        *(i < FEATURES ? &m->weight[i] : &m->bias) += gain[i] * step;
        for (int k = 0; k < LOGISTIC_INPUTS; k++)
            o->covariance[i][k] -= gain[i] * gain[k] * shrink;
    }
    m->examples++;
    m->positives += label;
}

#define EXAMPLES_MIN 200

/* What is told is a horizon further than what was learned, so at first everybody is older than anybody ever was. */
static void ripen(struct logistic_model *m, int64_t learned_ms, int64_t horizon_ms)
{
    m->from_ms = m->from_ms ? m->from_ms : learned_ms;
    m->mature |= m->examples >= EXAMPLES_MIN && learned_ms - m->from_ms >= horizon_ms / 4 * 3;
}

#define CLOSED_MAX 64 /* a sample; after a pause of a whole horizon all that wait are due at once, a second's work */

/* Those whose window is over, the oldest first. A model's example is learned once, in the order of time. */
static void close_windows(struct learner *l)
{
    const struct learner_settings *s = &l->settings;
    const struct example *e;
    for (int i = 0; i < CLOSED_MAX && (e = examples_close(l->shopping, l->now_ms)); i++) {
        logistic_learn(&l->model.intent, &l->intent, s->memory, e->features, e->label);
        ripen(&l->model.intent, e->ts_ms, s->intent_ms);
    }
    for (int i = 0; i < CLOSED_MAX && (e = examples_close(l->staying, l->now_ms)); i++) {
        logistic_learn(&l->model.churn, &l->churn, s->memory, e->features, !e->label);
        ripen(&l->model.churn, e->ts_ms, s->churn_ms);
    }
}

/* What the user did tells the labels of the examples before. */
static void label(struct learner *l, const struct sample *s)
{
    const struct learner_settings *k = &l->settings;
    if (s->kind == SAMPLE_BOUGHT)
        examples_label(l->shopping, s->user, s->ts_ms, 0, k->intent_ms);
    examples_label(l->staying, s->user, s->ts_ms, k->churn_ms / 2 + 1, k->churn_ms);
}

static int by_weight(const void *a, const void *b)
{
    const struct model_tag *x = a, *y = b;
    return x->weight < y->weight ? 1 : -(x->weight > y->weight);
}

static void move_centroid(struct segment_model *c, const struct sample *s, double step)
{
    struct model_tag all[SEGMENT_TAGS + SAMPLE_TAGS];
    uint32_t count = c->tag_count;
    double norm = 0;
    memcpy(all, c->tags, count * sizeof *all);
    for (uint32_t i = 0; i < count; i++)
        all[i].weight *= (float)(1 - step);
    for (uint32_t k = 0; k < s->tag_count; k++) {
        uint32_t i = 0;
        while (i < count && (all[i].size != s->tags[k].size || memcmp(all[i].text, s->tags[k].text, all[i].size) != 0))
            i++;
        if (i == count) {
            all[count] = s->tags[k];
            all[count++].weight = 0;
        }
        all[i].weight += (float)step * s->tags[k].weight;
    }
    qsort(all, count, sizeof *all, by_weight);
    c->tag_count = count < SEGMENT_TAGS ? count : SEGMENT_TAGS;
    for (uint32_t i = 0; i < c->tag_count; i++)
        norm += (double)all[i].weight * all[i].weight;
    for (uint32_t i = 0; i < c->tag_count; i++) {
        c->tags[i] = all[i];
        c->tags[i].weight = (float)(norm > 0 ? all[i].weight / sqrt(norm) : 0);
    }
}

static double cosine(const struct segment_model *c, const struct sample *s)
{
    double sum = 0;
    for (uint32_t i = 0; i < c->tag_count; i++)
        for (uint32_t k = 0; k < s->tag_count; k++)
            if (c->tags[i].size == s->tags[k].size && memcmp(c->tags[i].text, s->tags[k].text, c->tags[i].size) == 0)
                sum += (double)c->tags[i].weight * s->tags[k].weight;
    return sum;
}

static void cluster(struct learner *l, const struct sample *s)
{
    struct model *m = &l->model;
    uint32_t most = l->settings.segments < SEGMENTS_MAX ? l->settings.segments : SEGMENTS_MAX;
    if (s->tag_count == 0)
        return;
    int best = model_segment(m, s->tags, s->tag_count);
    double near = best >= 0 ? cosine(&m->segments[best], s) : 0;
    if (m->segment_count < most && near * 1000 < l->settings.found_permille) {
        best = (int)m->segment_count++;
        m->segments[best] = (struct segment_model){0};
    }
    if (best < 0)
        return;
    struct segment_model *c = &m->segments[best];
    double least = l->settings.step_ppm / 1e6, step = 1 / (double)++c->users;
    move_centroid(c, s, step > least ? step : least);
}

static void count_format(struct learner *l, const struct sample *s)
{
    const struct audience_user *u = audience_find(l->audience, s->user);
    if (u && u->segment >= 0 && s->format < FORMATS)
        audience_format_seen(&l->model.segments[u->segment].audience, (enum item_format)s->format, s->kind == SAMPLE_BOUGHT);
}

void learner_apply(struct learner *l, const struct sample *s)
{
    l->samples++;
    if (s->kind == SAMPLE_CHOICE) { /* no label waits for it */
        blend_learn(&l->model.blend, &l->blend, l->settings.weights, l->settings.memory, &s->choice);
        return;
    }
    l->now_ms = s->ts_ms > l->now_ms ? s->ts_ms : l->now_ms;
    label(l, s);
    close_windows(l);
    if (s->kind == SAMPLE_SEEN) {
        examples_add(l->shopping, s->user, s->ts_ms, s->features);
        examples_add(l->staying, s->user, s->ts_ms, s->features);
        cluster(l, s);
        audience_see(l->audience, &(struct audience_user){s->user, s->ts_ms, (float)logistic_predict(&l->model.intent, s->features),
                                                          (float)logistic_predict(&l->model.churn, s->features),
                                                          (int8_t)model_segment(&l->model, s->tags, s->tag_count), s->value});
    }
    count_format(l, s);
}

const struct model *learner_model(struct learner *l)
{
    return &l->model;
}

void learner_count_audience(struct learner *l)
{
    audience_count(l->audience, l->now_ms, &l->model);
}

uint64_t learner_samples(const struct learner *l)
{
    return l->samples;
}

uint64_t learner_thinned(const struct learner *l)
{
    return examples_thinned(l->shopping) + examples_thinned(l->staying);
}
