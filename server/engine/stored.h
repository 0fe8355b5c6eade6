/*
 * What a number in stored bytes can be. Folded state, effects, rollups, samples and models are read with these; anything else
 * no fold can have produced and fails the reader, so that what is behind a decoder relies on it and never looks again:
 *   an entity has a kind, where one is asked for this one; 0 only where there may be none
 *   a time is the event's, 0 (never) to EVENT_MS_MAX
 *   a sum lies within NUMBER_MAX (common/bytes.h) either way, and one record moves it by DELTA_MAX at most
 *   a name is an id's letters (event.h)
 *   an offset is -1 (none) to NUMBER_MAX
 * So sums, differences and steps of them stay within 64 bits, and an id can be taken apart.
 */
#pragma once

#include "common/bytes.h"
#include "server/engine/entity_id.h"
#include "server/engine/event.h"

#define DELTA_MAX (1ll << 53)

static inline bool entity_is_of(entity_id id, enum entity_kind kind)
{
    return entity_kind_of(id) == kind;
}

/* ENTITY_NONE: of any kind. */
static inline entity_id get_entity(struct reader *r, enum entity_kind kind)
{
    entity_id id = get_u48(r);
    r->failed |= kind == ENTITY_NONE ? entity_is_of(id, ENTITY_NONE) : !entity_is_of(id, kind);
    return id;
}

static inline entity_id get_entity_or_none(struct reader *r, enum entity_kind kind)
{
    entity_id id = get_u48(r);
    r->failed |= id && !entity_is_of(id, kind);
    return id;
}

static inline struct slice get_name(struct reader *r)
{
    struct slice name = get_slice(r, EVENT_ID_BYTES);
    r->failed |= !event_is_id(name);
    return name;
}

static inline struct slice get_name_or_none(struct reader *r)
{
    struct slice name = get_slice(r, EVENT_ID_BYTES);
    r->failed |= name.size && !event_is_id(name);
    return name;
}

static inline int64_t get_event_ms(struct reader *r)
{
    return get_within(r, 0, EVENT_MS_MAX);
}

static inline int64_t get_sum(struct reader *r)
{
    return get_within(r, -NUMBER_MAX, NUMBER_MAX);
}

static inline int64_t get_offset(struct reader *r)
{
    return get_within(r, -1, NUMBER_MAX);
}

static inline int32_t get_partition(struct reader *r)
{
    return (int32_t)get_within(r, 0, INT32_MAX);
}
