/* What one profile says of items, hosts and rooms: its taste, its lists, and what it marks. */
#include "server/engine/recommend_internal.h"

#include "common/check.h"

#include <stdlib.h>

static void make_room(struct recommender *r)
{
    struct shelf *s = &r->shelf;
    r->items.count = r->items.touched = r->touched_room_count = r->exact_count = r->series_count = 0;
    if (s->room_count > r->room_bound) {
        r->room_bound = s->room_count + s->room_count / 4 + 64;
        r->touched_rooms = realloc(r->touched_rooms, r->room_bound * sizeof *r->touched_rooms);
        r->sorted_rooms = realloc(r->sorted_rooms, r->room_bound * sizeof *r->sorted_rooms);
        r->room_bins = realloc(r->room_bins, r->room_bound);
        ASSERT(r->touched_rooms && r->sorted_rooms && r->room_bins);
    }
    if (++r->stamp)
        return;
    for (uint32_t i = 0; i < s->room_count; i++) /* once in four billion rankings old stamps would look like new ones */
        s->rooms[i].stamp = 0;
    for (uint32_t i = 0; i < s->host_count; i++)
        s->hosts[i].stamp = 0;
    for (uint32_t i = 0; i < s->group_count; i++)
        s->groups[i].stamp = 0;
    r->stamp = 1;
}

/* What the history names, looked up once. */
static void look_up(struct context *c)
{
    const struct recommender *r = c->r;
    for (uint32_t i = 0; i < c->p->history_count; i++) {
        entity_id id = c->p->history[i].id;
        enum entity_kind kind = entity_kind_of(id);
        c->items[i] = kind == ENTITY_ITEM ? catalog_item(r->catalog, id) : NULL;
        c->hosts[i] = kind == ENTITY_HOST ? (uint32_t)(uintptr_t)map_find(&r->shelf.host_numbers, id) : 0;
    }
}

static void mark(struct recommender *r, entity_id id, uint8_t marks)
{
    uintptr_t number;
    const struct catalog_item *it;
    switch (entity_kind_of(id)) {
    case ENTITY_ITEM:
        if ((it = catalog_item(r->catalog, id)) != NULL)
            r->items.marks[item_of(r, it->number)] |= marks;
        break;
    case ENTITY_HOST:
        if ((number = (uintptr_t)map_find(&r->shelf.host_numbers, id)) != 0)
            host_of(r, (uint32_t)number - 1)->marks |= marks;
        break;
    default:
        if ((number = (uintptr_t)map_find(&r->shelf.room_numbers, id)) != 0)
            room_of(r, (uint32_t)number - 1)->marks |= marks;
    }
}

static void own(struct recommender *r, entity_id id)
{
    const struct catalog_item *it = catalog_item(r->catalog, id);
    if (!it)
        return;
    r->items.marks[item_of(r, it->number)] |= r->settings.returning[it->format] ? MARK_BOUGHT : MARK_OWNED;
    if (it->series && r->series_count < SERIES_MAX)
        r->series[r->series_count++] = it->series;
}

static void know_host(const struct context *c, const struct history_entry *h, uint32_t number)
{
    if (h->flags & HISTORY_NEGATIVE)
        return;
    float age = c->now_ms > h->touched_ms ? (float)(c->now_ms - h->touched_ms) : 0;
    host_of(c->r, number)->known =
        squash((float)h->rating + (float)h->dwell_s / 600) * fade_of(age / (float)c->r->settings.half_life_long_ms);
}

/* A list of the history and what it counts. */
struct related {
    struct similar_list list;
    float rating;
    float weight; /* of its similarities */
    uint32_t at;
};

/* The greatest of non-negative numbers; several at a time, as integers, which are in the same order. */
static float greatest(const float *values, uint32_t count)
{
    union {
        int32_t bits;
        float value;
    } most = {.bits = 0};
    for (uint32_t i = 0; i < count; i++) {
        int32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        most.bits = bits > most.bits ? bits : most.bits;
    }
    return most.value;
}

/*
 * Adds what the list of one item says. Numbers of items are below the bound whenever they were read. Whether an item is new
 * cannot be foretold, so nothing branches on it: a new tally is begun each time, and kept if it was needed. Its sums are 0.
 */
static void relate(struct recommender *r, const struct related *one)
{
    const struct similar *restrict list = one->list.at;
    const uint32_t count = one->list.count, place = one->at;
    const float weight = one->weight;
    struct item_slot *restrict slots = r->slots;
    uint32_t *restrict numbers = r->items.number;
    float *restrict bases = r->items.base, *restrict sums = r->items.similar;
    uint32_t *restrict strongest = r->items.strongest;
    uint32_t made = r->items.count;
    for (uint32_t k = 0; k < count; k++) {
        union {
            float value;
            uint32_t bits; /* in the same order, for none is below 0 */
        } part = {.value = list[k].sim * weight};
        const uint32_t mine = (part.bits & ~0u << PLACE_BITS) | place;
        const uint32_t number = list[k].number;
        struct item_slot *slot = &slots[number];
        uint32_t at = slot->place;
        at = (at < made) & (numbers[at] == number) ? at : made;
        numbers[made] = number;
        bases[made] = slot->base;
        slot->place = at;
        made += at == made;
        sums[at] += part.value;
        strongest[at] = strongest[at] > mine ? strongest[at] : mine;
    }
    r->items.count = made;
}

/* Adds what comes right after one of the newest items; its list is related already. */
static void follow(struct recommender *r, const struct related *one, float weight)
{
    weight *= one->rating;
    for (uint32_t k = 0; one->list.next && k < one->list.count; k++)
        r->items.similar[r->slots[one->list.at[k].number].place] += one->list.next[k] * weight;
}

/*
 * The lists of the newest items; asked for all at once, so that the waits for memory overlap. A sum counts as a share of the greatest, so
 * that the order of the best is kept however many lists there are; the prior makes all less where the lists say little.
 */
static void relate_all(const struct context *c)
{
    struct recommender *r = c->r;
    const struct recommend_settings *s = &r->settings;
    struct related all[PROFILE_HISTORY_MAX];
    uint32_t items = 0, entries = 0;
    const float floor = (float)s->place_floor_permille / 1000;
    float above = 1 - floor, ratings = 0;
    for (uint32_t i = c->p->history_count; i-- > 0 && items < s->recent_items && items < PROFILE_HISTORY_MAX;) {
        const struct history_entry *h = &c->p->history[i];
        if (entity_kind_of(h->id) != ENTITY_ITEM || !h->rating || h->flags & HISTORY_NEGATIVE)
            continue;
        struct related *one = &all[items];
        uint32_t max = items++ < s->full_lists ? s->list_items : s->list_items / 2;
        *one = (struct related){.list = c->similar(c->arg, h->id), .rating = h->rating, .at = i};
        one->weight = one->rating * (floor + above) * one->list.scale;
        one->list.count = one->list.count < max ? one->list.count : max;
        entries += one->list.count;
        for (uint32_t k = 0; k < one->list.count; k += 64 / sizeof(struct similar))
            __builtin_prefetch(&one->list.at[k]);
        ratings += h->rating;
        above *= (float)s->place_permille / 1000;
    }
    struct tallies *t = &r->items;
    uint32_t most = entries < r->item_bound ? entries : r->item_bound; /* each item has one tally, and a last one may be begun */
    memset(t->similar, 0, most * sizeof *t->similar);
    memset(t->strongest, 0, most * sizeof *t->strongest);
    for (uint32_t i = 0; i < items; i++)
        relate(r, &all[i]);
    memset(t->interest, 0, t->count * sizeof *t->interest);
    memset(t->again, 0, t->count * sizeof *t->again);
    memset(t->marks, 0, t->count);
    memset(t->exact, 0, t->count);
    for (uint32_t i = 0; i < items && i < NEXT_ITEMS; i++)
        follow(r, &all[i], (float)s->next_permille / (float)(1000 << i));
    r->similar_prior = items ? ratings / (float)items * (float)s->similar_prior_permille / 1000 : 1;
}

/* The best offers with the tags the user likes most. */
static void ask_tags(struct recommender *r)
{
    const struct taste *t = &r->taste;
    const struct lists *l = &r->shelf.items_of_tag;
    for (uint32_t k = 0; k < t->best_count; k++) {
        uint32_t tag = t->tags[t->best[k]];
        float pull = t->weights[t->best[k]] * t->tag_scale * r->weights[REASON_INTEREST];
        if (tag >= l->keys)
            continue;
        uint32_t count = l->from[tag + 1] - l->from[tag];
        for (uint32_t i = 0; i < count && i < TAG_ITEMS; i++) {
            uint32_t number = l->at[l->from[tag] + i];
            r->items.interest[item_of(r, number)] += pull * r->shelf.items[number].scale;
        }
    }
}

static void mark_history(struct context *c)
{
    for (uint32_t i = 0; i < c->p->history_count; i++) {
        const struct history_entry *h = &c->p->history[i];
        uint8_t marks = (uint8_t)((h->flags & HISTORY_NEGATIVE ? MARK_DISLIKED : 0) | (shown_lately(c, h) ? MARK_SHOWN : 0));
        if (marks)
            mark(c->r, h->id, marks);
        if (c->hosts[i])
            know_host(c, h, c->hosts[i] - 1);
    }
}

/* First what touches, then the marks: the touched are the first of the tallies. */
void user_begin(struct context *c)
{
    struct recommender *r = c->r;
    const struct profile *p = c->p;
    recommender_reserve(r);
    shelf_refresh(r, c->now_ms);
    make_room(r);
    look_up(c);
    taste_of(r, p, c->items, c->now_ms);
    relate_all(c);
    ask_tags(r);
    ask_again(c);
    r->similar_scale = 1 / (greatest(r->items.similar, r->items.count) + r->similar_prior);
    r->items.touched = r->items.count;
    for (uint32_t i = 0; i < p->relation_count; i++)
        mark(r, p->relations[i].id, p->relations[i].blocked ? MARK_BLOCKED : MARK_FOLLOWED);
    for (uint32_t i = 0; i < p->owned_count; i++)
        if (owned_is_kept(&p->owned[i]))
            own(r, p->owned[i].item);
    mark_history(c);
}
