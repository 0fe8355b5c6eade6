/*
 * Open-addressing table from a non-zero 64-bit key to a pointer. Keys are expected to be hashes already; they are
 * mixed once more. Removal shifts back, so there are no tombstones. Grows at 3/4; never shrinks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_slot {
    uint64_t key; /* 0 = empty */
    void *value;  /* borrowed */
};

struct map {
    struct map_slot *slots; /* owned */
    size_t capacity;        /* a power of two, or 0 */
    size_t count;
};

void map_fini(struct map *m);
/* The same when the values are owned: each was allocated by itself and is freed. */
void map_free(struct map *m);
static inline size_t map_home(const struct map *m, uint64_t key)
{
    return (size_t)(key * 0x9e3779b97f4a7c15u >> 20) & (m->capacity - 1);
}

/* Asks for the memory that a find will look at first. */
static inline void map_fetch(const struct map *m, uint64_t key)
{
    if (m->count)
        __builtin_prefetch(&m->slots[map_home(m, key + (key == 0))]);
}

static inline void *map_find(const struct map *m, uint64_t key)
{
    if (m->count == 0)
        return NULL;
    key += key == 0;
    for (size_t i = map_home(m, key);; i = (i + 1) & (m->capacity - 1)) {
        if (m->slots[i].key == key)
            return m->slots[i].value;
        if (m->slots[i].key == 0)
            return NULL;
    }
}

/* Adds or replaces. Key 0 is stored as key 1. */
void map_put(struct map *m, uint64_t key, void *value);
/* Answers what was removed, or NULL. */
void *map_remove(struct map *m, uint64_t key);
/* Walks all entries in no particular order: start with *at = 0. */
bool map_next(const struct map *m, size_t *at, struct map_slot *out_slot);
