/*
 * Rating counts of items and hosts whose entity task is not here, for the cosine of similarity lists: the first line of the
 * views sim:<item> and sim:host:<host>, "# count". Fetched in bulk, kept for a while, bounded. Soft.
 */
#pragma once

#include "common/map.h"
#include "server/engine/entity_id.h"
#include "server/worker/ports.h"

struct item_counts;

/* Of the key of an entity's list. */
const char *list_prefix(entity_id id);

struct item_counts *item_counts_create(const struct store_port *store, uint32_t counts_max, uint32_t age_ms);
void item_counts_destroy(struct item_counts *c);
/* -1: not known yet, or too long ago; then it is fetched with the next turn. 0: nobody has written it. */
int64_t item_counts_find(struct item_counts *c, entity_id id, struct slice name, int64_t now_ms);
void item_counts_turn(struct item_counts *c);
/* False when the read is not its own. */
bool item_counts_read(struct item_counts *c, struct view_read *read, int64_t now_ms);
