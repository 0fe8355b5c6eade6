/* The slots of all tasks as an operator's verb sees them: read once, then changed one by one by compare-and-set. */
#pragma once

#include "server/io/redis_ask.h"
#include "server/settings/settings.h"
#include "server/worker/position.h"

struct slot {
    enum stage stage;
    int32_t partition;
    bool has_header, has_position;
    struct slot_header header;
    struct position position;
    struct writer stored, chain; /* owned: the bytes of the position and of the chain as read */
    uint64_t blobs, bytes;
    int64_t end; /* of its log, for who asked */
};

struct slots {
    struct slot *at; /* owned */
    size_t count, capacity;
};

int slot_by_place(const void *a, const void *b); /* for qsort: by stage and partition */
/* What one step writes. A header or chain of size 0 is deleted. */
struct slot_change {
    struct position position;
    bool with_header, with_chain;
    struct writer header, chain; /* owned by the caller */
};

/* False when an owner wrote the position since it was read, and when Redis goes away. Else s->stored is what stands now. */
bool slot_write(struct redis_ask *redis, const char *prefix, struct slot *s, const struct slot_change *c);
/* Appends to the stream of decisions. */
bool slot_note(struct redis_ask *redis, const char *prefix, const char *verb, const struct slot *s, int64_t next);
/*
 * From the end of each task's log on its records are folded with the settings given; those in force until now must be among
 * the files of `before`. `plan` is the file that keeps the offsets: it is written first, and used as it is when it is
 * there already, so that a change which Redis lost can be made again at the same offsets. Answers the exit code.
 */
int task_migrate(const struct settings *settings, struct slots *slots, const char *plan);
