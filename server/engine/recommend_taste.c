/* The user's taste as vectors over tags and embeddings, derived from the history each time it is asked for. */
#include "server/engine/recommend_internal.h"

#include <math.h>

/* Rating, watch time and stars of one entity, fading; negative for what was disliked. */
static double pull_of(const struct recommender *r, const struct history_entry *h, int64_t now_ms)
{
    double age = now_ms > h->touched_ms ? (double)(now_ms - h->touched_ms) : 0;
    double fade = 0.5 * exp2(-age / (double)r->settings.half_life_short_ms) +
                  0.5 * exp2(-age / (double)r->settings.half_life_long_ms);
    double rating = h->rating + (h->stars ? h->stars - 3 : 0) + (h->percent > 50 ? 1 : 0);
    if (h->flags & HISTORY_NEGATIVE)
        rating = -1;
    return rating * fade;
}

static void add_tag(struct taste *t, uint32_t tag, double weight)
{
    uint32_t i = 0;
    while (i < t->tag_count && t->tags[i].tag != tag)
        i++;
    if (i == t->tag_count) {
        if (t->tag_count == TASTE_TAGS)
            return;
        t->tags[t->tag_count++] = (struct taste_tag){tag, 0};
    }
    t->tags[i].weight += weight;
}

static void add_item(struct taste *t, const struct catalog_item *it, double pull)
{
    for (uint32_t i = 0; i < it->tag_count; i++)
        add_tag(t, it->tags[i], pull / sqrt(it->tag_count));
    if (!it->embedding || (t->dims && it->dims != t->dims))
        return;
    t->dims = it->dims;
    for (uint32_t d = 0; d < it->dims; d++)
        t->vector[d] += pull * (double)it->scale * it->embedding[d];
}

/* Strongest first; a few dozen at most. */
static void order(struct taste *t)
{
    for (uint32_t i = 1; i < t->tag_count; i++) {
        struct taste_tag one = t->tags[i];
        uint32_t at = i;
        for (; at > 0 && t->tags[at - 1].weight < one.weight; at--)
            t->tags[at] = t->tags[at - 1];
        t->tags[at] = one;
    }
}

static void fill_slots(struct taste *t)
{
    for (uint32_t i = 0; i < t->tag_count; i++) {
        uint32_t at = t->tags[i].tag % TASTE_SLOTS;
        while (t->slots[at].tag)
            at = (at + 1) % TASTE_SLOTS;
        t->slots[at] = t->tags[i];
    }
}

static double weight_of(const struct taste *t, uint32_t tag)
{
    uint32_t at = tag % TASTE_SLOTS;
    while (t->slots[at].tag && t->slots[at].tag != tag)
        at = (at + 1) % TASTE_SLOTS;
    return t->slots[at].weight;
}

void taste_of(const struct recommender *r, const struct profile *p, int64_t now_ms, struct taste *out)
{
    *out = (struct taste){0};
    for (uint32_t i = p->history_count; i-- > 0;) { /* the newest first, so that they find place */
        const struct history_entry *h = &p->history[i];
        const struct catalog_item *it = entity_kind_of(h->id) == ENTITY_ITEM ? catalog_item(r->catalog, h->id) : NULL;
        double pull = it ? pull_of(r, h, now_ms) : 0;
        if (it && (pull > 0.01 || pull < -0.01))
            add_item(out, it, pull);
    }
    for (uint32_t i = 0; i < out->tag_count; i++)
        out->tag_norm += out->tags[i].weight * out->tags[i].weight;
    out->tag_norm = sqrt(out->tag_norm);
    double vector_norm = 0;
    for (uint32_t d = 0; d < out->dims; d++)
        vector_norm += out->vector[d] * out->vector[d];
    vector_norm = sqrt(vector_norm);
    for (uint32_t d = 0; d < out->dims && vector_norm > 0; d++)
        out->rounded[d] = (int16_t)(out->vector[d] / vector_norm * TASTE_STEPS);
    order(out);
    fill_slots(out);
}

double taste_match(const struct taste *t, const struct catalog_item *it)
{
    double tags = 0;
    int32_t dot = 0;
    for (uint32_t k = 0; k < it->tag_count; k++)
        tags += weight_of(t, it->tags[k]);
    if (t->tag_norm > 0 && it->tag_count)
        tags /= t->tag_norm * sqrt(it->tag_count);
    if (!t->dims || it->dims != t->dims)
        return tags > 0 ? tags : 0;
    for (uint32_t d = 0; d < t->dims; d++)
        dot += (int32_t)t->rounded[d] * it->embedding[d];
    double both = 0.5 * tags + 0.5 * dot * (double)it->scale / TASTE_STEPS;
    return both > 0 ? both : 0;
}

uint32_t recommender_taste(const struct recommender *r, const struct profile *p, int64_t now_ms, struct taste_word *out, uint32_t max)
{
    struct taste t;
    uint32_t count = 0;
    double norm = 0;
    taste_of(r, p, now_ms, &t);
    for (uint32_t i = 0; i < t.tag_count && count < max && t.tags[i].weight > 0; i++) {
        out[count++] = (struct taste_word){catalog_text(r->catalog, t.tags[i].tag), (float)t.tags[i].weight};
        norm += t.tags[i].weight * t.tags[i].weight;
    }
    for (uint32_t i = 0; i < count; i++)
        out[i].weight /= (float)sqrt(norm);
    return count;
}
