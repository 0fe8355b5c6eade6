/*
 * Return on spend. A room pays its host's bonus and its slot cost once, when it opens, and what operators book on it;
 * the same amounts count for its host, and in equal parts for its items. Commission is the host's share of revenue;
 * for an item it accrues on revenue as it arrives, at the mean rate of the hosts selling it at that time.
 */
#include "server/engine/allocation_state.h"

int64_t roi_revenue(const int64_t totals[COUNTERS])
{
    return totals[COUNTER_GMV] - totals[COUNTER_REFUND_AMOUNT];
}

int64_t roi_commission(int64_t revenue, int32_t commission_bp)
{
    return revenue / 10000 * commission_bp + revenue % 10000 * commission_bp / 10000;
}

void roi_book(struct scene *c, struct room *r, int64_t fixed, int64_t traffic)
{
    r->fixed = add_saturating(r->fixed, fixed);
    r->traffic = add_saturating(r->traffic, traffic);
    r->dirty = true;
    struct host *h = table_find(&c->hosts, r->host);
    if (h) {
        h->fixed = add_saturating(h->fixed, fixed);
        h->traffic = add_saturating(h->traffic, traffic);
        h->dirty = true;
    }
    for (int i = 0; i < r->item_count; i++) {
        struct item *it = table_find(&c->items, r->items[i]);
        if (!it)
            continue;
        it->fixed = add_saturating(it->fixed, fixed / r->item_count);
        it->traffic = add_saturating(it->traffic, traffic / r->item_count);
        it->dirty = true;
    }
}

void roi_item_revenue(struct item *it, int64_t revenue_before)
{
    int64_t more = roi_revenue(it->tally.totals) - revenue_before;
    it->commission = add_saturating(it->commission, roi_commission(more, it->commission_bp));
}

static struct roi roi_of(int64_t revenue, int64_t commission, int64_t fixed, int64_t traffic)
{
    struct roi roi = {revenue, commission, fixed, traffic, 0, false};
    int64_t costs = commission + fixed + traffic;
    if (costs > 0) {
        double ratio = (double)(revenue - costs) / (double)costs;
        ratio = ratio > 1e9 ? 1e9 : ratio < -1e9 ? -1e9 : ratio;
        roi.ratio_ppm = (int64_t)(ratio * PPM);
        roi.has_ratio = true;
    }
    return roi;
}

static void card_room(struct scene *c, struct room *r, struct scene_out *out)
{
    struct out_card *card = out_add_card(out);
    const struct host *h = table_find(&c->hosts, r->host);
    card->kind = ENTITY_ROOM;
    card->name = r->name;
    if (h)
        card->host = h->name;
    card->live = !r->retired;
    memcpy(card->totals, r->tally.totals, sizeof card->totals);
    int64_t revenue = roi_revenue(r->tally.totals);
    card->roi = roi_of(revenue, roi_commission(revenue, h ? h->commission_bp : 0), r->fixed, r->traffic);
    for (int w = 0; w < WINDOWS; w++)
        windows_read(r, c->minute, (enum window)w, card->windows[w]);
    card->weight_ppm = r->weight_ppm > 0 ? r->weight_ppm : 0;
    card->score_ppm = r->score_ppm;
    card->tier = r->tier;
}

static void card_host(const struct host *h, struct scene_out *out)
{
    struct out_card *card = out_add_card(out);
    card->kind = ENTITY_HOST;
    card->name = h->name;
    card->live = h->refs_live > 0;
    memcpy(card->totals, h->tally.totals, sizeof card->totals);
    int64_t revenue = roi_revenue(h->tally.totals);
    card->roi = roi_of(revenue, roi_commission(revenue, h->commission_bp), h->fixed, h->traffic);
}

static void card_item(const struct item *it, struct scene_out *out)
{
    struct out_card *card = out_add_card(out);
    card->kind = ENTITY_ITEM;
    card->name = it->name;
    card->live = it->refs_live > 0;
    memcpy(card->totals, it->tally.totals, sizeof card->totals);
    card->roi = roi_of(roi_revenue(it->tally.totals), it->commission, it->fixed, it->traffic);
}

void roi_tick(struct scene *c, const struct allocation_settings *s, struct scene_out *out)
{
    int64_t due = c->tick_ms - s->card_ms;
    for (uint32_t i = 0; i < c->rooms.count; i++) {
        struct room *r = room_at(c, i);
        if (!r->dirty || r->card_ms > due)
            continue;
        card_room(c, r, out);
        r->dirty = false;
        r->card_ms = c->tick_ms;
    }
    for (uint32_t i = 0; i < c->hosts.count; i++) {
        struct host *h = c->hosts.at[i];
        if (!h->dirty || h->card_ms > due)
            continue;
        card_host(h, out);
        h->dirty = false;
        h->card_ms = c->tick_ms;
    }
    for (uint32_t i = 0; i < c->items.count; i++) {
        struct item *it = c->items.at[i];
        if (!it->dirty || it->card_ms > due)
            continue;
        card_item(it, out);
        it->dirty = false;
        it->card_ms = c->tick_ms;
    }
}
