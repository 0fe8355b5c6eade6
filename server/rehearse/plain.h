/*
 * The simple methods beside the product, plain and exact: they know everything that happened and forget nothing.
 *   popularity  events so far
 *   decayed     the same, fading with a half-life of seven days
 *   itemitem    sum over what the user had, the newest 200, of users in common / sqrt(events events)
 */
#pragma once

#include "server/engine/entity_id.h"

struct plain;

struct plain *plain_create(void);
void plain_destroy(struct plain *p);
/* The number of a thing, from 0; given when it is new. */
uint32_t plain_thing(struct plain *p, entity_id id);
uint32_t plain_things(const struct plain *p);
void plain_note(struct plain *p, uint32_t user, uint32_t thing, int64_t ts_ms);
double plain_popular(const struct plain *p, uint32_t thing);
double plain_decayed(const struct plain *p, uint32_t thing, int64_t now_ms);
double plain_total(const struct plain *p); /* events with all things */
/* By thing; valid until the next call. */
const float *plain_related(struct plain *p, uint32_t user);
