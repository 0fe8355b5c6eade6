/*
 * A/B: rankers side by side, told apart by their arm. A user's arm follows from the user id and the salt alone, so any
 * worker gives the same, restarts change nothing, and whoever reads the logs can tell it from the lists.
 */
#pragma once

#include "server/engine/recommend.h"

#define ARMS 8                /* "a" ranks as `recommend` says; "b" to "h" as they say themselves */
#define ARMS_TOLD (ARMS - 1)  /* places below are those of "b" to "h" */

struct experiment_settings {
    uint32_t salt;                         /* another one deals the users anew */
    uint32_t from[ARMS_TOLD];              /* thousandths of the users: an arm has those from `from` on, `share` of them; */
    uint32_t share[ARMS_TOLD];             /* 0: not in use. Who is in none is in "a" */
    int32_t explore_ppm[ARMS_TOLD];        /* -1: as in `recommend` */
    int32_t weights[ARMS_TOLD][REASONS];   /* likewise */
};

extern const char *const arm_names[ARMS];

void experiment_settings_default(struct experiment_settings *s);
/* NULL, or what is wrong with the shares: no user may be in two arms. */
const char *experiment_fault(const struct experiment_settings *s);
/* Whether anybody may be in it; "a" always. */
bool experiment_uses(const struct experiment_settings *s, int arm);
int experiment_arm(const struct experiment_settings *s, struct slice user);
/* What the arm changes. */
void experiment_apply(const struct experiment_settings *s, int arm, struct recommend_settings *out);
