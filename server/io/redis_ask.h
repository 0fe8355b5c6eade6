/* One command after the other to a Redis or a cluster, waiting for each answer. For verbs, never for the daemon. */
#pragma once

#include "server/io/redis_store.h"

#include <hiredis/hiredis.h>

struct redis_ask;

/* Connected and authenticated; NULL: logged. Commands on it end at the request timeout. */
redisContext *redis_dial(const struct redis_connection_settings *settings, const struct redis_address *address);
/* NULL (logged) when nothing answers. Settings are borrowed. */
struct redis_ask *redis_ask_open(const struct redis_store_settings *settings);
void redis_ask_close(struct redis_ask *a);
/*
 * Sends to the node that has the key, following MOVED. The answer is the caller's (freeReplyObject); NULL (logged) when
 * the server went away or answered an error.
 */
redisReply *redis_ask(struct redis_ask *a, int argc, const char *const *argv, const size_t *sizes);
/* The answer's text for a command of plain words: "GET", "HGETALL" … with one key. */
redisReply *redis_ask_key(struct redis_ask *a, const char *command, const char *key);
