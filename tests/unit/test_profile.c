/* What the events of one user mean: one test a rule of the contract. Times are fixed; nothing is random. */
#include "tests/unit/check.h"

#include "server/engine/entity.h"
#include "server/engine/profile.h"
#include "server/engine/recommend.h"

#include <stdlib.h>

#define T0 1732370000000ll /* 2024-11-23 21:53:20 in Shanghai */
#define CNY ('C' << 16 | 'N' << 8 | 'Y')
#define USD ('U' << 16 | 'S' << 8 | 'D')
#define MINUTE 60000

struct one {
    struct profile_settings s;
    struct profile *p;
    struct effect_list out; /* of everything so far */
    int n;
    char id[16];
};

static void one_init(struct one *o)
{
    *o = (struct one){.p = profile_create()};
    profile_settings_default(&o->s);
}

static void one_fini(struct one *o)
{
    profile_destroy(o->p);
    effect_list_fini(&o->out);
}

/* An event of the next id, `after_ms` behind T0. */
static enum profile_refusal apply(struct one *o, struct event e, int64_t after_ms)
{
    snprintf(o->id, sizeof o->id, "e%d", o->n++);
    e.id = slice_of(o->id);
    e.scene = slice_of("home");
    e.event_ms = T0 + after_ms;
    if (e.source == SOURCE_ORGANIC && e.rec.size)
        e.source = SOURCE_RECOMMENDATION; /* as the decoder has it */
    return profile_apply(o->p, &o->s, &e, e.event_ms, &o->out);
}

#define APPLY(o, after_ms, ...) CHECK_INT(apply(o, (struct event){__VA_ARGS__}, after_ms), PROFILE_APPLIED)
#define REFUSED(o, why, ...) CHECK_INT(apply(o, (struct event){__VA_ARGS__}, 0), why)

/* Of one entity, under one source; source SOURCES = all. */
static int64_t counted(const struct one *o, enum entity_kind kind, const char *name, enum counter counter, int source)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < o->out.count_count; i++) {
        const struct count_effect *e = &o->out.counts[i];
        if (e->target != entity_id_of(kind, slice_of(name)) || (source != SOURCES && (int)e->source != source))
            continue;
        for (int k = 0; k < e->counter_count; k++)
            sum += e->counters[k].counter == counter ? e->counters[k].delta : 0;
    }
    return sum;
}

static int64_t item_counted(const struct one *o, const char *name, enum counter counter)
{
    return counted(o, ENTITY_ITEM, name, counter, SOURCES);
}

static int step_to(const struct one *o, const char *item)
{
    for (uint32_t i = 0; i < o->out.pair_count; i++)
        if (o->out.pairs[i].other == entity_id_of(ENTITY_ITEM, slice_of(item)))
            return o->out.pairs[i].step;
    return -1;
}

/* A new item follows the three rated before it; what comes again does not. */
static void test_new_items_follow_those_before(void)
{
    static const char *const items[] = {"a", "b", "c", "d"};
    struct one o;
    one_init(&o);
    for (int i = 0; i < 4; i++)
        APPLY(&o, i, .type = EVENT_BROWSE, .item = slice_of(items[i]));
    effect_list_clear(&o.out);
    APPLY(&o, 5, .type = EVENT_BROWSE, .item = slice_of("e"));
    CHECK(step_to(&o, "d") == 1 && step_to(&o, "c") == 2 && step_to(&o, "b") == 3 && step_to(&o, "a") == 0);
    effect_list_clear(&o.out);
    APPLY(&o, 6, .type = EVENT_CART, .item = slice_of("a"));
    CHECK(step_to(&o, "e") <= 0 && step_to(&o, "d") <= 0);
    APPLY(&o, 7, .type = EVENT_CART, .item = slice_of("e"));
    CHECK(step_to(&o, "a") == 0); /* the pair grows, the transition was counted when it was new */
    one_fini(&o);
}

static void test_time_is_judged_from_the_record(void)
{
    static const struct {
        int64_t record_ms;
        enum profile_refusal want;
    } rows[] = {{T0, PROFILE_APPLIED}, {T0 + 86400000, PROFILE_APPLIED}, {T0 + 86400001, PROFILE_LATE}, {T0 - 300000, PROFILE_APPLIED}, {T0 - 300001, PROFILE_EARLY},
                {-1, PROFILE_EARLY}, {INT64_MIN, PROFILE_EARLY}, {INT64_MAX, PROFILE_LATE}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct one o;
        one_init(&o);
        struct event e = {.type = EVENT_CHAT, .id = slice_of("e"), .room = slice_of("r"), .scene = slice_of("home"), .event_ms = T0};
        CHECK_INT(profile_apply(o.p, &o.s, &e, rows[i].record_ms, &o.out), rows[i].want);
        CHECK_INT(o.p->events, rows[i].want == PROFILE_APPLIED);
        CHECK_INT(o.out.count_count > 0, rows[i].want == PROFILE_APPLIED);
        one_fini(&o);
    }
}

static void test_amounts_are_capped_by_currency(void)
{
    struct one o;
    one_init(&o);
    APPLY(&o, 0, .type = EVENT_GIFT, .room = slice_of("r"), .amount = 10000000, .currency = CNY);
    REFUSED(&o, PROFILE_AMOUNT_TOO_LARGE, .type = EVENT_GIFT, .room = slice_of("r"), .amount = 10000001, .currency = CNY);
    APPLY(&o, 0, .type = EVENT_GIFT, .room = slice_of("r"), .amount = 1400000, .currency = USD);
    REFUSED(&o, PROFILE_AMOUNT_TOO_LARGE, .type = EVENT_GIFT, .room = slice_of("r"), .amount = 1400001, .currency = USD);
    REFUSED(&o, PROFILE_UNKNOWN_CURRENCY, .type = EVENT_GIFT, .room = slice_of("r"), .amount = 1, .currency = 1);
    CHECK_INT(o.p->gifted, 10000000 + 1400000ll * 71 / 10);
    CHECK_INT(counted(&o, ENTITY_ROOM, "r", COUNTER_GIFT_AMOUNT, SOURCES), o.p->gifted);
    one_fini(&o);
}

/* A refund says no currency: it is settled by that of its order, and parts add up to what the purchase added. */
static void test_refund_is_in_the_currency_of_its_order(void)
{
    struct one o;
    one_init(&o);
    APPLY(&o, 0, .type = EVENT_PURCHASE, .item = slice_of("c"), .host = slice_of("h"), .room = slice_of("r"), .order = slice_of("o"),
          .amount = 999, .currency = USD, .qty = 1);
    CHECK_INT(o.p->spent, 999 * 71 / 10);
    APPLY(&o, 1, .type = EVENT_REFUND, .order = slice_of("o"), .amount = 333);
    CHECK_INT(o.p->refunded, 333 * 71 / 10);
    APPLY(&o, 2, .type = EVENT_REFUND, .order = slice_of("o"), .amount = 333, .currency = USD);
    REFUSED(&o, PROFILE_CURRENCY_MISMATCH, .type = EVENT_REFUND, .order = slice_of("o"), .amount = 1, .currency = CNY);
    REFUSED(&o, PROFILE_REFUND_EXCEEDS, .type = EVENT_REFUND, .order = slice_of("o"), .amount = 334);
    CHECK(owned_is_kept(&o.p->owned[0]));
    APPLY(&o, 3, .type = EVENT_REFUND, .order = slice_of("o"), .amount = 333);
    CHECK(!owned_is_kept(&o.p->owned[0]));
    CHECK_INT(o.p->refunded, o.p->spent);
    CHECK_INT(item_counted(&o, "c", COUNTER_REFUND_AMOUNT), item_counted(&o, "c", COUNTER_GMV));
    CHECK_INT(item_counted(&o, "c", COUNTER_REFUND), 1);
    CHECK_INT(counted(&o, ENTITY_ROOM, "r", COUNTER_REFUND_AMOUNT, SOURCES), o.p->spent);
    CHECK_INT(counted(&o, ENTITY_HOST, "h", COUNTER_REFUND_AMOUNT, SOURCES), o.p->spent);
    REFUSED(&o, PROFILE_UNKNOWN_ORDER, .type = EVENT_REFUND, .order = slice_of("other"), .amount = 1);
    one_fini(&o);
}

static int rating_of(struct one *o, const char *item)
{
    for (uint32_t i = 0; i < o->p->history_count; i++)
        if (o->p->history[i].id == entity_id_of(ENTITY_ITEM, slice_of(item)))
            return o->p->history[i].rating;
    return -1;
}

static void test_refund_of_an_order_of_several_items(void)
{
    struct one o;
    one_init(&o);
    APPLY(&o, 0, .type = EVENT_PURCHASE, .item = slice_of("c1"), .order = slice_of("o"), .amount = 100, .currency = CNY, .qty = 1);
    APPLY(&o, 0, .type = EVENT_PURCHASE, .item = slice_of("c2"), .order = slice_of("o"), .amount = 50, .currency = CNY, .qty = 1);
    CHECK_INT(o.p->orders, 1);
    REFUSED(&o, PROFILE_REFUND_EXCEEDS, .type = EVENT_REFUND, .order = slice_of("o"), .amount = 151);
    REFUSED(&o, PROFILE_REFUND_EXCEEDS, .type = EVENT_REFUND, .order = slice_of("o"), .item = slice_of("c2"), .amount = 51);
    APPLY(&o, 1, .type = EVENT_REFUND, .order = slice_of("o"), .amount = 120);
    CHECK_INT(item_counted(&o, "c2", COUNTER_REFUND_AMOUNT), 50);
    CHECK_INT(item_counted(&o, "c1", COUNTER_REFUND_AMOUNT), 70);
    CHECK(owned_is_kept(&o.p->owned[0]) && !owned_is_kept(&o.p->owned[1]));
    APPLY(&o, 2, .type = EVENT_PURCHASE, .item = slice_of("c1"), .order = slice_of("p"), .amount = 100, .currency = CNY, .qty = 1);
    APPLY(&o, 3, .type = EVENT_PURCHASE, .item = slice_of("c3"), .order = slice_of("o"), .amount = 100, .currency = CNY, .qty = 1);
    CHECK_INT(o.p->orders, 2); /* another one between its items does not make it two */
    APPLY(&o, 4, .type = EVENT_REFUND, .order = slice_of("o"), .item = slice_of("c1"), .amount = 30);
    CHECK_INT(rating_of(&o, "c1"), 5); /* the other order of it stands */
    APPLY(&o, 5, .type = EVENT_REFUND, .order = slice_of("p"), .amount = 100);
    CHECK_INT(rating_of(&o, "c1"), 3);
    one_fini(&o);
}

static void test_what_cost_nothing_stays_owned(void)
{
    struct one o;
    one_init(&o);
    APPLY(&o, 0, .type = EVENT_PURCHASE, .item = slice_of("c"), .order = slice_of("o"), .amount = 0, .currency = CNY, .qty = 1);
    CHECK(owned_is_kept(&o.p->owned[0]));
    one_fini(&o);
}

static void test_an_order_comes_once_whatever_its_event_id(void)
{
    struct one o;
    one_init(&o);
    APPLY(&o, 0, .type = EVENT_PURCHASE, .item = slice_of("c"), .order = slice_of("o"), .amount = 5, .currency = CNY, .qty = 2);
    REFUSED(&o, PROFILE_DUPLICATE, .type = EVENT_PURCHASE, .item = slice_of("c"), .order = slice_of("o"), .amount = 5, .currency = CNY, .qty = 2);
    CHECK_INT(item_counted(&o, "c", COUNTER_UNITS), 2);
    CHECK_INT(item_counted(&o, "c", COUNTER_BUYER), 1);
    one_fini(&o);
}

static void test_occasions_are_purchases_and_what_is_apart(void)
{
    struct one o;
    struct writer w = {0};
    struct profile *again;
    one_init(&o);
    APPLY(&o, 0, .type = EVENT_CLICK, .item = slice_of("c"));
    APPLY(&o, MINUTE, .type = EVENT_CLICK, .item = slice_of("c")); /* the same occasion, */
    APPLY(&o, 2 * MINUTE, .type = EVENT_PURCHASE, .item = slice_of("c"), .order = slice_of("o1"), .amount = 5, .currency = CNY, .qty = 1); /* to its end */
    CHECK_INT(profile_find(o.p, entity_id_of(ENTITY_ITEM, slice_of("c")))->times, 0);
    APPLY(&o, 3 * MINUTE, .type = EVENT_PURCHASE, .item = slice_of("c"), .order = slice_of("o2"), .amount = 5, .currency = CNY, .qty = 1);
    APPLY(&o, 32 * MINUTE, .type = EVENT_CLICK, .item = slice_of("c"));
    CHECK_INT(profile_find(o.p, entity_id_of(ENTITY_ITEM, slice_of("c")))->times, 1);
    APPLY(&o, 62 * MINUTE, .type = EVENT_CLICK, .item = slice_of("c"));
    APPLY(&o, 100 * MINUTE, .type = EVENT_IMPRESSION, .item = slice_of("c"));
    profile_encode(o.p, &w);
    CHECK_INT(profile_decode((struct slice){(const char *)w.data, (uint32_t)w.size}, &again), ERR_NONE);
    CHECK_INT(profile_find(again, entity_id_of(ENTITY_ITEM, slice_of("c")))->times, 2);
    profile_destroy(again);
    writer_fini(&w);
    one_fini(&o);
}

static void test_a_result_follows_the_last_rec_that_showed_it(void)
{
    struct one o;
    one_init(&o);
    APPLY(&o, 0, .type = EVENT_IMPRESSION, .item = slice_of("c"), .room = slice_of("r"), .rec = slice_of("7-1-1-0"));
    APPLY(&o, 1, .type = EVENT_IMPRESSION, .item = slice_of("c")); /* organic: it does not end the attribution */
    APPLY(&o, 30 * MINUTE, .type = EVENT_CART, .item = slice_of("c"));
    APPLY(&o, 30 * MINUTE + 1, .type = EVENT_CART, .item = slice_of("c"));
    APPLY(&o, 5 * MINUTE, .type = EVENT_CART, .item = slice_of("other"));
    APPLY(&o, 5 * MINUTE, .type = EVENT_CHAT, .room = slice_of("r"));
    APPLY(&o, 5 * MINUTE, .type = EVENT_CART, .item = slice_of("c"), .source = SOURCE_SEARCH);
    CHECK_INT(counted(&o, ENTITY_ITEM, "c", COUNTER_EXPOSURE, SOURCE_RECOMMENDATION), 1);
    CHECK_INT(counted(&o, ENTITY_ITEM, "c", COUNTER_EXPOSURE, SOURCE_ORGANIC), 1);
    CHECK_INT(counted(&o, ENTITY_ITEM, "c", COUNTER_CART, SOURCE_RECOMMENDATION), 1);
    CHECK_INT(counted(&o, ENTITY_ITEM, "c", COUNTER_CART, SOURCE_ORGANIC), 1);
    CHECK_INT(counted(&o, ENTITY_ITEM, "c", COUNTER_CART, SOURCE_SEARCH), 1);
    CHECK_INT(counted(&o, ENTITY_ITEM, "other", COUNTER_CART, SOURCE_ORGANIC), 1);
    CHECK_INT(counted(&o, ENTITY_ROOM, "r", COUNTER_CHAT, SOURCE_RECOMMENDATION), 1);
    one_fini(&o);
}

static void test_organic_when_the_event_says_so_follows_no_rec(void)
{
    struct one o;
    one_init(&o);
    APPLY(&o, 0, .type = EVENT_IMPRESSION, .item = slice_of("c"), .rec = slice_of("7-1-1-0"));
    APPLY(&o, 1, .type = EVENT_CART, .item = slice_of("c"), .source = SOURCE_ORGANIC, .source_given = true);
    CHECK_INT(counted(&o, ENTITY_ITEM, "c", COUNTER_CART, SOURCE_ORGANIC), 1);
    CHECK_INT(counted(&o, ENTITY_ITEM, "c", COUNTER_CART, SOURCES), 1);
    one_fini(&o);
}

static void test_a_refund_counts_where_each_entity_had_the_purchase(void)
{
    struct one o;
    struct writer w = {0};
    one_init(&o);
    APPLY(&o, 0, .type = EVENT_IMPRESSION, .item = slice_of("c"), .rec = slice_of("7-1-1-0"));
    APPLY(&o, 1, .type = EVENT_PURCHASE, .item = slice_of("c"), .host = slice_of("h"), .room = slice_of("r"), .order = slice_of("o"), .amount = 500, .currency = CNY);
    profile_encode(o.p, &w);
    profile_destroy(o.p);
    CHECK(profile_decode((struct slice){(char *)w.data, (uint32_t)w.size}, &o.p) == ERR_NONE);
    APPLY(&o, 2, .type = EVENT_REFUND, .order = slice_of("o"), .amount = 500);
    for (enum entity_kind kind = ENTITY_ITEM; kind <= ENTITY_ROOM; kind++) {
        enum event_source source = kind == ENTITY_ITEM ? SOURCE_RECOMMENDATION : SOURCE_ORGANIC;
        const char *name = kind == ENTITY_ITEM ? "c" : kind == ENTITY_HOST ? "h" : "r";
        CHECK_INT(counted(&o, kind, name, COUNTER_GMV, (int)source), 500);
        CHECK_INT(counted(&o, kind, name, COUNTER_REFUND_AMOUNT, (int)source), 500);
        CHECK_INT(counted(&o, kind, name, COUNTER_REFUND_AMOUNT, SOURCES), 500);
    }
    writer_fini(&w);
    one_fini(&o);
}

/* Also across a reload of the state, and what is refunded is counted where it was bought. */
static void test_a_refund_is_counted_under_the_source_of_its_purchase(void)
{
    struct one o;
    struct writer w = {0};
    one_init(&o);
    APPLY(&o, 0, .type = EVENT_CLICK, .item = slice_of("c"), .rec = slice_of("7-1-1-0"));
    APPLY(&o, MINUTE, .type = EVENT_PURCHASE, .item = slice_of("c"), .order = slice_of("o"), .amount = 5, .currency = USD, .qty = 1);
    profile_encode(o.p, &w);
    profile_destroy(o.p);
    CHECK(profile_decode((struct slice){(char *)w.data, (uint32_t)w.size}, &o.p) == ERR_NONE);
    APPLY(&o, 90 * MINUTE, .type = EVENT_REFUND, .order = slice_of("o"), .amount = 5);
    CHECK_INT(counted(&o, ENTITY_ITEM, "c", COUNTER_GMV, SOURCE_RECOMMENDATION), 35);
    CHECK_INT(counted(&o, ENTITY_ITEM, "c", COUNTER_REFUND_AMOUNT, SOURCE_RECOMMENDATION), 35);
    writer_fini(&w);
    one_fini(&o);
}

static void test_visitors_are_unique_by_room_and_by_host_and_day(void)
{
    enum { DAY = 86400000, MIDNIGHT = 7600000 }; /* T0 is 2 h 6 min 40 s before midnight in Shanghai */
    struct one o;
    one_init(&o);
    for (int i = 0; i < 3; i++) {
        APPLY(&o, i, .type = EVENT_ENTER, .room = slice_of("r1"), .host = slice_of("h"));
        APPLY(&o, i, .type = EVENT_WATCH, .room = slice_of("r2"), .host = slice_of("h"), .dwell_ms = 5);
    }
    CHECK_INT(counted(&o, ENTITY_ROOM, "r1", COUNTER_VISITOR, SOURCES), 1);
    CHECK_INT(counted(&o, ENTITY_ROOM, "r2", COUNTER_VISITOR, SOURCES), 1);
    CHECK_INT(counted(&o, ENTITY_HOST, "h", COUNTER_VISITOR, SOURCES), 1);
    APPLY(&o, MIDNIGHT - 1, .type = EVENT_ENTER, .room = slice_of("r1"), .host = slice_of("h"));
    CHECK_INT(counted(&o, ENTITY_HOST, "h", COUNTER_VISITOR, SOURCES), 1);
    APPLY(&o, MIDNIGHT, .type = EVENT_ENTER, .room = slice_of("r1"), .host = slice_of("h"));
    CHECK_INT(counted(&o, ENTITY_HOST, "h", COUNTER_VISITOR, SOURCES), 2);
    CHECK_INT(counted(&o, ENTITY_ROOM, "r1", COUNTER_VISITOR, SOURCES), 1);
    CHECK_INT(o.p->visits_lost, 0);
    one_fini(&o);
}

static void test_visits_beyond_the_list_are_counted_as_such(void)
{
    struct one o;
    char room[16];
    one_init(&o);
    for (int i = 0; i <= 128; i++) {
        snprintf(room, sizeof room, "r%d", i);
        APPLY(&o, i, .type = EVENT_ENTER, .room = slice_of(room));
        CHECK_INT(o.p->visits_lost, i == 128);
    }
    CHECK_INT(o.p->visit_count, 128);
    APPLY(&o, 200, .type = EVENT_ENTER, .room = slice_of("r0")); /* the one that fell out is counted twice, and the counter says so */
    CHECK_INT(counted(&o, ENTITY_ROOM, "r0", COUNTER_VISITOR, SOURCES), 2);
    CHECK_INT(o.p->visits_lost, 2);
    one_fini(&o);
}

static void test_watch_time_is_capped_twice(void)
{
    struct one o;
    one_init(&o);
    APPLY(&o, 0, .type = EVENT_WATCH, .room = slice_of("r"), .host = slice_of("h"), .dwell_ms = 700000);
    CHECK_INT(counted(&o, ENTITY_ROOM, "r", COUNTER_WATCH_MS, SOURCES), 600000);
    for (int i = 0; i < 5; i++)
        APPLY(&o, i, .type = EVENT_WATCH, .room = slice_of("r"), .host = slice_of("h"), .dwell_ms = 500000);
    CHECK_INT(counted(&o, ENTITY_ROOM, "r", COUNTER_WATCH_MS, SOURCES), 1800000);
    CHECK_INT(counted(&o, ENTITY_HOST, "h", COUNTER_WATCH_MS, SOURCES), 1800000);
    APPLY(&o, 9, .type = EVENT_WATCH, .room = slice_of("r2"), .dwell_ms = 500000);
    CHECK_INT(o.p->dwell_ms, 2300000);
    one_fini(&o);
}

static void test_item_on_show_is_counted_apart(void)
{
    struct one o;
    one_init(&o);
    APPLY(&o, 0, .type = EVENT_CHAT, .room = slice_of("r"), .explaining = slice_of("c1"));
    APPLY(&o, 1, .type = EVENT_CART, .room = slice_of("r"), .item = slice_of("c1"), .explaining = slice_of("c1"));
    APPLY(&o, 2, .type = EVENT_CART, .room = slice_of("r"), .item = slice_of("c2"), .explaining = slice_of("c1"));
    int64_t shown[2] = {0};
    for (uint32_t i = 0; i < o.out.count_count; i++) {
        const struct count_effect *e = &o.out.counts[i];
        for (int k = 0; k < e->counter_count; k++)
            if (e->target == entity_id_of(ENTITY_ITEM, slice_of("c1")) && e->counters[k].counter == COUNTER_CART)
                shown[e->explained] += e->counters[k].delta;
    }
    CHECK_INT(shown[1], 1); /* what names another item is that item's, so that its refund takes back all it gave */
    CHECK_INT(shown[0], 0);
    CHECK_INT(item_counted(&o, "c2", COUNTER_CART), 1);
    CHECK_INT(item_counted(&o, "c1", COUNTER_CHAT), 1);
    one_fini(&o);
}

/* What the effects add up to; 0 everywhere when all was taken back. */
static int64_t rated(const struct one *o, const char *name)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < o->out.rating_count; i++)
        sum += o->out.ratings[i].target == entity_id_of(ENTITY_ITEM, slice_of(name)) ? o->out.ratings[i].delta : 0;
    return sum;
}

static int64_t paired(const struct one *o, const char *name, const char *other)
{
    entity_id a = entity_id_of(ENTITY_ITEM, slice_of(name)), b = entity_id_of(ENTITY_ITEM, slice_of(other));
    int64_t sum = 0;
    for (uint32_t i = 0; i < o->out.pair_count; i++) {
        const struct pair_effect *e = &o->out.pairs[i];
        sum += (e->target == a && e->other == b) || (e->target == b && e->other == a) ? e->delta : 0;
    }
    return sum;
}

static void test_forget_takes_back_what_is_in_the_history(void)
{
    struct one o;
    struct writer w = {0}, empty = {0};
    one_init(&o);
    APPLY(&o, 0, .type = EVENT_PURCHASE, .item = slice_of("c1"), .order = slice_of("o"), .amount = 5, .currency = CNY, .qty = 1);
    APPLY(&o, 1, .type = EVENT_RATING, .item = slice_of("c1"), .value = 4);
    APPLY(&o, 2, .type = EVENT_CART, .item = slice_of("c2"));
    APPLY(&o, 3, .type = EVENT_FOLLOW, .host = slice_of("h"));
    APPLY(&o, 4, .type = EVENT_BLOCK, .host = slice_of("h2"));
    CHECK_INT(paired(&o, "c1", "c2"), 3);
    CHECK_INT(item_counted(&o, "c1", COUNTER_RATING_SUM), 4);
    APPLY(&o, 5, .type = EVENT_FORGET);
    CHECK_INT(rated(&o, "c1"), 0);
    CHECK_INT(rated(&o, "c2"), 0);
    CHECK_INT(paired(&o, "c1", "c2"), 0);
    CHECK_INT(item_counted(&o, "c1", COUNTER_RATING_SUM), 0);
    CHECK_INT(item_counted(&o, "c1", COUNTER_RATING_COUNT), 0);
    CHECK_INT(counted(&o, ENTITY_HOST, "h", COUNTER_FOLLOW, SOURCES), 0);
    CHECK_INT(item_counted(&o, "c1", COUNTER_GMV), 5); /* what was sold was sold */
    CHECK_INT(o.p->history_count + o.p->owned_count + o.p->relation_count + o.p->visit_count + (uint32_t)o.p->events, 0);
    profile_encode(o.p, &w);
    CHECK(w.size < 40); /* its own id as a tag and zeros */
    writer_fini(&w);
    writer_fini(&empty);
    one_fini(&o);
}

/* Minor units of one currency are not taken from what was paid in another. */
static void test_a_refund_is_taken_from_the_items_in_its_currency(void)
{
    struct one o;
    one_init(&o);
    const struct slice order = slice_of("o");
    APPLY(&o, 0, .type = EVENT_PURCHASE, .item = slice_of("c1"), .order = order, .amount = 500, .currency = CNY);
    APPLY(&o, 1, .type = EVENT_PURCHASE, .item = slice_of("c2"), .order = order, .amount = 90, .currency = USD);
    REFUSED(&o, PROFILE_REFUND_EXCEEDS, .type = EVENT_REFUND, .order = order, .amount = 91);
    REFUSED(&o, PROFILE_REFUND_EXCEEDS, .type = EVENT_REFUND, .order = order, .amount = 501, .currency = CNY);
    REFUSED(&o, PROFILE_CURRENCY_MISMATCH, .type = EVENT_REFUND, .order = order, .amount = 1, .currency = 'J' << 16 | 'P' << 8 | 'Y');
    REFUSED(&o, PROFILE_CURRENCY_MISMATCH, .type = EVENT_REFUND, .order = order, .amount = 1, .currency = 'X' << 16 | 'X' << 8 | 'X');
    REFUSED(&o, PROFILE_CURRENCY_MISMATCH, .type = EVENT_REFUND, .order = order, .item = slice_of("c1"), .amount = 1, .currency = USD);
    APPLY(&o, 2, .type = EVENT_REFUND, .order = order, .amount = 90);
    APPLY(&o, 3, .type = EVENT_REFUND, .order = order, .amount = 500, .currency = CNY);
    CHECK_INT(o.p->owned[0].refunded, 500);
    CHECK_INT(o.p->owned[1].refunded, 90);
    CHECK_INT(o.p->refunded, o.p->spent);
    one_fini(&o);
}

static void test_a_rating_counts_only_from_a_buyer(void)
{
    struct one o;
    one_init(&o);
    APPLY(&o, 0, .type = EVENT_RATING, .item = slice_of("c"), .value = 1);
    CHECK_INT(item_counted(&o, "c", COUNTER_RATING_COUNT), 0);
    APPLY(&o, 1, .type = EVENT_PURCHASE, .item = slice_of("c"), .order = slice_of("o"), .amount = 5, .currency = CNY, .qty = 1);
    APPLY(&o, 2, .type = EVENT_RATING, .item = slice_of("c"), .value = 2);
    APPLY(&o, 3, .type = EVENT_RATING, .item = slice_of("c"), .value = 5);
    CHECK_INT(item_counted(&o, "c", COUNTER_RATING_COUNT), 1);
    CHECK_INT(item_counted(&o, "c", COUNTER_RATING_SUM), 5);
    one_fini(&o);
}

static void test_views_under_three_seconds_are_negative(void)
{
    struct one o;
    one_init(&o);
    APPLY(&o, 0, .type = EVENT_ENTER, .room = slice_of("r"), .host = slice_of("h"));
    APPLY(&o, 1, .type = EVENT_WATCH, .room = slice_of("r"), .host = slice_of("h"), .dwell_ms = 2999);
    APPLY(&o, 2, .type = EVENT_LEAVE, .room = slice_of("r"), .host = slice_of("h"));
    CHECK(profile_find(o.p, entity_id_of(ENTITY_ROOM, slice_of("r")))->flags & HISTORY_NEGATIVE);
    CHECK_INT(counted(&o, ENTITY_ROOM, "r", COUNTER_SHORT_VIEW, SOURCES), 1);
    one_fini(&o);
}

/*
 * What is remembered behind the paired items changes no effect, whatever comes back, is disliked or forgotten: another
 * user without a past does the same things. And it is there to be read.
 */
static void test_a_past_is_remembered_and_changes_no_effect(void)
{
    static const enum event_type types[] = {EVENT_CLICK, EVENT_CLICK, EVENT_CART, EVENT_GIFT, EVENT_DISLIKE, EVENT_PURCHASE};
    struct one with, without;
    uint32_t draw = 7, longest = 0;
    one_init(&with);
    one_init(&without);
    with.s.history = without.s.history = 6;
    with.s.past = 9;
    without.s.past = 0;
    for (int i = 0; i < 4000; i++) {
        char name[8];
        draw = draw * 1664525 + 1013904223;
        snprintf(name, sizeof name, "i%u", (draw >> 8) % 25);
        struct event e = {.type = types[(draw >> 24) % 6], .item = slice_of(name)};
        if (i % 500 == 499)
            e = (struct event){.type = EVENT_FORGET};
        enum profile_refusal said = apply(&with, e, i * 1000);
        CHECK_INT(apply(&without, e, i * 1000), said);
        longest = with.p->history_count > longest ? with.p->history_count : longest;
        CHECK(without.p->history_count <= 6);
    }
    CHECK_INT(longest, 15);
    CHECK(with.out.pair_count > 5000);
    CHECK_INT(with.out.pair_count, without.out.pair_count);
    CHECK_INT(with.out.rating_count, without.out.rating_count);
    for (uint32_t i = 0; i < with.out.pair_count; i++) {
        CHECK(with.out.pairs[i].other == without.out.pairs[i].other);
        CHECK_INT(with.out.pairs[i].delta, without.out.pairs[i].delta);
        CHECK_INT(with.out.pairs[i].step, without.out.pairs[i].step);
    }
    for (uint32_t i = 0; i < with.out.rating_count; i++) {
        CHECK(with.out.ratings[i].target == without.out.ratings[i].target);
        CHECK_INT(with.out.ratings[i].delta, without.out.ratings[i].delta);
        CHECK_INT(with.out.ratings[i].pairs, without.out.ratings[i].pairs);
    }
    one_fini(&with);
    one_fini(&without);
}

/* Of what comes back all is known but its rating, which begins anew with its pairs. */
static void test_what_comes_back_from_the_past_is_rated_anew(void)
{
    struct one o;
    one_init(&o);
    o.s.history = 2;
    o.s.past = 2;
    APPLY(&o, 0, .type = EVENT_CART, .item = slice_of("a"));
    APPLY(&o, 1000, .type = EVENT_DISLIKE, .item = slice_of("b"));
    APPLY(&o, 2000, .type = EVENT_CLICK, .item = slice_of("c"));
    APPLY(&o, 3000, .type = EVENT_CLICK, .item = slice_of("d"));
    CHECK_INT(o.p->history_count, 4);
    CHECK_INT(profile_find(o.p, entity_id_of(ENTITY_ITEM, slice_of("a")))->rating, o.s.weights[EVENT_CART]);
    APPLY(&o, 4000, .type = EVENT_IMPRESSION, .item = slice_of("b"));
    CHECK(profile_find(o.p, entity_id_of(ENTITY_ITEM, slice_of("b")))->flags & HISTORY_NEGATIVE);
    APPLY(&o, 5000, .type = EVENT_CLICK, .item = slice_of("a"));
    CHECK_INT(profile_find(o.p, entity_id_of(ENTITY_ITEM, slice_of("a")))->rating, o.s.weights[EVENT_CLICK]);
    APPLY(&o, 6000, .type = EVENT_CLICK, .item = slice_of("e"));
    CHECK(!profile_find(o.p, entity_id_of(ENTITY_ITEM, slice_of("c"))));
    one_fini(&o);
}

/* To be shown the room of a host that one knows is not to take it. */
static void test_a_visit_begins_whatever_was_shown(void)
{
    struct one o;
    const struct event shown = {.type = EVENT_IMPRESSION, .room = slice_of("r"), .host = slice_of("h")};
    one_init(&o);
    CHECK(recommend_begins(o.p, T0, 30 * MINUTE));
    APPLY(&o, 0, .type = EVENT_CLICK, .room = slice_of("r"), .host = slice_of("h"));
    CHECK(!recommend_begins(o.p, T0 + 5 * MINUTE, 30 * MINUTE));
    CHECK(recommend_begins(o.p, T0 + 40 * MINUTE, 30 * MINUTE));
    CHECK_INT(apply(&o, shown, 39 * MINUTE), PROFILE_APPLIED);
    CHECK(profile_find(o.p, entity_id_of(ENTITY_HOST, slice_of("h")))->rating > 0);
    CHECK(recommend_begins(o.p, T0 + 40 * MINUTE, 30 * MINUTE));
    APPLY(&o, 41 * MINUTE, .type = EVENT_CLICK, .room = slice_of("r"), .host = slice_of("h"));
    CHECK(!recommend_begins(o.p, T0 + 42 * MINUTE, 30 * MINUTE));
    one_fini(&o);
}

int main(void)
{
    test_new_items_follow_those_before();
    test_time_is_judged_from_the_record();
    test_amounts_are_capped_by_currency();
    test_refund_is_in_the_currency_of_its_order();
    test_refund_of_an_order_of_several_items();
    test_what_cost_nothing_stays_owned();
    test_an_order_comes_once_whatever_its_event_id();
    test_occasions_are_purchases_and_what_is_apart();
    test_a_result_follows_the_last_rec_that_showed_it();
    test_organic_when_the_event_says_so_follows_no_rec();
    test_a_refund_counts_where_each_entity_had_the_purchase();
    test_a_refund_is_counted_under_the_source_of_its_purchase();
    test_visitors_are_unique_by_room_and_by_host_and_day();
    test_visits_beyond_the_list_are_counted_as_such();
    test_watch_time_is_capped_twice();
    test_item_on_show_is_counted_apart();
    test_forget_takes_back_what_is_in_the_history();
    test_a_refund_is_taken_from_the_items_in_its_currency();
    test_a_rating_counts_only_from_a_buyer();
    test_views_under_three_seconds_are_negative();
    test_a_past_is_remembered_and_changes_no_effect();
    test_what_comes_back_from_the_past_is_rated_anew();
    test_a_visit_begins_whatever_was_shown();
    return checks_failed != 0;
}
