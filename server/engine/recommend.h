/*
 * Ranking for one user: rooms that are live, items to be had in them, hosts who are on. Pure: the profile, the
 * catalog and what this worker has seen of the funnel decide; the only chance is drawn from a generator seeded by the
 * record. Nothing of it is folded state.
 *
 * Score of a room = sum of its parts, each a weight times a value in [0, 1]:
 *   interest      cosine of the user's taste (tags and, where both have them, embeddings; half-lives of a day and a
 *                 month, mixed) with the best item on offer
 *   similar_item  item-based collaborative filtering: sum of sim(p, q) rating(q) over the history, each list at unit length, and what
 *                 comes right after the newest few; as a share of the user's greatest sum
 *   followed      the user follows the host
 *   known_host    rating and watch time with the host, fading with a half-life of a month
 *   next_in_series the item continues a series of which the user owns a part
 *   popular       smoothed conversion of room, host and item against the average of all
 *   trending      share of the looks of the last minutes
 *   explore       little shown yet
 *   again         what the user comes back to: the more often, the more lately by the user's own rhythm and the more it is wanted
 *                 by everybody, the more. Only of formats that return; a course that is owned is never offered again. What is
 *                 similar does not count there
 * Candidates: what the lists of the newest 150 items of the history name (20 of each, 10 from the ninth on), what carries the tags the user likes most, what
 * known hosts show, what is best for everybody, and a few at random; so the work is bounded whatever is live. The best
 * of them by an estimate are scored exactly.
 * Selection: slot by slot the best that is left, with probability `explore` any that is left; the propensity of a
 * slot is the probability of that choice given the slots before. At most 2 rooms a host and 5 a category.
 */
#pragma once

#include "server/engine/catalog.h"
#include "server/engine/event.h"
#include "server/engine/profile.h"

#define RECOMMEND_ROOMS 20
#define RECOMMEND_ITEMS 20
#define RECOMMEND_HOSTS 10

enum reason {
    REASON_INTEREST,
    REASON_SIMILAR_ITEM,
    REASON_FOLLOWED,
    REASON_KNOWN_HOST,
    REASON_SERIES,
    REASON_POPULAR,
    REASON_TRENDING,
    REASON_EXPLORE,
    REASON_AGAIN,
    REASONS
};

extern const char *const reason_names[REASONS];

struct recommend_settings {
    uint32_t weights[REASONS];  /* thousandths */
    uint32_t explore_ppm;       /* probability that a slot goes to any candidate; 50,000 */
    int64_t pause_ms;           /* not again after an impression; 600,000 */
    uint32_t per_host;          /* 2 */
    uint32_t per_category;      /* 5 */
    int64_t half_life_short_ms; /* a day */
    int64_t half_life_long_ms;  /* 30 days */
    int64_t trend_half_life_ms; /* of the funnel counts; 600,000 */
    int64_t popular_half_life_ms; /* of what was taken, for `popular`; 7 days */
    uint32_t recent_items;      /* newest of the history whose lists are read; 150 */
    uint32_t list_items;        /* places of a list that are read; 20 */
    uint32_t full_lists;        /* so many lists, of the others half; 8 */
    uint32_t similar_prior_permille; /* of the similarity sums; 200 */
    uint32_t next_permille;     /* of what comes right after the newest item, in the similarity sum; half for each before; 2,000 */
    uint32_t place_permille;    /* what a place further back in the history is worth above the floor; 800 */
    uint32_t place_floor_permille; /* and what any is; 500 */
    uint32_t returning[FORMATS]; /* 1: what was bought may be offered again; 0 for all */
    uint32_t funnel_max;        /* entities of which funnel counts are kept; 200,000 */
    uint32_t learned_permille;  /* how far the learned blend moves the weights, as a power; 0: not at all */
    uint32_t own_weights;       /* reasons, a bit each, whose weight is not learned; 0 */
};

void recommend_settings_default(struct recommend_settings *s);

struct blend_model;
struct choice;

/* A similarity list as read from its view; strongest first; the first 20 are looked at. */
struct similar {
    uint32_t number; /* of the catalog's item */
    float sim;
};

struct similar_list {
    uint32_t count;
    const struct similar *at;
    const float *next; /* share of who came to it right after; NULL: none */
    float scale;       /* similar_list_scale() */
};

/* What brings a list to unit length, so that items of few and of many neighbours have an equal say; less where it says little. */
float similar_list_scale(const struct similar *at, uint32_t count);

struct recommended {
    entity_id id;
    struct slice name;     /* borrowed from the catalog, as are host and item */
    struct slice host;
    struct slice item;
    double score;          /* the sum of parts */
    double parts[REASONS]; /* rounded to 1e-4 */
    struct slice of;       /* similar_item: the entity in the history */
    double propensity;
};

struct recommendation {
    uint32_t room_count, item_count, host_count;
    struct recommended rooms[RECOMMEND_ROOMS];
    struct recommended items[RECOMMEND_ITEMS];
    struct recommended hosts[RECOMMEND_HOSTS];
};

/* For whom, when, and where the lists of the history come from. */
struct asker {
    const struct profile *profile;
    int64_t now_ms;
    struct similar_list (*similar)(void *arg, entity_id item);
    void *arg;
};

/* Rooms of a list, first place first. */
struct given {
    uint32_t count;
    const entity_id *rooms;
};

/* What one worker knows beside the profile: an index of live rooms and the funnel of what it has seen. Soft. */
struct recommender;

struct recommender *recommender_create(const struct recommend_settings *s, const struct catalog *catalog);
void recommender_destroy(struct recommender *r);
/* The weights are the settings' times what was learned, from here on. */
void recommender_blend(struct recommender *r, const struct blend_model *m);
double recommender_weight(const struct recommender *r, enum reason reason); /* thousandths */

struct taste_word {
    struct slice text; /* borrowed from the catalog */
    float weight;      /* all of one taste: unit length together */
};

/* The strongest tags the user likes, strongest first; answers how many. */
uint32_t recommender_taste(struct recommender *r, const struct profile *p, int64_t now_ms, struct taste_word *out, uint32_t max);
/* Counts an applied event. */
void recommender_see(struct recommender *r, const struct event *e, int64_t now_ms);
/* Click and purchase rate of an entity over everybody's, as far as seen here and believed; 1: average or unknown. */
float recommender_lift(const struct recommender *r, entity_id id, int64_t now_ms);
/*
 * Fills `out`. `scene` limits rooms; `similar(arg, item)` answers the list of an item, or count 0, valid until the
 * ranking is done. `seed` from the record. Borrowed texts are valid until the catalog changes.
 */
void recommend(struct recommender *r, const struct profile *p, struct slice scene, int64_t now_ms, uint64_t seed,
               struct similar_list (*similar)(void *arg, entity_id item), void *arg, struct recommendation *out);
/*
 * The score of every item, live or not, by catalog number, as recommend() would score it: what an evaluation ranks.
 * recommend() itself only offers items that are live or named by a list. Below 0: not to be offered. `out` has
 * catalog_number_bound() of them.
 */
void recommend_all(struct recommender *r, const struct asker *a, float *out);
/* Before a purchase is folded: whether the user comes back to the item. What recommend_next() rests on, and nothing else. */
void recommender_learn_next(struct recommender *r, const struct profile *p, const struct event *e, int64_t now_ms);
/* The probability of every item to be the next that the user takes, by catalog number; all together 1. For evaluations. */
void recommend_next(struct recommender *r, const struct asker *a, float *out);
/* Whether the user took nothing for so long: a visit begins. What was shown since it was taken does not say when that was, and does not count. */
bool recommend_begins(const struct profile *p, int64_t now_ms, int64_t gap_ms);

struct taking {
    entity_id id; /* a room or item */
    uint64_t seed;
};

/*
 * What it was taken from: what was shown lately, if it was; else the best for the user by estimate, if it is one. Whether something is
 * in there depends on what was known before, so the event must not be folded yet. False: in neither, or there is nothing else.
 */
bool recommend_choice(struct recommender *r, const struct asker *a, struct slice scene, const struct taking *taking, struct choice *out);
/* The same with the others given, by catalog number. */
bool recommend_choice_of(struct recommender *r, const struct asker *a, const uint32_t *items, uint32_t count, struct choice *out);

#define PLACE_ROOMS_MAX 43

/* One place of a list of rooms when those before it are given: what may stand there, and with what probability. */
struct list_place {
    uint32_t count;
    entity_id rooms[PLACE_ROOMS_MAX]; /* the best first */
    double best, other;               /* probability of the first, and of each of the others */
};

/*
 * How recommend() would draw the places of a list whose rooms are `given`: what another configuration makes of what was
 * sent. Answers how many places it can tell: up to the first whose room could not stand there.
 */
uint32_t recommend_given(struct recommender *r, const struct asker *a, struct slice scene, const struct given *given, struct list_place *out);
