/* What is live, by tag and by popularity, and the funnel of what this worker has seen. */
#include "server/engine/recommend_internal.h"

#include "common/check.h"

#include <math.h>
#include <stdlib.h>

#define POPULAR_REFRESH_MS 500
#define LIFT_REFRESH_MS 250
#define FROM_POPULAR 64
#define FROM_RANDOM 16
#define FROM_TAG 24  /* rooms taken of one tag */
#define TAGS_ASKED 12

static void *room_for(void *list, uint32_t *capacity, uint32_t count, size_t size)
{
    if (count < *capacity)
        return list;
    *capacity = *capacity ? *capacity * 2 : 256;
    while (*capacity <= count)
        *capacity *= 2;
    list = realloc(list, *capacity * size);
    ASSERT(list);
    return list;
}

const struct funnel *funnel_of(const struct recommender *r, entity_id id)
{
    static const struct funnel none;
    const struct funnel *f = id ? map_find(&r->funnels, id) : NULL;
    return f ? f : &none;
}

double funnel_fade(const struct recommender *r, const struct funnel *f, int64_t now_ms)
{
    return now_ms > f->at_ms ? exp2(-(double)(now_ms - f->at_ms) / (double)r->settings.trend_half_life_ms) : 1;
}

static void count(const struct recommender *r, struct funnel *f, double exposures, double looks, double buys, int64_t now_ms)
{
    double fade = funnel_fade(r, f, now_ms);
    f->exposures = f->exposures * fade + exposures;
    f->looks = f->looks * fade + looks;
    f->buys = f->buys * fade + buys;
    f->at_ms = now_ms > f->at_ms ? now_ms : f->at_ms;
}

static void count_entity(struct recommender *r, enum entity_kind kind, struct slice name, double exposures, double looks,
                         double buys, int64_t now_ms)
{
    if (name.size == 0)
        return;
    entity_id id = entity_id_of(kind, name);
    struct funnel *f = map_find(&r->funnels, id);
    if (!f && r->funnels.count >= r->settings.funnel_max)
        return;
    if (!f) {
        f = calloc(1, sizeof *f);
        ASSERT(f);
        map_put(&r->funnels, id, f);
    }
    count(r, f, exposures, looks, buys, now_ms);
}

void recommender_see(struct recommender *r, const struct event *e, int64_t now_ms)
{
    double exposures = e->type == EVENT_IMPRESSION;
    double looks = e->type == EVENT_CLICK || e->type == EVENT_ENTER || e->type == EVENT_WATCH ? 1 : 0;
    double buys = e->type == EVENT_PURCHASE ? 3 : e->type == EVENT_CART || e->type == EVENT_TRIAL ? 1 : e->type == EVENT_DISLIKE ? -1 : 0;
    if (exposures == 0 && looks == 0 && buys == 0)
        return;
    count_entity(r, ENTITY_ROOM, e->room, exposures, looks, buys, now_ms);
    count_entity(r, ENTITY_HOST, e->host, exposures, looks, buys, now_ms);
    count_entity(r, ENTITY_ITEM, e->item, exposures, looks, buys, now_ms);
    count(r, &r->all, exposures, looks, buys, now_ms);
}

static double compute_lift(const struct recommender *r, const struct funnel *f, int64_t now_ms)
{
    double fade = funnel_fade(r, f, now_ms);
    double click_rate = (r->all.looks + 1) / (r->all.exposures + r->all.looks + 10);
    double buy_rate = (r->all.buys + 1) / (r->all.looks + 50);
    double exposures = (f->exposures + f->looks) * fade, looks = f->looks * fade, buys = f->buys * fade;
    double click = (looks + 20 * click_rate) / (exposures + 20) / click_rate;
    double buy = ((buys > 0 ? buys : 0) + 50 * buy_rate) / (looks + 50) / buy_rate;
    return click * buy;
}

/* Computed again only now and then: it moves slowly. */
double funnel_lift(const struct recommender *r, entity_id id, int64_t now_ms)
{
    struct funnel *f = id ? map_find(&r->funnels, id) : NULL;
    if (!f)
        return 1;
    if (f->lift_ms == 0 || now_ms - f->lift_ms >= LIFT_REFRESH_MS) {
        f->lift = compute_lift(r, f, now_ms);
        f->lift_ms = now_ms;
    }
    return f->lift;
}

/* (tag, room) pairs, to be ordered by tag. */
struct pair {
    uint32_t tag, room;
};

static int by_tag(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    if (x->tag != y->tag)
        return x->tag < y->tag ? -1 : 1;
    return x->room < y->room ? -1 : x->room > y->room;
}

static void build_postings(struct recommender *r, struct pair *pairs, uint32_t count_of)
{
    r->posting_count = r->room_count = 0;
    qsort(pairs, count_of, sizeof *pairs, by_tag);
    for (uint32_t i = 0; i < count_of; i++) {
        bool same_tag = i > 0 && pairs[i].tag == pairs[i - 1].tag;
        if (same_tag && pairs[i].room == pairs[i - 1].room)
            continue;
        if (!same_tag) {
            r->postings = room_for(r->postings, &r->posting_capacity, r->posting_count, sizeof *r->postings);
            r->postings[r->posting_count++] = (struct posting){pairs[i].tag, r->room_count, 0};
        }
        r->rooms = room_for(r->rooms, &r->room_capacity, r->room_count, sizeof *r->rooms);
        r->rooms[r->room_count++] = pairs[i].room;
        r->postings[r->posting_count - 1].count++;
    }
}

static void build(struct recommender *r)
{
    struct pair *pairs = NULL;
    uint32_t n = 0, capacity = 0;
    for (uint32_t i = 0; i < catalog_open_count(r->catalog); i++) {
        const struct catalog_room *room = catalog_open(r->catalog, i);
        for (uint32_t k = 0; k < room->draft.item_count; k++) {
            const struct catalog_item *it = catalog_item(r->catalog, room->items[k]);
            for (uint32_t t = 0; it && t < it->tag_count; t++) {
                pairs = room_for(pairs, &capacity, n, sizeof *pairs);
                pairs[n++] = (struct pair){it->tags[t], i};
            }
        }
    }
    build_postings(r, pairs, n);
    free(pairs);
    uint32_t open = catalog_open_count(r->catalog);
    r->seen = room_for(r->seen, &r->seen_capacity, open, sizeof *r->seen);
    memset(r->seen, 0, r->seen_capacity * sizeof *r->seen);
    r->mark = 0;
    r->popular_ms = 0;
}

static void order_popular(struct recommender *r, int64_t now_ms)
{
    uint32_t open = catalog_open_count(r->catalog);
    r->popular_count = 0;
    for (uint32_t i = 0; i < open; i++) {
        const struct catalog_room *room = catalog_open(r->catalog, i);
        double key = funnel_lift(r, room->id, now_ms) * sqrt(funnel_lift(r, room->host, now_ms));
        uint32_t at = r->popular_count < FROM_POPULAR ? r->popular_count : FROM_POPULAR;
        r->popular = room_for(r->popular, &r->popular_capacity, FROM_POPULAR, sizeof *r->popular);
        for (; at > 0 && r->popular_key[at - 1] < key; at--) {
            if (at == FROM_POPULAR)
                continue;
            r->popular[at] = r->popular[at - 1];
            r->popular_key[at] = r->popular_key[at - 1];
        }
        if (at == FROM_POPULAR)
            continue;
        r->popular[at] = i;
        r->popular_key[at] = key;
        r->popular_count += r->popular_count < FROM_POPULAR;
    }
}

void index_refresh(struct recommender *r, int64_t now_ms)
{
    if (r->version != catalog_version(r->catalog) + 1) {
        r->version = catalog_version(r->catalog) + 1;
        build(r);
        offers_build(r);
    }
    if (r->popular_ms && now_ms - r->popular_ms < POPULAR_REFRESH_MS)
        return;
    r->popular_ms = now_ms;
    order_popular(r, now_ms);
    offers_refresh(r, now_ms);
}

static const struct posting *posting_of(const struct recommender *r, uint32_t tag)
{
    uint32_t low = 0, high = r->posting_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (r->postings[middle].tag < tag)
            low = middle + 1;
        else
            high = middle;
    }
    return low < r->posting_count && r->postings[low].tag == tag ? &r->postings[low] : NULL;
}

struct collection {
    struct recommender *r;
    uint32_t *out;
    uint32_t count;
};

static void collect(struct collection *c, uint32_t room)
{
    if (c->count == RECOMMEND_CANDIDATES || c->r->seen[room] == c->r->mark)
        return;
    c->r->seen[room] = c->r->mark;
    c->out[c->count++] = room;
}

static bool is_near(const struct profile *p, entity_id host)
{
    for (uint32_t i = 0; i < p->relation_count; i++)
        if (p->relations[i].id == host)
            return !p->relations[i].blocked;
    const struct history_entry *h = profile_find(p, host);
    return h && h->rating > 0;
}

uint32_t index_candidates(struct recommender *r, const struct profile *p, const struct taste *t, uint64_t seed,
                          uint32_t out[RECOMMEND_CANDIDATES])
{
    struct collection c = {r, out, 0};
    uint32_t open = catalog_open_count(r->catalog);
    if (++r->mark == 0) {
        memset(r->seen, 0, r->seen_capacity * sizeof *r->seen);
        r->mark = 1;
    }
    if (open <= RECOMMEND_CANDIDATES) {
        for (uint32_t i = 0; i < open; i++)
            collect(&c, i);
        return c.count;
    }
    for (uint32_t i = 0; i < open && (p->relation_count || p->history_count); i++)
        if (is_near(p, catalog_open(r->catalog, i)->host))
            collect(&c, i);
    for (uint32_t k = 0; k < t->tag_count && k < TAGS_ASKED && t->tags[k].weight > 0; k++) {
        const struct posting *list = posting_of(r, t->tags[k].tag);
        uint32_t take = list ? (list->count < FROM_TAG ? list->count : FROM_TAG) : 0;
        for (uint32_t i = 0; i < take; i++)
            collect(&c, r->rooms[list->from + (uint32_t)((seed + i) % list->count)]);
    }
    for (uint32_t i = 0; i < r->popular_count; i++)
        collect(&c, r->popular[i]);
    for (uint32_t i = 0; i < FROM_RANDOM; i++)
        collect(&c, (uint32_t)(hash_mix(seed + i) % open));
    return c.count;
}

struct recommender *recommender_create(const struct recommend_settings *s, const struct catalog *catalog)
{
    struct recommender *r = calloc(1, sizeof *r);
    ASSERT(r);
    r->settings = *s;
    r->catalog = catalog;
    r->popular_key = calloc(FROM_POPULAR + 1, sizeof *r->popular_key);
    r->scored = calloc(SCORED_SLOTS, sizeof *r->scored);
    r->known = calloc(KNOWN_SLOTS, sizeof *r->known);
    ASSERT(r->popular_key && r->scored && r->known);
    return r;
}

void recommender_destroy(struct recommender *r)
{
    if (!r)
        return;
    size_t at = 0;
    struct map_slot slot;
    while (map_next(&r->funnels, &at, &slot))
        free(slot.value);
    map_fini(&r->funnels);
    free(r->postings);
    free(r->rooms);
    free(r->popular);
    free(r->popular_key);
    free(r->scored);
    free(r->known);
    offers_fini(&r->offers);
    free(r->seen);
    free(r);
}
