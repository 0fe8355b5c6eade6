/* Whom a room or an item should reach, for live.hosts and for the views audience:item:<id> and audience:room:<id>. Derived, soft. */
#pragma once

#include "server/worker/worker.h"

#include "common/bytes.h"

/*
 * Adds ,"audience":[…],"rooms":[…] of an item as the catalog and the models know it now, and writes its view and those of the
 * rooms of the scene that offer it.
 */
void audience_emit(struct worker *w, struct slice scene, struct slice item, int64_t now_ms, struct writer *out);
