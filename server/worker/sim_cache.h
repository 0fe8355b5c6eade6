/*
 * Similarity lists as profile tasks read them: the views sim:<id>, fetched in bulk, kept for a while, bounded. Soft.
 *
 * A view is a text of "id sim" pairs, strongest first, one pair a line, sim with four decimals.
 */
#pragma once

#include "server/engine/recommend.h"
#include "server/worker/ports.h"

struct sim_cache;

/* Such a text, at most `max` places of it; items that the catalog does not have are left out. Answers how many. */
uint32_t similar_view_parse(const struct catalog *catalog, struct slice text, struct similar *out, float *out_next, uint32_t max);

struct sim_cache *sim_cache_create(const struct store_port *store, const struct catalog *catalog, uint32_t lists_max, uint32_t age_ms);
/* Nothing may be under way in the store any more, or is never handed back. */
void sim_cache_destroy(struct sim_cache *c);
/* What is known now; count 0 when nothing is. Valid until the next turn. */
struct similar_list sim_cache_find(const struct sim_cache *c, entity_id item);
/* Fetched with the next turn unless it is fresh. */
void sim_cache_want(struct sim_cache *c, entity_id item, int64_t now_ms);
void sim_cache_turn(struct sim_cache *c, int64_t now_ms);
void sim_cache_read(struct sim_cache *c, struct view_read *read, int64_t now_ms);
