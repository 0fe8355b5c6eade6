/*
 * A record of the rollups log: a version, the scene, and any number of entries of that scene. Little-endian. A newer
 * version than this binary writes is ERR_VERSION: the task must halt, not skip.
 */
#pragma once

#include "common/bytes.h"
#include "common/err.h"
#include "server/engine/scene_entry.h"

void scene_record_begin(struct writer *w, struct slice scene);
void scene_record_add(struct writer *w, const struct scene_entry *e);

struct scene_record {
    struct reader left;
    struct slice scene;
};

MUST_CHECK enum err scene_record_open(struct slice bytes, struct scene_record *out);
/* ERR_NOT_FOUND at the end; ERR_INVALID or ERR_VERSION ends the walk too. The entry borrows from the bytes. */
MUST_CHECK enum err scene_record_next(struct scene_record *record, struct scene_entry *out);
