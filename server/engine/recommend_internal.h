/* Shared by the recommend*.c files only. */
#pragma once

#include "server/engine/recommend.h"

#define TOP_ITEMS 96     /* kept in the order of what they are worth to everybody */
#define TOP_ROOMS 40     /* of a scene, likewise */
#define ANY_ROOMS 3      /* and any */
#define TAG_ITEMS 16     /* of a tag, likewise */
#define TAGS_ASKED 8     /* the strongest of the taste */
#define TASTE_ITEMS 16   /* newest of the history that make the taste */
#define PICKED_ITEMS 48  /* best by estimate, which bring their rooms; up to twice so many when they tie */
#define SHORT_ROOMS 25   /* best by estimate, scored exactly */
#define SHORT_ROOMS_MAX 40 /* and more, until a whole list of them may stand together */
#define SHORT_ITEMS 24
#define EXACT_MAX 250    /* more than the short rooms, all offers of a few of them, and the short items */
#define SERIES_MAX 16    /* of which the user owns a part */
#define TASTE_TAGS 40
#define TASTE_SLOTS 256  /* of the table of tags; more than twice their number */
#define TASTE_STEPS 1000 /* a taste's vector is rounded to so many steps either way */
#define PULL_STEPS 262144 /* and an item's pull on it, times the embedding's scale: at most 8 / 127 */
#define NEXT_ITEMS 4     /* newest of the history whose transitions count apart */
#define TIMES_HALF 4.0f  /* occasions that make half of the part `again` */
#define PART_STEPS 10000 /* parts are kept in integers, so that they add up exactly */

/* Fading counts of one entity. */
struct funnel {
    double exposures, looks, buys;
    int64_t at_ms;
    double taken; /* items: forward decay, to be divided by what it is worth now (Cormode et al. 2009) */
};

/* What is the same for all users of an item, by its catalog number. */
struct shelf_item {
    float base;     /* parts that do not depend on the user, in thousandths */
    float popular;  /* value of the part, in [0, 1] */
    float cube;     /* cube root of its lift */
    float scale;    /* 1 / sqrt(tags) */
    uint32_t from;  /* in rooms_of_item */
    uint32_t count; /* 0: on offer nowhere */
};

struct shelf_room {
    entity_id id;
    uint32_t host;  /* number */
    uint32_t from;  /* in items_of_room */
    uint32_t count;
    uint32_t best;  /* item that is worth most to everybody; 0 none */
    float base;     /* without its items */
    float total;    /* with the best */
    float cube;     /* cube root of room's and host's lift */
    float trending, explore;
    uint32_t category;
    uint32_t group; /* the category's number on the shelf */
    uint32_t scene_count;
    uint32_t scenes[CATALOG_SCENES_MAX];
};

struct shelf_host {
    entity_id id;
    uint32_t from, count; /* in rooms_of_host */
    float popular;
};

/* Lists of numbers by key, one behind the other. */
struct lists {
    uint32_t *from; /* owned; by key, one more */
    uint32_t *at;   /* owned */
    uint32_t keys;
};

/* What is live, derived from the catalog when its shape changed, and what it is worth, once an interval. */
struct shelf {
    bool built;
    uint64_t shape;
    int64_t built_ms, valued_ms;
    struct shelf_item *items; /* owned; by catalog number */
    uint32_t item_bound;
    uint32_t *offered;        /* owned; numbers */
    uint32_t offered_count;
    struct shelf_room *rooms; /* owned */
    uint32_t room_count;
    struct map room_numbers;  /* id -> number + 1 */
    struct shelf_host *hosts; /* owned */
    uint32_t host_count;
    struct map host_numbers;  /* id -> number + 1 */
    struct map group_numbers; /* category -> number + 1 */
    uint32_t group_count;
    struct lists rooms_of_item, items_of_room, rooms_of_host, items_of_tag, rooms_of_scene; /* the last two best first */
    uint32_t top[TOP_ITEMS];
    uint32_t top_count;
};

enum mark { MARK_BLOCKED = 1, MARK_FOLLOWED = 2, MARK_DISLIKED = 4, MARK_SHOWN = 8, MARK_OWNED = 16, MARK_TOUCHED = 32, MARK_TAKEN = 64, MARK_BOUGHT = 128 };

#define MARK_NEVER (MARK_BLOCKED | MARK_DISLIKED | MARK_OWNED)

/* What one ranking says of an item. The tallies of a ranking lie one behind the other, in the order in which it came upon the items. */
struct item_tally {
    uint32_t number;
    float interest; /* estimate, in thousandths */
    float similar;  /* sum over the lists */
    float strongest;
    uint16_t of;    /* in the history: the strongest */
    uint8_t marks;
    uint8_t exact;  /* place + 1 among the exact scores */
    uint16_t times; /* occasions; 0: it is not known, or does not return */
};

/* Of a host, a room, a category; void unless the stamp is the ranking's. */
struct host_tally {
    uint32_t stamp;
    float known;
    uint32_t marks;
    uint8_t listed, chosen; /* rooms on the shortlist, and in the list */
};

struct room_tally {
    uint32_t stamp;
    float best;    /* estimate of the best item */
    uint32_t item; /* number; 0 none */
    uint32_t marks;
    float value;   /* estimate of the room */
};

struct group_tally {
    uint32_t stamp;
    uint8_t listed, chosen;
};

struct exact {
    const struct catalog_item *item;
    int32_t parts[REASONS]; /* in 1 / PART_STEPS */
    int32_t score;
    bool offerable;
};

struct taste_tag {
    uint32_t tag;
    float weight;
};

struct taste {
    uint32_t tag_count;
    struct taste_tag tags[TASTE_TAGS];
    uint32_t best_count;
    uint8_t best[TAGS_ASKED];          /* places of the strongest above 0, in order */
    uint8_t slots[TASTE_SLOTS];        /* place + 1 in tags, by tag: open addressing */
    float tag_scale; /* 1 / length of the tags' vector */
    uint32_t dims; /* 0: no embeddings in the history */
    int32_t vector[CATALOG_DIMS_MAX];
    int16_t rounded[CATALOG_DIMS_MAX]; /* the vector over its norm, in steps */
};

struct recommender {
    struct recommend_settings settings;
    const struct catalog *catalog; /* borrowed */
    struct map funnels;            /* entity id -> struct funnel; owned */
    struct funnel all;
    float *popular;     /* owned; by catalog number: value of the part, for all items; scratch of recommend_all() */
    uint32_t popular_bound;
    int64_t popular_ms;
    double taken_most;  /* of any item; only grows until it is scaled down */
    int64_t taken_from_ms; /* landmark of the forward decay; 0: nothing yet */
    struct shelf shelf;
    uint32_t stamp;
    struct item_tally *items; /* owned; item_count of them, room for item_bound */
    uint32_t *item_at;        /* owned; by catalog number: where its tally is, if it is there and names the number */
    struct host_tally *hosts; /* owned; by number on the shelf, as are rooms and groups */
    struct room_tally *rooms;
    struct group_tally *groups;
    uint32_t item_bound, host_bound, room_bound, group_bound;
    uint32_t *touched_rooms;  /* owned */
    uint32_t *sorted_rooms;   /* owned; scratch */
    uint8_t *bins;            /* owned; scratch by touched item or room */
    float *values, *sums;     /* owned; scratch likewise */
    uint32_t item_count, touched_item_count, touched_room_count; /* items touched come first */
    float similar_scale;      /* of the sums before they are squashed */
    uint32_t series[SERIES_MAX];
    uint32_t series_count;
    uint32_t exact_count;
    struct exact exact[EXACT_MAX];
    struct taste taste;
};

struct context {
    struct recommender *r;
    const struct profile *p;
    uint32_t scene; /* interned */
    int64_t now_ms;
    uint64_t seed;
    struct similar_list (*similar)(void *arg, entity_id item);
    void *arg;
};

struct shortlist {
    uint32_t room_count, item_count;
    uint32_t rooms[SHORT_ROOMS_MAX + ANY_ROOMS]; /* in no order */
    uint32_t items[SHORT_ITEMS];             /* catalog numbers, in no order */
};

/* x / (1 + x): any non-negative number into [0, 1). */
static inline float squash(float x)
{
    return x > 0 ? x / (1 + x) : 0;
}

/*
 * 2^-x for x >= 0, to 0.014 %: the fraction by a polynomial of third degree (least squares of the relative error), the rest into the
 * exponent.
 */
static inline float fade_of(float x)
{
    if (x > 120)
        return 0;
    int32_t whole = (int32_t)x;
    float f = (float)whole - x; /* (-1, 0] */
    union {
        float value;
        int32_t bits;
    } y = {.value = 0.99986396f + f * (0.69069035f + f * (0.22966972f + f * 0.03891127f))};
    y.bits -= whole << 23;
    return y.value;
}

/* NULL when the ranking has not come upon the item. */
static inline struct item_tally *item_find(const struct recommender *r, uint32_t number)
{
    uint32_t at = number < r->item_bound ? r->item_at[number] : UINT32_MAX;
    return at < r->item_count && r->items[at].number == number ? &r->items[at] : NULL;
}

/* Makes it when needed. The number is below the bound. */
static inline struct item_tally *item_of(struct recommender *r, uint32_t number)
{
    struct item_tally *t = item_find(r, number);
    if (t)
        return t;
    t = &r->items[r->item_count];
    r->item_at[number] = r->item_count++;
    *t = (struct item_tally){.number = number};
    return t;
}

static inline struct host_tally *host_of(struct recommender *r, uint32_t number)
{
    struct host_tally *t = &r->hosts[number];
    if (t->stamp != r->stamp)
        *t = (struct host_tally){.stamp = r->stamp};
    return t;
}

static inline struct room_tally *room_of(struct recommender *r, uint32_t number)
{
    struct room_tally *t = &r->rooms[number];
    if (t->stamp != r->stamp)
        *t = (struct room_tally){.stamp = r->stamp};
    return t;
}

static inline struct group_tally *group_of(struct recommender *r, uint32_t number)
{
    struct group_tally *t = &r->groups[number];
    if (t->stamp != r->stamp)
        *t = (struct group_tally){.stamp = r->stamp};
    return t;
}

/* Value of an item before its exact score, in thousandths. */
static inline float estimate_tally(const struct recommender *r, const struct item_tally *t)
{
    float base = t->number < r->shelf.item_bound ? r->shelf.items[t->number].base : 0;
    return base + t->interest + (float)r->settings.weights[REASON_SIMILAR_ITEM] * squash(r->similar_scale * t->similar);
}

static inline float estimate_item(const struct recommender *r, uint32_t number)
{
    const struct item_tally *t = item_find(r, number);
    return t ? estimate_tally(r, t) : number < r->shelf.item_bound ? r->shelf.items[number].base : 0;
}

void taste_of(const struct recommender *r, const struct profile *p, int64_t now_ms, struct taste *out);
/* In [0, 1]. */
float taste_match(const struct taste *t, const struct catalog_item *it);

double funnel_fade(const struct recommender *r, const struct funnel *f, int64_t now_ms);
/* NULL when nothing was seen of it. */
const struct funnel *funnel_find(const struct recommender *r, entity_id id);
/* Smoothed conversion against the average of all; 1 = average. */
float funnel_lift(const struct recommender *r, entity_id id, int64_t now_ms);

/* Brings the shelf up to date. */
void shelf_refresh(struct recommender *r, int64_t now_ms);
void shelf_fini(struct shelf *s);
/* Value of the part `popular` of an item. */
float shelf_popular(const struct recommender *r, const struct catalog_item *it, int64_t now_ms);

/* What the profile says of items, hosts and rooms: marks, taste, similarity; then the candidates worth exact scores. */
void user_begin(struct context *c);
void user_shorten(struct context *c, struct shortlist *out);
void score_all(struct context *c, const struct shortlist *s, struct recommendation *out);
