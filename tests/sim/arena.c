#include "tests/sim/arena.h"

#include "common/check.h"

#include <stdlib.h>

#define BLOCK_BYTES (1u << 20)

static struct arena_block *block_after(struct arena *a, size_t size)
{
    struct arena_block **at = a->at ? &a->at->next : &a->first;
    while (*at && (*at)->size < size)
        at = &(*at)->next;
    if (!*at) {
        size_t bytes = size > BLOCK_BYTES ? size : BLOCK_BYTES;
        *at = malloc(sizeof **at + bytes);
        ASSERT(*at);
        **at = (struct arena_block){.size = bytes};
    }
    return *at;
}

void *arena_take(struct arena *a, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    if (!a->at || a->at->size - a->used < size) {
        a->at = block_after(a, size);
        a->used = 0;
    }
    void *bytes = a->at->bytes + a->used;
    a->used += size;
    return bytes;
}

void arena_reset(struct arena *a)
{
    a->at = NULL;
    a->used = 0;
}

void arena_fini(struct arena *a)
{
    for (struct arena_block *b = a->first, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    *a = (struct arena){0};
}
