/*
 * The next item a user takes, as a distribution over all items. It comes back to one of those had before, each by its activation
 * and demand (recommend_again.c), with the share that is learned online; else it is new to the user: by how many took it for the
 * first time lately, and any item as if a few had; times 1 + SIMILAR_GAIN * the sum of similarities that the ranker makes.
 *
 * The share is learned from purchases as they come: how often those came back who had so many occasions, and such a part of
 * them repeated; few examples shrink to those with as many occasions. Both counts fade, so that the share follows its time.
 */
#include "server/engine/recommend_internal.h"

#define SHARE_PRIOR 8    /* purchases that the users with as many occasions count for */
#define SIMILAR_GAIN 2.0f
#define FIRST_PRIOR 3.0f
#define RETURNS_MAX 4096 /* purchases of a kind of user; then they count half */

/* Which kind of user: by occasions in powers of two, and by the part of them that was repeated. */
static struct returns *returns_of(struct recommender *r, const struct profile *p)
{
    uint32_t occasions = 0, items = 0, size = 0;
    for (uint32_t i = 0; i < p->history_count; i++) {
        const struct history_entry *h = &p->history[i];
        bool counts = entity_kind_of(h->id) == ENTITY_ITEM && h->rating;
        items += counts;
        occasions += counts ? 1u + h->times : 0;
    }
    while (size < RETURN_SIZES - 1 && occasions >> size > 1)
        size++;
    uint32_t part = occasions ? (occasions - items) * RETURN_PARTS / occasions : 0;
    return &r->returns[size][part];
}

static float share_of(struct recommender *r, const struct profile *p)
{
    const struct returns *own = returns_of(r, p);
    uint32_t size = (uint32_t)(own - r->returns[0]) / RETURN_PARTS;
    float back = 1, all = 4;
    for (uint32_t k = 0; k < RETURN_PARTS; k++) {
        back += r->returns[size][k].back;
        all += r->returns[size][k].all;
    }
    return (own->back + SHARE_PRIOR * back / all) / (own->all + SHARE_PRIOR);
}

static bool had(const struct profile *p, entity_id id)
{
    const struct history_entry *h = profile_find(p, id);
    return (h && h->rating) || profile_keeps(p, id);
}

void recommender_learn_next(struct recommender *r, const struct profile *p, const struct event *e, int64_t now_ms)
{
    entity_id id = entity_id_of(ENTITY_ITEM, e->item);
    if (e->type != EVENT_PURCHASE || e->item.size == 0)
        return;
    bool back = had(p, id);
    if (!back)
        funnel_first(r, id, now_ms);
    if (p->history_count == 0)
        return;
    struct returns *one = returns_of(r, p);
    one->back += back;
    one->all++;
    if (one->all >= RETURNS_MAX) {
        one->back /= 2;
        one->all /= 2;
    }
}

/* Of an item, or of all: what it weighs among those had before, and among the others; one of them is 0. */
struct next_weight {
    float again, fresh;
};

static struct next_weight weigh(const struct recommender *r, uint32_t number, int64_t now_ms)
{
    const struct catalog_item *it = catalog_numbered(r->catalog, number);
    uint32_t at = item_find(r, number);
    float similar = at != UINT32_MAX ? r->items.similar[at] * r->similar_scale : 0;
    if (!it || (at != UINT32_MAX && r->items.again[at] > 0))
        return (struct next_weight){it ? r->items.again[at] : 0, 0};
    return (struct next_weight){0, (FIRST_PRIOR + (float)funnel_firsts(r, it->id, now_ms)) * (1 + SIMILAR_GAIN * similar)};
}

void recommend_next(struct recommender *r, const struct asker *a, float *out)
{
    struct context c;
    struct next_weight all = {0, 0};
    uint32_t bound = catalog_number_bound(r->catalog);
    context_init(&c, r, a);
    user_begin(&c);
    for (uint32_t n = 0; n < bound; n++) {
        struct next_weight one = weigh(r, n, a->now_ms);
        all.again += one.again;
        all.fresh += one.fresh;
    }
    float share = all.again > 0 ? all.fresh > 0 ? share_of(r, a->profile) : 1 : 0;
    for (uint32_t n = 0; n < bound; n++) {
        struct next_weight one = weigh(r, n, a->now_ms);
        out[n] = one.again > 0 ? share * one.again / all.again : all.fresh > 0 ? (1 - share) * one.fresh / all.fresh : 0;
    }
}
