/*
 * The allocation stage: the folded state of one scene (an independent traffic pool) and the decisions it takes on
 * ticks: room weights, tiers, host rankings, alerts, return on spend. Pure and exact: the log decides everything.
 */
#pragma once

#include "common/bytes.h"
#include "common/err.h"
#include "server/engine/scene_entry.h"

#include <stddef.h>

#define PPM 1000000

enum tier { TIER_S, TIER_A, TIER_B, TIER_C, TIERS };

enum score_part { PART_ENTRANCE, PART_DWELL, PART_INTERACTION, PART_CONVERSION, PART_GPM, SCORE_PARTS };

enum host_part { HOST_ENTRANCE, HOST_DWELL, HOST_INTERACTION, HOST_CONVERSION, HOST_GPM, HOST_RESULTS,
                 HOST_DOMAIN = HOST_RESULTS, HOST_STYLE, HOST_FANS, HOST_COMMISSION, HOST_PARTS };

enum funnel_step { STEP_ENTRANCE, STEP_DWELL, STEP_INTERACTION, STEP_CART, STEP_CONVERSION, FUNNEL_STEPS };

/* Counters of which a room keeps samples, and the windows derived from them. */
enum sampled { SAMPLED_EXPOSURE, SAMPLED_ENTER, SAMPLED_WATCH_MS, SAMPLED_INTERACTION, SAMPLED_CART,
               SAMPLED_PURCHASE, SAMPLED_GMV, SAMPLED };
enum window { WINDOW_5, WINDOW_10, WINDOW_30, WINDOW_60, WINDOWS }; /* minutes */

extern const char *const tier_names[TIERS];
extern const char *const score_part_names[SCORE_PARTS];
extern const char *const host_part_names[HOST_PARTS];
extern const char *const funnel_step_names[FUNNEL_STEPS];
extern const char *const sampled_names[SAMPLED];
extern const enum counter sampled_counters[SAMPLED];
extern const char *const window_names[WINDOWS];

/* Fold settings, all of them. Shares, factors and ratios in ppm. */
struct allocation_settings {
    uint32_t rooms_max;       /* 2,000, live and retired */
    uint32_t hosts_max;       /* 4,000 */
    uint32_t items_max;       /* 8,000 */
    int64_t silent_ms;        /* without a rollup for so long a room is retired; 120,000 */
    int64_t retired_ms;       /* a retired room is forgotten after; 3,600,000 */
    int64_t tick_gap_ms;      /* a longer gap between ticks counts as this much silence; 5,000 */

    int64_t age_ms[2];        /* bounds of the age cohorts; 600,000 and 3,600,000 */
    uint32_t cohort_rooms;    /* a smaller cohort is judged against the whole scene; 4 */
    uint32_t window_ppm[3];   /* what the last 5, 30 and 60 minutes add to an event's weight; 200,000 300,000 500,000 */
    uint32_t prior[SCORE_PARTS];    /* trials of the cohort's rate mixed in: 300 exposures; 40, 40, 200, 200 enters */
    uint32_t part_ppm[SCORE_PARTS]; /* share of each ratio in the score; sum 1,000,000 */
    uint32_t ratio_max_ppm;   /* a ratio stays within [1/this, this]; 4,000,000 */

    uint32_t score_power;     /* of the score in the wanted weight; 2 */
    int32_t cap_ppm;          /* largest weight; 200,000; effective max(cap, 1/rooms) */
    int32_t floor_ppm;        /* least weight of a room younger than explore_ms; 10,000; at most 1/(2 rooms) */
    int64_t explore_ms;       /* 600,000 */
    uint32_t explore_ppm;     /* of the traffic by the probability of being among the best rooms; 0 */
    uint32_t explore_bold_ppm; /* of the noise; 100,000 */
    int32_t step_ppm;         /* largest change of a weight in one tick; 20,000 */
    int32_t hold_ppm;         /* weights stay while less of the traffic would move; 5,000 */
    int32_t guarantee_max_ppm; /* largest floor a guarantee may ask for; 300,000 */
    uint32_t guarantee_gain_ppm[3]; /* of its controller: proportional, integral, derivative; 1,000,000 300,000 200,000 */

    uint32_t tier_factor_ppm[TIERS];  /* on the score; 2,000,000 1,400,000 1,000,000 600,000 */
    uint32_t tier_rise_ppm[TIERS];    /* score at which a room leaves this tier upwards; -, 1,500,000 1,150,000 900,000 */
    uint32_t tier_fall_ppm[TIERS];    /* score below which it leaves downwards; 1,300,000 1,000,000 750,000, - */
    uint32_t tier_streak;     /* evaluations in a row, one a minute; 3 */
    uint32_t tier_exposures;  /* exposures within the hour before a room may change tier; 200 */

    uint32_t host_part_ppm[HOST_PARTS]; /* sum 1,000,000 */
    uint32_t host_fade_ppm;   /* of a host's results forgotten each day; 50,000: half in a fortnight */
    uint32_t rank_top;        /* hosts in a ranking; 10, at most RANK_MAX */
    uint32_t rank_items;      /* items ranked again in one tick, round robin; 20 */
    int64_t rank_refresh_ms;  /* an unchanged ranking is sent again after, and holds twice as long; 300,000 */

    int64_t alert_period_ms;  /* 15,000 */
    uint32_t alert_streak;    /* evaluations in a row; 2 */
    uint32_t alert_z_milli;   /* 4,500 = four and a half standard errors */
    uint32_t alert_prior;     /* events at the cohort's rate that count as a room's past; 8 */
    uint32_t alert_ratio_ppm; /* and below this share of the rest of the cohort; 600,000 */
    uint32_t alert_past_ppm;  /* and below this share of its own past; 600,000 */
    uint32_t alert_spread_milli[FUNNEL_STEPS]; /* variance over Poisson; 1,500 2,000 6,000 2,000 1,500 */

    int64_t refresh_ms;       /* an unchanged weight is sent again after; 10,000 */
    int64_t valid_ms;         /* how long a weight may be used; 30,000 */
    int64_t snapshot_ms;      /* between snapshots; 2,000 */
    int64_t card_ms;          /* between two cards of one entity; 2,000 */
};

void allocation_settings_default(struct allocation_settings *s);

#define RANK_MAX 20

struct name {
    uint8_t size;
    char at[SCENE_ID_BYTES];
};

static inline struct slice name_slice(const struct name *n)
{
    return (struct slice){n->at, n->size};
}

/* Return on spend: (revenue - costs) / costs, revenue = GMV - refunds, costs = commission + bonus + traffic. */
struct roi {
    int64_t revenue;    /* minor units, as are all amounts */
    int64_t commission;
    int64_t fixed;      /* bonus and slot cost */
    int64_t traffic;    /* booked by controls */
    int64_t ratio_ppm;  /* meaningful when has_ratio */
    bool has_ratio;     /* false: nothing was spent */
};

struct out_weight {
    struct name room;
    struct name host;
    int32_t weight_ppm;
    int32_t previous_ppm;         /* as last sent */
    enum tier tier;
    int32_t score_ppm;            /* 1,000,000 = the cohort's average; the sum of parts */
    int32_t parts[SCORE_PARTS];
    uint32_t held;                /* bit (1 << op) for every control in force */
    bool young;                   /* under the exploration floor */
    bool due;                     /* changed, or older than refresh_ms: to be sent on its own */
};

struct ranked_host {
    struct name host;
    bool live;                    /* has a live room in the scene */
    int32_t score_ppm;            /* the sum of parts */
    int32_t parts[HOST_PARTS];
};

struct out_ranking {
    struct name item;
    uint32_t count;
    struct ranked_host hosts[RANK_MAX]; /* best first */
};

enum alert_kind { ALERT_RAISED, ALERT_CLEARED, ALERT_GUARANTEE_MET, ALERT_GUARANTEE_MISSED, ALERT_KINDS };

extern const char *const alert_kind_names[ALERT_KINDS];

struct out_alert {
    enum alert_kind kind;
    struct name room;
    enum funnel_step step;   /* raised, cleared: the bottleneck */
    int64_t rate_ppm;        /* of the room; dwell: ms an enter; guarantees: exposures given */
    int64_t cohort_ppm;      /* of its cohort; guarantees: exposures promised */
    int64_t trials;
};

struct out_answer {
    enum control_answer answer;
    enum control_op op;
    struct slice id, room, by, why; /* borrowed from the entry */
    int64_t value;
    int64_t until_ms;
};

enum decision_kind {
    DECISION_OPENED,
    DECISION_CLOSED,
    DECISION_RETIRED,
    DECISION_REVIVED,
    DECISION_TABLE_FULL,
    DECISION_TIER,    /* before, after: enum tier */
    DECISION_EXPIRED, /* before: the control_op that ended */
    DECISION_KINDS
};

extern const char *const decision_kind_names[DECISION_KINDS];

struct out_decision {
    enum decision_kind kind;
    struct name room;
    int64_t before;
    int64_t after;
};

struct out_card {
    enum entity_kind kind;
    struct name name;
    struct name host;        /* rooms */
    bool live;
    int64_t totals[COUNTERS];
    struct roi roi;
    int64_t windows[WINDOWS][SAMPLED]; /* rooms */
    int32_t weight_ppm;      /* rooms, as are those below */
    int32_t score_ppm;
    enum tier tier;
};

/* What one entry led to. Owned by the caller; scene_apply() appends, scene_out_clear() empties. */
struct scene_out {
    int64_t tick_ms; /* the scene's clock after the entry; 0 before the first tick */
    bool snapshot;   /* `weights` holds every live room and is due as a snapshot */
    struct out_weight *weights;
    struct name *closed; /* rooms to be tombstoned */
    struct out_ranking *rankings;
    struct out_alert *alerts;
    struct out_answer *answers;
    struct out_decision *decisions;
    struct out_card *cards;
    size_t weight_count, closed_count, ranking_count, alert_count, answer_count, decision_count, card_count;
    size_t weight_room, closed_room, ranking_room, alert_room, answer_room, decision_room, card_room;
};

void scene_out_clear(struct scene_out *out);
void scene_out_fini(struct scene_out *out);

/* What became of an entry. Only the first changed anything. */
enum scene_verdict {
    SCENE_APPLIED,
    SCENE_OLD_EPOCH,
    SCENE_OLD_POSITION,
    SCENE_OLD_TICK,
    SCENE_OLD_ROLLUP,
    SCENE_NOT_LISTED, /* a rollup of an entity that no room of the scene names, or the close of an unknown room */
    SCENE_FULL,       /* the table of rooms is full of live ones */
    SCENE_VERDICTS
};

extern const char *const scene_verdict_names[SCENE_VERDICTS];

struct scene; /* opaque */

struct scene *scene_create(struct slice name);
void scene_destroy(struct scene *c);
enum scene_verdict scene_apply(struct scene *c, const struct allocation_settings *s, const struct scene_entry *e,
                               struct scene_out *out);
/* Canonical bytes: equal state, equal bytes. */
void scene_encode(const struct scene *c, struct writer *out);
MUST_CHECK enum err scene_decode(struct slice bytes, struct scene **out_scene);
size_t scene_bytes(const struct scene *c); /* memory held */
struct slice scene_name(const struct scene *c);
int64_t scene_tick_ms(const struct scene *c);
/* The owner must forward with an epoch of at least this (its own may have rolled back with the store). */
int64_t scene_epoch(const struct scene *c);
/* Last position forwarded and folded, -1 when none: where the owner goes on. */
int64_t scene_catalog_offset(const struct scene *c, int32_t partition);
int64_t scene_control_offset(const struct scene *c, int32_t partition);
/* Rooms in the table, ordered by id, so that the owner can close what left the catalog unseen. */
uint32_t scene_rooms(const struct scene *c);
struct slice scene_room(const struct scene *c, uint32_t index, bool *out_live, int32_t *out_weight_ppm);
