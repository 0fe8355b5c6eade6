/*
 * The profile stage: one user's folded state, changed by that user's events in log order. Pure and exact: integers
 * only, nothing but the event, its record timestamp and this state decides.
 *
 * Everything is bounded by `struct profile_settings`; what is bounded out is forgotten oldest first and counted in
 * the profile where it can make a counter inexact (visits).
 */
#pragma once

#include "common/bytes.h"
#include "common/err.h"
#include "server/engine/effects.h"
#include "server/engine/event.h"

#define PROFILE_HISTORY_MAX 256 /* of all kinds together, one more while an event is folded */
#define PROFILE_DEDUPE_MAX 256
#define DEDUPE_BITS 24
#define PROFILE_OWNED_MAX 512
#define PROFILE_RELATIONS_MAX 256 /* follows and blocks together */
#define PROFILE_VISITS_MAX 512
#define CURRENCIES_MAX 16

struct currency_settings {
    uint32_t currency;   /* packed as in struct event; 0 = unused */
    int64_t amount_max;  /* a larger amount is refused, minor units */
    int64_t rate_num;    /* settlement minor units = amount * rate_num / rate_den, toward zero */
    int64_t rate_den;
};

/* Fold settings: changing one changes state, so their hash stands in every slot's header (settings_hash). */
struct profile_settings {
    uint8_t weights[EVENT_TYPES];     /* implicit rating per action; 0 touches without rating */
    uint32_t history;                 /* items that are paired with what comes; default 50 */
    uint32_t past;                    /* items remembered behind them, which ranking alone reads; default 100 */
    uint32_t history_hosts;           /* hosts remembered; 0 = no host similarity; default 12 */
    uint32_t history_rooms;           /* rooms remembered, without similarity; default 64: what the pause after an impression rests on */
    uint32_t dedupe;                  /* event id tags; default 64 */
    uint32_t owned;                   /* owned items kept; default 256 */
    uint32_t relations;               /* default 128 */
    uint32_t visits;                  /* default 128 */
    int64_t late_ms_max;              /* default 24 h */
    int64_t early_ms_max;             /* default 5 min */
    uint32_t dwell_ms_max;            /* of one increment; default 10 min */
    uint32_t room_dwell_ms_max;       /* of one visit; default 30 min */
    uint32_t short_view_ms;           /* default 3,000 */
    uint32_t watch_step_ms[4];        /* watch time that raises the rating to 1, 2, 3, 4; 0 = that grade is off */
    int64_t attribution_ms;           /* default 30 min: an event without source or rec follows the last rec that showed its entity */
    int32_t day_offset_ms;            /* days are cut at UTC midnight minus this; Asia/Shanghai: 8 h */
    int64_t again_ms;                 /* default 30 min: rated again after so long without a touch is another occasion, as is a purchase of what is rated as bought */
    uint32_t next_steps;              /* what rises from 0 follows the so many rated ones of its kind touched last: directed pairs; 0 to PAIR_STEPS; default 3 */
    bool funnel;                      /* emit EFFECT_COUNT; off in the reference job */
    bool room_counters_only;          /* reference job: EFFECT_COUNT for rooms only, without unique visitors */
    struct currency_settings currencies[CURRENCIES_MAX];
};

void profile_settings_default(struct profile_settings *s);

enum history_flag {
    HISTORY_NEGATIVE = 1, /* disliked, or last seen for less than short_view_ms */
    HISTORY_IMPRESSED = 2, /* touched_ms of the last impression is impressed_ms */
};

struct history_entry {
    entity_id id;
    uint8_t rating;       /* max of action weights; the part that pair counts hold */
    uint8_t flags;
    uint8_t stars;        /* explicit rating 1-5, 0 = none */
    uint8_t percent;      /* progress */
    uint8_t times;        /* occasions after the first that rated it; saturating */
    uint32_t dwell_s;     /* watched; what is less than a second waits in carry_ms */
    int64_t touched_ms;   /* event time of the last touch, at whole seconds */
    int64_t impressed_ms; /* last impression; 0 = none */
    int64_t shown_ms;     /* last event that carried the rec which showed it; 0 = none */
};

struct owned_item {
    entity_id item;
    uint32_t order_tag; /* low bits of hash64 of the order id */
    int64_t paid;       /* minor units of the order's currency */
    int64_t refunded;   /* likewise */
    uint8_t currency;   /* place in the settings; CURRENCIES_MAX = none */
    uint8_t source;     /* enum event_source it was counted under; a refund is counted there too; */
    uint8_t attributed; /* but of these under recommendation: bits for item, host and room; 0 unless source is organic */
    entity_id host;     /* where it was bought, for refunds; 0 = none */
    entity_id room;
};

struct relation {
    entity_id id;
    bool blocked; /* else followed */
};

struct visit {
    uint32_t tag;      /* of (room) or (host, day) */
    uint32_t dwell_ms; /* rooms: watched so far, saturating */
};

struct profile {
    uint64_t events;  /* all counts together */
    uint64_t dwell_ms;
    int64_t first_ms;
    int64_t last_ms; /* greatest event time */
    uint32_t counts[EVENT_TYPES];
    int64_t spent;    /* settlement minor units */
    int64_t refunded;
    int64_t gifted;
    int64_t last_paid_ms;
    uint32_t orders;
    uint32_t carry_ms;    /* watched, not yet a second of the history */
    uint32_t visits_lost; /* visits pushed out of the list: unique visitors may count one of them twice */
    uint32_t history_count, owned_count, relation_count, visit_count, dedupe_count;
    struct history_entry *history; /* owned; oldest touch first, all kinds */
    struct owned_item *owned;      /* owned; oldest first */
    struct relation *relations;    /* owned; oldest first */
    struct visit *visits;          /* owned; oldest first */
    uint32_t *dedupe;              /* owned; oldest first; DEDUPE_BITS each: 64 of them take one event in 262,144 for another */
};

/* Why an event is refused in the profile stage; each is a dead-letter reason. */
enum profile_refusal {
    PROFILE_APPLIED,
    PROFILE_DUPLICATE, /* not a dead letter: dropped and counted */
    PROFILE_LATE,
    PROFILE_EARLY,
    PROFILE_UNKNOWN_CURRENCY,
    PROFILE_AMOUNT_TOO_LARGE,
    PROFILE_UNKNOWN_ORDER,
    PROFILE_REFUND_EXCEEDS,
    PROFILE_CURRENCY_MISMATCH, /* a refund in a currency that no item of its order is in */
    PROFILE_REFUSALS
};

extern const char *const profile_refusal_names[PROFILE_REFUSALS];

struct profile *profile_create(void);
void profile_destroy(struct profile *p);
/* By what an event id is known again: its low DEDUPE_BITS are all that is kept. */
uint32_t profile_id_tag(struct slice id);
/* Whether the event is late or early for its record's timestamp, or applies. */
enum profile_refusal profile_judge_time(const struct profile_settings *s, const struct event *e, int64_t record_ms);
/*
 * Folds one event. `record_ms` is the record timestamp. Effects are appended to `out`; their slices borrow from the
 * event. A refused event changes nothing and emits nothing.
 */
enum profile_refusal profile_apply(struct profile *p, const struct profile_settings *s, const struct event *event,
                                   int64_t record_ms, struct effect_list *out);
/* Canonical bytes: equal state, equal bytes. Opaque, versioned, little-endian. */
void profile_encode(const struct profile *p, struct writer *out);
MUST_CHECK enum err profile_decode(struct slice bytes, struct profile **out_profile);
/* Asks for the memory that the next apply or encode will wait for: depth 0 the profile, 1 its lists (the profile is there). */
void profile_fetch(const struct profile *p, int depth);
size_t profile_bytes(const struct profile *p); /* memory held, for the cache budget */
const struct history_entry *profile_find(const struct profile *p, entity_id id);
/* Bought and not refunded in full; what cost nothing stays owned. */
bool owned_is_kept(const struct owned_item *o);
bool profile_keeps(const struct profile *p, entity_id item); /* some purchase of it is kept */
/* Under which the purchase counts for its item, host or room. */
enum event_source owned_source(const struct owned_item *o, enum entity_kind kind);
