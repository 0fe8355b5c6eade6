/*
 * The user's taste as vectors over tags and embeddings, derived from the newest items of the history each time it is
 * asked for: so a course that is tagged anew changes it at once.
 */
#include "server/engine/recommend_internal.h"

#include "common/check.h"

#include <math.h>
#include <stdlib.h>

/* Rating, watch time and stars of one entity, fading; negative for what was disliked. */
static float pull_of(const struct recommender *r, const struct history_entry *h, int64_t now_ms)
{
    float age = now_ms > h->touched_ms ? (float)(now_ms - h->touched_ms) : 0;
    float fade = 0.5f * fade_of(age / (float)r->settings.half_life_short_ms) + 0.5f * fade_of(age / (float)r->settings.half_life_long_ms);
    int rating = h->rating + (h->stars ? h->stars - 3 : 0) + (h->percent > 50);
    return (float)(h->flags & HISTORY_NEGATIVE ? -1 : rating) * fade;
}

static void add_tag(struct taste *t, uint32_t tag, float weight)
{
    uint32_t at = t->place_of[tag];
    if (!at && t->tag_count > TASTE_TAGS)
        return;
    if (!at) {
        at = t->tag_count++;
        t->tags[at] = tag;
        t->weights[at] = 0;
        t->place_of[tag] = (uint8_t)at;
    }
    t->weights[at] += weight;
}

/* Forgets the taste before, and makes place for tags that are new. */
static void begin(struct taste *t, uint32_t tag_bound)
{
    for (uint32_t i = 1; i < t->tag_count; i++)
        t->place_of[t->tags[i]] = 0;
    t->tag_count = 1;
    t->weights[0] = 0;
    t->dims = 0;
    if (tag_bound <= t->place_bound)
        return;
    uint32_t bound = tag_bound + tag_bound / 4 + 64;
    t->place_of = realloc(t->place_of, bound);
    ASSERT(t->place_of);
    memset(t->place_of + t->place_bound, 0, bound - t->place_bound);
    t->place_bound = bound;
}

static void add_item(struct taste *t, const struct catalog_item *it, float pull)
{
    float weight = it->tag_count ? pull / sqrtf((float)it->tag_count) : 0, scale = pull * it->scale * PULL_STEPS;
    int16_t step = (int16_t)(scale > INT16_MAX ? INT16_MAX : scale < -INT16_MAX ? -INT16_MAX : scale);
    for (uint32_t i = 0; i < it->tag_count; i++)
        add_tag(t, it->tags[i], weight);
    if (!it->embedding || (t->dims && it->dims != t->dims))
        return;
    if (!t->dims)
        memset(t->vector, 0, it->dims * sizeof *t->vector);
    uint32_t dims = t->dims = it->dims;
    int32_t *restrict vector = t->vector;
    const int8_t *restrict embedding = it->embedding;
    for (uint32_t d = 0; d < dims; d++) {
        int16_t e = embedding[d]; /* as wide as the step: one multiplication of the machine for several */
        vector[d] += (int32_t)step * e;
    }
}

/* Places of the strongest, in order; of equals the first. */
static void order(struct taste *t)
{
    float weights[TAGS_ASKED], least = 0; /* that finds place */
    uint32_t count = 0;
    for (uint32_t i = 1; i < t->tag_count; i++) {
        float weight = t->weights[i];
        if (weight <= least)
            continue;
        uint32_t at = count < TAGS_ASKED ? count++ : TAGS_ASKED - 1;
        for (; at > 0 && weights[at - 1] < weight; at--) {
            weights[at] = weights[at - 1];
            t->best[at] = t->best[at - 1];
        }
        weights[at] = weight;
        t->best[at] = (uint8_t)i;
        least = count == TAGS_ASKED ? weights[TAGS_ASKED - 1] : 0;
    }
    t->best_count = count;
}

/* Of the history, the newest first, so that they find place; asked for at once, so that the waits for memory overlap. */
static uint32_t newest_items(const struct profile *p, const struct catalog_item *const *items, uint8_t out[TASTE_ITEMS])
{
    uint32_t count = 0;
    for (uint32_t i = p->history_count; i-- > 0 && count < TASTE_ITEMS;) {
        if (!items[i])
            continue;
        __builtin_prefetch(items[i]->tags);
        __builtin_prefetch(items[i]->embedding);
        out[count++] = (uint8_t)i;
    }
    return count;
}

void taste_of(struct recommender *r, const struct profile *p, const struct catalog_item *const *items, int64_t now_ms)
{
    struct taste *t = &r->taste;
    uint8_t places[TASTE_ITEMS];
    float tags = 0, vector = 0;
    begin(t, catalog_text_bound(r->catalog));
    uint32_t count = newest_items(p, items, places);
    for (uint32_t i = 0; i < count; i++) {
        float pull = pull_of(r, &p->history[places[i]], now_ms);
        if (pull > 0.01f || pull < -0.01f)
            add_item(t, items[places[i]], pull);
    }
    for (uint32_t i = 1; i < t->tag_count; i++)
        tags += t->weights[i] * t->weights[i];
    for (uint32_t d = 0; d < t->dims; d++)
        vector += (float)t->vector[d] * (float)t->vector[d];
    t->tag_scale = tags > 0 ? 1 / sqrtf(tags) : 0;
    float scale = vector > 0 ? TASTE_STEPS / sqrtf(vector) : 0;
    for (uint32_t d = 0; d < t->dims; d++)
        t->rounded[d] = (int16_t)((float)t->vector[d] * scale);
    order(t);
}

float taste_match(const struct taste *t, const struct catalog_item *it)
{
    float tags = 0;
    int32_t dot = 0;
    for (uint32_t k = 0; k < it->tag_count; k++)
        tags += t->weights[t->place_of[it->tags[k]]];
    tags = it->tag_count ? tags * t->tag_scale / sqrtf((float)it->tag_count) : 0;
    if (!t->dims || it->dims != t->dims)
        return tags > 0 ? tags : 0;
    for (uint32_t d = 0, dims = t->dims; d < dims; d++)
        dot += (int32_t)t->rounded[d] * it->embedding[d];
    float both = 0.5f * tags + 0.5f * (float)dot * it->scale / TASTE_STEPS;
    return both > 0 ? both : 0;
}

uint32_t recommender_taste(struct recommender *r, const struct profile *p, int64_t now_ms, struct taste_word *out, uint32_t max)
{
    const struct catalog_item *items[PROFILE_HISTORY_MAX];
    const struct taste *t = &r->taste;
    uint32_t count = 0;
    float norm = 0;
    for (uint32_t i = 0; i < p->history_count; i++)
        items[i] = entity_kind_of(p->history[i].id) == ENTITY_ITEM ? catalog_item(r->catalog, p->history[i].id) : NULL;
    taste_of(r, p, items, now_ms);
    for (; count < t->best_count && count < max; count++) {
        float weight = t->weights[t->best[count]];
        out[count] = (struct taste_word){catalog_text(r->catalog, t->tags[t->best[count]]), weight};
        norm += weight * weight;
    }
    for (uint32_t i = 0; i < count; i++)
        out[i].weight /= sqrtf(norm);
    return count;
}
