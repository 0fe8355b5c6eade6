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

float funnel_lift(const struct recommender *r, entity_id id, int64_t now_ms)
{
    const struct funnel *f = funnel_find(r, id);
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
