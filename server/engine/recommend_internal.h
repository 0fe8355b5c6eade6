/* Shared by the recommend*.c files only. */
#pragma once

#include "common/order.h"
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
#define TASTE_STEPS 1000 /* a taste's vector is rounded to so many steps either way */
#define PULL_STEPS 262144 /* and an item's pull on it, times the embedding's scale: at most 8 / 127 */
#define NEXT_ITEMS 4     /* newest of the history whose transitions count apart */
#define PART_STEPS 10000 /* parts are kept in integers, so that they add up exactly */

/* Fading counts of one entity. */
struct funnel {
    double exposures, looks, buys;
    int64_t at_ms;
    double taken; /* items: forward decay, to be divided by what it is worth now (Cormode et al. 2009) */
    double first; /* likewise: users who took it for the first time */
};

/* What is the same for all users of an item, by its catalog number; what it is worth to everybody stands in the slots. */
struct shelf_item {
    float popular;  /* value of the part, in [0, 1] */
    float cube;     /* cube root of its lift */
    float scale;    /* 1 / sqrt(tags) */
    uint32_t from;  /* in rooms_of_item */
    uint32_t count; /* 0: on offer nowhere */
};

/* A room on offer, and what one ranking says of it: together, so that a ranking waits for its memory once. */
struct shelf_room {
    float base;         /* without its items */
    float total;        /* with the best */
    uint32_t best;      /* item that is worth most to everybody; 0 none */
    uint32_t host;      /* number */
    uint32_t group;     /* the category's number on the shelf */
    uint32_t category;
    uint32_t scene_count;
    uint32_t scenes[CATALOG_SCENES_MAX];
    float cube;         /* cube root of room's and host's lift */
    int32_t trending, explore; /* parts */
    uint32_t from;      /* in items_of_room */
    uint32_t count;
    entity_id id;
    /* Void unless the stamp is the ranking's. */
    uint32_t stamp;
    uint32_t marks;
    float offer;        /* estimate of the best item */
    uint32_t item;      /* number; 0 none */
    float value;        /* estimate of the room */
    /* The catalog's entry at its version `seen`. */
    uint32_t shown;     /* item on show; 0 none */
    uint64_t seen;
    const struct catalog_room *room; /* borrowed; NULL: not open any more */
};

struct shelf_host {
    uint32_t stamp;     /* as of a room */
    float known;
    uint32_t marks;
    uint8_t listed, chosen; /* rooms on the shortlist, and in the list */
    int32_t popular;    /* part */
    uint32_t from, count;   /* in rooms_of_host */
    entity_id id;
};

/* A category. */
struct shelf_group {
    uint32_t stamp;
    uint8_t listed, chosen;
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
    struct shelf_group *groups; /* owned */
    struct map group_numbers; /* category -> number + 1 */
    uint32_t group_count;
    struct lists rooms_of_item, items_of_room, rooms_of_host, items_of_tag, rooms_of_scene; /* the last two best first */
    uint32_t top[TOP_ITEMS];
    uint32_t top_count;
};

enum mark { MARK_BLOCKED = 1, MARK_FOLLOWED = 2, MARK_DISLIKED = 4, MARK_SHOWN = 8, MARK_OWNED = 16, MARK_TOUCHED = 32, MARK_TAKEN = 64, MARK_BOUGHT = 128 };

#define MARK_NEVER (MARK_BLOCKED | MARK_DISLIKED | MARK_OWNED)

/*
 * What one ranking says of items, one behind the other in the order in which it came upon them, a column a value: so sums over
 * all of them compute several at a time.
 */
struct tallies {
    void *memory;      /* owned; of all columns */
    uint32_t count;
    uint32_t touched;  /* so many by the taste and the lists; they come first */
    uint32_t *number;
    float *base;       /* worth to everybody, in thousandths */
    float *interest;   /* estimate, in thousandths */
    float *similar;    /* sum over the lists */
    float *value;      /* estimate; of the touched */
    uint32_t *strongest; /* of the lists: the high bits of its part, then the place in the history */
    int8_t *bin;       /* scratch of the touched */
    float *again;      /* activation times demand; 0: it was not had before, or does not return */
    uint8_t *marks;
    uint8_t *exact;    /* place + 1 among the exact scores */
};

/* By catalog number. */
struct item_slot {
    uint32_t place; /* of its tally, if that is there and names the number */
    float base;     /* value without the user, in thousandths; 0 unless on offer */
};

#define PARTS 12 /* REASONS and nothing, to a width that computes several at a time */

#define PLACE_BITS 8 /* of `strongest` */
_Static_assert(PROFILE_HISTORY_MAX <= 1 << PLACE_BITS, "a place in the history");

struct exact {
    const struct catalog_item *item;
    int32_t parts[PARTS]; /* in 1 / PART_STEPS */
    int32_t score;
    uint32_t place; /* among the tallies */
    bool offerable;
};

struct taste {
    uint32_t tag_count;      /* with the first, which stands for every other tag and weighs nothing */
    uint32_t tags[TASTE_TAGS + 1];
    float weights[TASTE_TAGS + 1];
    uint32_t best_count;
    uint8_t best[TAGS_ASKED]; /* places of the strongest above 0, in order */
    float tag_scale; /* 1 / length of the tags' vector */
    uint32_t dims; /* 0: no embeddings in the history */
    int32_t vector[CATALOG_DIMS_MAX];
    int16_t rounded[CATALOG_DIMS_MAX]; /* the vector over its norm, in steps */
    uint8_t *place_of; /* owned; by tag: where it stands, 0 if nowhere */
    uint32_t place_bound;
};

/* Purchases of users of one kind: all, and those of what they had before. */
struct returns {
    float back, all;
};

#define RETURN_SIZES 10
#define RETURN_PARTS 5

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
    struct returns returns[RETURN_SIZES][RETURN_PARTS]; /* by occasions and the part of them that was repeated */
    struct shelf shelf;
    uint32_t stamp;
    struct tallies items;     /* room for item_bound of them */
    struct item_slot *slots;  /* owned */
    uint32_t item_bound;
    uint32_t *touched_rooms;  /* owned; with the two behind it room for room_bound */
    uint32_t *sorted_rooms;   /* owned; scratch */
    uint8_t *room_bins;       /* owned; scratch by touched room */
    uint32_t room_bound, touched_room_count;
    float weights[PARTS];     /* the settings', times what was learned */
    float similar_prior;      /* of the sums, as they are of an ordinary rating */
    float similar_scale;      /* what makes a part's value of a sum */
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
    /* By place in the history. */
    const struct catalog_item *items[PROFILE_HISTORY_MAX]; /* NULL: not one of the catalog's */
    uint32_t hosts[PROFILE_HISTORY_MAX]; /* number + 1; 0: not a host on the shelf */
};

/* Without scene and seed. The rest is filled by user_begin(): it is too much to be cleared for each ranking. */
static inline void context_init(struct context *c, struct recommender *r, const struct asker *a)
{
    c->r = r;
    c->p = a->profile;
    c->scene = 0;
    c->now_ms = a->now_ms;
    c->seed = 0;
    c->similar = a->similar;
    c->arg = a->arg;
}

static inline bool shown_lately(const struct context *c, const struct history_entry *h)
{
    return h->flags & HISTORY_IMPRESSED && c->now_ms - h->impressed_ms < c->r->settings.pause_ms;
}

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

/* Where the tally of an item is; UINT32_MAX when the ranking has not come upon it. */
static inline uint32_t item_find(const struct recommender *r, uint32_t number)
{
    uint32_t at = number < r->item_bound ? r->slots[number].place : UINT32_MAX;
    return at < r->items.count && r->items.number[at] == number ? at : UINT32_MAX;
}

/* Makes it when needed. The number is below the bound. */
static inline uint32_t item_of(struct recommender *r, uint32_t number)
{
    struct tallies *t = &r->items;
    struct item_slot *slot = &r->slots[number];
    if (slot->place < t->count && t->number[slot->place] == number)
        return slot->place;
    uint32_t at = slot->place = t->count++;
    t->number[at] = number;
    t->base[at] = slot->base;
    t->interest[at] = t->similar[at] = 0;
    t->strongest[at] = 0;
    t->again[at] = 0;
    t->marks[at] = t->exact[at] = 0;
    return at;
}

/* A value as a part; below 0 it counts as 0, above 1 as 1. */
static inline int32_t part_of(const struct recommender *r, enum reason reason, float value)
{
    float clamped = value < 0 ? 0 : value > 1 ? 1 : value;
    return (int32_t)(clamped * r->weights[reason] * (PART_STEPS / 1000.0f) + 0.5f);
}

static inline struct shelf_host *host_of(struct recommender *r, uint32_t number)
{
    struct shelf_host *h = &r->shelf.hosts[number];
    if (h->stamp != r->stamp) {
        h->stamp = r->stamp;
        h->known = 0;
        h->marks = 0;
        h->listed = h->chosen = 0;
    }
    return h;
}

static inline struct shelf_room *room_of(struct recommender *r, uint32_t number)
{
    struct shelf_room *room = &r->shelf.rooms[number];
    if (room->stamp != r->stamp) {
        room->stamp = r->stamp;
        room->marks = 0;
        room->offer = room->value = 0;
        room->item = 0;
    }
    return room;
}

static inline struct shelf_group *group_of(struct recommender *r, uint32_t number)
{
    struct shelf_group *g = &r->shelf.groups[number];
    if (g->stamp != r->stamp)
        *g = (struct shelf_group){.stamp = r->stamp};
    return g;
}

static inline bool anything_returns(const struct recommender *r)
{
    bool any = false;
    for (int f = 0; f < FORMATS; f++)
        any |= r->settings.returning[f] != 0;
    return any;
}

/* Value of an item before its exact score, in thousandths. */
static inline float estimate_item(const struct recommender *r, uint32_t number)
{
    uint32_t at = item_find(r, number);
    if (at == UINT32_MAX)
        return number < r->item_bound ? r->slots[number].base : 0;
    return r->items.base[at] + r->items.interest[at] + r->weights[REASON_SIMILAR_ITEM] * r->similar_scale * r->items.similar[at];
}

/* Sets the recommender's. `items` by place in the history, NULL where there is none. */
void taste_of(struct recommender *r, const struct profile *p, const struct catalog_item *const *items, int64_t now_ms);
/* In [0, 1]. */
float taste_match(const struct taste *t, const struct catalog_item *it);

double funnel_fade(const struct recommender *r, const struct funnel *f, int64_t now_ms);
/* NULL when nothing was seen of it. */
const struct funnel *funnel_find(const struct recommender *r, entity_id id);
/* Smoothed conversion against the average of all; 1 = average, as without a funnel. */
float funnel_lift(const struct recommender *r, const struct funnel *f, int64_t now_ms);

void funnel_first(struct recommender *r, entity_id item, int64_t now_ms);
/* So many, fading. */
double funnel_firsts(const struct recommender *r, entity_id item, int64_t now_ms);

/* Makes place for what the catalog has numbers for; before the shelf is refreshed. */
void recommender_reserve(struct recommender *r);
/* Brings the shelf up to date; the slots with it. */
void shelf_refresh(struct recommender *r, int64_t now_ms);
/* Brings what the room says of the catalog's entry up to date. */
void shelf_look(struct recommender *r, struct shelf_room *room);
void shelf_fini(struct shelf *s);
/* Value of the part `popular` of an item. */
float shelf_popular(const struct recommender *r, const struct catalog_item *it, int64_t now_ms);

/* The shelf brought up to date, and what the profile says of items, hosts and rooms: marks, taste, similarity; then the candidates
 * worth exact scores. */
void user_begin(struct context *c);
void user_shorten(struct context *c, struct shortlist *out);
/* What the user had before and may have again; the last that touches. */
void ask_again(const struct context *c);
float again_value(const struct recommender *r, uint32_t at);
/* All of it for a scene. */
void recommend_shorten(struct context *c, struct slice scene, struct shortlist *out);
/* One candidate room; what stands in it is in the exact scores. */
struct candidate {
    const struct shelf_room *on;
    const struct exact *item; /* NULL: a room without items */
    uint32_t host, category;
    int32_t parts[PARTS];
    int32_t score;
};

/* The score of an item, computed once a ranking. NULL when there is no such item. */
const struct exact *score_item(const struct context *c, uint32_t number);
/* After shelf_look(). False: nothing here may be shown. */
bool score_room(const struct context *c, const struct shelf_room *on, struct candidate *out);
/* What a host is offered for: the best room's interest, and what is the host's own. Answers the sum. */
int32_t score_host(const struct recommender *r, const struct candidate *best, int32_t parts[PARTS]);
void score_write(struct recommended *o, const int32_t parts[PARTS], int32_t score, double propensity);
void score_write_room(const struct context *c, const struct candidate *one, double propensity, struct recommended *o);
/* The entity of the history through whose list most of an item's similarity came, when there was one. */
struct slice score_similar_to(const struct context *c, const struct exact *e);
void score_all(struct context *c, const struct shortlist *s, struct recommendation *out);
uint32_t score_given(struct context *c, const struct shortlist *s, const struct given *given, struct list_place *out);
