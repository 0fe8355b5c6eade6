/* inspect user --why: one recommendation explained, or why there is none. */
#pragma once

#include "server/engine/profile.h"
#include "server/io/redis_ask.h"
#include "server/settings/settings.h"

#include <jansson.h>

struct why_question {
    const struct settings *settings;
    struct redis_ask *redis;
    const char *user;              /* whose arm ranks */
    const struct profile *profile; /* the user's folded state */
    const json_t *told;            /* the list that was sent last, from its view; NULL: none is known */
    const char *entity;            /* an id, or room:, item: or host: and an id */
    const char *scene;             /* NULL: that of `told`, else one of the entity's */
};

/*
 * The answer as JSON, the caller's. Reads the catalog and the newest events from Kafka and the lists of the user's history
 * from Redis, as a worker would know them. NULL (said on standard error) when the logs cannot be read.
 */
json_t *inspect_why(const struct why_question *q);
