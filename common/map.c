#include "common/map.h"

#include "common/check.h"
#include "common/hash.h"

#include <stdlib.h>

void map_fini(struct map *m)
{
    free(m->slots);
    *m = (struct map){0};
}

void map_free(struct map *m)
{
    size_t at = 0;
    struct map_slot slot;
    while (map_next(m, &at, &slot))
        free(slot.value);
    map_fini(m);
}

static void grow(struct map *m)
{
    struct map bigger = {.capacity = m->capacity ? m->capacity * 2 : 16};
    bigger.slots = calloc(bigger.capacity, sizeof *bigger.slots);
    ASSERT(bigger.slots);
    for (size_t i = 0; i < m->capacity; i++)
        if (m->slots[i].key)
            map_put(&bigger, m->slots[i].key, m->slots[i].value);
    free(m->slots);
    *m = bigger;
}

void map_put(struct map *m, uint64_t key, void *value)
{
    if ((m->count + 1) * 4 > m->capacity * 3)
        grow(m);
    key += key == 0;
    size_t i = map_home(m, key);
    while (m->slots[i].key && m->slots[i].key != key)
        i = (i + 1) & (m->capacity - 1);
    m->count += m->slots[i].key == 0;
    m->slots[i] = (struct map_slot){key, value};
}

void *map_remove(struct map *m, uint64_t key)
{
    if (m->count == 0)
        return NULL;
    key += key == 0;
    size_t mask = m->capacity - 1, i = map_home(m, key);
    while (m->slots[i].key != key) {
        if (m->slots[i].key == 0)
            return NULL;
        i = (i + 1) & mask;
    }
    void *value = m->slots[i].value;
    for (size_t j = (i + 1) & mask; m->slots[j].key; j = (j + 1) & mask) {
        size_t home = map_home(m, m->slots[j].key);
        if (((j - home) & mask) >= ((j - i) & mask)) {
            m->slots[i] = m->slots[j];
            i = j;
        }
    }
    m->slots[i] = (struct map_slot){0};
    m->count--;
    return value;
}

bool map_next(const struct map *m, size_t *at, struct map_slot *out_slot)
{
    for (; *at < m->capacity; ++*at)
        if (m->slots[*at].key) {
            *out_slot = m->slots[(*at)++];
            return true;
        }
    return false;
}
