/*
 * The user's taste as vectors over tags and embeddings, derived from the newest items of the history each time it is
 * asked for: so a course that is tagged anew changes it at once.
 */
#include "server/engine/recommend_internal.h"

#include <math.h>

/* Rating, watch time and stars of one entity, fading; negative for what was disliked. */
static float pull_of(const struct recommender *r, const struct history_entry *h, int64_t now_ms)
{
    float age = now_ms > h->touched_ms ? (float)(now_ms - h->touched_ms) : 0;
    float fade = 0.5f * fade_of(age / (float)r->settings.half_life_short_ms) + 0.5f * fade_of(age / (float)r->settings.half_life_long_ms);
    int rating = h->rating + (h->stars ? h->stars - 3 : 0) + (h->percent > 50);
    return (float)(h->flags & HISTORY_NEGATIVE ? -1 : rating) * fade;
}

/* Where the tag stands in `slots`, or would. */
static uint32_t slot_of(const struct taste *t, uint32_t tag)
{
    uint32_t at = tag % TASTE_SLOTS;
    while (t->slots[at] && t->tags[t->slots[at] - 1].tag != tag)
        at = (at + 1) % TASTE_SLOTS;
    return at;
}

static void add_tag(struct taste *t, uint32_t tag, float weight)
{
    uint32_t at = slot_of(t, tag);
    if (!t->slots[at] && t->tag_count == TASTE_TAGS)
        return;
    if (!t->slots[at]) {
        t->tags[t->tag_count++] = (struct taste_tag){tag, 0};
        t->slots[at] = (uint8_t)t->tag_count;
    }
    t->tags[t->slots[at] - 1].weight += weight;
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

/* Places of the strongest, in order. */
static void order(struct taste *t)
{
    t->best_count = 0;
    for (uint32_t i = 0; i < t->tag_count; i++) {
        float weight = t->tags[i].weight;
        uint32_t at = t->best_count;
        if (weight <= 0 || (at == TAGS_ASKED && weight <= t->tags[t->best[at - 1]].weight))
            continue;
        at = at == TAGS_ASKED ? at - 1 : t->best_count++;
        for (; at > 0 && t->tags[t->best[at - 1]].weight < weight; at--)
            t->best[at] = t->best[at - 1];
        t->best[at] = (uint8_t)i;
    }
}

/* Of the history, the newest first, so that they find place; asked for at once, so that the waits for memory overlap. */
static uint32_t newest_items(const struct recommender *r, const struct profile *p, const struct catalog_item **items,
                             const struct history_entry **entries)
{
    uint32_t count = 0;
    for (uint32_t i = p->history_count; i-- > 0 && count < TASTE_ITEMS;) {
        const struct history_entry *h = &p->history[i];
        const struct catalog_item *it = entity_kind_of(h->id) == ENTITY_ITEM ? catalog_item(r->catalog, h->id) : NULL;
        if (!it)
            continue;
        __builtin_prefetch(&it->tag_count);
        __builtin_prefetch(&it->embedding);
        entries[count] = h;
        items[count++] = it;
    }
    for (uint32_t i = 0; i < count; i++)
        __builtin_prefetch(items[i]->embedding);
    return count;
}

void taste_of(const struct recommender *r, const struct profile *p, int64_t now_ms, struct taste *out)
{
    const struct catalog_item *items[TASTE_ITEMS];
    const struct history_entry *entries[TASTE_ITEMS];
    float tags = 0, vector = 0;
    out->tag_count = out->dims = 0;
    memset(out->slots, 0, sizeof out->slots);
    uint32_t count = newest_items(r, p, items, entries);
    for (uint32_t i = 0; i < count; i++) {
        float pull = pull_of(r, entries[i], now_ms);
        if (pull > 0.01f || pull < -0.01f)
            add_item(out, items[i], pull);
    }
    for (uint32_t i = 0; i < out->tag_count; i++)
        tags += out->tags[i].weight * out->tags[i].weight;
    for (uint32_t d = 0; d < out->dims; d++)
        vector += (float)out->vector[d] * (float)out->vector[d];
    out->tag_scale = tags > 0 ? 1 / sqrtf(tags) : 0;
    float scale = vector > 0 ? TASTE_STEPS / sqrtf(vector) : 0;
    for (uint32_t d = 0; d < out->dims; d++)
        out->rounded[d] = (int16_t)((float)out->vector[d] * scale);
    order(out);
}

float taste_match(const struct taste *t, const struct catalog_item *it)
{
    float tags = 0;
    int32_t dot = 0;
    for (uint32_t k = 0; k < it->tag_count && t->tag_count; k++) {
        uint32_t at = t->slots[slot_of(t, it->tags[k])];
        tags += at ? t->tags[at - 1].weight : 0;
    }
    tags = it->tag_count ? tags * t->tag_scale / sqrtf((float)it->tag_count) : 0;
    if (!t->dims || it->dims != t->dims)
        return tags > 0 ? tags : 0;
    for (uint32_t d = 0; d < t->dims; d++)
        dot += (int32_t)t->rounded[d] * it->embedding[d];
    float both = 0.5f * tags + 0.5f * (float)dot * it->scale / TASTE_STEPS;
    return both > 0 ? both : 0;
}

uint32_t recommender_taste(const struct recommender *r, const struct profile *p, int64_t now_ms, struct taste_word *out, uint32_t max)
{
    struct taste t;
    uint32_t count = 0;
    float norm = 0;
    taste_of(r, p, now_ms, &t);
    for (; count < t.best_count && count < max; count++) {
        const struct taste_tag *tag = &t.tags[t.best[count]];
        out[count] = (struct taste_word){catalog_text(r->catalog, tag->tag), tag->weight};
        norm += tag->weight * tag->weight;
    }
    for (uint32_t i = 0; i < count; i++)
        out[i].weight /= sqrtf(norm);
    return count;
}
