/*
 * What a user comes back to: the items that return, each with its activation
 *   a(i) = sum over the occasions of (1 + age)^-1/4, age in the user's own orders since (base-level activation: Anderson and
 *   Schooler 1991, with the exponent 1/2; here what was fitted) - so what is long ago is measured by the user's own rhythm -
 * times the square root of the demand: what everybody takes of it against the most wanted item. It tells what is out of
 * season or stock, and decides where occasions tie, as most do.
 * An item counts by its purchases, as far as the owned list remembers, or by the occasions of the history, age in days, if that is more.
 */
#include "server/engine/recommend_internal.h"

#include <math.h>

#define AGAIN_HALF 0.5f   /* activation times demand that makes half of the part */
#define DEMAND_LEAST 0.05f

static float recency(float age)
{
    return 1 / sqrtf(sqrtf(1 + age));
}

static bool returns(const struct recommender *r, const struct catalog_item *it)
{
    return it && r->settings.returning[it->format];
}

static float demand(const struct recommender *r, const struct catalog_item *it)
{
    const struct funnel *f = it ? funnel_find(r, it->id) : NULL;
    float taken = f && r->taken_most > 0 ? (float)(f->taken / r->taken_most) : 0;
    return sqrtf(DEMAND_LEAST + taken);
}

static void add_orders(const struct context *c)
{
    struct recommender *r = c->r;
    const struct profile *p = c->p;
    float age = 0;
    for (uint32_t i = p->owned_count; i-- > 0;) {
        const struct owned_item *o = &p->owned[i];
        const struct catalog_item *it = owned_is_kept(o) ? catalog_item(r->catalog, o->item) : NULL;
        age += i + 1 < p->owned_count && o->order_tag != p->owned[i + 1].order_tag;
        if (returns(r, it))
            r->items.again[item_of(r, it->number)] += recency(age);
    }
}

static void add_history(const struct context *c)
{
    struct recommender *r = c->r;
    for (uint32_t i = 0; i < c->p->history_count; i++) {
        const struct history_entry *h = &c->p->history[i];
        const struct catalog_item *it = h->rating ? c->items[i] : NULL;
        uint32_t at = returns(r, it) ? item_of(r, it->number) : UINT32_MAX;
        float days = c->now_ms > h->touched_ms ? (float)(c->now_ms - h->touched_ms) / 86400000 : 0;
        float activation = (float)(1 + h->times) * recency(days);
        if (at != UINT32_MAX && r->items.again[at] < activation)
            r->items.again[at] = activation;
    }
}

float again_value(const struct recommender *r, uint32_t at)
{
    return squash(r->items.again[at] / AGAIN_HALF);
}

void ask_again(const struct context *c)
{
    struct recommender *r = c->r;
    struct tallies *t = &r->items;
    if (!anything_returns(r))
        return;
    add_orders(c);
    add_history(c);
    for (uint32_t at = 0; at < t->count; at++) {
        if (t->again[at] == 0)
            continue;
        t->again[at] *= demand(r, catalog_numbered(r->catalog, t->number[at]));
        t->similar[at] = 0; /* one's own occasions say it better than those of others */
        t->interest[at] += r->weights[REASON_AGAIN] * again_value(r, at);
    }
}
