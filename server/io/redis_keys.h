/* Every kind of key that the program writes, in one table: the views' contract, told in Redis and in config/redis-keys.json. */
#pragma once

#include "common/bytes.h"
#include "common/slice.h"

#define REDIS_KEYS_MAX 32

/* Fields of the catalogue in Redis, name and text in turn; borrowed from the program. Answers how many slices. */
int redis_keys_fields(struct slice out[2 * REDIS_KEYS_MAX]);
/* The same as JSON: config/redis-keys.json. */
void redis_keys_catalogue(struct writer *out);
