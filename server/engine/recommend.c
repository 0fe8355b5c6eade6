#include "server/engine/recommend_internal.h"

#include "common/check.h"

#include <stdlib.h>

const char *const reason_names[REASONS] = {"interest", "similar_item", "followed", "known_host",
                                           "next_in_series", "popular", "trending", "explore", "again"};

void recommend_settings_default(struct recommend_settings *s)
{
    *s = (struct recommend_settings){
        .weights = {400, 250, 120, 150, 200, 250, 80, 40, 800},
        .explore_ppm = 50000,
        .pause_ms = 600000,
        .per_host = 2,
        .per_category = 5,
        .half_life_short_ms = 86400000,
        .half_life_long_ms = 30 * 86400000ll,
        .trend_half_life_ms = 600000,
        .popular_half_life_ms = 7 * 86400000ll,
        .recent_items = 32,
        .list_items = 20,
        .full_lists = 8,
        .similar_permille = 4000,
        .next_permille = 10000,
        .place_permille = 950,
        .funnel_max = 200000,
    };
}

struct recommender *recommender_create(const struct recommend_settings *s, const struct catalog *catalog)
{
    struct recommender *r = calloc(1, sizeof *r);
    ASSERT(r);
    r->settings = *s;
    r->catalog = catalog;
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
    shelf_fini(&r->shelf);
    free(r->items);
    free(r->hosts);
    free(r->rooms);
    free(r->item_at);
    free(r->groups);
    free(r->touched_rooms);
    free(r->sorted_rooms);
    free(r->bins);
    free(r->values);
    free(r->sums);
    free(r->popular);
    free(r);
}

void recommend(struct recommender *r, const struct profile *p, struct slice scene, int64_t now_ms, uint64_t seed,
               struct similar_list (*similar)(void *arg, entity_id item), void *arg, struct recommendation *out)
{
    struct context c = {r, p, catalog_number(r->catalog, scene), now_ms, seed, similar, arg};
    struct shortlist s;
    shelf_refresh(r, now_ms);
    user_begin(&c);
    user_shorten(&c, &s);
    score_all(&c, &s, out);
}
