/* The allocation stage, shared by the allocation_*.c files of this folder only. */
#pragma once

#include "server/engine/allocation.h"
#include "server/worker/task.h"

#define TASK_SCENES_MAX 256 /* scenes one task takes on; more are refused and counted */

struct allocation_state {
    struct name names[TASK_SCENES_MAX]; /* folded: scenes that have state, in order of appearance */
    uint32_t folded;                    /* how many of the names are folded; those behind come from the catalog only */
    uint32_t count;
    uint64_t catalog_version;           /* when the names were last compared with the catalog */
    struct scene_out out;
    uint32_t n;                         /* outputs of the record being folded */
    struct writer key, value;           /* owned: scratch */
};

/* Soft part of a scene's cell: what this attempt forwarded. Lost with the cell: then all is forwarded again. */
struct forwarded {
    uint64_t catalog_version; /* compared up to; 0 never */
    uint64_t control;         /* number of the next control to look at */
    int64_t offset;           /* greatest position forwarded */
    int64_t tick_ms;          /* of the last tick forwarded */
    int64_t tick_sent_ms;
    struct map rooms;         /* hash of room id -> hash of what was forwarded of it, as a pointer */
};

void forwarded_destroy(void *soft);

static inline struct blob_key scene_key(struct slice name)
{
    return (struct blob_key){'s', hash64(name.at, name.size, 5)};
}

/* Adds the scene to the task's names when it is not among them; its index, or -1 when there are too many. */
int allocation_scene_index(struct allocation_state *s, struct slice name);
/* Appends rooms, controls and ticks to the task's own log. */
void allocation_forward(struct task *t, int64_t now_ms);
/* The weights as views, when a snapshot is due. */
void allocation_summarise(struct task *t, const struct scene_out *out, struct slice scene);
/* Outputs and views of what the record at `offset` led to, which stands in the state's `out`. */
void allocation_emit(struct task *t, const struct scene *c, int64_t offset, int64_t now_ms);
