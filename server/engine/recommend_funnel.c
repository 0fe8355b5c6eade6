/* The funnel of what this worker has seen: exposures, looks and takings of rooms, hosts and items, fading. */
#include "server/engine/recommend_internal.h"

#include "common/check.h"

#include <math.h>
#include <stdlib.h>

const struct funnel *funnel_find(const struct recommender *r, entity_id id)
{
    return id ? map_find(&r->funnels, id) : NULL;
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

/* NULL when there are too many. */
static struct funnel *funnel_make(struct recommender *r, entity_id id)
{
    struct funnel *f = map_find(&r->funnels, id);
    if (f || r->funnels.count >= r->settings.funnel_max)
        return f;
    f = calloc(1, sizeof *f);
    ASSERT(f);
    map_put(&r->funnels, id, f);
    return f;
}

static void count_entity(struct recommender *r, enum entity_kind kind, struct slice name, double exposures, double looks,
                         double buys, int64_t now_ms)
{
    if (name.size == 0)
        return;
    struct funnel *f = funnel_make(r, entity_id_of(kind, name));
    if (f)
        count(r, f, exposures, looks, buys, now_ms);
}

/* Everything is brought to a new landmark before the numbers get too large. */
static void move_landmark(struct recommender *r, double factor, int64_t now_ms)
{
    size_t at = 0;
    struct map_slot slot;
    while (map_next(&r->funnels, &at, &slot)) {
        struct funnel *f = slot.value;
        f->taken /= factor;
        f->first /= factor;
    }
    r->taken_most /= factor;
    r->taken_from_ms = now_ms;
}

/* What one is worth in sums of forward decay. */
static double worth(struct recommender *r, int64_t now_ms)
{
    r->taken_from_ms = r->taken_from_ms ? r->taken_from_ms : now_ms;
    double age = (double)(now_ms - r->taken_from_ms) / (double)r->settings.popular_half_life_ms, factor = exp2(age < 60 ? age : 60);
    if (age <= 40)
        return factor;
    move_landmark(r, factor, now_ms);
    return 1;
}

void funnel_first(struct recommender *r, entity_id item, int64_t now_ms)
{
    double one = worth(r, now_ms);
    struct funnel *f = funnel_make(r, item);
    if (f)
        f->first += one;
}

double funnel_firsts(const struct recommender *r, entity_id item, int64_t now_ms)
{
    const struct funnel *f = funnel_find(r, item);
    return f ? f->first * exp2(-(double)(now_ms - r->taken_from_ms) / (double)r->settings.popular_half_life_ms) : 0;
}

static void count_taken(struct recommender *r, const struct event *e, int64_t now_ms)
{
    double weight = e->type == EVENT_PURCHASE ? 5 : e->type == EVENT_CART || e->type == EVENT_TRIAL || e->type == EVENT_RATING ? 3 :
                    e->type == EVENT_CLICK || e->type == EVENT_ENTER || e->type == EVENT_WATCH || e->type == EVENT_BROWSE ? 1 : 0;
    if (weight == 0 || e->item.size == 0)
        return;
    double factor = worth(r, now_ms);
    struct funnel *f = funnel_make(r, entity_id_of(ENTITY_ITEM, e->item));
    if (!f)
        return;
    f->taken += weight * factor;
    r->taken_most = f->taken > r->taken_most ? f->taken : r->taken_most;
}

void recommender_see(struct recommender *r, const struct event *e, int64_t now_ms)
{
    double exposures = e->type == EVENT_IMPRESSION;
    double looks = e->type == EVENT_CLICK || e->type == EVENT_ENTER || e->type == EVENT_WATCH ? 1 : 0;
    double buys = e->type == EVENT_PURCHASE ? 3 : e->type == EVENT_CART || e->type == EVENT_TRIAL ? 1 : e->type == EVENT_DISLIKE ? -1 : 0;
    count_taken(r, e, now_ms);
    if (exposures == 0 && looks == 0 && buys == 0)
        return;
    count_entity(r, ENTITY_ROOM, e->room, exposures, looks, buys, now_ms);
    count_entity(r, ENTITY_HOST, e->host, exposures, looks, buys, now_ms);
    count_entity(r, ENTITY_ITEM, e->item, exposures, looks, buys, now_ms);
    count(r, &r->all, exposures, looks, buys, now_ms);
}

float funnel_lift(const struct recommender *r, const struct funnel *f, int64_t now_ms)
{
    if (!f)
        return 1;
    double fade = funnel_fade(r, f, now_ms);
    double click_rate = (r->all.looks + 1) / (r->all.exposures + r->all.looks + 10);
    double buy_rate = (r->all.buys > 0 ? r->all.buys + 1 : 1) / (r->all.looks + 50);
    double exposures = (f->exposures + f->looks) * fade, looks = f->looks * fade, buys = f->buys * fade;
    double click = (looks + 20 * click_rate) / (exposures + 20) / click_rate;
    double buy = ((buys > 0 ? buys : 0) + 50 * buy_rate) / (looks + 50) / buy_rate;
    return (float)(click * buy);
}

float recommender_lift(const struct recommender *r, entity_id id, int64_t now_ms)
{
    return funnel_lift(r, funnel_find(r, id), now_ms);
}
