/*
 * From one profile to the few candidates that are scored exactly. What the user's lists, tags and hosts touch gets an
 * estimate; what they do not touch is worth its base, of which the shelf keeps the order. So the best of both together
 * are found without a look at the rest. Embeddings, series and rounding are left to the exact score.
 */
#include "server/engine/recommend_internal.h"

#include "common/check.h"
#include "common/hash.h"

#include <math.h>
#include <stdlib.h>

#define BINS 128
#define NEVER -1e9f /* below 0 whatever is added */

/* Which bin an estimate falls into; 0: never. All weights together are at most the last. */
static inline uint8_t bin_of(float value, float scale)
{
    int32_t bin = value < 0 ? 0 : 1 + (int32_t)(value * scale);
    return (uint8_t)(bin < BINS ? bin : BINS - 1);
}

/* The lowest bin that is among the best `keep`. */
static uint8_t cut_of(const uint32_t counts[BINS], uint32_t keep)
{
    uint32_t above = 0;
    for (uint8_t bin = BINS - 1; bin > 0; bin--) {
        above += counts[bin];
        if (above >= keep)
            return bin;
    }
    return 1;
}

static void *at_least(void *at, uint32_t *bound, uint32_t need, size_t size)
{
    if (need <= *bound)
        return at;
    uint32_t bigger = need + need / 4 + 64;
    at = realloc(at, bigger * size);
    ASSERT(at);
    memset((char *)at + *bound * size, 0, (bigger - *bound) * size);
    *bound = bigger;
    return at;
}

static void make_room(struct recommender *r)
{
    uint32_t items = r->item_bound, rooms = r->room_bound, sorted = rooms, bins = items > rooms ? items : rooms, values = bins, sums = bins;
    r->items = at_least(r->items, &items, catalog_number_bound(r->catalog), sizeof *r->items);
    r->item_at = at_least(r->item_at, &r->item_bound, catalog_number_bound(r->catalog), sizeof *r->item_at);
    r->hosts = at_least(r->hosts, &r->host_bound, r->shelf.host_count, sizeof *r->hosts);
    r->rooms = at_least(r->rooms, &r->room_bound, r->shelf.room_count, sizeof *r->rooms);
    r->groups = at_least(r->groups, &r->group_bound, r->shelf.group_count, sizeof *r->groups);
    r->touched_rooms = at_least(r->touched_rooms, &rooms, r->room_bound, sizeof *r->touched_rooms);
    r->sorted_rooms = at_least(r->sorted_rooms, &sorted, r->room_bound, sizeof *r->sorted_rooms);
    uint32_t most = r->item_bound > r->room_bound ? r->item_bound : r->room_bound;
    r->bins = at_least(r->bins, &bins, most, sizeof *r->bins);
    r->values = at_least(r->values, &values, most, sizeof *r->values);
    r->sums = at_least(r->sums, &sums, most, sizeof *r->sums);
    r->item_count = r->touched_item_count = r->touched_room_count = r->exact_count = r->series_count = 0;
    if (++r->stamp == 0) { /* once in four billion rankings old stamps would look like new ones */
        memset(r->hosts, 0, r->host_bound * sizeof *r->hosts);
        memset(r->rooms, 0, r->room_bound * sizeof *r->rooms);
        memset(r->groups, 0, r->group_bound * sizeof *r->groups);
        r->stamp = 1;
    }
}

static void mark(struct recommender *r, entity_id id, uint8_t marks)
{
    uintptr_t number;
    const struct catalog_item *it;
    switch (entity_kind_of(id)) {
    case ENTITY_ITEM:
        if ((it = catalog_item(r->catalog, id)) != NULL)
            item_of(r, it->number)->marks |= marks;
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
    item_of(r, it->number)->marks |= r->settings.returning[it->format] ? MARK_BOUGHT : MARK_OWNED;
    if (it->series && r->series_count < SERIES_MAX)
        r->series[r->series_count++] = it->series;
}

static void know_host(const struct context *c, const struct history_entry *h)
{
    uintptr_t number = (uintptr_t)map_find(&c->r->shelf.host_numbers, h->id);
    if (!number || h->flags & HISTORY_NEGATIVE)
        return;
    float age = c->now_ms > h->touched_ms ? (float)(c->now_ms - h->touched_ms) : 0;
    host_of(c->r, (uint32_t)number - 1)->known =
        squash((float)h->rating + (float)h->dwell_s / 600) * fade_of(age / (float)c->r->settings.half_life_long_ms);
}

/* A list of the history and what it counts. */
struct related {
    struct similar_list list;
    float weight;
    uint16_t at;
};

/* Adds what the list of one item says. Numbers of items are below the bound whenever they were read. */
static void relate(struct recommender *r, const struct related *one)
{
    uint32_t made = r->item_count;
    for (uint32_t k = 0; k < one->list.count; k++) {
        uint32_t number = one->list.at[k].number, at = r->item_at[number];
        float part = one->list.at[k].sim * one->weight;
        struct item_tally *t = &r->items[at < made ? at : made];
        if (at >= made || t->number != number) {
            r->item_at[number] = made;
            t = &r->items[made++];
            t->number = number;
            t->interest = 0;
            t->similar = t->strongest = part;
            t->of = one->at;
            t->marks = t->exact = 0;
            t->times = 0;
            continue;
        }
        t->similar += part;
        t->of = part > t->strongest ? one->at : t->of;
        t->strongest = part > t->strongest ? part : t->strongest;
    }
    r->item_count = made;
}

/* Adds what comes right after one of the newest items; its list is related already. */
static void follow(struct recommender *r, const struct related *one, float weight)
{
    for (uint32_t k = 0; one->list.next && k < one->list.count; k++)
        r->items[r->item_at[one->list.at[k].number]].similar += one->list.next[k] * weight;
}

/* The lists of the newest items; asked for all at once, so that the waits for memory overlap. */
static void relate_all(const struct context *c)
{
    struct recommender *r = c->r;
    const struct recommend_settings *s = &r->settings;
    struct related all[PROFILE_HISTORY_MAX];
    uint32_t items = 0;
    float place = 1, ratings = 0;
    for (uint32_t i = c->p->history_count; i-- > 0 && items < s->recent_items && items < PROFILE_HISTORY_MAX;) {
        const struct history_entry *h = &c->p->history[i];
        if (entity_kind_of(h->id) != ENTITY_ITEM || !h->rating || h->flags & HISTORY_NEGATIVE)
            continue;
        struct related *one = &all[items];
        uint32_t max = items++ < s->full_lists ? s->list_items : s->list_items / 2;
        *one = (struct related){c->similar(c->arg, h->id), (float)h->rating * place, (uint16_t)i};
        one->list.count = one->list.count < max ? one->list.count : max;
        for (uint32_t k = 0; k < one->list.count; k += 64 / sizeof(struct similar))
            __builtin_prefetch(&one->list.at[k]);
        ratings += h->rating;
        place *= (float)s->place_permille / 1000;
    }
    for (uint32_t i = 0; i < items; i++)
        relate(r, &all[i]);
    for (uint32_t i = 0; i < items && i < NEXT_ITEMS; i++)
        follow(r, &all[i], (float)s->next_permille / (float)(1000 << i));
    r->similar_scale = ratings > 0 ? (float)items / ratings * (float)s->similar_permille / 1000 : 0;
}

/* The best offers with the tags the user likes most. */
static void ask_tags(struct recommender *r)
{
    const struct taste *t = &r->taste;
    const struct lists *l = &r->shelf.items_of_tag;
    for (uint32_t k = 0; k < t->best_count; k++) {
        uint32_t tag = t->tags[t->best[k]].tag;
        float pull = t->tags[t->best[k]].weight * t->tag_scale * (float)r->settings.weights[REASON_INTEREST];
        if (tag >= l->keys)
            continue;
        uint32_t count = l->from[tag + 1] - l->from[tag];
        for (uint32_t i = 0; i < count && i < TAG_ITEMS; i++) {
            uint32_t number = l->at[l->from[tag] + i];
            item_of(r, number)->interest += pull * r->shelf.items[number].scale;
        }
    }
}

static bool anything_returns(const struct recommend_settings *s)
{
    bool any = false;
    for (int f = 0; f < FORMATS; f++)
        any |= s->returning[f] != 0;
    return any;
}

/* What the user had before and may have again. */
static void ask_again(const struct context *c)
{
    struct recommender *r = c->r;
    if (!anything_returns(&r->settings))
        return;
    for (uint32_t i = 0; i < c->p->history_count; i++) {
        const struct history_entry *h = &c->p->history[i];
        const struct catalog_item *it = entity_kind_of(h->id) == ENTITY_ITEM && h->rating ? catalog_item(r->catalog, h->id) : NULL;
        if (!it || !r->settings.returning[it->format])
            continue;
        struct item_tally *t = item_of(r, it->number);
        t->times = (uint16_t)(1 + h->times);
        t->interest += (float)r->settings.weights[REASON_AGAIN] * squash((float)t->times / TIMES_HALF);
    }
}

static void mark_history(struct context *c)
{
    for (uint32_t i = 0; i < c->p->history_count; i++) {
        const struct history_entry *h = &c->p->history[i];
        bool shown = h->flags & HISTORY_IMPRESSED && c->now_ms - h->impressed_ms < c->r->settings.pause_ms;
        uint8_t marks = (uint8_t)((h->flags & HISTORY_NEGATIVE ? MARK_DISLIKED : 0) | (shown ? MARK_SHOWN : 0));
        if (marks)
            mark(c->r, h->id, marks);
        if (entity_kind_of(h->id) == ENTITY_HOST)
            know_host(c, h);
    }
}

/* First what touches, then the marks: the touched are the first of the tallies. */
void user_begin(struct context *c)
{
    struct recommender *r = c->r;
    const struct profile *p = c->p;
    make_room(r);
    taste_of(r, p, c->now_ms, &r->taste);
    relate_all(c);
    ask_tags(r);
    ask_again(c);
    r->touched_item_count = r->item_count;
    for (uint32_t i = 0; i < p->relation_count; i++)
        mark(r, p->relations[i].id, p->relations[i].blocked ? MARK_BLOCKED : MARK_FOLLOWED);
    for (uint32_t i = 0; i < p->owned_count; i++)
        if (owned_is_kept(&p->owned[i]))
            own(r, p->owned[i].item);
    mark_history(c);
}

static void touch_room(struct recommender *r, uint32_t number, float value, uint32_t item)
{
    struct room_tally *t = room_of(r, number);
    if (!(t->marks & MARK_TOUCHED)) {
        t->marks |= MARK_TOUCHED;
        t->item = r->shelf.rooms[number].best;
        t->best = r->shelf.rooms[number].total - r->shelf.rooms[number].base;
        r->touched_rooms[r->touched_room_count++] = number;
    }
    if (value > t->best) {
        t->best = value;
        t->item = item;
    }
}

static bool is_in(const struct shelf_room *room, uint32_t scene)
{
    for (uint32_t k = 0; k < room->scene_count; k++)
        if (room->scenes[k] == scene)
            return true;
    return false;
}

/* In thousandths; below 0: never. */
static float estimate_room(const struct context *c, uint32_t number)
{
    struct recommender *r = c->r;
    const struct shelf_room *room = &r->shelf.rooms[number];
    const struct room_tally *t = &r->rooms[number];
    const struct host_tally *h = &r->hosts[room->host];
    if (t->marks & (MARK_BLOCKED | MARK_DISLIKED | MARK_SHOWN) || !is_in(room, c->scene))
        return -1;
    float value = room->base + t->best;
    if (h->stamp != r->stamp)
        return value;
    if (h->marks & (MARK_BLOCKED | MARK_DISLIKED))
        return -1;
    return value + (h->marks & MARK_FOLLOWED ? (float)r->settings.weights[REASON_FOLLOWED] : 0) +
           h->known * (float)r->settings.weights[REASON_KNOWN_HOST];
}

/* The rooms of a host that the user knows or follows. */
static void ask_hosts(struct context *c)
{
    struct recommender *r = c->r;
    const struct lists *l = &r->shelf.rooms_of_host;
    for (uint32_t i = 0; i < c->p->relation_count + c->p->history_count; i++) {
        bool followed = i < c->p->relation_count;
        entity_id id = followed ? c->p->relations[i].id : c->p->history[i - c->p->relation_count].id;
        if (entity_kind_of(id) != ENTITY_HOST || (followed && c->p->relations[i].blocked))
            continue;
        uintptr_t number = (uintptr_t)map_find(&r->shelf.host_numbers, id);
        for (uint32_t k = number ? l->from[number - 1] : 0; number && k < l->from[number]; k++)
            touch_room(r, l->at[k], 0, 0);
    }
}

static void list_room(struct recommender *r, uint32_t number, struct shortlist *out)
{
    const struct shelf_room *room = &r->shelf.rooms[number];
    out->rooms[out->room_count++] = number;
    host_of(r, room->host)->listed++;
    group_of(r, room->group)->listed++;
}

static void ask_shelf(struct context *c, struct shortlist *out)
{
    struct recommender *r = c->r;
    const struct lists *l = &r->shelf.rooms_of_scene;
    uint32_t from = c->scene < l->keys ? l->from[c->scene] : 0, count = c->scene < l->keys ? l->from[c->scene + 1] - from : 0;
    for (uint32_t i = 0; i < count && i < TOP_ROOMS; i++)
        touch_room(r, l->at[from + i], 0, 0);
    for (uint32_t i = 0; i < ANY_ROOMS && count > TOP_ROOMS; i++) {
        uint32_t number = l->at[from + hash_mix(c->seed + i) % count];
        struct room_tally *t = room_of(r, number);
        if (t->marks & MARK_TOUCHED)
            continue; /* judged by what it is worth */
        touch_room(r, number, 0, 0);
        r->touched_room_count--; /* not to be taken twice */
        if (estimate_room(c, number) >= 0)
            list_room(r, number, out);
    }
}

struct picked {
    uint32_t count;
    uint32_t numbers[2 * PICKED_ITEMS];
    float values[2 * PICKED_ITEMS];
};

static float scale_of(const struct recommender *r)
{
    uint32_t all = 1;
    for (int i = 0; i < REASONS; i++)
        all += i != REASON_AGAIN || anything_returns(&r->settings) ? r->settings.weights[i] : 0;
    return (float)(BINS - 2) / (float)all;
}

static void take_item(struct picked *p, uint32_t number, float value)
{
    if (p->count == 2 * PICKED_ITEMS)
        return;
    p->numbers[p->count] = number;
    p->values[p->count++] = value;
}

/* estimate_tally() and bin_of() of all touched at once: the loops after the first have no branches, so they compute several at a time. */
static void estimate_touched(struct recommender *r, float scale, uint32_t counts[BINS])
{
    const uint32_t count = r->touched_item_count, bound = r->shelf.item_bound;
    const struct item_tally *restrict tallies = r->items;
    const struct shelf_item *restrict items = r->shelf.items;
    float *restrict sums = r->sums, *restrict values = r->values;
    uint8_t *restrict bins = r->bins;
    const float weight = (float)r->settings.weights[REASON_SIMILAR_ITEM], similar_scale = r->similar_scale;
    for (uint32_t i = 0; i < count; i++) {
        const struct item_tally *t = &tallies[i];
        float base = t->number < bound ? items[t->number].base : 0;
        sums[i] = t->similar > 0 ? similar_scale * t->similar : 0;
        values[i] = t->marks & MARK_NEVER ? NEVER : base + t->interest;
    }
    for (uint32_t i = 0; i < count; i++)
        values[i] += weight * (sums[i] / (1 + sums[i]));
    for (uint32_t i = 0; i < count; i++) {
        int32_t step = (int32_t)(values[i] * scale), bin = step < BINS - 1 ? step + 1 : BINS - 1;
        bins[i] = (uint8_t)(step < 0 ? 0 : bin);
    }
    for (uint32_t i = 0; i < count; i++)
        counts[bins[i]]++;
}

/* The best items: of those touched, and of those that only are what they are to everybody. */
static void pick_items(struct recommender *r, struct picked *p)
{
    const struct shelf *s = &r->shelf;
    uint32_t counts[BINS] = {0};
    float scale = scale_of(r);
    estimate_touched(r, scale, counts);
    const uint8_t *bins = r->bins, cut = cut_of(counts, PICKED_ITEMS);
    for (uint32_t i = 0, count = r->touched_item_count; i < count; i++)
        if (bins[i] >= cut)
            take_item(p, r->items[i].number, r->values[i]);
    for (uint32_t i = 0; i < s->top_count && p->count < PICKED_ITEMS + SHORT_ITEMS; i++) {
        const struct item_tally *t = item_find(r, s->top[i]);
        if (p->count >= PICKED_ITEMS && bin_of(s->items[s->top[i]].base, scale) < cut)
            break;
        if (!t || (!(t->marks & MARK_NEVER) && t->similar == 0 && t->interest == 0))
            take_item(p, s->top[i], s->items[s->top[i]].base);
    }
}

static void shorten_items(struct recommender *r, const struct picked *p, struct shortlist *out)
{
    uint32_t counts[BINS] = {0};
    float scale = scale_of(r);
    for (uint32_t i = 0; i < p->count; i++) {
        r->bins[i] = item_of(r, p->numbers[i])->marks & MARK_SHOWN ? 0 : bin_of(p->values[i], scale);
        counts[r->bins[i]]++;
    }
    uint8_t cut = cut_of(counts, SHORT_ITEMS);
    for (int above = 1; above >= 0; above--) /* first those above the cut, then as many at the cut as there is place */
        for (uint32_t i = 0; i < p->count && out->item_count < SHORT_ITEMS; i++)
            if (above ? r->bins[i] > cut : r->bins[i] == cut)
                out->items[out->item_count++] = p->numbers[i];
}

/* Whether the shortlist may take one more of this host and category; `in_case` more than may stand in the list. */
static bool has_place(struct recommender *r, const struct shelf_room *room, uint32_t in_case)
{
    return host_of(r, room->host)->listed < r->settings.per_host + in_case &&
           (!room->category || group_of(r, room->group)->listed < r->settings.per_category + in_case);
}

/* Brings those of one bin into order. */
static void sort_rooms(struct recommender *r, uint32_t *list, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        uint32_t one = list[i], at = i;
        float value = r->rooms[one].value;
        for (; at > 0 && r->rooms[list[at - 1]].value < value; at--)
            list[at] = list[at - 1];
        list[at] = one;
    }
}

/*
 * Those of one bin, best first: at first a few more of a host or category than may stand in the list, in case the estimate was
 * too high for others, then only what may. Answers how many of them may.
 */
static uint32_t list_rooms(struct recommender *r, const uint32_t *list, uint32_t count, uint32_t enough, struct shortlist *out)
{
    enum { IN_CASE = 2 };
    uint32_t may = 0;
    for (uint32_t i = 0; i < count && out->room_count < SHORT_ROOMS_MAX; i++) {
        const struct shelf_room *room = &r->shelf.rooms[list[i]];
        bool fits = has_place(r, room, 0);
        if (!fits && (out->room_count >= enough || !has_place(r, room, IN_CASE)))
            continue;
        list_room(r, list[i], out);
        may += fits;
    }
    return may;
}

/* Bin by bin, until there are enough, and among them enough that may stand beside each other. */
static void shorten_rooms(struct context *c, struct shortlist *out)
{
    struct recommender *r = c->r;
    uint32_t counts[BINS] = {0}, next[BINS];
    float scale = scale_of(r);
    uint32_t enough = out->room_count + SHORT_ROOMS, from = 0, may = 0;
    for (uint32_t i = 0; i < r->touched_room_count; i++) {
        uint32_t number = r->touched_rooms[i];
        r->rooms[number].value = estimate_room(c, number);
        r->bins[i] = bin_of(r->rooms[number].value, scale);
        counts[r->bins[i]]++;
    }
    for (uint32_t bin = BINS; bin-- > 0;) {
        next[bin] = from;
        from += counts[bin];
    }
    for (uint32_t i = 0; i < r->touched_room_count; i++)
        r->sorted_rooms[next[r->bins[i]]++] = r->touched_rooms[i];
    from = 0;
    for (uint32_t bin = BINS - 1; bin > 0 && (out->room_count < enough || may < RECOMMEND_ROOMS); bin--) {
        sort_rooms(r, r->sorted_rooms + from, counts[bin]);
        may += list_rooms(r, r->sorted_rooms + from, counts[bin], enough, out);
        from += counts[bin];
    }
}

void user_shorten(struct context *c, struct shortlist *out)
{
    struct recommender *r = c->r;
    const struct shelf *s = &r->shelf;
    struct picked p;
    p.count = out->room_count = out->item_count = 0;
    pick_items(r, &p);
    for (uint32_t i = 0; i < p.count; i++) {
        const struct shelf_item *item = p.numbers[i] < s->item_bound ? &s->items[p.numbers[i]] : NULL;
        for (uint32_t k = 0; item && k < item->count; k++)
            touch_room(r, s->rooms_of_item.at[item->from + k], p.values[i], p.numbers[i]);
    }
    shorten_items(r, &p, out);
    ask_hosts(c);
    ask_shelf(c, out);
    shorten_rooms(c, out);
}
