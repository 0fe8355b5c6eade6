/*
 * The simulated world: users with true tastes, hosts with true quality, rooms that open and close, and the events
 * all of them cause. Pure: virtual time comes as an argument, randomness from a seed, records leave through a sink.
 * The same settings, the same calls and the same feedback give the same bytes.
 *
 * It is a closed loop: what a recommender publishes is handed in (world_recommend, world_weigh) and decides what the
 * treated users are shown. The control share, chosen by a hash of the user, sees popularity and uniform weights.
 */
#pragma once

#include "common/slice.h"

#include <stddef.h>
#include <stdint.h>

enum scenario {
    SCENARIO_ORDINARY,
    SCENARIO_FLASH,         /* a star host goes live and a tenth of the users arrive in a minute */
    SCENARIO_COURSE_LAUNCH, /* a new programming course, its lecturer among other hosts, trial lessons */
};

struct world_settings {
    uint64_t seed;
    int64_t start_ms; /* virtual time of the first step; also part of room, order and event ids */
    uint32_t users;
    uint32_t rooms; /* live at a time */
    uint32_t items;
    uint32_t hosts;
    uint32_t scenes; /* 1-8 */
    double rate;     /* events a simulated second, before duplicates and malformed records */
    double duplicates; /* shares of the events */
    double late;
    double malformed;
    double faults_per_hour; /* funnel faults injected into rooms, per simulated hour */
    double control_share;
    int64_t catalog_interval_ms; /* rewrite the whole catalog this often; 0: only changes after the first time */
    enum scenario scenario;
    int64_t scenario_after_ms; /* when the scenario's happening begins, since start */
    bool beliefs; /* keep what a perfect observer would know of the hosts, for the report */
    bool plain_feed; /* treated users are shown rooms beside the recommended ones by weight alone, not weight times popularity */
    bool oracle; /* treated users are shown what truly suits them best: the most a recommender could do */
};

/* Sensible sizes for everything; a caller changes what it wants. */
struct world_settings world_defaults(void);

enum world_topic { WORLD_EVENTS, WORLD_CATALOG };

struct world_record {
    enum world_topic topic;
    int64_t timestamp_ms;
    struct slice key;
    struct slice value; /* size 0: tombstone */
    bool malformed;     /* meant to be refused */
};

struct world_sink {
    void *self;
    void (*emit)(void *self, const struct world_record *record); /* borrows the record for the call */
};

struct world;

struct world *world_create(const struct world_settings *settings);
void world_destroy(struct world *w);
/* Everything that happens up to and including `now_ms`, in order of record timestamps. The first call also writes
 * the catalog. */
void world_step(struct world *w, int64_t now_ms, const struct world_sink *sink);

#define RECOMMENDED_MAX 20
#define RECOMMENDED_REASONS 3

struct advised {
    struct slice id;
    double score;
    struct slice reasons[RECOMMENDED_REASONS]; /* their codes; size 0 ends */
};

/* One record of live.recommendations, as far as its users need it. */
struct advice {
    struct slice rec;
    struct slice user;
    struct slice scene;
    int64_t ts;
    int64_t valid_until;
    int64_t version[3];
    struct advised rooms[RECOMMENDED_MAX];
    struct advised items[RECOMMENDED_MAX];
    uint32_t room_count;
    uint32_t item_count;
};

/* The user is shown this list until it expires (its own length of life from `now_ms` on). Unknown ids are skipped.
 * False for an unknown user or a version that is not newer than the one known. */
bool world_recommend(struct world *w, const struct advice *r, int64_t now_ms);
/* The room's share of its scene's exposures for `life_ms` from now; a weight below 0 says the room left the pool. */
void world_weigh(struct world *w, struct slice scene, struct slice room, double weight, int64_t now_ms,
                 int64_t life_ms);

struct world_counts {
    uint64_t records; /* all but catalog */
    uint64_t events;  /* distinct well-formed events */
    uint64_t by_type[32]; /* indexed by enum event_type */
    uint64_t duplicates;
    uint64_t late;
    uint64_t malformed;
    uint64_t catalog;
    uint32_t faults;
    uint32_t users_control;
    uint64_t slates_recommended; /* lists shown that came from a recommendation */
    uint64_t slates_other;       /* lists shown to treated users without one */
    uint64_t rooms_shown;        /* to treated users */
    uint64_t rooms_shown_new;    /* of hosts new to everybody */
    double rooms_shown_even;     /* those there would be if every live room were shown alike */
};

const struct world_counts *world_counts(const struct world *w);
