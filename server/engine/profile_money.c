/*
 * Money and ownership. An order is known by a 32-bit tag within the owned list, so a repeated purchase and a refund
 * are judged by their order, not only by the event id. A refund that says no currency is in that of its order, whose
 * items may be in several.
 */
#include "server/engine/profile_internal.h"

#include "common/check.h"

#include <stdlib.h>

static const struct currency_settings *find_currency(const struct profile_settings *s, uint32_t currency)
{
    for (int i = 0; i < CURRENCIES_MAX; i++)
        if (s->currencies[i].currency == currency && currency)
            return &s->currencies[i];
    return NULL;
}

/* Its place in the settings; one past all when it is not there. */
static uint8_t currency_of(const struct profile_settings *s, uint32_t currency)
{
    const struct currency_settings *c = find_currency(s, currency);
    return c ? (uint8_t)(c - s->currencies) : CURRENCIES_MAX;
}

static uint32_t tag_of(struct slice order)
{
    return (uint32_t)hash64(order.at, order.size, 14);
}

static struct owned_item *find_order(struct profile *p, uint32_t tag, entity_id item)
{
    for (uint32_t i = p->owned_count; i-- > 0;)
        if (p->owned[i].order_tag == tag && (item == 0 || p->owned[i].item == item))
            return &p->owned[i];
    return NULL;
}

static bool owns(const struct profile *p, entity_id item)
{
    for (uint32_t i = 0; i < p->owned_count; i++)
        if (p->owned[i].item == item)
            return true;
    return false;
}

static entity_id id_or_none(enum entity_kind kind, struct slice name)
{
    return name.size ? entity_id_of(kind, name) : 0;
}

static void add_owned(struct fold *f, uint32_t tag, uint8_t currency)
{
    struct profile *p = f->p;
    const struct event *e = f->e;
    if (f->s->owned == 0)
        return;
    if (p->owned_count >= f->s->owned) {
        uint32_t leaving = p->owned_count - f->s->owned + 1;
        memmove(p->owned, p->owned + leaving, (p->owned_count - leaving) * sizeof *p->owned);
        p->owned_count -= leaving;
    }
    p->owned = realloc(p->owned, (p->owned_count + 1) * sizeof *p->owned);
    ASSERT(p->owned);
    p->owned[p->owned_count++] = (struct owned_item){
        .item = entity_id_of(ENTITY_ITEM, e->item),
        .order_tag = tag,
        .paid = e->amount,
        .currency = currency,
        .host = id_or_none(ENTITY_HOST, e->host),
        .room = id_or_none(ENTITY_ROOM, e->room),
    };
}

/* Settlement minor units, toward zero; 0 without a currency, or in one that the settings have no more. */
static int64_t settled(const struct fold *f, uint8_t currency, int64_t amount)
{
    const struct currency_settings *c = &f->s->currencies[currency];
    return currency < CURRENCIES_MAX && c->currency ? (int64_t)((__int128)amount * c->rate_num / c->rate_den) : 0;
}

static enum profile_refusal purchase(struct fold *f, uint8_t currency)
{
    struct profile *p = f->p;
    const struct event *e = f->e;
    if (e->order.size == 0 || e->item.size == 0 || f->s->owned == 0)
        return PROFILE_APPLIED; /* the reference job's purchases are actions only */
    uint32_t tag = tag_of(e->order);
    entity_id item = entity_id_of(ENTITY_ITEM, e->item);
    if (find_order(p, tag, item))
        return PROFILE_DUPLICATE;
    f->first_order = !owns(p, item);
    bool same_order = find_order(p, tag, 0); /* several items of one */
    add_owned(f, tag, currency);
    p->spent += f->amount;
    p->orders += !same_order;
    if (e->event_ms > p->last_paid_ms)
        p->last_paid_ms = e->event_ms;
    return PROFILE_APPLIED;
}

/* The item of an order that went back in full counts no more than one in the cart, unless another order of it stands. */
static void lower_rating(struct fold *f, entity_id item)
{
    uint8_t cart = f->s->weights[EVENT_CART];
    if (profile_keeps(f->p, item))
        return;
    for (uint32_t i = 0; i < f->p->history_count; i++) {
        struct history_entry *h = &f->p->history[i];
        if (h->id == item && h->rating > cart)
            fold_set_rating(f, h, cart, (struct slice){0});
    }
}

/* Settled by what the whole amount comes to, so that parts add up to what the purchase added. */
static void refund_part(struct fold *f, struct owned_item *o, int64_t amount)
{
    int64_t part = settled(f, o->currency, o->refunded + amount) - settled(f, o->currency, o->refunded);
    bool first = o->refunded == 0;
    o->refunded += amount;
    f->p->refunded += part;
    if (o->refunded == o->paid)
        lower_rating(f, o->item);
    fold_count_refund(f, o, part, first);
}

/* What a refund is taken from. */
struct refund_of {
    uint32_t tag;
    entity_id item;   /* 0: all of the order */
    uint8_t currency; /* place in the settings; amounts of others do not add up with its own */
};

static bool is_of(const struct owned_item *o, const struct refund_of *of)
{
    return o->order_tag == of->tag && (of->item == 0 || o->item == of->item) && o->currency == of->currency;
}

/* The refund of an order that names no item is taken from its items in its currency, the newest first. */
static enum profile_refusal refund(struct fold *f)
{
    const struct event *e = f->e;
    struct profile *p = f->p;
    uint32_t tag = tag_of(e->order);
    entity_id item = id_or_none(ENTITY_ITEM, e->item);
    struct owned_item *newest = find_order(p, tag, item);
    int64_t left = e->amount, open = 0;
    if (!newest)
        return PROFILE_UNKNOWN_ORDER;
    const struct refund_of of = {tag, item, e->currency ? currency_of(f->s, e->currency) : newest->currency};
    bool any = false;
    for (uint32_t i = 0; i < p->owned_count; i++)
        if (is_of(&p->owned[i], &of)) {
            any = true;
            open += p->owned[i].paid - p->owned[i].refunded;
        }
    if (!any || (e->currency && of.currency == CURRENCIES_MAX))
        return PROFILE_CURRENCY_MISMATCH;
    if (left > open)
        return PROFILE_REFUND_EXCEEDS;
    for (uint32_t i = p->owned_count; i-- > 0 && left > 0;) {
        struct owned_item *o = &p->owned[i];
        int64_t amount = o->paid - o->refunded < left ? o->paid - o->refunded : left;
        if (!is_of(o, &of) || amount == 0)
            continue;
        refund_part(f, o, amount);
        left -= amount;
    }
    return PROFILE_APPLIED;
}

enum profile_refusal fold_money(struct fold *f)
{
    const struct event *e = f->e;
    uint8_t currency = CURRENCIES_MAX;
    if (e->type == EVENT_REFUND)
        return refund(f);
    if (e->type != EVENT_PURCHASE && e->type != EVENT_GIFT)
        return PROFILE_APPLIED;
    if (e->currency) {
        const struct currency_settings *c = find_currency(f->s, e->currency);
        if (!c)
            return PROFILE_UNKNOWN_CURRENCY;
        if (e->amount > c->amount_max)
            return PROFILE_AMOUNT_TOO_LARGE;
        currency = (uint8_t)(c - f->s->currencies);
        f->amount = settled(f, currency, e->amount);
    }
    return e->type == EVENT_PURCHASE ? purchase(f, currency) : PROFILE_APPLIED;
}

/* A rating counts only from somebody who bought the item; it replaces the one before. */
void fold_stars(struct fold *f, struct history_entry *h, struct slice name)
{
    if (!owns(f->p, h->id))
        return;
    f->stars_count = h->stars == 0;
    f->stars_sum = (int)f->e->value - h->stars;
    h->stars = f->e->value;
}

static void take_back(struct fold *f, entity_id id, enum counter counter, int64_t delta)
{
    struct count_effect *e = effect_list_add_count(f->out, id);
    e->scene = f->e->scene;
    count_effect_add(e, counter, delta);
}

void fold_forget(struct fold *f)
{
    struct profile *p = f->p;
    for (uint32_t i = 0; i < p->history_count; i++) {
        struct history_entry *h = &p->history[i];
        if (h->stars && f->s->funnel) {
            take_back(f, h->id, COUNTER_RATING_COUNT, -1);
            take_back(f, h->id, COUNTER_RATING_SUM, -(int64_t)h->stars);
        }
        fold_set_rating(f, h, 0, (struct slice){0});
    }
    for (uint32_t i = 0; i < p->relation_count && f->s->funnel; i++)
        if (!p->relations[i].blocked)
            take_back(f, p->relations[i].id, COUNTER_FOLLOW, -1);
    struct profile empty = {0};
    free(p->history);
    free(p->owned);
    free(p->relations);
    free(p->visits);
    free(p->dedupe);
    *p = empty;
}
