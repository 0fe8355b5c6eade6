/* The inside of a scene, shared by the allocation_*.c files only. */
#pragma once

#include "server/engine/allocation.h"

#define SAMPLES_MAX 26
#define POSITIONS_MAX 256
#define CONTROL_TAGS 64
#define WEIGHTS_NONE (-1)
#define ORDER_WORTH_MAX (1ll << 50)
#define GUARANTEE_MS_MAX (30ll * 86400000)

/* Entities ordered by id: found by bisection, encoded in this order. */
struct table {
    entity_id *ids; /* owned */
    void **at;      /* owned, and what it points to */
    uint32_t count;
    uint32_t capacity;
};

void *table_find(const struct table *t, entity_id id);
void table_add(struct table *t, entity_id id, void *value);
void *table_remove(struct table *t, entity_id id);
void table_fini(struct table *t);

struct tags {
    uint8_t count;
    uint32_t at[SCENE_TAGS_MAX]; /* hashes */
};

/* The totals of an entity and which rollup they came from. */
struct tally {
    int64_t offset; /* -1: none yet */
    int64_t totals[COUNTERS];
};

struct item {
    entity_id id;
    struct name name;
    uint32_t category;
    struct tags tags;
    int64_t price;
    struct tally tally;
    int64_t commission; /* on revenue as it came in, at the rate of that time */
    int32_t commission_bp; /* mean of the hosts that sold it at the last tick */
    int64_t fixed;      /* its part of the rooms' bonus and slot cost */
    int64_t traffic;
    int64_t idle_ms;    /* tick at which the last room dropped it */
    uint32_t ranking;   /* hash of the ranking last sent */
    int64_t ranked_ms;  /* when */
    int64_t card_ms;    /* when its card was last sent */
    bool dirty;         /* changed since */
    uint32_t refs;      /* derived: rooms that list it */
    uint32_t refs_live; /* derived at a tick, as is the next */
    int64_t bp_sum;
};

/* What a host's results are made of. */
enum host_count {
    HOST_COUNT_EXPOSURE,
    HOST_COUNT_CLICK,
    HOST_COUNT_ENTER,
    HOST_COUNT_WATCH_MS,
    HOST_COUNT_INTERACTION,
    HOST_COUNT_WANTED, /* carts and orders */
    HOST_COUNT_PURCHASE,
    HOST_COUNT_REVENUE,
    HOST_COUNTS
};

/* How a result came about: bit 0 by a recommendation, bit 1 while something outside the host's first domain was on show. */
enum { STRATUM_RECOMMENDED = 1, STRATUM_AFIELD = 2, STRATA = 4 };

struct host {
    entity_id id;
    struct name name;
    struct tags domains;
    struct tags style;
    int64_t fans;
    int32_t commission_bp;
    int64_t bonus;
    struct tally tally;
    int64_t recommended[HOST_COUNTS]; /* of the totals of the last rollup */
    int64_t results[STRATA][HOST_COUNTS]; /* what has not faded */
    bool afield; /* what is on show is outside its first domain */
    int64_t fixed;
    int64_t traffic;
    int64_t idle_ms;
    int64_t card_ms;
    bool dirty;
    uint32_t refs;
    uint32_t refs_live; /* derived at a tick, as are those below */
    uint32_t cohort;
    int32_t results_ppm[HOST_RESULTS]; /* 500,000 = average */
};

/* Totals as they stood at the first tick of a minute. */
struct sample {
    int64_t minute;
    int64_t totals[SAMPLED];
};

/* Of the guarantee in force; see allocation_guarantee.c. */
struct guarantee {
    int64_t began_ms;
    int64_t exposure; /* exposures at that time */
    int64_t given;    /* at the last measurement, as are those below */
    int64_t measured_ms;
    int64_t error_ppm;
    int64_t integral_ppm;
    int64_t correction_ppm;
    bool measured; /* at least once */
};

struct held {
    bool active;
    int64_t value;
    int64_t until_ms;
};

/* A part of a room's score before anything is mixed in. */
struct ratio {
    double share;    /* of the score */
    double apart;    /* rate of the room over its cohort's, less one */
    double variance; /* of it; 0: nothing is known */
};

struct room {
    entity_id id;
    struct name name;
    entity_id host;
    uint32_t category;
    uint8_t item_count;
    entity_id items[SCENE_ITEMS_MAX];
    entity_id explaining;
    int32_t catalog_partition;
    int64_t catalog_offset;
    bool retired;
    int64_t opened_ms;
    int64_t quiet_ms;   /* tick time since the last rollup */
    int64_t fixed;      /* bonus and slot cost booked */
    int64_t traffic;
    struct tally tally;
    uint8_t sample_count;
    struct sample samples[SAMPLES_MAX]; /* oldest first */
    int32_t weight_ppm; /* WEIGHTS_NONE until the first tick that weighs it */
    int32_t sent_ppm;   /* as last sent, or WEIGHTS_NONE */
    int64_t sent_ms;
    int32_t drawn_ppm;  /* of the traffic that explores, what it won in the last draws; WEIGHTS_NONE before its first */
    enum tier tier;
    int8_t tier_streak; /* evaluations in a row that ask up (+) or down (-) */
    struct held held[CONTROL_HELD];
    struct guarantee guarantee;
    uint8_t alerts;             /* bit per step: raised */
    uint8_t alert_streak[FUNNEL_STEPS];
    int64_t card_ms;
    bool dirty;
    /* Derived at a tick. */
    uint32_t cohort;
    double evidence[SAMPLED];
    int32_t score_ppm;
    int32_t parts[SCORE_PARTS];
    struct ratio ratios[SCORE_PARTS];
    double belief, spread; /* of the score less one; see allocation_explore.c */
};

enum source { SOURCE_OF_CATALOG, SOURCE_OF_CONTROL };

struct position {
    uint8_t source;
    int32_t partition;
    int64_t offset;
};

struct scene {
    struct name name;
    int64_t epoch;
    int64_t tick_ms;
    int64_t minute;      /* last minute sampled */
    int64_t day;         /* last day that hosts' results faded */
    int64_t order_worth; /* mean revenue an order in the results of all hosts at the last tick; at most ORDER_WORTH_MAX */
    int64_t alert_ms;    /* last evaluation of alerts */
    int64_t snapshot_ms; /* last snapshot */
    entity_id rank_next; /* the item to rank next: the first with an id not below */
    struct held freeze;  /* of the whole scene */
    uint32_t position_count;
    struct position positions[POSITIONS_MAX]; /* ordered by source, partition */
    uint32_t tag_count;
    uint32_t tags[CONTROL_TAGS]; /* of the last control ids, oldest first */
    struct table rooms; /* of struct room */
    struct table hosts; /* of struct host */
    struct table items; /* of struct item */
};

/* Sums over the rooms of a cohort. */
struct cohort {
    uint64_t key;
    uint32_t rooms;
    double evidence[SAMPLED];
    double windows[2][SAMPLED]; /* 5 and 10 minutes */
};

/* One tick's working set: cohort 0 is the whole scene. */
struct cohorts {
    struct cohort *at; /* owned */
    uint32_t count;
    uint32_t *slots; /* owned; hash table of indices + 1 */
    uint32_t mask;
};

static inline struct room *room_at(const struct scene *c, uint32_t i)
{
    return c->rooms.at[i];
}

static inline bool room_is_weighed(const struct room *r)
{
    return !r->retired && !r->held[CONTROL_KILL].active;
}

int64_t add_saturating(int64_t a, int64_t b);
struct name name_of(struct slice s);
uint32_t tag_of(struct slice s);

/* allocation_out.c: appends. */
struct out_weight *out_add_weight(struct scene_out *out);
void out_add_closed(struct scene_out *out, const struct name *room);
struct out_ranking *out_add_ranking(struct scene_out *out);
struct out_alert *out_add_alert(struct scene_out *out);
struct out_answer *out_add_answer(struct scene_out *out);
void out_add_decision(struct scene_out *out, enum decision_kind kind, const struct name *room, int64_t before,
                      int64_t after);
struct out_card *out_add_card(struct scene_out *out);

/* allocation_rooms.c */
enum scene_verdict rooms_apply_entry(struct scene *c, const struct allocation_settings *s,
                                     const struct room_entry *e, struct scene_out *out);
enum scene_verdict rooms_apply_rollup(struct scene *c, const struct rollup *u, struct scene_out *out);
void scene_rooms_tick(struct scene *c, const struct allocation_settings *s, int64_t gap_ms, struct scene_out *out);
bool rooms_link(struct scene *c); /* counts references after decoding; false: a room names what is not in the tables */

/* allocation_windows.c */
void windows_sample(struct room *r, int64_t minute);
void windows_read(const struct room *r, int64_t minute, enum window w, int64_t out[SAMPLED]);
void windows_back(const struct room *r, int64_t minute, int64_t minutes, int64_t out[SAMPLED]);

/* allocation_scoring.c */
void scoring_tick(struct scene *c, const struct allocation_settings *s, struct cohorts *out);
void cohorts_fini(struct cohorts *k);
const struct cohort *cohorts_of(const struct cohorts *k, const struct allocation_settings *s, const struct room *r);

/* allocation_tiers.c, allocation_weights.c, allocation_hosts.c, allocation_alerts.c, allocation_control.c */
void tiers_tick(struct scene *c, const struct allocation_settings *s, struct scene_out *out);
void weights_tick(struct scene *c, const struct allocation_settings *s, struct scene_out *out);
void weights_emit(struct scene *c, const struct allocation_settings *s, struct room *r, struct scene_out *out);
/* allocation_explore.c: draws when a minute begins, or when most rooms have never been drawn. */
void explore_tick(struct scene *c, const struct allocation_settings *s, bool new_minute);
void hosts_tick(struct scene *c, const struct allocation_settings *s, struct scene_out *out);
/* allocation_results.c: what a rollup adds to the results of a host that stood at `before`; and what they are worth. */
void results_take(const struct scene *c, struct host *h, const struct tally *before, const struct rollup *u);
void results_tick(struct scene *c, const struct allocation_settings *s);
bool item_speaks_of(const struct item *it, uint32_t domain); /* by its category or a tag */
void alerts_tick(struct scene *c, const struct allocation_settings *s, const struct cohorts *k, struct scene_out *out);
enum scene_verdict control_apply(struct scene *c, const struct allocation_settings *s, const struct control_entry *e,
                                 struct scene_out *out);
void control_tick(struct scene *c, const struct allocation_settings *s, struct scene_out *out);
bool control_is_in_bounds(enum control_op op, int64_t value, int64_t until_ms);

/* allocation_guarantee.c */
bool guarantee_can_be(const struct guarantee *g, const struct held *h); /* of the control that holds it */
void guarantee_begin(const struct scene *c, struct room *r);
int64_t guarantee_given(const struct room *r);
void guarantee_tick(const struct scene *c, const struct allocation_settings *s, struct room *r);
/* The floor that a guarantee asks for now; 0 when there is none. `scene_exposures` within the last 5 minutes. */
int64_t guarantee_floor_ppm(const struct scene *c, const struct allocation_settings *s, const struct room *r,
                            double scene_exposures);

/* allocation_roi.c */
void roi_book(struct scene *c, struct room *r, int64_t fixed, int64_t traffic);
void roi_item_revenue(struct item *it, int64_t revenue_before);
int64_t roi_revenue(const int64_t totals[COUNTERS]);
int64_t roi_commission(int64_t revenue, int32_t commission_bp);
void roi_tick(struct scene *c, const struct allocation_settings *s, struct scene_out *out);
