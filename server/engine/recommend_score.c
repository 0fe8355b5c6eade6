/* Exact scores of a shortlist, and the choice. Parts are integers while they are added up, so that they do add up. */
#include "server/engine/recommend_internal.h"

#include "common/check.h"
#include "common/hash.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#define SHOWN_FACTOR 1.25f /* on show now: worth more than what comes later in the room */

#define ROOMS_MAX (SHORT_ROOMS_MAX + ANY_ROOMS)

/* part_of() of all values; answers their sum. */
static int32_t parts_of(const float *restrict values, const float *restrict weights, int32_t *restrict parts)
{
    int32_t sum = 0;
    for (int i = 0; i < PARTS; i++) {
        float clamped = values[i] < 0 ? 0 : values[i];
        clamped = clamped > 1 ? 1 : clamped;
        parts[i] = (int32_t)(clamped * weights[i] * (PART_STEPS / 1000.0f) + 0.5f);
        sum += parts[i];
    }
    return sum;
}

/* Not owned, blocked, disliked or restricted, and everything it requires is owned. */
static bool is_offerable(const struct context *c, const struct catalog_item *it, uint32_t at)
{
    if (it->restricted || c->r->items.marks[at] & MARK_NEVER)
        return false;
    for (uint32_t i = 0; i < it->requires_count; i++) {
        const struct catalog_item *before = catalog_item(c->r->catalog, it->requires[i]);
        uint32_t own = before ? item_find(c->r, before->number) : UINT32_MAX;
        if (own == UINT32_MAX || !(c->r->items.marks[own] & (MARK_OWNED | MARK_BOUGHT)))
            return false;
    }
    return true;
}

static bool continues_series(const struct recommender *r, const struct catalog_item *it)
{
    for (uint32_t i = 0; it->series && i < r->series_count; i++)
        if (r->series[i] == it->series)
            return true;
    return false;
}

static void value_item(const struct context *c, const struct catalog_item *it, uint32_t at, float values[PARTS])
{
    const struct recommender *r = c->r;
    const struct shelf *s = &r->shelf;
    bool offered = it->number < s->item_bound && s->items[it->number].count;
    values[REASON_INTEREST] = taste_match(&r->taste, it);
    values[REASON_SIMILAR_ITEM] = r->items.similar[at] * r->similar_scale;
    values[REASON_AGAIN] = again_value(r, at);
    values[REASON_SERIES] = continues_series(r, it);
    values[REASON_POPULAR] = it->number < r->popular_bound ? r->popular[it->number] :
                             offered ? s->items[it->number].popular : shelf_popular(r, it, c->now_ms);
}

const struct exact *score_item(const struct context *c, uint32_t number)
{
    struct recommender *r = c->r;
    const struct catalog_item *it = catalog_numbered(r->catalog, number);
    if (!it || number >= r->item_bound)
        return NULL;
    uint32_t at = item_of(r, number);
    if (r->items.exact[at])
        return &r->exact[r->items.exact[at] - 1];
    ASSERT(r->exact_count < EXACT_MAX);
    struct exact *e = &r->exact[r->exact_count++];
    r->items.exact[at] = (uint8_t)r->exact_count;
    e->item = it;
    e->place = at;
    e->offerable = is_offerable(c, it, at);
    if (!e->offerable)
        return e;
    float values[PARTS] = {0};
    value_item(c, it, at, values);
    e->score = parts_of(values, r->weights, e->parts);
    return e;
}

/* Once a second is enough, as for what is live. */
static void value_popular(struct recommender *r, int64_t now_ms)
{
    uint32_t bound = catalog_number_bound(r->catalog);
    if (bound == r->popular_bound && now_ms - r->popular_ms < 1000 && now_ms >= r->popular_ms)
        return;
    r->popular = realloc(r->popular, bound * sizeof *r->popular);
    ASSERT(r->popular);
    r->popular_ms = now_ms;
    r->popular_bound = bound;
    for (uint32_t n = 0; n < bound; n++) {
        const struct catalog_item *it = catalog_numbered(r->catalog, n);
        r->popular[n] = it ? shelf_popular(r, it, now_ms) : 0;
    }
}

void recommend_all(struct recommender *r, const struct asker *a, float *out)
{
    struct context c;
    context_init(&c, r, a);
    user_begin(&c);
    value_popular(r, a->now_ms);
    for (uint32_t n = 0; n < catalog_number_bound(r->catalog); n++) {
        const struct catalog_item *it = catalog_numbered(r->catalog, n);
        float values[PARTS] = {0}, score = 0;
        uint32_t at = item_of(r, n);
        out[n] = -1;
        if (!it || !is_offerable(&c, it, at))
            continue;
        value_item(&c, it, at, values);
        for (int i = 0; i < REASONS; i++)
            score += values[i] * r->weights[i];
        out[n] = score;
    }
}

static bool may_offer(const struct exact *e)
{
    return e && e->offerable;
}

/* By estimate: what the user touched, what is on show, what is best for everybody; any other when none may be offered. */
static const struct exact *best_item(const struct context *c, const struct shelf_room *on)
{
    struct recommender *r = c->r;
    uint32_t shown = on->shown, touched = on->item;
    bool shown_first = shown && estimate_item(r, shown) * SHOWN_FACTOR > estimate_item(r, touched);
    const uint32_t order[] = {shown_first ? shown : touched, shown_first ? touched : shown, on->best};
    const struct exact *best = NULL;
    for (int i = 0; i < 3 && !may_offer(best); i++)
        best = order[i] ? score_item(c, order[i]) : best;
    const uint32_t *offers = r->shelf.items_of_room.at + on->from;
    for (uint32_t i = 0; i < on->count && !may_offer(best) && r->exact_count < EXACT_MAX - SHORT_ITEMS - 3 * ROOMS_MAX; i++)
        best = score_item(c, offers[i]);
    return may_offer(best) ? best : NULL;
}

bool score_room(const struct context *c, const struct shelf_room *on, struct candidate *out)
{
    struct recommender *r = c->r;
    const struct shelf *s = &r->shelf;
    if (!on->room)
        return false; /* closed since the shelf was built */
    const struct shelf_host *h = &s->hosts[on->host];
    const struct exact *item = best_item(c, on);
    if (!item && on->room->draft.item_count)
        return false;
    *out = (struct candidate){.on = on, .item = item, .host = on->host, .category = on->category};
    uint32_t number = item ? item->item->number : 0;
    float cube = on->cube * (number && number < s->item_bound && s->items[number].count ? s->items[number].cube : 1);
    if (item)
        memcpy(out->parts, item->parts, sizeof out->parts);
    if (h->stamp == r->stamp) {
        out->parts[REASON_FOLLOWED] = h->marks & MARK_FOLLOWED ? part_of(r, REASON_FOLLOWED, 1) : 0;
        out->parts[REASON_KNOWN_HOST] = part_of(r, REASON_KNOWN_HOST, h->known);
    }
    out->parts[REASON_POPULAR] = part_of(r, REASON_POPULAR, squash(cube * cube));
    out->parts[REASON_TRENDING] = on->trending;
    out->parts[REASON_EXPLORE] = on->explore;
    for (int i = 0; i < PARTS; i++)
        out->score += out->parts[i];
    return true;
}

void score_write(struct recommended *o, const int32_t parts[PARTS], int32_t score, double propensity)
{
    for (int i = 0; i < REASONS; i++)
        o->parts[i] = parts[i] * (1.0 / PART_STEPS);
    o->score = score * (1.0 / PART_STEPS);
    o->propensity = propensity;
}

struct slice score_similar_to(const struct context *c, const struct exact *e)
{
    const struct tallies *t = &c->r->items;
    const struct catalog_item *of = t->similar[e->place] > 0 ? c->items[t->strongest[e->place] & ((1u << PLACE_BITS) - 1)] : NULL;
    return of ? of->name : (struct slice){0};
}

void score_write_room(const struct context *c, const struct candidate *one, double propensity, struct recommended *o)
{
    o->id = one->on->id;
    o->name = one->on->room->name;
    o->host = one->on->room->draft.host;
    o->item = one->item ? one->item->item->name : (struct slice){0};
    o->of = one->item ? score_similar_to(c, one->item) : (struct slice){0};
    score_write(o, one->parts, one->score, propensity);
}

/* By score, ties by id. */
static void sort(const struct candidate *scored, uint32_t count, uint8_t *out)
{
    int32_t keys[ORDER_MAX];
    for (uint32_t i = 0; i < count; i++)
        keys[i] = scored[i].score;
    order_of(keys, count, out);
    for (uint32_t i = 1; i < count; i++)
        for (uint32_t at = i; at > 0 && keys[out[at - 1]] == keys[out[at]] && scored[out[at - 1]].on->id > scored[out[at]].on->id; at--) {
            uint8_t one = out[at];
            out[at] = out[at - 1];
            out[at - 1] = one;
        }
}

static uint64_t draw(uint64_t *random)
{
    *random = hash_mix(*random + 0x9e3779b97f4a7c15u);
    return *random;
}

/* Places of candidates, best first. */
struct queue {
    uint8_t *at;
    uint32_t count;
};

/* Keeps those neither of this host nor of this category; UINT32_MAX: of any. */
static void drop(struct queue *q, const struct candidate *scored, uint32_t host, uint32_t category)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < q->count; i++) {
        const struct candidate *one = &scored[q->at[i]];
        q->at[left] = q->at[i];
        left += (one->host != host) & (one->category != category);
    }
    q->count = left;
}

/* Takes one out of the queue, and those that may not stand beside it any more. */
static const struct candidate *take(struct recommender *r, struct queue *q, const struct candidate *scored, uint32_t taken)
{
    const struct candidate *one = &scored[q->at[taken]];
    bool host_full = ++host_of(r, one->host)->chosen >= r->settings.per_host;
    bool category_full = one->category && ++group_of(r, one->on->group)->chosen >= r->settings.per_category;
    memmove(q->at + 1, q->at, taken);
    q->at++;
    q->count--;
    if (host_full || category_full)
        drop(q, scored, host_full ? one->host : UINT32_MAX, category_full ? one->category : UINT32_MAX);
    return one;
}

static void choose_rooms(const struct context *c, const struct candidate *scored, struct queue q, struct recommendation *out)
{
    uint64_t random = hash_mix(c->seed);
    double explore = c->r->settings.explore_ppm / 1e6;
    while (q.count && out->room_count < RECOMMEND_ROOMS) {
        bool any = (double)(draw(&random) >> 11) * 0x1p-53 < explore;
        uint32_t taken = any ? (uint32_t)(draw(&random) % q.count) : 0;
        double propensity = (taken == 0 ? 1 - explore : 0) + explore / q.count;
        score_write_room(c, take(c->r, &q, scored, taken), propensity, &out->rooms[out->room_count++]);
    }
}

static void choose_items(const struct context *c, const struct shortlist *s, struct recommendation *out)
{
    const struct exact *all[SHORT_ITEMS];
    int32_t keys[ORDER_MAX];
    uint8_t order[SHORT_ITEMS];
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->item_count; i++) {
        const struct exact *e = score_item(c, s->items[i]);
        if (!may_offer(e))
            continue;
        keys[count] = e->score;
        all[count++] = e;
    }
    order_of(keys, count, order);
    for (uint32_t i = 0; i < count && i < RECOMMEND_ITEMS; i++) {
        const struct exact *e = all[order[i]];
        struct recommended *o = &out->items[out->item_count++];
        o->id = e->item->id;
        o->name = o->item = e->item->name;
        o->host = (struct slice){0};
        o->of = score_similar_to(c, e);
        score_write(o, e->parts, e->score, 1);
    }
}

int32_t score_host(const struct recommender *r, const struct candidate *one, int32_t parts[PARTS])
{
    memset(parts, 0, PARTS * sizeof *parts);
    parts[REASON_INTEREST] = one->parts[REASON_INTEREST];
    parts[REASON_FOLLOWED] = one->parts[REASON_FOLLOWED];
    parts[REASON_KNOWN_HOST] = one->parts[REASON_KNOWN_HOST];
    parts[REASON_POPULAR] = r->shelf.hosts[one->host].popular;
    return parts[REASON_INTEREST] + parts[REASON_FOLLOWED] + parts[REASON_KNOWN_HOST] + parts[REASON_POPULAR];
}

/* The hosts of the rooms, each once. */
static void choose_hosts(const struct context *c, const struct candidate *scored, struct queue q, struct recommendation *out)
{
    struct recommender *r = c->r;
    const struct candidate *best[ROOMS_MAX];
    int32_t parts[PARTS], keys[ORDER_MAX];
    uint8_t order[ROOMS_MAX];
    uint32_t found = 0;
    for (uint32_t i = 0; i < q.count; i++) {
        const struct candidate *one = &scored[q.at[i]];
        struct shelf_host *host = host_of(r, one->host);
        if (host->marks & MARK_TAKEN)
            continue;
        host->marks |= MARK_TAKEN;
        keys[found] = score_host(r, one, parts);
        best[found++] = one;
    }
    order_of(keys, found, order);
    for (uint32_t i = 0; i < found && i < RECOMMEND_HOSTS; i++) {
        const struct candidate *one = best[order[i]];
        struct recommended *o = &out->hosts[out->host_count++];
        *o = (struct recommended){.id = one->on->room->host, .name = one->on->room->draft.host};
        int32_t score = score_host(r, one, parts);
        score_write(o, parts, score, 1);
    }
}

/* Looks at the rooms and asks for the memory of what is scored next: the items, then what they point to. */
static void fetch(struct recommender *r, const struct shortlist *s)
{
    const struct catalog_item *items[ROOMS_MAX + SHORT_ITEMS];
    uint32_t count = s->room_count + s->item_count;
    for (uint32_t i = 0; i < s->room_count; i++) {
        struct shelf_room *on = &r->shelf.rooms[s->rooms[i]];
        shelf_look(r, on);
        if (on->room) {
            __builtin_prefetch(&on->room->name);
            __builtin_prefetch(&on->room->draft.host);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = i < s->room_count ? r->shelf.rooms[s->rooms[i]].item : s->items[i - s->room_count];
        items[i] = catalog_numbered(r->catalog, number);
        if (items[i]) {
            __builtin_prefetch(&items[i]->number);
            __builtin_prefetch(&items[i]->tags[SCENE_TAGS_MAX / 2]);
        }
    }
    for (uint32_t i = 0; i < count; i++)
        if (items[i])
            __builtin_prefetch(items[i]->embedding);
}

/* All candidates, best first. */
static void score_rooms(struct context *c, const struct shortlist *s, struct candidate *scored, struct queue *q)
{
    fetch(c->r, s);
    for (uint32_t i = 0; i < s->room_count; i++)
        q->count += score_room(c, &c->r->shelf.rooms[s->rooms[i]], &scored[q->count]);
    sort(scored, q->count, q->at);
}

void score_all(struct context *c, const struct shortlist *s, struct recommendation *out)
{
    struct candidate scored[ROOMS_MAX];
    uint8_t order[ROOMS_MAX];
    struct queue q = {order, 0};
    out->room_count = out->item_count = out->host_count = 0;
    score_rooms(c, s, scored, &q);
    choose_hosts(c, scored, q, out);
    choose_rooms(c, scored, q, out);
    choose_items(c, s, out);
}

uint32_t score_given(struct context *c, const struct shortlist *s, const struct given *given, struct list_place *out)
{
    static_assert(PLACE_ROOMS_MAX == ROOMS_MAX, "a place holds all candidates");
    struct candidate scored[ROOMS_MAX];
    uint8_t order[ROOMS_MAX];
    struct queue q = {order, 0};
    double explore = c->r->settings.explore_ppm / 1e6;
    score_rooms(c, s, scored, &q);
    for (uint32_t k = 0; k < given->count; k++) {
        uint32_t taken = UINT32_MAX;
        out[k].count = q.count;
        out[k].other = q.count ? explore / q.count : 0;
        out[k].best = 1 - explore + out[k].other;
        for (uint32_t i = 0; i < q.count; i++) {
            out[k].rooms[i] = scored[q.at[i]].on->id;
            taken = out[k].rooms[i] == given->rooms[k] ? i : taken;
        }
        if (taken == UINT32_MAX)
            return k + 1;
        take(c->r, &q, scored, taken);
    }
    return given->count;
}
