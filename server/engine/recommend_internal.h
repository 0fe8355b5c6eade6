/* Shared by the recommend*.c files only. */
#pragma once

#include "server/engine/recommend.h"

#define TASTE_TAGS 48
#define TASTE_DIMS CATALOG_DIMS_MAX

/* Fading counts of one entity. */
struct funnel {
    double exposures, looks, buys;
    int64_t at_ms;
    double lift;    /* as last computed, at lift_ms */
    int64_t lift_ms;
};

/* What the similarity lists of the history say of one item. */
struct related {
    entity_id id; /* 0: empty */
    double sum;   /* of sim * rating */
    double best;
    entity_id of; /* the strongest */
};

/* Scores of one ranking, each item once. */
struct scored_item {
    entity_id id; /* 0: empty */
    struct recommended score;
};

#define SCORED_SLOTS 4096 /* more are scored each time they are met */

#define RELATED_SLOTS 1024 /* at least twice the items of all lists of a history */

struct posting { /* live rooms with an item of this tag */
    uint32_t tag, from, count;
};

/* What the profile says of one entity, found by its id. */
enum known_flag { KNOWN_BLOCKED = 1, KNOWN_FOLLOWED = 2, KNOWN_DISLIKED = 4, KNOWN_SHOWN = 8, KNOWN_OWNED = 16 };

struct known {
    entity_id id; /* 0: empty */
    uint32_t flags;
    const struct history_entry *history; /* NULL: not in it */
};

#define KNOWN_SLOTS 4096 /* more than twice what a profile holds */

/* An item on offer in some live room. */
struct offer {
    const struct catalog_item *item;
    float base; /* its parts that do not depend on the user */
    float scale; /* 1 / sqrt(tags) */
};

struct offers {
    struct offer *at;   /* owned */
    uint32_t count, capacity;
    struct map numbers; /* item id -> number + 1 */
    uint32_t *from;     /* owned; by open room, one more: where its offers begin in `of_room` */
    uint32_t *of_room;  /* owned; numbers of offers */
    struct posting *postings; /* owned; ordered by tag, over `of_tag` */
    uint32_t posting_count;
    uint32_t *of_tag;   /* owned; numbers of offers */
    uint32_t *shown;    /* owned; by open room: the number of the offer on show, or UINT32_MAX */
    float *room_base;   /* owned; by open room */
    float *estimate;    /* owned; scratch by offer */
};

#define SHORT_ROOMS 40  /* best by estimate, scored exactly */
#define SHORT_RANDOM 8  /* and any */
#define SHORT_ITEMS 32
#define ROOM_OFFERS 2   /* of a room, best by estimate, scored exactly */

struct short_room {
    uint32_t number; /* of the open room */
    uint32_t offers[ROOM_OFFERS];
    uint32_t offer_count;
    float estimate;
};

struct shortlist {
    uint32_t room_count, item_count;
    struct short_room rooms[SHORT_ROOMS + SHORT_RANDOM];
    const struct catalog_item *items[2 * SHORT_ITEMS]; /* on offer, then related */
};

struct recommender {
    struct recommend_settings settings;
    const struct catalog *catalog; /* borrowed */
    uint64_t version;              /* of the catalog the index was made from, + 1 */
    struct map funnels;            /* entity id -> struct funnel; owned */
    struct funnel all;
    struct posting *postings;      /* owned; ordered by tag */
    uint32_t posting_count, posting_capacity;
    uint32_t *rooms;               /* owned; numbers of open rooms by posting */
    uint32_t room_count, room_capacity;
    uint32_t *popular;             /* owned; open rooms, best first */
    double *popular_key;           /* owned; scratch */
    uint32_t popular_count, popular_capacity;
    int64_t popular_ms;
    uint32_t *seen;                /* owned; by open room: mark of the last candidate collection */
    uint32_t seen_capacity, mark;
    struct related related[RELATED_SLOTS]; /* scratch: open addressing */
    uint32_t related_count;
    struct offers offers;
    struct known *known;       /* owned; scratch: open addressing */
    uint32_t known_used[KNOWN_SLOTS / 2];
    uint32_t known_count;
    struct scored_item *scored; /* owned; scratch: SCORED_SLOTS, open addressing */
    uint32_t scored_used[SCORED_SLOTS / 2];
    uint32_t scored_count;
};

struct taste_tag {
    uint32_t tag;
    double weight;
};

#define TASTE_SLOTS 128   /* of the table of tags; more than twice their number */
#define TASTE_STEPS 1000 /* a taste's vector is rounded to so many steps either way */

struct taste {
    uint32_t tag_count;
    struct taste_tag tags[TASTE_TAGS]; /* strongest first */
    struct taste_tag slots[TASTE_SLOTS]; /* the same, by tag: open addressing; tag 0 is empty */
    double tag_norm;
    uint32_t dims; /* 0: no embeddings in the history */
    double vector[TASTE_DIMS];
    int16_t rounded[TASTE_DIMS]; /* the vector over its norm, in steps */
};

void taste_of(const struct recommender *r, const struct profile *p, int64_t now_ms, struct taste *out);
/* In [0, 1]. */
double taste_match(const struct taste *t, const struct catalog_item *it);

/* Fills the table of what the profile knows. */
void known_fill(struct recommender *r, const struct profile *p, int64_t now_ms);
/* Never NULL; flags 0 when nothing is known. */
const struct known *known_of(const struct recommender *r, entity_id id);

/* x / (1 + x): any non-negative number into [0, 1). */
static inline double squash(double x)
{
    return x > 0 ? x / (1 + x) : 0;
}

static inline struct related *related_slot(struct recommender *r, entity_id id)
{
    uint64_t at = (id * 0x9e3779b97f4a7c15u >> 40) % RELATED_SLOTS;
    while (r->related[at].id && r->related[at].id != id)
        at = (at + 1) % RELATED_SLOTS;
    return &r->related[at];
}

/* After the catalog changed; and the parts of offers and rooms that only time changes. */
void offers_build(struct recommender *r);
void offers_refresh(struct recommender *r, int64_t now_ms);
void offers_fini(struct offers *o);
/* The rooms and items worth exact scores: estimates from tags, similarity, host and what everybody does. */
void shortlist_make(struct recommender *r, const struct taste *t, uint32_t scene, uint64_t seed, const uint32_t *candidates,
                    uint32_t count, struct shortlist *out);

const struct funnel *funnel_of(const struct recommender *r, entity_id id);
/* What of a count at `f` is left at `now_ms`. */
double funnel_fade(const struct recommender *r, const struct funnel *f, int64_t now_ms);
/* Smoothed against the average of all; 1 = average. */
double funnel_lift(const struct recommender *r, entity_id id, int64_t now_ms);
/* Brings index and order of popularity up to date. */
void index_refresh(struct recommender *r, int64_t now_ms);
/* Numbers of open rooms worth scoring; at most RECOMMEND_CANDIDATES. */
uint32_t index_candidates(struct recommender *r, const struct profile *p, const struct taste *t, uint64_t seed,
                          uint32_t out[RECOMMEND_CANDIDATES]);
