/* Folded state as JSON, for people and for programs that check it. Each answer is the caller's. */
#pragma once

#include "server/engine/entity.h"
#include "server/engine/profile.h"

#include <jansson.h>

const char *entity_kind_text(entity_id id);
/* Lists youngest first. What a history entry or a purchase does not have is left out. */
json_t *profile_json(const struct profile *p, const struct profile_settings *s);
/*
 * Lifetime totals by scene ("" = all scenes beyond the limit) and while explained, the item count of the pair window,
 * and buckets: level, time at which it starts (days: in their own time zone), scene, and, but for minutes, source.
 * explained_days is the part of days in which the item was on show. What is 0 is left out.
 */
json_t *counters_json(const struct counters *c);
/* Windowed pair counts by the other's id, of those above 0; what of the transitions (`next_sum`) went to each of them. */
json_t *neighbours_json(const struct neighbours *n, const struct entity_settings *s);
