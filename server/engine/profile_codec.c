/* The profile's stored bytes, and its default settings. Canonical: lists in their order, numbers as varints. */
#include "server/engine/profile.h"

#include "common/check.h"

#include <stdlib.h>

#define PROFILE_VERSION 2

enum { HAS_DWELL = 1, HAS_IMPRESSED = 2, HAS_STARS = 4, HAS_PERCENT = 8, IS_NEGATIVE = 16, HAS_SHOWN = 32, SHOWN_IS_IMPRESSED = 64 };

/* An impression that carried a rec is both: the usual case costs a bit. */
static uint8_t shown_of(const struct history_entry *h)
{
    if (h->shown_ms == 0)
        return 0;
    return h->flags & HISTORY_IMPRESSED && h->shown_ms == h->impressed_ms ? SHOWN_IS_IMPRESSED : HAS_SHOWN;
}

static void put_history(const struct profile *p, struct writer *out)
{
    int64_t before = 0;
    put_varint(out, p->history_count);
    for (uint32_t i = 0; i < p->history_count; i++) {
        const struct history_entry *h = &p->history[i];
        uint8_t has = (uint8_t)((h->dwell_ms ? HAS_DWELL : 0) | (h->flags & HISTORY_IMPRESSED ? HAS_IMPRESSED : 0) |
                                (h->stars ? HAS_STARS : 0) | (h->percent ? HAS_PERCENT : 0) |
                                (h->flags & HISTORY_NEGATIVE ? IS_NEGATIVE : 0) | shown_of(h));
        put_u48(out, h->id);
        put_u8(out, h->rating);
        put_u8(out, has);
        put_signed(out, h->touched_ms - before);
        before = h->touched_ms;
        if (has & HAS_DWELL)
            put_varint(out, h->dwell_ms);
        if (has & HAS_IMPRESSED)
            put_signed(out, h->touched_ms - h->impressed_ms);
        if (has & HAS_SHOWN)
            put_signed(out, h->touched_ms - h->shown_ms);
        if (has & HAS_STARS)
            put_u8(out, h->stars);
        if (has & HAS_PERCENT)
            put_u8(out, h->percent);
    }
}

static void get_history(struct profile *p, struct reader *r)
{
    int64_t before = 0;
    uint32_t count = get_count(r, PROFILE_HISTORY_MAX, 9), capacity = 1;
    while (capacity < count)
        capacity *= 2;
    if (count == 0)
        return;
    p->history = calloc(capacity, sizeof *p->history);
    ASSERT(p->history);
    for (p->history_count = 0; p->history_count < count; p->history_count++) {
        struct history_entry *h = &p->history[p->history_count];
        h->id = get_u48(r);
        h->rating = get_u8(r);
        uint8_t has = get_u8(r);
        h->touched_ms = before = (int64_t)((uint64_t)before + (uint64_t)get_signed(r));
        h->flags = (uint8_t)((has & IS_NEGATIVE ? HISTORY_NEGATIVE : 0) | (has & HAS_IMPRESSED ? HISTORY_IMPRESSED : 0));
        if (has & HAS_DWELL)
            h->dwell_ms = (uint32_t)get_varint(r);
        if (has & HAS_IMPRESSED)
            h->impressed_ms = (int64_t)((uint64_t)h->touched_ms - (uint64_t)get_signed(r));
        if (has & HAS_SHOWN)
            h->shown_ms = (int64_t)((uint64_t)h->touched_ms - (uint64_t)get_signed(r));
        else if (has & SHOWN_IS_IMPRESSED)
            h->shown_ms = h->impressed_ms;
        if (has & HAS_STARS)
            h->stars = get_u8(r);
        if (has & HAS_PERCENT)
            h->percent = get_u8(r);
    }
}

static void put_owned(const struct profile *p, struct writer *out)
{
    put_varint(out, p->owned_count);
    for (uint32_t i = 0; i < p->owned_count; i++) {
        const struct owned_item *o = &p->owned[i];
        put_u48(out, o->item);
        put_u32(out, o->order_tag);
        put_signed(out, o->paid);
        put_signed(out, o->refunded);
        put_signed(out, o->paid_ms);
        put_u48(out, o->host);
        put_u48(out, o->room);
        put_u8(out, (uint8_t)(o->currency << 3 | o->source));
    }
}

static void get_owned(struct profile *p, struct reader *r)
{
    uint32_t count = get_count(r, PROFILE_OWNED_MAX, 26);
    if (count == 0)
        return;
    p->owned = calloc(count, sizeof *p->owned);
    ASSERT(p->owned);
    for (p->owned_count = 0; p->owned_count < count; p->owned_count++) {
        struct owned_item *o = &p->owned[p->owned_count];
        o->item = get_u48(r);
        o->order_tag = get_u32(r);
        o->paid = get_signed(r);
        o->refunded = get_signed(r);
        o->paid_ms = get_signed(r);
        o->host = get_u48(r);
        o->room = get_u48(r);
        uint8_t packed = get_u8(r);
        o->currency = packed >> 3;
        o->source = packed & 7;
        r->failed |= o->currency > CURRENCIES_MAX;
    }
}

static void put_lists(const struct profile *p, struct writer *out)
{
    put_varint(out, p->relation_count);
    for (uint32_t i = 0; i < p->relation_count; i++)
        put_u48(out, p->relations[i].id);
    for (uint32_t i = 0; i < p->relation_count; i++)
        put_u8(out, p->relations[i].blocked);
    put_varint(out, p->visit_count);
    for (uint32_t i = 0; i < p->visit_count; i++) {
        put_u32(out, p->visits[i].tag);
        put_varint(out, p->visits[i].dwell_ms);
    }
    put_varint(out, p->dedupe_count);
    for (uint32_t i = 0; i < p->dedupe_count; i++)
        put_le(out, p->dedupe[i], 3);
}

static uint32_t capacity_of(uint32_t count)
{
    uint32_t capacity = 1;
    while (capacity < count)
        capacity *= 2;
    return capacity;
}

static void get_lists(struct profile *p, struct reader *r)
{
    uint32_t count = get_count(r, PROFILE_RELATIONS_MAX, 7);
    p->relations = count ? calloc(capacity_of(count), sizeof *p->relations) : NULL;
    for (uint32_t i = 0; i < count; i++)
        p->relations[i].id = get_u48(r);
    for (uint32_t i = 0; i < count; i++)
        p->relations[i].blocked = get_u8(r) != 0;
    p->relation_count = count;
    count = get_count(r, PROFILE_VISITS_MAX, 5);
    p->visits = count ? calloc(capacity_of(count), sizeof *p->visits) : NULL;
    for (uint32_t i = 0; i < count; i++) {
        p->visits[i].tag = get_u32(r);
        p->visits[i].dwell_ms = (uint32_t)get_varint(r);
    }
    p->visit_count = count;
    count = get_count(r, PROFILE_DEDUPE_MAX, 3);
    p->dedupe = count ? calloc(capacity_of(count), sizeof *p->dedupe) : NULL;
    for (uint32_t i = 0; i < count; i++)
        p->dedupe[i] = (uint32_t)get_le(r, 3);
    p->dedupe_count = count;
}

void profile_encode(const struct profile *p, struct writer *out)
{
    put_u8(out, PROFILE_VERSION);
    put_varint(out, p->events);
    put_varint(out, p->dwell_ms);
    put_signed(out, p->first_ms);
    put_signed(out, p->last_ms - p->first_ms);
    uint32_t used = 0;
    for (int i = 0; i < EVENT_TYPES; i++)
        used |= p->counts[i] ? 1u << i : 0;
    put_varint(out, used);
    for (int i = 0; i < EVENT_TYPES; i++)
        if (p->counts[i])
            put_varint(out, p->counts[i]);
    put_signed(out, p->spent);
    put_signed(out, p->refunded);
    put_signed(out, p->gifted);
    put_signed(out, p->last_paid_ms);
    put_varint(out, p->orders);
    put_varint(out, p->visits_lost);
    put_history(p, out);
    put_owned(p, out);
    put_lists(p, out);
}

enum err profile_decode(struct slice bytes, struct profile **out_profile)
{
    struct reader r = reader_of(bytes.at, bytes.size);
    if (get_u8(&r) != PROFILE_VERSION)
        return ERR_VERSION;
    struct profile *p = profile_create();
    p->events = get_varint(&r);
    p->dwell_ms = get_varint(&r);
    p->first_ms = get_signed(&r);
    p->last_ms = (int64_t)((uint64_t)p->first_ms + (uint64_t)get_signed(&r));
    uint32_t used = (uint32_t)get_varint(&r);
    for (int i = 0; i < EVENT_TYPES; i++)
        if (used >> i & 1)
            p->counts[i] = (uint32_t)get_varint(&r);
    p->spent = get_signed(&r);
    p->refunded = get_signed(&r);
    p->gifted = get_signed(&r);
    p->last_paid_ms = get_signed(&r);
    p->orders = (uint32_t)get_varint(&r);
    p->visits_lost = (uint32_t)get_varint(&r);
    get_history(p, &r);
    get_owned(p, &r);
    get_lists(p, &r);
    if (r.failed || reader_left(&r)) {
        profile_destroy(p);
        return ERR_INVALID;
    }
    *out_profile = p;
    return ERR_NONE;
}

#define CURRENCY(a, b, c) ((uint32_t)(a) << 16 | (uint32_t)(b) << 8 | (uint32_t)(c))

void profile_settings_default(struct profile_settings *s)
{
    static const uint8_t weights[EVENT_TYPES] = {
        [EVENT_CLICK] = 1, [EVENT_ENTER] = 1,    [EVENT_LEAVE] = 1, [EVENT_WATCH] = 1,  [EVENT_BROWSE] = 1,
        [EVENT_CHAT] = 2,  [EVENT_QUESTION] = 2, [EVENT_LIKE] = 2,  [EVENT_SHARE] = 2,  [EVENT_FOLLOW] = 2,
        [EVENT_VOTE] = 2,  [EVENT_RATING] = 2,   [EVENT_CART] = 3,  [EVENT_GIFT] = 3,   [EVENT_TRIAL] = 3,
        [EVENT_PURCHASE] = 5, [EVENT_PROGRESS] = 1,
    };
    *s = (struct profile_settings){
        .history = 50, .history_hosts = 12, .history_rooms = 64, .dedupe = 64, .owned = 256, .relations = 128,
        .visits = 128, .late_ms_max = 86400000, .early_ms_max = 300000, .dwell_ms_max = 600000,
        .room_dwell_ms_max = 1800000, .short_view_ms = 3000, .watch_step_ms = {3000, 60000, 300000, 900000},
        .attribution_ms = 1800000, .day_offset_ms = 8 * 3600000, .funnel = true,
        .currencies = {{CURRENCY('C', 'N', 'Y'), 10000000, 1, 1}, {CURRENCY('U', 'S', 'D'), 1400000, 71, 10},
                       {CURRENCY('E', 'U', 'R'), 1300000, 78, 10}, {CURRENCY('H', 'K', 'D'), 11000000, 92, 100},
                       {CURRENCY('T', 'W', 'D'), 45000000, 22, 100}, {CURRENCY('J', 'P', 'Y'), 2200000, 463, 100}},
    };
    memcpy(s->weights, weights, sizeof weights);
}
