/*
 * An entity (item, host, room) inside folded state and effects: 48 bits, two of kind over a 46-bit hash of its
 * id. 6 bytes are stored. With a million ids of one kind two collide with probability 0.7 %; the entity's own
 * state keeps its name and counts an effect that names another (see entity.h).
 */
#pragma once

#include "common/hash.h"
#include "common/slice.h"

enum entity_kind { ENTITY_NONE, ENTITY_ITEM, ENTITY_HOST, ENTITY_ROOM };

typedef uint64_t entity_id; /* 0 = none */

#define ENTITY_HASH_MASK ((1ull << 46) - 1)

static inline entity_id entity_id_of(enum entity_kind kind, struct slice name)
{
    return (uint64_t)kind << 46 | (hash64(name.at, name.size, 0) & ENTITY_HASH_MASK);
}

static inline enum entity_kind entity_kind_of(entity_id id)
{
    return (enum entity_kind)(id >> 46 & 3);
}

/* The effects partition that owns the entity. Fixed for ever, like the hash. */
static inline int32_t entity_partition(entity_id id, int32_t partitions)
{
    return (int32_t)(hash_mix(id) % (uint64_t)partitions);
}
