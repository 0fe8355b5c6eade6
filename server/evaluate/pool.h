/*
 * A traffic pool for evaluation: one scene of the allocation engine, fed as in the daemon. Events go through the decoder,
 * the profile stage and the entities' counters; a tick brings the rollups of what changed, then the decisions. A place is a
 * room with a host of its own, by number; all rooms offer the one item `goods`.
 */
#pragma once

#include "server/engine/allocation.h"
#include "server/evaluate/stream.h"

struct pool;

struct pool *pool_create(const struct stream_settings *s);
void pool_destroy(struct pool *p);
void pool_open(struct pool *p, uint32_t place, int64_t now_ms);
/* An event at a place. `fields` are further JSON members, "" or beginning with a comma. */
void pool_event(struct pool *p, uint32_t user, const char *type, uint32_t place, int64_t ts_ms, const char *fields);
/* What the tick decided; valid until the next. */
const struct scene_out *pool_tick(struct pool *p, int64_t now_ms);
/* The place of a room or host. */
uint32_t pool_place(const struct name *name);
