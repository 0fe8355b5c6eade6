/*
 * What another configuration would have earned, from the log of one that was running: events, catalog and the lists that
 * were sent, whose rooms carry the probability with which each was drawn for its place given the places before it.
 *
 * The log is folded again under the other configuration, which is asked for the probability of every logged list place by
 * place. Reward of an impression of place k: whether the user went on to click, enter or buy with that recommendation.
 * A user looks from the top, so what is earned at place k hangs on the places up to k (the cascade model):
 *   w_k   = product over j <= k of P_new(a_j | before) / P_logged(a_j | before), at most `clip`
 *   IPS   = mean of w_k r
 *   SNIPS = sum of w_k r / sum of w_k
 *   DR    = mean of w_k (r - q_k(a_k)) + w_(k-1) sum over a of P_new(a | before) q_k(a)
 * (Horvitz and Thompson 1952; Swaminathan and Joachims 2015; Kiyohara et al., WSDM 2022). q_k(a) = the rate of place k times how
 * the room does against that rate, shrunk; learned from the users of other folds. Which impressions there are is taken as given,
 * and that users' states are those of the log: the longer a policy runs, the less that holds. Errors by the jackknife over
 * groups of users.
 */
#pragma once

#include "server/codec/event_decode.h"
#include "server/rehearse/journal.h"
#include "server/rehearse/tally.h"
#include "server/worker/worker_settings.h"

#define OFFPOLICY_PLACES_MAX 10

struct offpolicy_settings {
    const struct worker_settings *worker; /* borrowed: the configuration to be judged */
    enum event_type reward;               /* click, enter or purchase */
    uint32_t places;                      /* the first so many count */
    double clip;                          /* of weights */
};

enum estimate { ESTIMATE_LOGGED, ESTIMATE_IPS, ESTIMATE_SNIPS, ESTIMATE_DR, ESTIMATE_DR_LIFT, ESTIMATE_WEIGHT, ESTIMATES };

extern const char *const estimate_names[ESTIMATES];

struct offpolicy_answer {
    struct valued estimates[ESTIMATES]; /* DR_LIFT: DR less LOGGED; WEIGHT: mean of w_k, 1 if all is well */
    uint64_t lists, impressions, rewards;
    uint64_t clipped, zero; /* impressions whose weight was cut; whose room the new configuration would not have put there */
    double effective;       /* sample size: (sum w)^2 / sum w^2 */
    double weight_max;      /* before clipping */
};

/* False: a task halted (said). */
bool offpolicy_run(const struct offpolicy_settings *s, struct journal *j, struct offpolicy_answer *out);
