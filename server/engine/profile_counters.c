/* Which funnel counters of which entities an event moves. */
#include "server/engine/profile_internal.h"

static void add_plain(struct count_effect *e, enum event_type type)
{
    switch (type) {
    case EVENT_IMPRESSION:
        count_effect_add(e, COUNTER_EXPOSURE, 1);
        break;
    case EVENT_CLICK:
    case EVENT_BROWSE:
        count_effect_add(e, COUNTER_CLICK, 1);
        break;
    case EVENT_ENTER:
        count_effect_add(e, COUNTER_ENTER, 1);
        break;
    case EVENT_LEAVE:
        count_effect_add(e, COUNTER_LEAVE, 1);
        break;
    case EVENT_CHAT:
        count_effect_add(e, COUNTER_CHAT, 1);
        count_effect_add(e, COUNTER_INTERACTION, 1);
        break;
    case EVENT_QUESTION:
        count_effect_add(e, COUNTER_QUESTION, 1);
        count_effect_add(e, COUNTER_INTERACTION, 1);
        break;
    case EVENT_LIKE:
        count_effect_add(e, COUNTER_LIKE, 1);
        count_effect_add(e, COUNTER_INTERACTION, 1);
        break;
    case EVENT_VOTE:
        count_effect_add(e, COUNTER_VOTE, 1);
        count_effect_add(e, COUNTER_INTERACTION, 1);
        break;
    case EVENT_GIFT:
        count_effect_add(e, COUNTER_GIFT, 1);
        count_effect_add(e, COUNTER_INTERACTION, 1);
        break;
    case EVENT_SHARE:
    case EVENT_FOLLOW:
        count_effect_add(e, COUNTER_INTERACTION, 1);
        break;
    case EVENT_CART:
        count_effect_add(e, COUNTER_CART, 1);
        break;
    case EVENT_TRIAL:
        count_effect_add(e, COUNTER_TRIAL, 1);
        break;
    case EVENT_DISLIKE:
    case EVENT_BLOCK:
        count_effect_add(e, COUNTER_NEGATIVE, 1);
        break;
    default:
        break;
    }
}

static void add_money(struct fold *f, struct count_effect *e, enum entity_kind kind)
{
    if (f->e->type == EVENT_GIFT)
        count_effect_add(e, COUNTER_GIFT_AMOUNT, f->amount);
    if (f->e->type != EVENT_PURCHASE)
        return;
    count_effect_add(e, COUNTER_PURCHASE, 1);
    count_effect_add(e, COUNTER_UNITS, f->e->qty);
    count_effect_add(e, COUNTER_GMV, f->amount);
    if (kind == ENTITY_ITEM)
        count_effect_add(e, COUNTER_BUYER, f->first_order);
}

static enum event_source source_at(enum event_source source, uint8_t attributed, enum entity_kind kind)
{
    return attributed >> (kind - ENTITY_ITEM) & 1 ? SOURCE_RECOMMENDATION : source;
}

static void count(struct fold *f, enum entity_kind kind, struct slice name, bool explained)
{
    if (name.size == 0)
        return;
    struct count_effect *e = effect_list_add_count(f->out, entity_id_of(kind, name));
    e->name = name;
    e->scene = f->e->scene;
    e->source = source_at(f->e->source, f->attributed, kind);
    e->explained = explained;
    add_plain(e, f->e->type);
    add_money(f, e, kind);
    if (f->e->type == EVENT_WATCH)
        count_effect_add(e, COUNTER_WATCH_MS, f->watched_ms);
    if (f->short_view && kind != ENTITY_ITEM)
        count_effect_add(e, COUNTER_SHORT_VIEW, 1);
    if ((kind == ENTITY_ROOM && f->new_visit) || (kind == ENTITY_HOST && f->new_host_day))
        count_effect_add(e, COUNTER_VISITOR, 1);
    if (kind == ENTITY_HOST)
        count_effect_add(e, COUNTER_FOLLOW, f->follow);
    if (kind == ENTITY_ITEM) {
        count_effect_add(e, COUNTER_RATING_COUNT, f->stars_count);
        count_effect_add(e, COUNTER_RATING_SUM, f->stars_sum);
    }
    if (e->counter_count == 0)
        f->out->count_count--;
}

enum event_source owned_source(const struct owned_item *o, enum entity_kind kind)
{
    return source_at(o->source, o->attributed, kind);
}

static void count_refund(struct fold *f, entity_id id, const struct owned_item *o, int64_t amount, bool first)
{
    if (id == 0)
        return;
    const struct event *e = f->e;
    const struct slice names[] = {e->item, e->host, e->room};
    struct count_effect *out = effect_list_add_count(f->out, id);
    for (int i = 0; i < 3; i++)
        if (names[i].size && entity_id_of(ENTITY_ITEM + i, names[i]) == id)
            out->name = names[i];
    out->scene = e->scene;
    out->source = owned_source(o, entity_kind_of(id));
    count_effect_add(out, COUNTER_REFUND, first);
    count_effect_add(out, COUNTER_REFUND_AMOUNT, amount);
    if (out->counter_count == 0)
        f->out->count_count--;
}

void fold_count_refund(struct fold *f, const struct owned_item *o, int64_t amount, bool first)
{
    if (!f->s->funnel)
        return;
    count_refund(f, o->item, o, amount, first);
    count_refund(f, o->host, o, amount, first);
    count_refund(f, o->room, o, amount, first);
}

void fold_counters(struct fold *f)
{
    const struct event *e = f->e;
    if (e->type == EVENT_REFUND)
        return;
    count(f, ENTITY_ROOM, e->room, e->explaining.size > 0);
    if (f->s->room_counters_only)
        return;
    count(f, ENTITY_HOST, e->host, false);
    if (e->item.size) {
        count(f, ENTITY_ITEM, e->item, slice_equal(e->explaining, e->item));
        return;
    }
    f->attributed &= (uint8_t)~1; /* no rec showed the item on show, which is what the event counts for when it names none */
    count(f, ENTITY_ITEM, e->explaining, true);
}
