#include "server/rehearse/promises.h"

#include "common/check.h"
#include "common/map.h"

#include <jansson.h>
#include <stdlib.h>

struct promise {
    uint64_t user;
    int64_t at_ms;
    double chance;
};

struct buyer {
    int64_t *at_ms; /* owned; purchases */
    uint32_t count, capacity;
};

struct promises {
    int64_t horizon_ms;
    struct tally *tally;
    struct promise *open; /* owned; in the order they were made */
    size_t count, capacity;
    struct map buyers;    /* owned; user -> struct buyer */
};

struct promises *promises_create(int64_t horizon_ms, struct tally *tally)
{
    struct promises *p = calloc(1, sizeof *p);
    ASSERT(p);
    p->horizon_ms = horizon_ms;
    p->tally = tally;
    return p;
}

void promises_destroy(struct promises *p)
{
    size_t at = 0;
    struct map_slot slot;
    if (!p)
        return;
    while (map_next(&p->buyers, &at, &slot)) {
        free(((struct buyer *)slot.value)->at_ms);
        free(slot.value);
    }
    map_fini(&p->buyers);
    free(p->open);
    free(p);
}

void promises_heard(struct promises *p, uint64_t user, struct slice value)
{
    json_t *root = value.size ? json_loadb(value.at, value.size, 0, NULL) : NULL;
    const json_t *intent = json_object_get(root, "intent");
    if (json_is_number(intent)) {
        if (p->count == p->capacity) {
            p->capacity = p->capacity ? p->capacity * 2 : 1024;
            p->open = realloc(p->open, p->capacity * sizeof *p->open);
            ASSERT(p->open);
        }
        p->open[p->count++] = (struct promise){user, json_integer_value(json_object_get(root, "ts")), json_number_value(intent)};
    }
    json_decref(root);
}

void promises_event(struct promises *p, uint64_t user, const struct event *e, int64_t now_ms)
{
    if (e->type != EVENT_PURCHASE)
        return;
    struct buyer *b = map_find(&p->buyers, user);
    if (!b) {
        b = calloc(1, sizeof *b);
        ASSERT(b);
        map_put(&p->buyers, user, b);
    }
    if (b->count == b->capacity) {
        b->capacity = b->capacity ? b->capacity * 2 : 4;
        b->at_ms = realloc(b->at_ms, b->capacity * sizeof *b->at_ms);
        ASSERT(b->at_ms);
    }
    b->at_ms[b->count++] = now_ms;
}

void promises_end(struct promises *p, int64_t now_ms)
{
    for (size_t i = 0; i < p->count && now_ms - p->open[i].at_ms >= p->horizon_ms; i++) {
        const struct promise *o = &p->open[i];
        const struct buyer *b = map_find(&p->buyers, o->user);
        bool bought = false;
        for (uint32_t k = 0; b && k < b->count && !bought; k++)
            bought = b->at_ms[k] > o->at_ms && b->at_ms[k] <= o->at_ms + p->horizon_ms;
        tally_guess(p->tally, o->user, o->chance, bought);
    }
}
