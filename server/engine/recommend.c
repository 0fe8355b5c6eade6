#include "server/engine/recommend_internal.h"

#include "common/check.h"
#include "server/engine/blend.h"

#include <stdlib.h>

const char *const reason_names[REASONS] = {"interest", "similar_item", "followed", "known_host",
                                           "next_in_series", "popular", "trending", "explore", "again"};

void recommend_settings_default(struct recommend_settings *s)
{
    *s = (struct recommend_settings){
        .weights = {400, 400, 120, 150, 200, 250, 250, 40, 800},
        .explore_ppm = 50000,
        .pause_ms = 600000,
        .per_host = 2,
        .per_category = 5,
        .half_life_short_ms = 86400000,
        .half_life_long_ms = 30 * 86400000ll,
        .trend_half_life_ms = 600000,
        .popular_half_life_ms = 7 * 86400000ll,
        .recent_items = 150,
        .list_items = 20,
        .full_lists = 8,
        .similar_prior_permille = 200,
        .next_permille = 2000,
        .place_permille = 800,
        .place_floor_permille = 500,
        .funnel_max = 200000,
    };
}

struct recommender *recommender_create(const struct recommend_settings *s, const struct catalog *catalog)
{
    struct recommender *r = calloc(1, sizeof *r);
    ASSERT(r);
    r->settings = *s;
    r->catalog = catalog;
    for (int i = 0; i < REASONS; i++)
        r->weights[i] = (float)s->weights[i];
    return r;
}

void recommender_blend(struct recommender *r, const struct blend_model *m)
{
    const struct recommend_settings *s = &r->settings;
    for (int i = 0; i < REASONS; i++)
        r->weights[i] = (float)(s->weights[i] * (s->own_weights >> i & 1 ? 1 : blend_factor(m, i, s->learned_permille)));
    r->shelf.valued_ms = INT64_MIN / 2; /* what it holds is worth something else now */
}

void recommender_destroy(struct recommender *r)
{
    if (!r)
        return;
    map_free(&r->funnels);
    shelf_fini(&r->shelf);
    free(r->items.memory);
    free(r->slots);
    free(r->touched_rooms);
    free(r->sorted_rooms);
    free(r->room_bins);
    free(r->taste.place_of);
    free(r->popular);
    free(r);
}

double recommender_weight(const struct recommender *r, enum reason reason)
{
    return (double)r->weights[reason];
}

/* The columns lie one behind the other, the widest first, so that each is aligned; `bound` is a multiple of 16. */
static void lay_out(struct tallies *t, uint32_t bound)
{
    char *at = calloc(bound, 7 * sizeof(uint32_t) + 3);
    ASSERT(at);
    free(t->memory);
    *t = (struct tallies){.memory = at, .strongest = (uint32_t *)at};
    t->number = t->strongest + bound;
    t->base = (float *)(t->number + bound);
    t->interest = t->base + bound;
    t->similar = t->interest + bound;
    t->value = t->similar + bound;
    t->again = t->value + bound;
    t->bin = (int8_t *)(t->again + bound);
    t->marks = (uint8_t *)(t->bin + bound);
    t->exact = t->marks + bound;
}

void recommender_reserve(struct recommender *r)
{
    uint32_t need = catalog_number_bound(r->catalog);
    if (need <= r->item_bound)
        return;
    uint32_t bound = (need + need / 4 + 64) / 16 * 16;
    r->slots = realloc(r->slots, bound * sizeof *r->slots);
    ASSERT(r->slots);
    memset(r->slots + r->item_bound, 0, (bound - r->item_bound) * sizeof *r->slots);
    lay_out(&r->items, bound);
    r->item_bound = bound;
}

void recommend_shorten(struct context *c, struct slice scene, struct shortlist *out)
{
    c->scene = catalog_number(c->r->catalog, scene);
    user_begin(c);
    user_shorten(c, out);
}

uint32_t recommend_given(struct recommender *r, const struct asker *a, struct slice scene, const struct given *given, struct list_place *out)
{
    struct context c;
    struct shortlist s;
    context_init(&c, r, a);
    recommend_shorten(&c, scene, &s);
    return score_given(&c, &s, given, out);
}

void recommend(struct recommender *r, const struct profile *p, struct slice scene, int64_t now_ms, uint64_t seed,
               struct similar_list (*similar)(void *arg, entity_id item), void *arg, struct recommendation *out)
{
    struct context c;
    struct shortlist s;
    context_init(&c, r, &(struct asker){p, now_ms, similar, arg});
    c.seed = seed;
    recommend_shorten(&c, scene, &s);
    score_all(&c, &s, out);
}
