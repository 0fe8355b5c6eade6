/*
 * What the loop achieved, held against the truth that only the simulator knows: purchases per exposure of treated
 * users over the control, the published host rankings, segments, intents, churn risks and alerts, and latency.
 */
#pragma once

#include "server/simulate/feedback.h"
#include "server/simulate/world.h"

#include <stdio.h>

struct report;

/* What the predictions promise, as the daemon is configured. */
struct report_settings {
    int64_t intent_ms; /* a purchase within */
    int64_t churn_ms;  /* away in the second half of */
    int64_t warm_up_ms; /* what was bought, shown and predicted before does not count */
};

struct report_settings report_defaults(void);

/* The world is borrowed and outlives the report. */
struct report *report_create(struct world *w, const struct report_settings *settings);
void report_destroy(struct report *r);
/* What was received, at virtual time `now_ms`. */
void report_segment(struct report *r, const struct segment *s);
void report_ranking(struct report *r, const struct ranking *ranking, int64_t now_ms);
void report_alert(struct report *r, const struct alert *a, int64_t now_ms);
/* Time passes: once a minute the predictions in force for everybody present are taken down. */
void report_tick(struct report *r, int64_t now_ms);
void report_latency(struct report *r, double ms);

/* NAN where there is nothing to tell. */
struct findings {
    double treated_rate; /* purchases per exposure */
    double control_rate;
    double uplift;    /* treated / control */
    double uplift_se; /* users are the independent draws */
    double uplift_expected, uplift_expected_se; /* likewise of the chances of purchase, whatever the draws */
    double new_host_share; /* of the rooms shown to treated users, those of hosts in their first half hour */
    double new_host_even;  /* what it would be if all live rooms were shown alike */
    uint64_t treated_exposures, treated_purchases, control_exposures, control_purchases;
    /* Of the rankings in force at the end against the true quality times match. `kendall_tau` is over the pairs of hosts
     * listed; `kendall_tau_all` over all that a ranking orders, for whoever is listed stands before whoever went live and
     * is not. The ceilings are those of a perfect observer: of the same hosts, and of the list it would have made. */
    double kendall_tau, kendall_tau_all;
    double kendall_tau_warm; /* of the rankings in force when the warm-up ended */
    double kendall_ceiling, kendall_ceiling_own, kendall_ceiling_all;
    uint64_t ranked_pairs;
    double host_regret, host_regret_least; /* what the first host of a ranking lacks to the best one's worth */
    double purity; /* share of users whose cluster is the commonest of their segment */
    uint64_t segments, segment_users;
    double intent_auc; /* of predictions in force, once a minute for everybody present */
    double intent_ceiling; /* of the purchases that the truth lets one expect */
    double intent_ceiling_seen; /* of an observer's, who tells the user's spending from looks and purchases */
    double intent_share; /* of samples with a purchase */
    double intent_ece; /* expected calibration error over ten equal groups */
    uint64_t intent_samples;
    double churn_auc, churn_ceiling, churn_share; /* likewise; the ceiling knows rhythm and pleasure */
    uint64_t churn_samples;
    double alert_precision, alert_recall;
    double alert_recall_seen; /* of the faults that DETECTABLE losses or more could have told */
    uint64_t alerts, faults, faults_seen;
    double latency_p50_ms, latency_p99_ms;
    uint64_t latency_count;
    double scenario_host_rank; /* of the star or lecturer, 1 = first, mean over rankings that have the host */
};

struct findings report_findings(const struct report *r, int64_t end_ms);
void report_print(const struct findings *f, const struct world *w, bool json, FILE *to);
