/* Filters, scores and the choice. */
#include "server/engine/recommend_internal.h"

#include <math.h>
#include <stdlib.h>

const char *const reason_names[REASONS] = {"interest", "similar_item", "followed", "known_host",
                                           "next_in_series", "popular", "trending", "explore"};

void recommend_settings_default(struct recommend_settings *s)
{
    *s = (struct recommend_settings){
        .weights = {400, 250, 120, 150, 200, 250, 80, 40},
        .explore_ppm = 50000,
        .pause_ms = 600000,
        .per_host = 2,
        .per_category = 5,
        .half_life_short_ms = 86400000,
        .half_life_long_ms = 30 * 86400000ll,
        .trend_half_life_ms = 600000,
        .funnel_max = 200000,
    };
}

struct context {
    struct recommender *r;
    const struct profile *p;
    const struct taste *taste;
    int64_t now_ms;
    struct similar_list (*similar)(void *arg, entity_id item);
    void *arg;
};

/* Not owned, blocked, disliked or restricted, and everything it requires is owned. */
static bool is_offerable(const struct context *c, const struct catalog_item *it)
{
    if (!it || it->restricted || known_of(c->r, it->id)->flags & (KNOWN_OWNED | KNOWN_BLOCKED | KNOWN_DISLIKED))
        return false;
    for (uint32_t i = 0; i < it->requires_count; i++)
        if (!(known_of(c->r, it->requires[i])->flags & KNOWN_OWNED))
            return false;
    return true;
}

static bool continues_series(const struct context *c, const struct catalog_item *it)
{
    for (uint32_t i = 0; it->series && i < c->p->owned_count; i++) {
        const struct owned_item *o = &c->p->owned[i];
        const struct catalog_item *owned = owned_is_kept(o) ? catalog_item(c->r->catalog, o->item) : NULL;
        if (owned && owned->series == it->series)
            return true;
    }
    return false;
}

/* Adds up what the lists of the history say. */
static void relate(const struct context *c)
{
    struct recommender *r = c->r;
    memset(r->related, 0, sizeof r->related);
    r->related_count = 0;
    for (uint32_t i = 0; i < c->p->history_count; i++) {
        const struct history_entry *h = &c->p->history[i];
        if (h->rating == 0 || h->flags & HISTORY_NEGATIVE || entity_kind_of(h->id) != ENTITY_ITEM)
            continue;
        struct similar_list list = c->similar(c->arg, h->id);
        for (uint32_t k = 0; k < list.count && r->related_count < RELATED_SLOTS / 2; k++) {
            struct related *slot = related_slot(r, list.at[k].id);
            double part = (double)list.at[k].sim * h->rating;
            r->related_count += slot->id == 0;
            slot->id = list.at[k].id;
            slot->sum += part;
            if (part > slot->best) {
                slot->best = part;
                slot->of = h->id;
            }
        }
    }
}

static double similarity(const struct context *c, entity_id item, struct slice *out_of)
{
    const struct related *slot = related_slot(c->r, item);
    const struct catalog_item *of = slot->id ? catalog_item(c->r->catalog, slot->of) : NULL;
    if (of)
        *out_of = of->name;
    return squash(slot->sum);
}

static double round4(double x)
{
    return floor(x * 10000 + 0.5) / 10000;
}

static void set_part(const struct context *c, struct recommended *o, enum reason reason, double value)
{
    double clamped = value < 0 ? 0 : value > 1 ? 1 : value;
    o->parts[reason] = round4(clamped * c->r->settings.weights[reason] / 1000);
}

static void add_up(struct recommended *o)
{
    o->score = 0;
    for (int i = 0; i < REASONS; i++)
        o->score += o->parts[i];
    o->score = round4(o->score);
}

static void score_item(const struct context *c, const struct catalog_item *it, struct recommended *o)
{
    *o = (struct recommended){.id = it->id, .name = it->name, .item = it->name};
    set_part(c, o, REASON_INTEREST, taste_match(c->taste, it));
    set_part(c, o, REASON_SIMILAR_ITEM, similarity(c, it->id, &o->of));
    set_part(c, o, REASON_SERIES, continues_series(c, it));
    set_part(c, o, REASON_POPULAR, squash(funnel_lift(c->r, it->id, c->now_ms)) * 0.5);
    add_up(o);
}

/* The score of an item, computed once a ranking. */
static const struct recommended *item_score(const struct context *c, const struct catalog_item *it, struct recommended *scratch)
{
    struct recommender *r = c->r;
    uint32_t at = (uint32_t)(hash_mix(it->id) % SCORED_SLOTS);
    while (r->scored[at].id && r->scored[at].id != it->id)
        at = (at + 1) % SCORED_SLOTS;
    if (r->scored[at].id)
        return &r->scored[at].score;
    struct recommended *score = scratch;
    if (r->scored_count < SCORED_SLOTS / 2) {
        r->scored_used[r->scored_count++] = at;
        r->scored[at].id = it->id;
        score = &r->scored[at].score;
    }
    score_item(c, it, score);
    return score;
}

static void forget_scores(struct recommender *r)
{
    while (r->scored_count)
        r->scored[r->scored_used[--r->scored_count]].id = 0;
}

static double host_known(const struct context *c, entity_id host)
{
    const struct history_entry *h = known_of(c->r, host)->history;
    if (!h || h->flags & HISTORY_NEGATIVE)
        return 0;
    double age = c->now_ms > h->touched_ms ? (double)(c->now_ms - h->touched_ms) : 0;
    return squash(h->rating + (double)h->dwell_s / 600) * exp2(-age / (double)c->r->settings.half_life_long_ms);
}

static void score_host(const struct context *c, entity_id host, struct recommended *o)
{
    set_part(c, o, REASON_FOLLOWED, (known_of(c->r, host)->flags & KNOWN_FOLLOWED) != 0);
    set_part(c, o, REASON_KNOWN_HOST, host_known(c, host));
}

/* Of the best offers by estimate. False: nothing here may be shown. */
static bool score_room(const struct context *c, const struct short_room *s, struct recommended *o)
{
    struct recommended scratch;
    const struct catalog_room *room = catalog_open(c->r->catalog, s->number);
    const struct recommended *best = NULL;
    double best_score = -1;
    for (uint32_t i = 0; i < s->offer_count; i++) {
        const struct catalog_item *it = c->r->offers.at[s->offers[i]].item;
        if (!is_offerable(c, it))
            continue;
        const struct recommended *item = item_score(c, it, &scratch);
        double score = item->score * (it->id == room->explaining ? 1.25 : 1); /* on show now */
        if (score <= best_score)
            continue;
        best_score = score;
        *o = *item;
        best = o;
    }
    if (!best && room->draft.item_count)
        return false; /* nothing here that this user may be offered */
    if (!best)
        *o = (struct recommended){0};
    entity_id best_item = o->id;
    o->id = room->id;
    o->name = room->name;
    o->host = room->draft.host;
    score_host(c, room->host, o);
    double lift = cbrt(funnel_lift(c->r, room->id, c->now_ms) * funnel_lift(c->r, room->host, c->now_ms) *
                       funnel_lift(c->r, best_score < 0 ? 0 : best_item, c->now_ms));
    const struct funnel *f = funnel_of(c->r, room->id);
    double fade = funnel_fade(c->r, f, c->now_ms);
    set_part(c, o, REASON_POPULAR, squash(lift * lift));
    set_part(c, o, REASON_TRENDING, squash(50 * f->looks * fade / (c->r->all.looks + 100)));
    set_part(c, o, REASON_EXPLORE, 1 / (1 + f->exposures * fade / 50));
    add_up(o);
    return true;
}

struct chooser {
    uint64_t random;
    double explore;
};

static uint64_t draw(struct chooser *ch)
{
    ch->random = hash_mix(ch->random + 0x9e3779b97f4a7c15u);
    return ch->random;
}

/* Takes one of `count` candidates, and says with which probability it was taken. */
static uint32_t choose(struct chooser *ch, const struct recommended *list, uint32_t count)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < count; i++)
        if (list[i].score > list[best].score || (list[i].score == list[best].score && list[i].id < list[best].id))
            best = i;
    bool any = (double)(draw(ch) >> 11) * 0x1p-53 < ch->explore;
    return any ? (uint32_t)(draw(ch) % count) : best;
}

static double propensity_of(const struct chooser *ch, const struct recommended *list, uint32_t count, uint32_t chosen)
{
    bool best = true;
    for (uint32_t i = 0; i < count; i++)
        best = best && (list[i].score < list[chosen].score ||
                        (list[i].score == list[chosen].score && list[i].id >= list[chosen].id));
    return (best ? 1 - ch->explore : 0) + ch->explore / count;
}

static bool is_full(const struct context *c, const struct recommendation *out, const struct catalog_room *room)
{
    uint32_t hosts = 0, categories = 0;
    for (uint32_t i = 0; i < out->room_count; i++) {
        const struct catalog_room *other = catalog_room(c->r->catalog, out->rooms[i].id);
        hosts += other->host == room->host;
        categories += room->category && other->category == room->category;
    }
    return hosts >= c->r->settings.per_host || categories >= c->r->settings.per_category;
}

static void choose_rooms(const struct context *c, struct chooser *ch, struct recommended *list, uint32_t count,
                         struct recommendation *out)
{
    while (count && out->room_count < RECOMMEND_ROOMS) {
        uint32_t at = choose(ch, list, count);
        if (!is_full(c, out, catalog_room(c->r->catalog, list[at].id))) {
            struct recommended *o = &out->rooms[out->room_count++];
            *o = list[at];
            o->propensity = propensity_of(ch, list, count, at);
        }
        list[at] = list[--count];
    }
}

static bool has(const struct recommended *list, uint32_t count, entity_id id)
{
    for (uint32_t i = 0; i < count; i++)
        if (list[i].id == id)
            return true;
    return false;
}

/* Keeps the best `max`, best first. */
static void keep_best(struct recommended *list, uint32_t *count, uint32_t max, const struct recommended *o)
{
    uint32_t at = *count < max ? (*count)++ : max;
    for (; at > 0 && list[at - 1].score < o->score; at--)
        if (at < max)
            list[at] = list[at - 1];
    if (at < max)
        list[at] = *o;
}

static void choose_item(const struct context *c, const struct catalog_item *it, struct recommendation *out)
{
    struct recommended scratch;
    bool full = out->item_count == RECOMMEND_ITEMS;
    if (!is_offerable(c, it))
        return;
    const struct recommended *score = item_score(c, it, &scratch);
    if ((full && score->score <= out->items[RECOMMEND_ITEMS - 1].score) || known_of(c->r, it->id)->flags & KNOWN_SHOWN ||
        has(out->items, out->item_count, it->id))
        return;
    struct recommended o = *score;
    o.propensity = 1;
    keep_best(out->items, &out->item_count, RECOMMEND_ITEMS, &o);
}

static void choose_hosts(const struct context *c, const struct catalog_room *const *rooms, const struct recommended *scored,
                         uint32_t count, struct recommendation *out)
{
    for (uint32_t i = 0; i < count; i++) {
        if (has(out->hosts, out->host_count, rooms[i]->host))
            continue;
        struct recommended o = {.id = rooms[i]->host, .name = rooms[i]->draft.host, .propensity = 1};
        o.parts[REASON_INTEREST] = scored[i].parts[REASON_INTEREST];
        score_host(c, rooms[i]->host, &o);
        set_part(c, &o, REASON_POPULAR, squash(funnel_lift(c->r, rooms[i]->host, c->now_ms)));
        add_up(&o);
        keep_best(out->hosts, &out->host_count, RECOMMEND_HOSTS, &o);
    }
}

void recommend(struct recommender *r, const struct profile *p, struct slice scene, int64_t now_ms, uint64_t seed,
               struct similar_list (*similar)(void *arg, entity_id item), void *arg, struct recommendation *out)
{
    enum { ROOMS = SHORT_ROOMS + SHORT_RANDOM };
    uint32_t numbers[RECOMMEND_CANDIDATES], count = 0;
    const struct catalog_room *rooms[ROOMS];
    struct recommended scored[ROOMS], list[ROOMS];
    struct shortlist shorter;
    struct taste taste;
    out->room_count = out->item_count = out->host_count = 0;
    index_refresh(r, now_ms);
    known_fill(r, p, now_ms);
    taste_of(r, p, now_ms, &taste);
    struct context c = {r, p, &taste, now_ms, similar, arg};
    relate(&c);
    uint32_t found = index_candidates(r, p, &taste, seed, numbers);
    shortlist_make(r, &taste, catalog_number(r->catalog, scene), seed, numbers, found, &shorter);
    for (uint32_t i = 0; i < shorter.room_count; i++)
        if (score_room(&c, &shorter.rooms[i], &scored[count]))
            rooms[count++] = catalog_open(r->catalog, shorter.rooms[i].number);
    memcpy(list, scored, count * sizeof *list);
    struct chooser ch = {hash_mix(seed), r->settings.explore_ppm / 1e6};
    choose_rooms(&c, &ch, list, count, out);
    for (uint32_t i = 0; i < shorter.item_count; i++)
        choose_item(&c, shorter.items[i], out);
    choose_hosts(&c, rooms, scored, count, out);
    forget_scores(r);
}
