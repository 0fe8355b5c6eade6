#include "server/engine/model.h"

#include "common/check.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

/* Size and first bytes as one number: hardly any two different tags of one model have the same. */
static uint64_t tag_head(const struct model_tag *t)
{
    _Static_assert(offsetof(struct model_tag, text) == 1, "the text follows the size");
    uint64_t head;
    memcpy(&head, t, sizeof head);
    return t->size < 7 ? head & ((1ull << 8 * (t->size + 1)) - 1) : head;
}

/* One of 64 bits. */
static uint64_t bit_of(uint64_t head)
{
    return 1ull << (head * 0x9e3779b97f4a7c15u >> 58);
}

int model_segment(const struct model *m, const struct model_tag *tags, uint32_t count)
{
    int best = -1;
    double best_sum = 0;
    uint64_t heads[SEGMENT_TAGS], bits = 0;
    ASSERT(count <= SEGMENT_TAGS);
    for (uint32_t k = 0; k < count; k++) {
        heads[k] = tag_head(&tags[k]);
        bits |= bit_of(heads[k]);
    }
    for (uint32_t s = 0; s < m->segment_count; s++) {
        double sum = 0;
        for (uint32_t i = 0; i < m->segments[s].tag_count; i++) {
            const struct model_tag *c = &m->segments[s].tags[i];
            uint64_t head = tag_head(c);
            if (!(bits & bit_of(head)))
                continue;
            for (uint32_t k = 0; k < count; k++)
                if (head == heads[k] && (c->size < 8 || memcmp(c->text, tags[k].text, c->size) == 0))
                    sum += (double)c->weight * tags[k].weight;
        }
        if (sum > best_sum) {
            best_sum = sum;
            best = (int)s;
        }
    }
    return best;
}

bool model_tag_set(struct model_tag *out, struct slice text, float weight)
{
    if (text.size > SCENE_ID_BYTES)
        return false;
    out->size = (uint8_t)text.size;
    memcpy(out->text, text.at, text.size);
    out->weight = weight;
    return true;
}

double logistic_input(const struct logistic_model *m, int feature, float x)
{
    double z = m->deviation[feature] > 1e-6 ? (x - m->mean[feature]) / m->deviation[feature] : 0;
    return z > 5 ? 5 : z < -5 ? -5 : z;
}

double logistic_predict(const struct logistic_model *m, const float x[FEATURES])
{
    double sum = m->bias;
    if (!m->mature)
        return -1;
    for (int i = 0; i < FEATURES; i++)
        sum += m->weight[i] * logistic_input(m, i, x[i]);
    sum = sum > 30 ? 30 : sum < -30 ? -30 : sum;
    return 1 / (1 + exp2(-sum * M_LOG2E));
}
