/*
 * What another policy would have earned where things were drawn by chance: the places of a list or of a screen, one after
 * another, each among what was left. Known of every draw: the probability with which the log drew what it drew, and the
 * probabilities of the policy to be judged. The reward of a place that was shown is one or nothing.
 *
 * Who looks, looks from the top, so what is earned at place k hangs on the places up to k (the cascade model):
 *   w_k   = product over j <= k of P_new(a_j | before) / P_logged(a_j | before), at most `clip`
 *   IPS   = mean of w_k r
 *   SNIPS = sum of w_k r / sum of w_k
 *   DR    = mean of w_k (r - q_k(a_k)) + w_(k-1) sum over a of P_new(a | before) q_k(a)
 * (Horvitz and Thompson 1952; Swaminathan and Joachims 2015; Kiyohara et al., WSDM 2022). q_k(a) = the rate of place k times how
 * the thing does against that rate, shrunk; learned from the users of other folds. Which places are shown to whom is taken as
 * given. Errors by the jackknife over groups of users.
 */
#pragma once

#include "server/engine/entity_id.h"
#include "server/rehearse/tally.h"

#include <stddef.h>

#define DRAWS_MAX 10

/* Of a draw by the policy to be judged, when nothing is taken yet; sum one. Things are numbers. */
struct chances {
    uint32_t count;
    uint32_t *things; /* both owned by the estimator */
    double *each;
};

struct draw {
    uint32_t thing;
    double ratio;            /* P_new / P_logged of it, given those before; 1: not drawn by either */
    struct chances *chances; /* NULL: nothing may stand here */
};

/* Draws one after another; a thing is drawn once. */
struct drawn {
    uint32_t group, count;
    struct draw draws[DRAWS_MAX];
};

enum estimate { ESTIMATE_LOGGED, ESTIMATE_IPS, ESTIMATE_SNIPS, ESTIMATE_DR, ESTIMATE_DR_LIFT, ESTIMATE_WEIGHT, ESTIMATES };

extern const char *const estimate_names[ESTIMATES];

struct estimated {
    struct valued of[ESTIMATES]; /* DR_LIFT: DR less LOGGED; WEIGHT: mean of w_k, 1 if all is well */
    uint64_t shown, rewards;
    uint64_t clipped, zero; /* places shown whose weight was cut; that the policy to be judged would not have filled so */
    double effective;       /* sample size: (sum w)^2 / sum w^2 */
    double weight_max;      /* before clipping */
};

struct estimator;

struct estimator *estimator_create(double clip);
void estimator_destroy(struct estimator *e);
uint32_t estimator_thing(struct estimator *e, entity_id id);
/* Room for so many, to be filled by the caller; shared by any number of draws. */
struct chances *estimator_chances(struct estimator *e, uint32_t count);
/* Empty; the caller adds draws up to DRAWS_MAX. `user` is a hash. */
struct drawn *estimator_drawn(struct estimator *e, uint64_t user);
/* The place was shown. Answers a number for estimator_reward(). */
size_t estimator_show(struct estimator *e, const struct drawn *of, uint32_t place);
void estimator_reward(struct estimator *e, size_t shown);
void estimator_answer(struct estimator *e, struct estimated *out);
