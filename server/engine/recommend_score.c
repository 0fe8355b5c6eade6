/* Exact scores of a shortlist, and the choice. Parts are integers while they are added up, so that they do add up. */
#include "server/engine/recommend_internal.h"

#include "common/check.h"
#include "common/hash.h"

#include <math.h>
#include <stdlib.h>

#define SHOWN_FACTOR 1.25f /* on show now: worth more than what comes later in the room */

#define ROOMS_MAX (SHORT_ROOMS_MAX + ANY_ROOMS)

/* One candidate room; what stands in it is in the exact scores. */
struct candidate {
    const struct catalog_room *room;
    const struct exact *item; /* NULL: a room without items */
    uint32_t number, host;    /* on the shelf */
    uint32_t category;
    int32_t parts[REASONS];
    int32_t score;
};

static int32_t part_of(const struct recommender *r, enum reason reason, float value)
{
    float clamped = value < 0 ? 0 : value > 1 ? 1 : value;
    return (int32_t)(clamped * (float)r->settings.weights[reason] * (PART_STEPS / 1000.0f) + 0.5f);
}

/* Not owned, blocked, disliked or restricted, and everything it requires is owned. */
static bool is_offerable(const struct context *c, const struct catalog_item *it, const struct item_tally *t)
{
    if (it->restricted || t->marks & MARK_NEVER)
        return false;
    for (uint32_t i = 0; i < it->requires_count; i++) {
        const struct catalog_item *before = catalog_item(c->r->catalog, it->requires[i]);
        const struct item_tally *own = before ? item_find(c->r, before->number) : NULL;
        if (!own || !(own->marks & (MARK_OWNED | MARK_BOUGHT)))
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

static void value_item(const struct context *c, const struct catalog_item *it, const struct item_tally *t, float values[REASONS])
{
    const struct recommender *r = c->r;
    const struct shelf *s = &r->shelf;
    bool offered = it->number < s->item_bound && s->items[it->number].count;
    values[REASON_INTEREST] = taste_match(&r->taste, it);
    values[REASON_SIMILAR_ITEM] = squash(t->similar * r->similar_scale);
    values[REASON_AGAIN] = squash((float)t->times / TIMES_HALF);
    values[REASON_SERIES] = continues_series(r, it);
    values[REASON_POPULAR] = it->number < r->popular_bound ? r->popular[it->number] :
                             offered ? s->items[it->number].popular : shelf_popular(r, it, c->now_ms);
}

/* The score of an item, computed once a ranking. NULL when there is no such item. */
static const struct exact *score_item(const struct context *c, uint32_t number)
{
    struct recommender *r = c->r;
    const struct catalog_item *it = catalog_numbered(r->catalog, number);
    if (!it || number >= r->item_bound)
        return NULL;
    struct item_tally *t = item_of(r, number);
    if (t->exact)
        return &r->exact[t->exact - 1];
    ASSERT(r->exact_count < EXACT_MAX);
    struct exact *e = &r->exact[r->exact_count++];
    t->exact = (uint8_t)r->exact_count;
    *e = (struct exact){.item = it, .offerable = is_offerable(c, it, t)};
    if (!e->offerable)
        return e;
    float values[REASONS] = {0};
    value_item(c, it, t, values);
    for (int i = 0; i < REASONS; i++) {
        e->parts[i] = part_of(r, (enum reason)i, values[i]);
        e->score += e->parts[i];
    }
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
    struct context c = {r, a->profile, 0, a->now_ms, 0, a->similar, a->arg};
    shelf_refresh(r, a->now_ms);
    value_popular(r, a->now_ms);
    user_begin(&c);
    for (uint32_t n = 0; n < catalog_number_bound(r->catalog); n++) {
        const struct catalog_item *it = catalog_numbered(r->catalog, n);
        float values[REASONS] = {0}, score = 0;
        const struct item_tally *t = item_of(r, n);
        out[n] = -1;
        if (!it || !is_offerable(&c, it, t))
            continue;
        value_item(&c, it, t, values);
        for (int i = 0; i < REASONS; i++)
            score += values[i] * (float)r->settings.weights[i];
        out[n] = score;
    }
}

static void score_host(const struct recommender *r, uint32_t number, int32_t parts[REASONS])
{
    const struct host_tally *h = &r->hosts[number];
    bool known = h->stamp == r->stamp;
    parts[REASON_FOLLOWED] = part_of(r, REASON_FOLLOWED, known && h->marks & MARK_FOLLOWED);
    parts[REASON_KNOWN_HOST] = part_of(r, REASON_KNOWN_HOST, known ? h->known : 0);
}

static bool may_offer(const struct exact *e)
{
    return e && e->offerable;
}

/* By estimate: what the user touched, what is on show, what is best for everybody; any other when none may be offered. */
static const struct exact *best_item(const struct context *c, const struct candidate *one, uint32_t touched)
{
    struct recommender *r = c->r;
    const struct catalog_item *on_show = one->room->explaining ? catalog_item(r->catalog, one->room->explaining) : NULL;
    uint32_t shown = on_show && on_show->number < r->item_bound ? on_show->number : 0;
    bool shown_first = shown && estimate_item(r, shown) * SHOWN_FACTOR > estimate_item(r, touched);
    const uint32_t order[] = {shown_first ? shown : touched, shown_first ? touched : shown, c->r->shelf.rooms[one->number].best};
    const struct exact *best = NULL;
    for (int i = 0; i < 3 && !may_offer(best); i++)
        best = order[i] ? score_item(c, order[i]) : best;
    const struct lists *l = &r->shelf.items_of_room;
    for (uint32_t i = l->from[one->number]; i < l->from[one->number + 1] && !may_offer(best) && r->exact_count < EXACT_MAX - SHORT_ITEMS - 3 * ROOMS_MAX; i++)
        best = score_item(c, l->at[i]);
    return may_offer(best) ? best : NULL;
}

/* False: nothing here may be shown. */
static bool score_room(const struct context *c, uint32_t number, struct candidate *out)
{
    struct recommender *r = c->r;
    const struct shelf *s = &r->shelf;
    const struct room_tally *t = &r->rooms[number];
    const struct shelf_room *on = &s->rooms[number];
    *out = (struct candidate){.number = number, .host = on->host, .category = on->category, .room = catalog_room(r->catalog, on->id)};
    if (!out->room || !out->room->open)
        return false; /* closed since the shelf was built */
    out->item = best_item(c, out, t->item);
    if (!out->item && out->room->draft.item_count)
        return false;
    if (out->item)
        memcpy(out->parts, out->item->parts, sizeof out->parts);
    uint32_t item = out->item ? out->item->item->number : 0;
    float cube = on->cube * (item && item < s->item_bound && s->items[item].count ? s->items[item].cube : 1);
    score_host(r, on->host, out->parts);
    out->parts[REASON_POPULAR] = part_of(r, REASON_POPULAR, squash(cube * cube));
    out->parts[REASON_TRENDING] = part_of(r, REASON_TRENDING, on->trending);
    out->parts[REASON_EXPLORE] = part_of(r, REASON_EXPLORE, on->explore);
    for (int i = 0; i < REASONS; i++)
        out->score += out->parts[i];
    return true;
}

static void write(struct recommended *o, const int32_t parts[REASONS], int32_t score, double propensity)
{
    for (int i = 0; i < REASONS; i++)
        o->parts[i] = parts[i] * (1.0 / PART_STEPS);
    o->score = score * (1.0 / PART_STEPS);
    o->propensity = propensity;
}

static struct slice similar_to(const struct context *c, const struct exact *e)
{
    const struct item_tally *t = item_of(c->r, e->item->number);
    const struct catalog_item *of = t->similar > 0 ? catalog_item(c->r->catalog, c->p->history[t->of].id) : NULL;
    return of ? of->name : (struct slice){0};
}

static void write_room(const struct context *c, const struct candidate *one, double propensity, struct recommended *o)
{
    o->id = one->room->id;
    o->name = one->room->name;
    o->host = one->room->draft.host;
    o->item = one->item ? one->item->item->name : (struct slice){0};
    o->of = one->item ? similar_to(c, one->item) : (struct slice){0};
    write(o, one->parts, one->score, propensity);
}

/* Order: by score, ties by id. */
static bool is_before(const struct candidate *a, const struct candidate *b)
{
    return a->score != b->score ? a->score > b->score : a->room->id < b->room->id;
}

static void sort(struct candidate **list, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        struct candidate *one = list[i];
        uint32_t at = i;
        for (; at > 0 && is_before(one, list[at - 1]); at--)
            list[at] = list[at - 1];
        list[at] = one;
    }
}

static uint64_t draw(uint64_t *random)
{
    *random = hash_mix(*random + 0x9e3779b97f4a7c15u);
    return *random;
}

/* Those neither of this host nor of this category; UINT32_MAX: of any. The order stays. */
static uint32_t drop(struct candidate **list, uint32_t count, uint32_t host, uint32_t category)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < count; i++)
        if (list[i]->host != host && list[i]->category != category)
            list[left++] = list[i];
    return left;
}

/* Takes one out of the list, and those that may not stand beside it any more; answers how many are left. */
static uint32_t take(struct recommender *r, struct candidate **list, uint32_t count, uint32_t taken)
{
    const struct candidate *one = list[taken];
    bool host_full = ++host_of(r, one->host)->chosen >= r->settings.per_host;
    bool category_full = one->category && ++group_of(r, r->shelf.rooms[one->number].group)->chosen >= r->settings.per_category;
    memmove(list + taken, list + taken + 1, (--count - taken) * sizeof *list);
    if (!host_full && !category_full)
        return count;
    return drop(list, count, host_full ? one->host : UINT32_MAX, category_full ? one->category : UINT32_MAX);
}

static void choose_rooms(const struct context *c, struct candidate **list, uint32_t count, struct recommendation *out)
{
    uint64_t random = hash_mix(c->seed);
    double explore = c->r->settings.explore_ppm / 1e6;
    while (count && out->room_count < RECOMMEND_ROOMS) {
        bool any = (double)(draw(&random) >> 11) * 0x1p-53 < explore;
        uint32_t taken = any ? (uint32_t)(draw(&random) % count) : 0;
        write_room(c, list[taken], (taken == 0 ? 1 - explore : 0) + explore / count, &out->rooms[out->room_count++]);
        count = take(c->r, list, count, taken);
    }
}

static void choose_items(const struct context *c, const struct shortlist *s, struct recommendation *out)
{
    const struct exact *best[SHORT_ITEMS];
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->item_count; i++) {
        const struct exact *e = score_item(c, s->items[i]);
        uint32_t at = count;
        if (!e || !e->offerable)
            continue;
        for (; at > 0 && best[at - 1]->score < e->score; at--)
            best[at] = best[at - 1];
        best[at] = e;
        count++;
    }
    for (uint32_t i = 0; i < count && i < RECOMMEND_ITEMS; i++) {
        struct recommended *o = &out->items[out->item_count++];
        *o = (struct recommended){.id = best[i]->item->id, .name = best[i]->item->name, .item = best[i]->item->name, .of = similar_to(c, best[i])};
        write(o, best[i]->parts, best[i]->score, 1);
    }
}

/* The hosts of the rooms, each once, with its best room's interest; `list` in the order of scores. */
static void choose_hosts(const struct context *c, struct candidate *const *list, uint32_t count, struct recommendation *out)
{
    struct recommender *r = c->r;
    int32_t parts[ROOMS_MAX][REASONS], scores[ROOMS_MAX];
    uint8_t order[RECOMMEND_HOSTS];
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct host_tally *host = host_of(r, list[i]->host);
        if (host->marks & MARK_TAKEN)
            continue;
        host->marks |= MARK_TAKEN;
        memset(parts[i], 0, sizeof parts[i]);
        parts[i][REASON_INTEREST] = list[i]->parts[REASON_INTEREST];
        parts[i][REASON_FOLLOWED] = list[i]->parts[REASON_FOLLOWED];
        parts[i][REASON_KNOWN_HOST] = list[i]->parts[REASON_KNOWN_HOST];
        parts[i][REASON_POPULAR] = part_of(r, REASON_POPULAR, r->shelf.hosts[list[i]->host].popular);
        scores[i] = 0;
        for (int k = 0; k < REASONS; k++)
            scores[i] += parts[i][k];
        if (found == RECOMMEND_HOSTS && scores[i] <= scores[order[found - 1]])
            continue;
        uint32_t at = found < RECOMMEND_HOSTS ? found++ : found - 1;
        for (; at > 0 && scores[order[at - 1]] < scores[i]; at--)
            order[at] = order[at - 1];
        order[at] = (uint8_t)i;
    }
    for (uint32_t i = 0; i < found; i++) {
        struct recommended *o = &out->hosts[out->host_count++];
        *o = (struct recommended){.id = list[order[i]]->room->host, .name = list[order[i]]->room->draft.host};
        write(o, parts[order[i]], scores[order[i]], 1);
    }
}

/* Asks for the memory of what is scored next: the items, then what they point to. */
static void fetch_items(const struct recommender *r, const struct shortlist *s)
{
    const struct catalog_item *items[ROOMS_MAX + SHORT_ITEMS];
    uint32_t count = s->room_count + s->item_count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = i < s->room_count ? r->rooms[s->rooms[i]].item : s->items[i - s->room_count];
        items[i] = catalog_numbered(r->catalog, number);
        if (items[i]) {
            __builtin_prefetch(&items[i]->tag_count);
            __builtin_prefetch(&items[i]->embedding);
        }
    }
    for (uint32_t i = 0; i < count; i++)
        if (items[i])
            __builtin_prefetch(items[i]->embedding);
}

void score_all(struct context *c, const struct shortlist *s, struct recommendation *out)
{
    struct candidate scored[ROOMS_MAX], *list[ROOMS_MAX];
    uint32_t count = 0;
    out->room_count = out->item_count = out->host_count = 0;
    fetch_items(c->r, s);
    for (uint32_t i = 0; i < s->room_count; i++)
        if (score_room(c, s->rooms[i], &scored[count])) {
            list[count] = &scored[count];
            count++;
        }
    sort(list, count);
    choose_hosts(c, list, count, out);
    choose_rooms(c, list, count, out);
    choose_items(c, s, out);
}
