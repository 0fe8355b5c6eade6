/*
 * Money and ownership. An order is known by a 32-bit tag within the owned list, so a repeated purchase and a refund
 * are judged by their order, not only by the event id.
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

static void add_owned(struct fold *f, uint32_t tag)
{
    struct profile *p = f->p;
    const struct event *e = f->e;
    if (p->owned_count >= f->s->owned) {
        memmove(p->owned, p->owned + 1, (p->owned_count - 1) * sizeof *p->owned);
        p->owned_count--;
    }
    p->owned = realloc(p->owned, (p->owned_count + 1) * sizeof *p->owned);
    ASSERT(p->owned);
    p->owned[p->owned_count++] = (struct owned_item){
        .item = entity_id_of(ENTITY_ITEM, e->item),
        .order_tag = tag,
        .paid = f->amount,
        .paid_ms = e->event_ms,
        .host = id_or_none(ENTITY_HOST, e->host),
        .room = id_or_none(ENTITY_ROOM, e->room),
    };
}

static enum profile_refusal purchase(struct fold *f)
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
    bool same_order = p->owned_count && p->owned[p->owned_count - 1].order_tag == tag; /* several items of one */
    add_owned(f, tag);
    p->spent += f->amount;
    p->orders += !same_order;
    if (e->event_ms > p->last_paid_ms)
        p->last_paid_ms = e->event_ms;
    return PROFILE_APPLIED;
}

static enum profile_refusal refund(struct fold *f)
{
    const struct event *e = f->e;
    struct owned_item *o = find_order(f->p, tag_of(e->order), id_or_none(ENTITY_ITEM, e->item));
    if (!o)
        return PROFILE_UNKNOWN_ORDER;
    if (f->amount > o->paid - o->refunded)
        return PROFILE_REFUND_EXCEEDS;
    f->first_refund = o->refunded == 0;
    f->refunded = o;
    o->refunded += f->amount;
    f->p->refunded += f->amount;
    if (o->refunded < o->paid)
        return PROFILE_APPLIED;
    for (uint32_t i = 0; i < f->p->history_count; i++) {
        struct history_entry *h = &f->p->history[i];
        uint8_t cart = f->s->weights[EVENT_CART];
        if (h->id == o->item && h->rating > cart)
            fold_set_rating(f, h, cart, (struct slice){0});
    }
    return PROFILE_APPLIED;
}

enum profile_refusal fold_money(struct fold *f)
{
    const struct event *e = f->e;
    if (e->type != EVENT_PURCHASE && e->type != EVENT_REFUND && e->type != EVENT_GIFT)
        return PROFILE_APPLIED;
    if (e->currency) {
        const struct currency_settings *c = find_currency(f->s, e->currency);
        if (!c)
            return PROFILE_UNKNOWN_CURRENCY;
        if (e->amount > c->amount_max)
            return PROFILE_AMOUNT_TOO_LARGE;
        f->amount = (int64_t)((__int128)e->amount * c->rate_num / c->rate_den);
    }
    if (e->type == EVENT_PURCHASE)
        return purchase(f);
    return e->type == EVENT_REFUND ? refund(f) : PROFILE_APPLIED;
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
    struct effect *e = effect_list_add(f->out, id, EFFECT_COUNT);
    e->scene = f->e->scene;
    e->counters[e->counter_count++] = (struct counter_delta){counter, delta};
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
