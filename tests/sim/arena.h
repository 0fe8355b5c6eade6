/* Memory of one seed: taken piece by piece, given back all at once. Kept from seed to seed, so the kernel is not asked. */
#pragma once

#include <stddef.h>

struct arena_block {
    struct arena_block *next;
    size_t size;
    char bytes[];
};

struct arena {
    struct arena_block *first, *at; /* owned */
    size_t used;                    /* of `at` */
};

/* Aligned to 16 bytes, not zeroed. */
void *arena_take(struct arena *a, size_t size);
void arena_reset(struct arena *a);
void arena_fini(struct arena *a);
