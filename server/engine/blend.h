/*
 * How much each source of the ranker's score is worth, learned from what users take. A choice is what one user took and what
 * else stood before the same user at that moment, each with the values of its parts before the taking was folded.
 *
 *   P(j is taken of J) = exp(s(j)) / sum over J of exp(s),   s(j) = exp(scale) sum over k of w(k) exp(factor(k)) v(j, k)
 *
 * (conditional logit, McFadden 1974), with w the settings' weights and v the values. The factors begin at 0, which is to say at
 * the settings, with a normal prior of spread ln 2, and stay within BLEND_MOST either way; a weight of 0 stays 0. The ranking does not
 * use the scale: it takes up how sure choices are, so that a source which no choice told apart keeps its factor of 1. Each choice is
 * one step of Newton's method with the information of all before it, older ones fading back to the settings.
 *
 * What is assumed: that what a user was shown and passed over, or would have been shown, was looked at as much as what was taken. It
 * is not: what stands higher is looked at more, and what was never shown cannot be taken. Both errors favour what the ranking of the
 * time put high, so they hold the factors near those in force rather than drive them away; the bound keeps what they can do small, and the
 * places given to chance (recommend.explore_ppm) bring what would not have been shown.
 */
#pragma once

#include "server/engine/recommend.h"

#define BLEND_MOST 4.0          /* a factor, and one over the least */
#define BLEND_EXAMPLES_MIN 300  /* before that the settings' weights count alone */
#define CHOICE_MAX 8
#define CHOICE_ONE 65535        /* a value of 1 */

struct choice {
    uint8_t count;                        /* 2 to CHOICE_MAX */
    uint16_t values[CHOICE_MAX][REASONS]; /* the first was taken */
};

#define BLEND_INPUTS (REASONS + 1) /* and the scale */

struct blend_model {
    uint64_t examples;
    double at[BLEND_INPUTS];   /* natural logarithms of the factors, and of the scale */
    double sure[BLEND_INPUTS]; /* information of each when the others are known */
};

/* What is not in a snapshot. All zero: begins with what the model says. */
struct blend_moments {
    bool begun;
    double information[BLEND_INPUTS][BLEND_INPUTS];
};

/* `weights` of the settings, thousandths; `memory` in examples. */
void blend_learn(struct blend_model *m, struct blend_moments *o, const uint32_t weights[REASONS], double memory, const struct choice *c);
/* Factor of a weight at a strength in thousandths; 1 while the model has seen fewer than BLEND_EXAMPLES_MIN examples. */
double blend_factor(const struct blend_model *m, int reason, uint32_t permille);
