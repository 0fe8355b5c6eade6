#include "server/rehearse/plain.h"

#include "common/check.h"
#include "common/map.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HALF_LIFE_MS (7 * 86400000ll)
#define NEWEST 200

struct pair {
    uint32_t thing;
    float users;
};

struct thing {
    double popular, faded; /* faded: as of faded_ms */
    int64_t faded_ms;
    struct pair *pairs; /* owned */
    uint32_t pair_count, pair_capacity;
    struct map pair_of; /* thing + 1 -> place + 1 */
};

struct owner {
    uint32_t *things; /* owned; each once, in the order they came */
    uint32_t count, capacity;
};

struct plain {
    struct thing *things; /* owned */
    struct owner *owners; /* owned; by user */
    uint32_t count, capacity, owner_capacity;
    struct map number_of; /* id -> number + 1 */
    float *related;       /* owned; room for all things */
    double total;
};

struct plain *plain_create(void)
{
    struct plain *p = calloc(1, sizeof *p);
    ASSERT(p);
    return p;
}

void plain_destroy(struct plain *p)
{
    if (!p)
        return;
    for (uint32_t i = 0; i < p->count; i++) {
        free(p->things[i].pairs);
        map_fini(&p->things[i].pair_of);
    }
    for (uint32_t u = 0; u < p->owner_capacity; u++)
        free(p->owners[u].things);
    map_fini(&p->number_of);
    free(p->things);
    free(p->owners);
    free(p->related);
    free(p);
}

/* Room for one more than `count`, zeroed. */
static void *grown(void *at, uint32_t *capacity, uint32_t count, size_t size)
{
    if (count < *capacity)
        return at;
    uint32_t bigger = *capacity ? *capacity * 2 : 8;
    bigger = bigger > count ? bigger : count + 1;
    at = realloc(at, bigger * size);
    ASSERT(at);
    memset((char *)at + *capacity * size, 0, (bigger - *capacity) * size);
    *capacity = bigger;
    return at;
}

uint32_t plain_thing(struct plain *p, entity_id id)
{
    uintptr_t number = (uintptr_t)map_find(&p->number_of, id);
    if (number)
        return (uint32_t)number - 1;
    uint32_t before = p->capacity;
    p->things = grown(p->things, &p->capacity, p->count, sizeof *p->things);
    if (before != p->capacity)
        p->related = realloc(p->related, p->capacity * sizeof *p->related);
    ASSERT(p->related);
    map_put(&p->number_of, id, (void *)(uintptr_t)(p->count + 1));
    return p->count++;
}

uint32_t plain_things(const struct plain *p)
{
    return p->count;
}

static double faded(double value, int64_t at_ms, int64_t now_ms)
{
    return now_ms > at_ms ? value * exp2(-(double)(now_ms - at_ms) / HALF_LIFE_MS) : value;
}

static void pair_up(struct thing *t, uint32_t other)
{
    uintptr_t place = (uintptr_t)map_find(&t->pair_of, other + 1ull);
    if (!place) {
        t->pairs = grown(t->pairs, &t->pair_capacity, t->pair_count, sizeof *t->pairs);
        t->pairs[t->pair_count++] = (struct pair){other, 0};
        place = t->pair_count;
        map_put(&t->pair_of, other + 1ull, (void *)place);
    }
    t->pairs[place - 1].users++;
}

void plain_note(struct plain *p, uint32_t user, uint32_t thing, int64_t ts_ms)
{
    struct thing *t = &p->things[thing];
    p->owners = grown(p->owners, &p->owner_capacity, user, sizeof *p->owners);
    struct owner *o = &p->owners[user];
    t->faded = faded(t->faded, t->faded_ms, ts_ms) + 1;
    t->faded_ms = ts_ms > t->faded_ms ? ts_ms : t->faded_ms;
    t->popular++;
    p->total++;
    for (uint32_t i = 0; i < o->count; i++)
        if (o->things[i] == thing)
            return;
    for (uint32_t i = 0; i < o->count; i++) {
        pair_up(t, o->things[i]);
        pair_up(&p->things[o->things[i]], thing);
    }
    o->things = grown(o->things, &o->capacity, o->count, sizeof *o->things);
    o->things[o->count++] = thing;
}

double plain_popular(const struct plain *p, uint32_t thing)
{
    return p->things[thing].popular;
}

double plain_decayed(const struct plain *p, uint32_t thing, int64_t now_ms)
{
    return faded(p->things[thing].faded, p->things[thing].faded_ms, now_ms);
}

double plain_total(const struct plain *p)
{
    return p->total;
}

const float *plain_related(struct plain *p, uint32_t user)
{
    if (p->count)
        memset(p->related, 0, p->count * sizeof *p->related);
    const struct owner *o = user < p->owner_capacity ? &p->owners[user] : &(struct owner){NULL, 0, 0};
    for (uint32_t k = o->count > NEWEST ? o->count - NEWEST : 0; k < o->count; k++) {
        const struct thing *mine = &p->things[o->things[k]];
        for (uint32_t i = 0; i < mine->pair_count; i++)
            p->related[mine->pairs[i].thing] += mine->pairs[i].users / sqrtf((float)mine->popular * (float)p->things[mine->pairs[i].thing].popular);
    }
    return p->related;
}
