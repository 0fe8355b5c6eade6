/* Folded state as JSON, for people and for programs that check it. Each answer is the caller's. */
#pragma once

#include "server/engine/entity.h"
#include "server/engine/profile.h"

#include <jansson.h>

const char *entity_kind_text(entity_id id);
json_t *profile_json(const struct profile *p);
/* Lifetime totals by scene ("" = all scenes beyond the limit) and while explained, and the item count of the pair window. */
json_t *counters_json(const struct counters *c);
/* Windowed pair counts by the other's id. */
json_t *neighbours_json(const struct neighbours *n, const struct entity_settings *s);
