/* The inside of the world, shared by its files and by the report, which compares it with what was published. */
#pragma once

#include "common/bytes.h"
#include "server/engine/event.h"
#include "server/simulate/random.h"
#include "server/simulate/world.h"

enum {
    TAGS = 32,
    CLUSTERS = 8, /* of taste; each has TAGS / CLUSTERS tags of its own */
    EMBEDDING = 64,
    SLATE = 6,
    ROOM_ITEMS = 6,
    ITEM_TAGS = 3,
    OWNED_MAX = 16,
    FOLLOWED_MAX = 8,
    BLOCKED_MAX = 4,
    BELIEFS = 48,
    SEEN_MAX = 24,
    SCENES_MAX = 8,
};

struct item {
    uint8_t cluster;
    uint8_t tags[ITEM_TAGS];
    uint8_t tag_count;
    uint8_t level;
    int32_t series;   /* -1: none */
    int32_t requires; /* item, -1: none */
    bool restricted;
    const char *format;
    int64_t price; /* minor units */
    double quality;
    double appeal; /* of its price: 1 = cheap */
};

struct host {
    uint8_t cluster;
    uint8_t second; /* cluster */
    double quality;
    uint32_t fans;
    uint32_t commission_bp;
    int64_t bonus;
    int32_t room; /* number of its live room, -1: none */
    int64_t first_ms; /* when it first went live, 0: never */
};

#define UNEVEN_MIN 0.1 /* of rhythm and spending */
#define UNEVEN_MAX 5.0
#define SLATES_MIN 2 /* lists a session */
#define SLATES_MAX 7
#define QUALITY_MIN 0.15
#define QUALITY_MAX 1.0

/* Log likelihood of a host's quality over a grid. */
struct belief {
    double log[BELIEFS];
};

/* low + slope * quality */
struct linear {
    double low, slope;
};

/* What a host's quality does: to the wish to enter, to how much a user likes the room. */
#define WISH ((struct linear){0.4, 0.6})
#define LIKING ((struct linear){0.3, 0.7})
#define QUALITY_ITSELF ((struct linear){0, 1})

static inline double linear_at(struct linear l, double quality)
{
    return l.low + l.slope * quality;
}

enum fault_kind { FAULT_NONE, FAULT_ENTRANCE, FAULT_CONVERSION };

struct fault {
    enum fault_kind kind;
    uint32_t room;
    int64_t from_ms;
    int64_t until_ms;
    double lost; /* enters, or carts and orders, that would have come */
};

struct room {
    uint32_t number;
    uint32_t host;
    uint32_t items[ROOM_ITEMS];
    uint32_t item_count;
    uint32_t explaining; /* index into items */
    uint32_t scenes;     /* bits */
    uint32_t viewers;
    uint32_t exposures;
    int64_t opened_ms;
    int64_t closes_ms;
    int64_t explain_until_ms;
    int32_t fault; /* index of the fault that is on, -1: none */
    bool open;
    float weight[SCENES_MAX];       /* from live.traffic */
    int64_t weight_until[SCENES_MAX]; /* 0: none known */
};

enum user_state { USER_AWAY, USER_BROWSING, USER_IN_ROOM };

struct owned {
    uint32_t item;
    uint64_t order;
    int64_t paid;
    int64_t refunded;
    uint8_t percent;
    bool rated;
};

struct glance {
    uint32_t room;
    int64_t at_ms; /* 0: empty */
};

/* What a user has done that later behaviour depends on; made when the user first comes. */
struct life {
    struct owned owned[OWNED_MAX];
    uint32_t owned_count;
    uint32_t followed[FOLLOWED_MAX];
    uint32_t followed_count;
    uint32_t blocked[BLOCKED_MAX];
    uint32_t blocked_count;
    int32_t cart;  /* item, -1: none */
    int32_t trial; /* item tried, -1: none */
    struct glance seen[SEEN_MAX]; /* ring: rooms last shown */
    uint32_t seen_next;
};

/* The list a user was last recommended. */
struct shown {
    char rec[EVENT_ID_BYTES + 1];
    int64_t expires_ms;
    int64_t version[3];
    uint32_t scene;
    uint32_t rooms[RECOMMENDED_MAX];
    uint32_t items[RECOMMENDED_MAX];
    uint32_t room_count;
    uint32_t item_count;
    uint32_t next; /* the first room not yet shown: a list is paged through */
};

struct user {
    uint8_t taste[TAGS]; /* 255 = 1.0 */
    uint8_t cluster;
    uint8_t state;
    uint8_t scene;
    uint8_t slates_left, slates_seen; /* in this session */
    uint8_t pos; /* how the user came into the room */
    bool control;
    bool churned;
    bool came_by_rec;
    bool for_star; /* flash: comes for the star */
    float spending;
    float rhythm;  /* how often the user comes, mean one, UNEVEN_MIN at least */
    float mood; /* satisfaction with the session */
    uint32_t room;
    int64_t next_ms;
    int64_t watch_from_ms;
    int64_t stay_until_ms;
    int64_t session_from_ms;
    int64_t return_ms; /* does not come back before */
    uint32_t exposures;
    uint32_t purchases;
    float expected_purchases; /* the chances of all looks, added up */
    struct life *life;   /* owned */
    struct shown *shown; /* owned */
    const char *source;
};

struct purchase {
    uint32_t user;
    int64_t at_ms;
};

struct session {
    uint32_t user;
    int64_t from_ms;
    int64_t until_ms;
};

/* A record that is appended later than it happened. */
struct delayed {
    int64_t at_ms;
    uint64_t sequence;
    bool malformed;
    uint32_t key_size;
    uint32_t value_size;
    char *bytes; /* owned: key, then value */
};

struct due {
    int64_t at_ms;
    uint32_t user;
};

struct world {
    struct world_settings settings;
    struct random random;
    struct user *users;
    struct host *hosts;
    struct belief *beliefs; /* a host each; NULL unless settings.beliefs */
    struct item *items;
    float *embeddings; /* EMBEDDING an item */
    struct room *rooms; /* all there ever were, by number */
    uint32_t room_count;
    uint32_t room_capacity;
    uint32_t *live; /* numbers of open rooms */
    uint32_t live_count;
    uint32_t live_new; /* of hosts that are new */
    double *popularity; /* per live room, refreshed every tick */
    struct due *due;    /* heap by time */
    uint32_t due_count;
    struct delayed *delayed; /* heap by time */
    uint32_t delayed_count;
    uint32_t delayed_capacity;
    struct fault *faults;
    uint32_t fault_capacity;
    struct purchase *purchases;
    uint32_t purchase_count;
    uint32_t purchase_capacity;
    struct session *sessions;
    uint32_t session_count;
    uint32_t session_capacity;
    uint32_t active; /* users in session */
    double wanted;   /* users in session that give the rate */
    double pace;     /* factor on all pauses when there are too few users for the rate */
    int64_t now_ms;
    int64_t tick_ms;
    int64_t catalog_ms;
    uint64_t measured_events;
    uint64_t sequence; /* of events */
    uint64_t orders;
    uint64_t delays;
    bool started;
    bool happened; /* the scenario's event has begun */
    uint32_t star_room; /* flash: the star's; course-launch: the lecturer's */
    int32_t course;     /* course-launch: the item, -1 before */
    int32_t lecturer;
    uint32_t arrivals_left;
    struct world_counts counts;
    struct writer text; /* owned scratch */
    struct writer key;
    const struct world_sink *sink; /* during world_step */
};

/* An event about to be written; -1 and NULL mean absent. */
struct draft {
    enum event_type type;
    uint32_t user;
    int32_t room;
    int32_t host;
    int32_t item;
    int32_t explaining;
    int32_t pos;
    int64_t dwell_ms;
    int64_t amount;
    int64_t order;
    int32_t qty;
    int32_t value;
    int32_t percent;
    const char *rec;
    const char *source;
    const char *option;
};

extern const char *const cluster_names[CLUSTERS];
extern const char *const scene_names[SCENES_MAX];
extern const char *const tag_names[TAGS];

/* emit.c */
struct draft draft_of(enum event_type type, uint32_t user);
/* With the room, its host and what it explains. */
struct draft draft_in_room(const struct world *w, enum event_type type, uint32_t user);
void emit_event(struct world *w, const struct draft *d, int64_t at_ms);
void emit_delayed(struct world *w); /* the earliest one */
void delayed_fini(struct world *w);
void world_room_id(const struct world *w, uint32_t number, char out_id[EVENT_ID_BYTES + 1]);

/* catalog.c */
void catalog_make(struct world *w);
void catalog_make_course(struct world *w);
void catalog_write(struct world *w, int64_t at_ms);
void catalog_write_item(struct world *w, uint32_t item, int64_t at_ms);
void catalog_write_room(struct world *w, uint32_t room, int64_t at_ms);

/* rooms.c */
void rooms_tick(struct world *w, int64_t now_ms);
bool host_is_new(const struct world *w, uint32_t host, int64_t now_ms); /* went live first within the half hour before */
struct room *room_find(struct world *w, struct slice id);
double room_factor(const struct world *w, const struct room *r, enum fault_kind kind);
/* Notes what a fault took away, when something has that `chance` under it. */
void room_suffer(struct world *w, const struct room *r, enum fault_kind kind, double chance);
/* A live room of the scene drawn by popularity times weight; -1 when there is none. */
int32_t room_draw(struct world *w, uint32_t scene, bool weighted);
double room_weight(const struct world *w, const struct room *r, uint32_t scene);

/* users.c */
void users_make(struct world *w);
void users_arrive(struct world *w, int64_t now_ms);
bool is_pleased(const struct user *u); /* by the session so far: comes back sooner */
void user_depart(struct world *w, uint32_t user, int64_t at_ms);
void due_push(struct world *w, int64_t at_ms, uint32_t user);
struct due due_pop(struct world *w);
double match_item(const struct user *u, const struct item *i);
double match_room(const struct world *w, const struct user *u, const struct room *r);
/* How well a host presents an item, 0 … 1: the truth that a host ranking is held against. */
double host_fit(const struct host *h, const struct item *i);
double host_domain(const struct host *h, const struct item *i);
bool user_owns(const struct user *u, uint32_t item);
bool user_blocked(const struct user *u, uint32_t host);

/* ceiling.c: nothing happens unless the world keeps beliefs. */
void believe_chance(struct world *w, uint32_t host, double factor, struct linear of, bool happened);
void believe_stay(struct world *w, uint32_t host, struct linear mean_s, double stay_s);
double believed_quality(const struct world *w, uint32_t host); /* posterior mean */
/* Of the user within the horizon, from the truth as it stands now. */
double expected_purchases(const struct world *w, uint32_t user, int64_t horizon_ms);
/* Likewise, from what can be seen of how freely the user spends and how long the visit lasts. */
double foreseeable_purchases(const struct world *w, uint32_t user, int64_t horizon_ms);

/* behaviour.c */
void user_act(struct world *w, uint32_t user, int64_t at_ms);
/* slate.c */
void show_rooms(struct world *w, uint32_t user, int64_t at_ms);
void show_items(struct world *w, uint32_t user, int64_t at_ms);
void enter_room(struct world *w, uint32_t user, uint32_t room, const char *source, int64_t at_ms);
void buy(struct world *w, uint32_t user, struct draft d, uint32_t item, int64_t at_ms);
/* P(purchase | a look at the item, presented so well). */
double purchase_chance(const struct world *w, uint32_t user, uint32_t item, double presented);
/* Mean seconds in the room, and the chance of a click when it is shown first and afresh; as functions of the quality. */
struct linear stay_of(const struct world *w, const struct user *u, const struct room *r);
double wish_factor(const struct world *w, const struct user *u, const struct room *r);
double pause_ms(struct world *w, double low_s, double high_s);

/* A growable array of one kind; doubles. */
void grow(void **array, uint32_t *capacity, uint32_t wanted, size_t each);
