/*
 * From all live rooms to the few that are scored exactly. Every item on offer gets an estimate in one pass over the tags
 * the user likes (an inverted index), then a room is worth its best offer and what it is worth to everybody. The cost is
 * a few additions an offer; embeddings, series and rounding are left to the exact score of the best.
 */
#include "server/engine/recommend_internal.h"

#include "common/check.h"
#include "common/hash.h"

#include <math.h>
#include <stdlib.h>

static uint32_t known_at(const struct recommender *r, entity_id id)
{
    uint32_t at = (uint32_t)(id * 0x9e3779b97f4a7c15u >> 40) % KNOWN_SLOTS;
    while (r->known[at].id && r->known[at].id != id)
        at = (at + 1) % KNOWN_SLOTS;
    return at;
}

static struct known *known_add(struct recommender *r, entity_id id)
{
    uint32_t at = known_at(r, id);
    if (r->known[at].id == 0) {
        ASSERT(r->known_count < KNOWN_SLOTS / 2);
        r->known_used[r->known_count++] = at;
        r->known[at] = (struct known){.id = id};
    }
    return &r->known[at];
}

void known_fill(struct recommender *r, const struct profile *p, int64_t now_ms)
{
    while (r->known_count)
        r->known[r->known_used[--r->known_count]].id = 0;
    for (uint32_t i = 0; i < p->relation_count; i++)
        known_add(r, p->relations[i].id)->flags |= p->relations[i].blocked ? KNOWN_BLOCKED : KNOWN_FOLLOWED;
    for (uint32_t i = 0; i < p->owned_count; i++)
        if (owned_is_kept(&p->owned[i]))
            known_add(r, p->owned[i].item)->flags |= KNOWN_OWNED;
    for (uint32_t i = 0; i < p->history_count; i++) {
        const struct history_entry *h = &p->history[i];
        struct known *k = known_add(r, h->id);
        k->history = h;
        k->flags |= (h->flags & HISTORY_NEGATIVE ? KNOWN_DISLIKED : 0) |
                    (h->flags & HISTORY_IMPRESSED && now_ms - h->impressed_ms < r->settings.pause_ms ? KNOWN_SHOWN : 0);
    }
}

const struct known *known_of(const struct recommender *r, entity_id id)
{
    static const struct known nothing;
    const struct known *k = &r->known[known_at(r, id)];
    return k->id && id ? k : &nothing;
}

void offers_fini(struct offers *o)
{
    free(o->at);
    map_fini(&o->numbers);
    free(o->from);
    free(o->of_room);
    free(o->postings);
    free(o->of_tag);
    free(o->shown);
    free(o->room_base);
    free(o->estimate);
    *o = (struct offers){0};
}

static void *array_of(size_t count, size_t size)
{
    void *at = calloc(count + 1, size);
    ASSERT(at);
    return at;
}

static uint32_t offer_number(struct offers *o, const struct catalog_item *it)
{
    uintptr_t number = (uintptr_t)map_find(&o->numbers, it->id);
    if (number)
        return (uint32_t)number - 1;
    if (o->count == o->capacity) {
        o->capacity = o->capacity ? o->capacity * 2 : 256;
        o->at = realloc(o->at, o->capacity * sizeof *o->at);
        ASSERT(o->at);
    }
    o->at[o->count] = (struct offer){it, 0, it->tag_count ? 1 / sqrtf((float)it->tag_count) : 0};
    map_put(&o->numbers, it->id, (void *)(uintptr_t)(o->count + 1));
    return o->count++;
}

struct tagged {
    uint32_t tag, offer;
};

static int by_tag(const void *a, const void *b)
{
    const struct tagged *x = a, *y = b;
    return x->tag != y->tag ? (x->tag < y->tag ? -1 : 1) : x->offer < y->offer ? -1 : x->offer > y->offer;
}

static void index_tags(struct offers *o)
{
    uint32_t total = 0, n = 0;
    for (uint32_t i = 0; i < o->count; i++)
        total += o->at[i].item->tag_count;
    struct tagged *all = array_of(total, sizeof *all);
    for (uint32_t i = 0; i < o->count; i++)
        for (uint32_t t = 0; t < o->at[i].item->tag_count; t++)
            all[n++] = (struct tagged){o->at[i].item->tags[t], i};
    qsort(all, n, sizeof *all, by_tag);
    o->postings = array_of(n, sizeof *o->postings);
    o->of_tag = array_of(n, sizeof *o->of_tag);
    for (uint32_t i = 0; i < n; i++) {
        if (i == 0 || all[i].tag != all[i - 1].tag)
            o->postings[o->posting_count++] = (struct posting){all[i].tag, i, 0};
        o->postings[o->posting_count - 1].count++;
        o->of_tag[i] = all[i].offer;
    }
    free(all);
}

void offers_build(struct recommender *r)
{
    struct offers *o = &r->offers;
    uint32_t open = catalog_open_count(r->catalog), n = 0;
    offers_fini(o);
    o->from = array_of(open, sizeof *o->from);
    o->of_room = array_of((size_t)open * SCENE_ITEMS_MAX, sizeof *o->of_room);
    o->shown = array_of(open, sizeof *o->shown);
    o->room_base = array_of(open, sizeof *o->room_base);
    for (uint32_t i = 0; i < open; i++) {
        const struct catalog_room *room = catalog_open(r->catalog, i);
        o->from[i] = n;
        o->shown[i] = UINT32_MAX;
        for (uint32_t k = 0; k < room->draft.item_count; k++) {
            const struct catalog_item *it = catalog_item(r->catalog, room->items[k]);
            if (!it || it->restricted)
                continue;
            o->of_room[n] = offer_number(o, it);
            o->shown[i] = it->id == room->explaining ? o->of_room[n] : o->shown[i];
            n++;
        }
    }
    o->from[open] = n;
    o->estimate = array_of(o->count, sizeof *o->estimate);
    index_tags(o);
}

void offers_refresh(struct recommender *r, int64_t now_ms)
{
    struct offers *o = &r->offers;
    const uint32_t *w = r->settings.weights;
    for (uint32_t i = 0; i < o->count; i++)
        o->at[i].base = (float)(squash(funnel_lift(r, o->at[i].item->id, now_ms)) * 0.5 * w[REASON_POPULAR]);
    for (uint32_t i = 0; i < catalog_open_count(r->catalog); i++) {
        const struct catalog_room *room = catalog_open(r->catalog, i);
        const struct funnel *f = funnel_of(r, room->id);
        double fade = funnel_fade(r, f, now_ms), lift = cbrt(funnel_lift(r, room->id, now_ms) * funnel_lift(r, room->host, now_ms));
        o->room_base[i] = (float)(squash(lift * lift) * w[REASON_POPULAR] +
                                  squash(50 * f->looks * fade / (r->all.looks + 100)) * w[REASON_TRENDING] +
                                  w[REASON_EXPLORE] / (1 + f->exposures * fade / 50));
    }
}

static const struct posting *posting_of(const struct offers *o, uint32_t tag)
{
    uint32_t low = 0, high = o->posting_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (o->postings[middle].tag < tag)
            low = middle + 1;
        else
            high = middle;
    }
    return low < o->posting_count && o->postings[low].tag == tag ? &o->postings[low] : NULL;
}

#define NEVER (-1e9f)

/* Estimates of all offers, in thousandths; NEVER for what may not be offered. */
static void estimate(struct recommender *r, const struct taste *t)
{
    struct offers *o = &r->offers;
    const uint32_t *w = r->settings.weights;
    for (uint32_t i = 0; i < o->count; i++)
        o->estimate[i] = 0;
    for (uint32_t k = 0; k < t->tag_count && t->tag_norm > 0; k++) {
        const struct posting *list = posting_of(o, t->tags[k].tag);
        float pull = (float)(t->tags[k].weight / t->tag_norm * w[REASON_INTEREST]);
        for (uint32_t i = 0; list && i < list->count; i++)
            o->estimate[o->of_tag[list->from + i]] += pull;
    }
    for (uint32_t i = 0; i < o->count; i++) {
        float interest = o->estimate[i] * o->at[i].scale;
        o->estimate[i] = (interest > 0 ? interest : 0) + o->at[i].base;
    }
    for (uint32_t i = 0; i < RELATED_SLOTS && r->related_count; i++) {
        uintptr_t number = r->related[i].id ? (uintptr_t)map_find(&o->numbers, r->related[i].id) : 0;
        if (number)
            o->estimate[number - 1] += (float)(squash(r->related[i].sum) * w[REASON_SIMILAR_ITEM]);
    }
    for (uint32_t i = 0; i < r->known_count; i++) {
        const struct known *k = &r->known[r->known_used[i]];
        uintptr_t number = (uintptr_t)map_find(&o->numbers, k->id);
        if (number && k->flags & (KNOWN_OWNED | KNOWN_BLOCKED | KNOWN_DISLIKED))
            o->estimate[number - 1] = NEVER;
    }
}

/* False: the room may not be shown. */
static bool estimate_room(const struct recommender *r, uint32_t number, uint32_t scene, struct short_room *out)
{
    const struct offers *o = &r->offers;
    const struct catalog_room *room = catalog_open(r->catalog, number);
    bool here = false;
    for (uint32_t k = 0; k < room->scene_count; k++)
        here = here || room->scenes[k] == scene;
    uint32_t of_room = known_of(r, room->id)->flags, of_host = known_of(r, room->host)->flags;
    if (!here || of_room & (KNOWN_BLOCKED | KNOWN_DISLIKED | KNOWN_SHOWN) || of_host & (KNOWN_BLOCKED | KNOWN_DISLIKED))
        return false;
    *out = (struct short_room){.number = number};
    float best[ROOM_OFFERS];
    for (uint32_t i = o->from[number]; i < o->from[number + 1]; i++) {
        uint32_t offer = o->of_room[i];
        float value = o->estimate[offer] * (offer == o->shown[number] ? 1.25f : 1);
        uint32_t at = out->offer_count;
        if (value < 0 || (at == ROOM_OFFERS && value <= best[at - 1]))
            continue;
        at = at < ROOM_OFFERS ? at : ROOM_OFFERS - 1;
        for (; at > 0 && best[at - 1] < value; at--) {
            best[at] = best[at - 1];
            out->offers[at] = out->offers[at - 1];
        }
        best[at] = value;
        out->offers[at] = offer;
        out->offer_count += out->offer_count < ROOM_OFFERS;
    }
    const struct history_entry *h = known_of(r, room->host)->history;
    out->estimate = o->room_base[number] + (out->offer_count ? best[0] : 0) +
                    (float)(of_host & KNOWN_FOLLOWED ? r->settings.weights[REASON_FOLLOWED] : 0) +
                    (h && h->rating ? 0.5f * (float)r->settings.weights[REASON_KNOWN_HOST] : 0);
    return out->offer_count > 0 || room->draft.item_count == 0;
}

/* Those on offer with the best estimates, then those that lists of the history name most, live or not. */
static void shorten_items(const struct recommender *r, struct shortlist *out)
{
    const struct offers *o = &r->offers;
    float best[SHORT_ITEMS];
    uint32_t count = 0;
    for (uint32_t i = 0; i < o->count; i++) {
        if (o->estimate[i] < 0 || (count == SHORT_ITEMS && o->estimate[i] <= best[count - 1]))
            continue;
        uint32_t at = count < SHORT_ITEMS ? count++ : SHORT_ITEMS - 1;
        for (; at > 0 && best[at - 1] < o->estimate[i]; at--) {
            best[at] = best[at - 1];
            out->items[at] = out->items[at - 1];
        }
        best[at] = o->estimate[i];
        out->items[at] = o->at[i].item;
    }
    uint32_t first = count, more = 0;
    for (uint32_t i = 0; i < RELATED_SLOTS && r->related_count; i++) {
        float sum = (float)r->related[i].sum;
        if (r->related[i].id == 0 || (more == SHORT_ITEMS && sum <= best[more - 1]) || map_find(&o->numbers, r->related[i].id))
            continue;
        const struct catalog_item *it = catalog_item(r->catalog, r->related[i].id);
        if (!it)
            continue;
        uint32_t at = more < SHORT_ITEMS ? more++ : SHORT_ITEMS - 1;
        for (; at > 0 && best[at - 1] < sum; at--) {
            best[at] = best[at - 1];
            out->items[first + at] = out->items[first + at - 1];
        }
        best[at] = sum;
        out->items[first + at] = it;
    }
    out->item_count = first + more;
}

void shortlist_make(struct recommender *r, const struct taste *t, uint32_t scene, uint64_t seed, const uint32_t *candidates,
                    uint32_t count, struct shortlist *out)
{
    struct short_room one;
    uint32_t n = 0, passed = 0;
    estimate(r, t);
    for (uint32_t i = 0; i < count; i++) {
        if (!estimate_room(r, candidates[i], scene, &one))
            continue;
        uint32_t at = n;
        if (n == SHORT_ROOMS && one.estimate <= out->rooms[n - 1].estimate) {
            /* Some of the rest, any with the same chance: a reservoir. */
            passed++;
            uint64_t place = hash_mix(seed + passed) % passed;
            if (place < SHORT_RANDOM)
                out->rooms[SHORT_ROOMS + (passed <= SHORT_RANDOM ? passed - 1 : place)] = one;
            continue;
        }
        at = n < SHORT_ROOMS ? n++ : SHORT_ROOMS - 1;
        for (; at > 0 && out->rooms[at - 1].estimate < one.estimate; at--)
            out->rooms[at] = out->rooms[at - 1];
        out->rooms[at] = one;
    }
    out->room_count = n + (passed < SHORT_RANDOM ? passed : SHORT_RANDOM);
    shorten_items(r, out);
}
