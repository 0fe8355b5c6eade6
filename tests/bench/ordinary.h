/* State as it usually is, to measure with. */
#pragma once

#include "common/bytes.h"

/*
 * A user with 20 entities of history (10 items, 6 rooms, 4 hosts), 64 duplicate tags, 4 owned items and 10 visits (6
 * rooms, 4 hosts of a day), of entities that follow from `seed`; items c_0 to c_<items - 1> as popular as in the
 * reference job. As stored.
 */
void ordinary_user(uint64_t seed, uint64_t items, struct writer *out);
/* An item with `neighbours` of them over three pair buckets, and two days of counters in one scene. As stored. */
void ordinary_neighbours(uint64_t seed, uint32_t neighbours, struct writer *out);
void ordinary_counters(uint64_t seed, struct writer *out);
