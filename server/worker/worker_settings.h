/* Everything a worker needs to know; the table in server/codec/settings.c fills it from the configuration. */
#pragma once

#include "server/engine/entity.h"
#include "server/engine/profile.h"

struct worker_settings {
    struct profile_settings profile; /* fold settings */
    struct entity_settings entity;   /* fold settings */
};
