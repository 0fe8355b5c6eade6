/*
 * What sluice publishes, parsed for those who act on it: the simulated users, the report and the demo's screen.
 * Everything is borrowed from the parsed document, which lives until feedback_done().
 */
#pragma once

#include "server/simulate/world.h"

#include <jansson.h>

#define RANKED_MAX 64

struct feedback {
    json_t *document; /* owned */
};

struct traffic {
    struct slice scene;
    struct slice room;
    double weight;
    int64_t ts;
    int64_t valid_until;
};

struct segment {
    struct slice user;
    struct slice segment;
    double intent; /* negative: not given */
    double churn;
    int64_t ts;
};

struct ranking {
    struct slice scene;
    struct slice item;
    int64_t valid_ms; /* how long it holds */
    struct slice hosts[RANKED_MAX]; /* best first */
    uint32_t count;
};

struct alert {
    struct slice room; /* size 0: about something else */
    struct slice kind;
    struct slice step; /* of the funnel; size 0: about something else */
    int64_t ts;
};

/* Each answers false for what does not look like such a record; feedback_done() is due in any case. */
bool feedback_recommendation(struct feedback *f, struct slice value, struct advice *out_r);
/* `key` is "scene|room". */
bool feedback_traffic(struct feedback *f, struct slice key, struct slice value, struct traffic *out_t);
bool feedback_segment(struct feedback *f, struct slice key, struct slice value, struct segment *out_s);
bool feedback_ranking(struct feedback *f, struct slice key, struct slice value, struct ranking *out_r);
bool feedback_alert(struct feedback *f, struct slice value, struct alert *out_a);
void feedback_done(struct feedback *f);
