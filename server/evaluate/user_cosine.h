/*
 * The plain reference of the scorer `similarity.user_cosine` (engine/similarity.h): its formula over all ratings, users
 * and neighbours, nothing bounded and nothing approximated. Quadratic in users: for data of a few thousand.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct user_cosine;

struct user_cosine *user_cosine_create(uint32_t users_max, uint32_t items_max);
void user_cosine_destroy(struct user_cosine *c);
/* Numbers are below the bounds; of several ratings of one item the greatest counts. */
void user_cosine_rate(struct user_cosine *c, uint32_t user, uint32_t item, float rating);
/* r(user, item) of every item below items_max. */
void user_cosine_score(struct user_cosine *c, uint32_t user, float *out);
