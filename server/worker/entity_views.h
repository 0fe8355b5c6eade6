/*
 * What an entity task shows of its state: rollups for allocation, similarity lists and cards for readers. Nothing
 * here is state: it is lost at a takeover and made again from the next change on.
 */
#pragma once

#include "server/worker/task.h"

struct entity_views;

struct entity_views *entity_views_create(void);
void entity_views_destroy(struct entity_views *v);
void entity_views_clear(struct entity_views *v);
/* The cell's object changed; it is due for a rollup or a list. */
void entity_views_changed(struct entity_views *v, struct cell *cell);
/* Emits rollups when due, all of them when `all`; writes lists at most once per entity and interval. */
void entity_views_flush(struct entity_views *v, struct task *t, int64_t now_ms, bool all);
