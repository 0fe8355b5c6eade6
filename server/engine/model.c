#include "server/engine/model.h"

#include <math.h>

int model_segment(const struct model *m, const struct model_tag *tags, uint32_t count)
{
    int best = -1;
    double best_sum = 0;
    for (uint32_t s = 0; s < m->segment_count; s++) {
        double sum = 0;
        for (uint32_t i = 0; i < m->segments[s].tag_count; i++) {
            const struct model_tag *c = &m->segments[s].tags[i];
            for (uint32_t k = 0; k < count; k++)
                if (c->size == tags[k].size && memcmp(c->text, tags[k].text, c->size) == 0)
                    sum += (double)c->weight * tags[k].weight;
        }
        if (sum > best_sum) {
            best_sum = sum;
            best = (int)s;
        }
    }
    return best;
}

double logistic_input(const struct logistic_model *m, int feature, float x)
{
    double z = m->deviation[feature] > 1e-6 ? (x - m->mean[feature]) / m->deviation[feature] : 0;
    return z > 5 ? 5 : z < -5 ? -5 : z;
}

double logistic_predict(const struct logistic_model *m, const float x[FEATURES])
{
    double sum = m->bias;
    if (m->examples < MODEL_EXAMPLES_MIN)
        return -1;
    for (int i = 0; i < FEATURES; i++)
        sum += m->weight[i] * logistic_input(m, i, x[i]);
    sum = sum > 30 ? 30 : sum < -30 ? -30 : sum;
    return 1 / (1 + exp2(-sum * 1.4426950408889634));
}
