/*
 * Views: best-effort writes and bulk reads of public keys, one connection per Redis node. On Redis Cluster the node of
 * a key comes from CLUSTER SLOTS, asked again whenever a node says MOVED. Private to redis_*.c.
 */
#pragma once

#include "server/io/redis_slot.h"

struct redis_views;

struct redis_views *redis_views_create(struct redis_shared *shared);
/* Reads under way are done, failed. */
void redis_views_close(struct redis_views *v);
void redis_views_destroy(struct redis_views *v);
/* Half of what may be queued for a node is. */
bool redis_views_are_late(const struct redis_views *v);
void redis_views_write(struct redis_views *v, const struct view_write *write);
void redis_views_decision(struct redis_views *v, const struct slice *fields, int count);
void redis_views_read(struct redis_views *v, struct view_read *read);
void redis_views_turn(struct redis_views *v);
void redis_views_flush(struct redis_views *v);
/* The next read that is complete or failed; NULL: none. */
struct view_read *redis_views_done(struct redis_views *v);
void redis_views_stats(const struct redis_views *v, struct redis_store_stats *out_stats);
