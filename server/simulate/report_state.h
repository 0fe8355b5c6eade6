/* The inside of the report, shared by its files. */
#pragma once

#include "common/map.h"
#include "server/simulate/report.h"
#include "server/simulate/world_state.h"

struct sample {
    uint32_t user;
    float intent;
    float churn;
    float truth, foreseen; /* purchases to expect; from what can be seen */
    bool pleased; /* by the visit so far */
    int64_t at_ms;
};

struct standing {
    float intent, churn; /* below 0: not given */
};

struct scored {
    float score;
    bool label;
};

struct ranked {
    int64_t until_ms;
    uint32_t item;
    uint32_t count;
    uint32_t hosts[RANKED_MAX];
};

struct warned {
    uint32_t room;
    enum fault_kind of; /* what would make it true */
    int64_t at_ms;
};

struct report {
    struct world *world; /* borrowed */
    struct report_settings settings;
    uint64_t *segment_of; /* per user: hash of the latest segment's name, 0: none */
    struct standing *standing; /* per user: what was last published */
    uint32_t *exposures, *purchases; /* per user: at the end of the warm-up */
    float *expected;                 /* likewise, purchases */
    uint64_t rooms_shown, rooms_shown_new; /* likewise, as world_counts has them */
    double rooms_shown_even;
    bool warm;
    double tau_warm;      /* kendall_tau then */
    int64_t sampled_ms;   /* when the standing of those present was last taken down */
    struct sample *samples;
    uint32_t sample_count, sample_capacity;
    struct map rankings; /* hash of the key -> struct ranked, owned */
    struct warned *alerts;
    uint32_t alert_count, alert_capacity;
    float *latencies;
    uint32_t latency_count, latency_capacity;
};

/* report_hosts.c: how the published rankings stand against the truth. */
void find_tau(const struct report *r, int64_t end_ms, struct findings *f);
