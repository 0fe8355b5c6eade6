/* The slots of all tasks as an operator's verb sees them: read once, then changed one by one by compare-and-set. */
#pragma once

#include "server/io/redis_ask.h"
#include "server/settings/settings.h"
#include "server/worker/position.h"

struct slot {
    enum stage stage;
    int32_t partition;
    bool found, has_position;
    struct slot_header header;
    struct position position;
    struct writer stored; /* owned: the position's bytes as read */
    uint64_t blobs, bytes;
};

struct slots {
    struct slot *at; /* owned */
    size_t count, capacity;
};

int slot_by_place(const void *a, const void *b); /* for qsort: by stage and partition */
/*
 * Writes position and header in one step on the server, unless an owner wrote the position since it was read: then, and
 * when Redis goes away, false.
 */
bool slot_replace(struct redis_ask *redis, const char *prefix, const struct slot *s, const struct position *p, const struct slot_header *header);
/* Appends to the stream of decisions. */
bool slot_note(struct redis_ask *redis, const char *prefix, const char *verb, const struct slot *s, int64_t next);
/*
 * From each task's position on its records are folded with the settings given; those in force until now must be among
 * the files of `before`. `plan` is the file that keeps the offsets: it is written first, and used as it is when it is
 * there already, so that a change which Redis lost can be made again at the same offsets. Answers the exit code.
 */
int task_migrate(const struct settings *settings, struct slots *slots, const char *plan);
