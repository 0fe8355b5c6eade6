/*
 * Views of users in Redis: the list that was pushed last, and what is known of the user. At most one write of a user and
 * interval: the first at once, what comes within the interval when it ends, in its newest form. So a view is never older
 * than one interval, and the last list always gets there. Soft (rule 9).
 */
#pragma once

#include "common/hmac.h"
#include "server/codec/recommendation_encode.h"
#include "server/worker/segments.h"

struct push_views;

/* Soft part of a user's cell; zero at first. */
struct view_mark {
    int64_t last_ms; /* when it was written, or will be */
    uint64_t number; /* of the entry that waits, when it still does */
    char key[USER_KEY_TEXT + 1]; /* what stands for the user in names of keys; empty until it is needed */
};

struct viewed {
    struct slice user;
    const struct profile *profile;
    const struct standing *standing;
    const struct recommendation_text *list;
};

/* At most `bytes_max` wait; beyond it the oldest are written early. */
struct push_views *push_views_create(struct worker *w, uint32_t interval_ms, size_t bytes_max);
void push_views_destroy(struct push_views *v);
void push_views_put(struct push_views *v, struct view_mark *mark, const struct viewed *viewed, int64_t now_ms);
/* Instead, where nothing is ranked: what the user touched. */
void push_views_history(struct push_views *v, struct view_mark *mark, const struct profile *profile, struct slice user, int64_t now_ms);
/* Removes the views and what waits. */
void push_views_forget(struct push_views *v, struct slice user);
/* Writes what is due; everything when `all`. */
void push_views_turn(struct push_views *v, int64_t now_ms, bool all);
