/*
 * Examples of one model that wait for their labels, in the order in which they came. Bounded: what arrives is thinned
 * evenly, so that examples of a whole horizon fit however many users there are. An example is kept when the hash of user
 * and time has `level` zero bits; when the room is full the level rises and half of those waiting leave (adaptive
 * sampling, Wegman; Flajolet 1990). So what is learned is a fair share of all users at all times, the same for the same
 * samples; a queue that forgot its oldest would learn nothing beyond some rate, one that refused its newest would learn
 * only of the minutes at which it has room.
 */
#pragma once

#include "server/engine/user_features.h"

struct example {
    uint64_t user;   /* keyed hash */
    int64_t ts_ms;
    uint64_t before; /* number of the user's example before this one; 0 none */
    float features[FEATURES];
    bool label;      /* so far */
};

struct examples;

/* Never more than `max` (at least 2) wait, each for window_ms. */
struct examples *examples_create(uint32_t max, int64_t window_ms);
void examples_destroy(struct examples *q);
void examples_add(struct examples *q, uint64_t user, int64_t ts_ms, const float features[FEATURES]);
/* The user's examples that are from_ms to until_ms old at now_ms, both included, have their label. */
void examples_label(struct examples *q, uint64_t user, int64_t now_ms, int64_t from_ms, int64_t until_ms);
/* The oldest when its window is over at now_ms, or NULL. Good until the next call; it waits no more. */
const struct example *examples_close(struct examples *q, int64_t now_ms);
uint64_t examples_thinned(const struct examples *q); /* left out so far */
