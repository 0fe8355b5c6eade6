/*
 * A rollup: the lifetime totals of one entity in one scene, as its entity task stood at (partition, offset).
 * Absolute, so that a repeat or an older one does no harm: allocation keeps the highest offset per entity.
 */
#pragma once

#include "common/slice.h"
#include "server/engine/counters.h"
#include "server/engine/entity_id.h"

struct rollup {
    struct slice scene;
    struct slice name;
    entity_id id;
    int32_t partition;  /* effects partition of the entity task */
    int64_t offset;     /* of the last record of it that is in these totals */
    int64_t last_ms;    /* greatest event time of the entity */
    int64_t totals[COUNTERS];
    int64_t recommended[COUNTERS]; /* of a host: what of them came by recommendations on the days that are kept; else zero */
};
