/*
 * The profile's stored bytes, and its default settings. Canonical: equal state, equal bytes. What is read is refused when it
 * could not have been written, except that a reference might be shorter: to look for that costs as much as to encode.
 *
 * An id costs six bytes, so each stands once where it can: the history comes first, the youngest entry first, and what
 * else names an entity refers to its place there. A visit's tag follows from the room, or from the host and the day.
 * Times are differences to the entry before, in seconds; an entry of the same event as the one before has none.
 */
#include "server/engine/profile_internal.h"
#include "server/engine/stored.h"

#include "common/check.h"
#include "common/mutant.h"

#include <stdlib.h>

#define PROFILE_VERSION 6
#define VISIT_DAYS 64 /* a host's visit older than that keeps its tag */

/* What is not zero, below the bits of the counts. */
enum { HAS_MONEY = 1, HAS_REFUNDED = 2, HAS_GIFTED = 4, HAS_LOST = 8, HAS_CARRY = 16, COUNTS_SHIFT = 5 };
/* A history entry's first byte, above three bits of rating, and its second. */
enum { RATING_MORE = 7, HAS_DWELL = 8, SAME_TIME = 16, IS_NEGATIVE = 32, HAS_IMPRESSED = 64, HAS_MORE = 128 };
enum { HAS_SHOWN = 1, SHOWN_IS_IMPRESSED = 2, HAS_STARS = 4, HAS_PERCENT = 8, HAS_TIMES = 16 };
enum { REF_NONE, REF_RAW, REF_FIRST };
enum { VISIT_RAW, VISIT_ROOM, VISIT_HOST, VISIT_DWELL = 4, VISIT_SHIFT = 3 };

/* Where a purchase came from: organic, with a bit a kind of entity attributed, or one of the other sources. */
enum { ATTRIBUTIONS = 8, ORIGINS = ATTRIBUTIONS + SOURCES - 1 };

#define PLACES 512 /* more than twice PROFILE_HISTORY_MAX */

/* What the history gives the rest to refer to. */
struct book {
    const struct profile *p;
    uint16_t place[PLACES];  /* by hash of the id: 1 + entries from the young end; only to encode */
    uint32_t rooms, hosts;
    uint32_t room_tag[PROFILE_HISTORY_MAX + 1]; /* of visits; youngest first */
    uint32_t host_tag[PROFILE_HISTORY_MAX + 1]; /* of day 0 */
    uint32_t day;            /* after which no visit is */
};

static void book_open(struct book *b, const struct profile *p)
{
    b->p = p;
    b->rooms = b->hosts = 0;
    b->day = (uint32_t)(p->last_ms / 86400000) + 1; /* days begin up to a day before UTC's */
}

static void book_add(struct book *b, entity_id id)
{
    if (entity_kind_of(id) == ENTITY_ROOM)
        b->room_tag[b->rooms++] = visit_tag_of_room(id);
    else if (entity_kind_of(id) == ENTITY_HOST)
        b->host_tag[b->hosts++] = visit_tag_of_host(id, 0);
}

static uint32_t place_of(entity_id id)
{
    return (uint32_t)(id * 0x9e3779b97f4a7c15u >> 32) % PLACES;
}

static void book_index(struct book *b)
{
    memset(b->place, 0, sizeof b->place);
    for (uint32_t rank = 0; rank < b->p->history_count; rank++) {
        uint32_t at = place_of(b->p->history[b->p->history_count - 1 - rank].id);
        while (b->place[at])
            at = (at + 1) % PLACES;
        b->place[at] = (uint16_t)(rank + 1);
    }
}

static uint32_t ref_of(const struct book *b, entity_id id)
{
    if (id == 0)
        return REF_NONE;
    for (uint32_t at = place_of(id); b->place[at]; at = (at + 1) % PLACES)
        if (b->p->history[b->p->history_count - b->place[at]].id == id)
            return REF_FIRST + b->place[at] - 1u;
    return REF_RAW;
}

static void put_ref(const struct book *b, entity_id id, bool flag, struct writer *out)
{
    uint32_t ref = ref_of(b, id);
    put_varint(out, (uint64_t)ref << 1 | flag);
    if (ref == REF_RAW)
        put_u48(out, id);
}

static entity_id get_ref(const struct book *b, bool *out_flag, struct reader *r)
{
    uint64_t ref = get_varint(r);
    *out_flag = ref & 1;
    ref >>= 1;
    if (ref == REF_NONE || ref == REF_RAW)
        return ref == REF_RAW ? get_entity(r, ENTITY_NONE) : 0;
    if (ref - REF_FIRST >= b->p->history_count) {
        r->failed = true;
        return 0;
    }
    return b->p->history[b->p->history_count - 1 - (ref - REF_FIRST)].id;
}

/* An impression that carried a rec is both: the usual case costs a bit. */
static uint8_t more_of(const struct history_entry *h)
{
    uint8_t shown = h->shown_ms == 0 ? 0 : h->flags & HISTORY_IMPRESSED && h->shown_ms == h->impressed_ms ? SHOWN_IS_IMPRESSED : HAS_SHOWN;
    return (uint8_t)(shown | (h->stars ? HAS_STARS : 0) | (h->percent ? HAS_PERCENT : 0) | (h->times ? HAS_TIMES : 0));
}

static void put_more(const struct history_entry *h, uint8_t more, struct writer *out)
{
    put_u8(out, more);
    if (more & HAS_SHOWN)
        put_signed(out, h->shown_ms - h->touched_ms);
    if (more & HAS_STARS)
        put_u8(out, h->stars);
    if (more & HAS_PERCENT)
        put_u8(out, h->percent);
    if (more & HAS_TIMES)
        put_u8(out, h->times);
}

static void put_history(const struct profile *p, struct book *b, struct writer *out)
{
    int64_t before_s = p->last_ms / 1000;
    put_varint(out, p->history_count);
    for (uint32_t i = p->history_count; i-- > 0;) {
        const struct history_entry *h = &p->history[i];
        int64_t touched_s = h->touched_ms / 1000;
        uint8_t more = more_of(h);
        put_u48(out, h->id);
        put_u8(out, (uint8_t)((h->rating < RATING_MORE ? h->rating : RATING_MORE) | (h->dwell_s ? HAS_DWELL : 0) |
                              (touched_s == before_s ? SAME_TIME : 0) | (h->flags & HISTORY_NEGATIVE ? IS_NEGATIVE : 0) |
                              (h->flags & HISTORY_IMPRESSED ? HAS_IMPRESSED : 0) | (more ? HAS_MORE : 0)));
        if (h->rating >= RATING_MORE)
            put_u8(out, h->rating);
        if (touched_s != before_s)
            put_signed(out, before_s - touched_s);
        before_s = touched_s;
        if (h->dwell_s)
            put_varint(out, h->dwell_s);
        if (h->flags & HISTORY_IMPRESSED)
            put_signed(out, h->impressed_ms - h->touched_ms);
        if (more)
            put_more(h, more, out);
        book_add(b, h->id);
    }
}

/* A time not later than `last`, as neither is the other that it is written as far from. */
static int64_t get_time(struct reader *r, int64_t other, int sign, int64_t last)
{
    int64_t time = other + sign * get_within(r, -last, last);
    r->failed |= time > last || time < 0;
    return r->failed ? 0 : time;
}

static void get_more(struct history_entry *h, int64_t last_ms, struct reader *r)
{
    uint8_t more = get_u8(r);
    if (more & HAS_SHOWN)
        h->shown_ms = get_time(r, h->touched_ms, 1, last_ms);
    else if (more & SHOWN_IS_IMPRESSED)
        h->shown_ms = h->impressed_ms;
    if (more & HAS_STARS)
        h->stars = get_u8(r);
    if (more & HAS_PERCENT)
        h->percent = get_u8(r);
    if (more & HAS_TIMES)
        h->times = get_u8(r);
    r->failed |= more == 0 || more != more_of(h) || h->stars > 5 || h->percent > 100;
}

static void get_entry(struct history_entry *h, int64_t *touched_s, int64_t last_ms, struct reader *r)
{
    h->id = get_entity(r, ENTITY_NONE);
    uint8_t has = get_u8(r);
    int64_t before_s = *touched_s;
    h->rating = (has & RATING_MORE) == RATING_MORE ? get_u8(r) : has & RATING_MORE;
    if (!(has & SAME_TIME))
        *touched_s = get_time(r, before_s, -1, last_ms / 1000);
    h->touched_ms = *touched_s * 1000;
    h->flags = (uint8_t)((has & IS_NEGATIVE ? HISTORY_NEGATIVE : 0) | (has & HAS_IMPRESSED ? HISTORY_IMPRESSED : 0));
    if (has & HAS_DWELL)
        h->dwell_s = get_varint32(r);
    if (has & HAS_IMPRESSED)
        h->impressed_ms = get_time(r, h->touched_ms, 1, last_ms);
    if (has & HAS_MORE)
        get_more(h, last_ms, r);
    r->failed |= (has & HAS_DWELL && h->dwell_s == 0) || (!(has & SAME_TIME) && *touched_s == before_s) ||
                 ((has & RATING_MORE) == RATING_MORE && h->rating < RATING_MORE);
}

/* The lists grow by doubling; none is allocated for nothing. */
static void *list_create(uint32_t count, size_t size)
{
    uint32_t capacity = 1;
    while (capacity < count)
        capacity *= 2;
    void *list = count ? calloc(capacity, size) : NULL;
    ASSERT(count == 0 || list);
    return list;
}

static void get_history(struct profile *p, struct book *b, struct reader *r)
{
    int64_t touched_s = p->last_ms / 1000;
    p->history_count = get_count(r, PROFILE_HISTORY_MAX, 7);
    p->history = list_create(p->history_count, sizeof *p->history);
    for (uint32_t i = p->history_count; i-- > 0;) {
        get_entry(&p->history[i], &touched_s, p->last_ms, r);
        book_add(b, p->history[i].id);
    }
}

static void put_owned(const struct profile *p, const struct book *b, struct writer *out)
{
    put_varint(out, p->owned_count);
    for (uint32_t i = 0; i < p->owned_count; i++) {
        const struct owned_item *o = &p->owned[i];
        put_ref(b, o->item, o->refunded != 0, out);
        put_ref(b, o->host, false, out);
        put_ref(b, o->room, false, out);
        put_u32(out, o->order_tag);
        put_u8(out, (uint8_t)(o->currency * ORIGINS + (o->source ? ATTRIBUTIONS - 1 + o->source : o->attributed)));
        put_signed(out, o->paid);
        if (o->refunded)
            put_signed(out, o->refunded);
    }
}

static void get_owned(struct profile *p, const struct book *b, struct reader *r)
{
    p->owned_count = FUZZ_MUTANT(owned_unbounded, (uint32_t)get_varint(r), get_count(r, PROFILE_OWNED_MAX, 9));
    p->owned = list_create(p->owned_count, sizeof *p->owned);
    for (uint32_t i = 0; i < p->owned_count; i++) {
        struct owned_item *o = &p->owned[i];
        bool refunded, unused[2];
        o->item = get_ref(b, &refunded, r);
        o->host = get_ref(b, &unused[0], r);
        o->room = get_ref(b, &unused[1], r);
        o->order_tag = get_u32(r);
        uint8_t packed = get_u8(r);
        o->currency = packed / ORIGINS;
        packed %= ORIGINS;
        o->source = packed < ATTRIBUTIONS ? SOURCE_ORGANIC : packed - ATTRIBUTIONS + 1;
        o->attributed = packed < ATTRIBUTIONS ? packed : 0;
        o->paid = get_within(r, 0, DELTA_MAX);
        if (refunded)
            o->refunded = get_within(r, 1, o->paid);
        r->failed |= o->currency > CURRENCIES_MAX || unused[0] || unused[1] || !entity_is_of(o->item, ENTITY_ITEM) ||
                     (o->host && !entity_is_of(o->host, ENTITY_HOST)) || (o->room && !entity_is_of(o->room, ENTITY_ROOM));
    }
}

/* The place of the last tag from which `tag` is at most `above` away; `count` when there is none. Without a branch inside. */
static uint32_t find_tag(const uint32_t *tags, uint32_t count, uint32_t tag, uint32_t above)
{
    uint32_t found = count;
    for (uint32_t i = 0; i < count; i++)
        found = tag - tags[i] <= above ? i : found;
    return found;
}

static void put_visit(const struct book *b, const struct visit *v, struct writer *out)
{
    uint32_t dwell = v->dwell_ms ? VISIT_DWELL : 0, oldest = b->day - (VISIT_DAYS - 1);
    uint32_t room = find_tag(b->room_tag, b->rooms, v->tag, 0);
    uint32_t host = room < b->rooms ? b->hosts : find_tag(b->host_tag, b->hosts, v->tag - oldest, VISIT_DAYS - 1);
    if (room < b->rooms) {
        put_varint(out, room << VISIT_SHIFT | VISIT_ROOM | dwell);
    } else if (host < b->hosts) {
        put_varint(out, host << VISIT_SHIFT | VISIT_HOST | dwell);
        put_u8(out, (uint8_t)(v->tag - b->host_tag[host] - oldest));
    } else {
        put_u8(out, (uint8_t)(VISIT_RAW | dwell));
        put_u32(out, v->tag);
    }
    if (dwell)
        put_varint(out, v->dwell_ms);
}

static void get_visit(const struct book *b, struct visit *v, struct reader *r)
{
    uint64_t head = get_varint(r), place = head >> VISIT_SHIFT, kind = head & 3;
    if (kind == VISIT_RAW && place == 0)
        v->tag = get_u32(r);
    else if (kind == VISIT_ROOM && FUZZ_MUTANT(visit_place, true, place < b->rooms))
        v->tag = b->room_tag[place];
    else if (kind == VISIT_HOST && place < b->hosts)
        v->tag = b->host_tag[place] + get_u8(r) + b->day - (VISIT_DAYS - 1);
    else
        r->failed = true;
    if (head & VISIT_DWELL)
        v->dwell_ms = get_varint32(r);
    r->failed |= head & VISIT_DWELL && v->dwell_ms == 0;
}

static void put_lists(const struct profile *p, const struct book *b, struct writer *out)
{
    put_varint(out, p->relation_count);
    for (uint32_t i = 0; i < p->relation_count; i++)
        put_ref(b, p->relations[i].id, p->relations[i].blocked, out);
    put_varint(out, p->visit_count);
    for (uint32_t i = 0; i < p->visit_count; i++)
        put_visit(b, &p->visits[i], out);
    put_varint(out, p->dedupe_count);
    for (uint32_t i = 0; i < p->dedupe_count; i++)
        put_le(out, p->dedupe[i], DEDUPE_BITS / 8);
}

static void get_lists(struct profile *p, const struct book *b, struct reader *r)
{
    p->relation_count = get_count(r, PROFILE_RELATIONS_MAX, 1);
    p->relations = list_create(p->relation_count, sizeof *p->relations);
    for (uint32_t i = 0; i < p->relation_count; i++) {
        p->relations[i].id = get_ref(b, &p->relations[i].blocked, r);
        r->failed |= p->relations[i].id == 0;
    }
    p->visit_count = get_count(r, PROFILE_VISITS_MAX, 1);
    p->visits = list_create(p->visit_count, sizeof *p->visits);
    for (uint32_t i = 0; i < p->visit_count; i++)
        get_visit(b, &p->visits[i], r);
    p->dedupe_count = get_count(r, PROFILE_DEDUPE_MAX, DEDUPE_BITS / 8);
    p->dedupe = list_create(p->dedupe_count, sizeof *p->dedupe);
    for (uint32_t i = 0; i < p->dedupe_count; i++)
        p->dedupe[i] = (uint32_t)get_le(r, DEDUPE_BITS / 8);
}

static uint32_t totals_present(const struct profile *p)
{
    bool money = p->spent || p->orders || p->last_paid_ms;
    uint32_t has = (money ? HAS_MONEY : 0) | (p->refunded ? HAS_REFUNDED : 0) | (p->gifted ? HAS_GIFTED : 0) | (p->visits_lost ? HAS_LOST : 0) |
                   (p->carry_ms ? HAS_CARRY : 0);
    for (int i = 0; i < EVENT_TYPES; i++)
        has |= p->counts[i] ? 1u << (COUNTS_SHIFT + i) : 0;
    return has;
}

static void put_totals(const struct profile *p, struct writer *out)
{
    uint32_t has = totals_present(p);
    put_varint(out, has);
    for (int i = 0; i < EVENT_TYPES; i++)
        if (p->counts[i])
            put_varint(out, p->counts[i]);
    put_varint(out, p->dwell_ms);
    put_signed(out, p->last_ms);
    put_signed(out, p->last_ms - p->first_ms);
    if (has & HAS_MONEY) {
        put_signed(out, p->spent);
        put_signed(out, p->last_ms - p->last_paid_ms);
        put_varint(out, p->orders);
    }
    if (p->refunded)
        put_signed(out, p->refunded);
    if (p->gifted)
        put_signed(out, p->gifted);
    if (p->visits_lost)
        put_varint(out, p->visits_lost);
    if (p->carry_ms)
        put_varint(out, p->carry_ms);
}

static void get_totals(struct profile *p, struct reader *r)
{
    uint64_t has = get_varint(r);
    for (int i = 0; i < EVENT_TYPES; i++)
        if (has >> (COUNTS_SHIFT + i) & 1)
            p->events += p->counts[i] = get_varint32(r);
    p->dwell_ms = get_varint_max(r, NUMBER_MAX);
    p->last_ms = get_event_ms(r);
    p->first_ms = get_time(r, p->last_ms, -1, p->last_ms);
    if (has & HAS_MONEY) {
        p->spent = get_within(r, 0, NUMBER_MAX);
        p->last_paid_ms = get_time(r, p->last_ms, -1, p->last_ms);
        p->orders = get_varint32(r);
    }
    if (has & HAS_REFUNDED)
        p->refunded = get_within(r, 0, NUMBER_MAX);
    if (has & HAS_GIFTED)
        p->gifted = get_within(r, 0, NUMBER_MAX);
    if (has & HAS_LOST)
        p->visits_lost = get_varint32(r);
    if (has & HAS_CARRY)
        p->carry_ms = (uint32_t)get_varint_max(r, 999);
    r->failed |= has != totals_present(p);
}

void profile_encode(const struct profile *p, struct writer *out)
{
    struct book b;
    put_u8(out, PROFILE_VERSION);
    put_totals(p, out);
    book_open(&b, p);
    put_history(p, &b, out);
    if (p->owned_count || p->relation_count)
        book_index(&b);
    put_owned(p, &b, out);
    put_lists(p, &b, out);
}

enum err profile_decode(struct slice bytes, struct profile **out_profile)
{
    struct reader r = reader_of(bytes.at, bytes.size);
    struct book b;
    if (get_u8(&r) != PROFILE_VERSION)
        return ERR_VERSION;
    struct profile *p = profile_create();
    get_totals(p, &r);
    book_open(&b, p);
    get_history(p, &b, &r);
    get_owned(p, &b, &r);
    get_lists(p, &b, &r);
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
        .history = 50, .past = 100, .history_hosts = 12, .history_rooms = 64, .dedupe = 64, .owned = 256, .relations = 128,
        .visits = 128, .late_ms_max = 86400000, .early_ms_max = 300000, .dwell_ms_max = 600000,
        .room_dwell_ms_max = 1800000, .short_view_ms = 3000, .watch_step_ms = {3000, 60000, 300000, 900000},
        .attribution_ms = 1800000, .again_ms = 1800000, .next_steps = PAIR_STEPS, .day_offset_ms = 8 * 3600000, .funnel = true,
        .currencies = {{CURRENCY('C', 'N', 'Y'), 10000000, 1, 1}, {CURRENCY('U', 'S', 'D'), 1400000, 71, 10},
                       {CURRENCY('E', 'U', 'R'), 1300000, 78, 10}, {CURRENCY('H', 'K', 'D'), 11000000, 92, 100},
                       {CURRENCY('T', 'W', 'D'), 45000000, 22, 100}, {CURRENCY('J', 'P', 'Y'), 2200000, 463, 100}},
    };
    memcpy(s->weights, weights, sizeof weights);
}
