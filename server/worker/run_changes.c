#include "server/worker/run_changes.h"

#include "common/check.h"

#include <stdlib.h>

#define MINUTE_MS 60000 /* the finest bucket of counters */
#define TARGETS_MIN 64

void run_changes_fini(struct run_changes *c)
{
    free(c->targets);
    free(c->slots);
    free(c->changes);
    free(c->tallies);
    *c = (struct run_changes){0};
}

static void *resized(void *at, size_t count, size_t size)
{
    at = realloc(at, count * size);
    ASSERT(at);
    return at;
}

void run_changes_clear(struct run_changes *c)
{
    c->target_count = c->change_count = c->tally_count = 0;
    if (c->slots)
        memset(c->slots, 0, c->slot_count * sizeof *c->slots);
}

/* The slot of an id, or the free one where it belongs. Ids are hashes; their high half tells those of a partition apart too. */
static uint32_t *slot_of(struct run_changes *c, entity_id id)
{
    uint32_t mask = c->slot_count - 1, at = (uint32_t)(id * 0x9e3779b97f4a7c15u >> 32) & mask;
    while (c->slots[at] && c->targets[c->slots[at] - 1].id != id)
        at = (at + 1) & mask;
    return &c->slots[at];
}

/* Slots are twice the targets, so that one in two is free at least. */
static void grow_targets(struct run_changes *c)
{
    c->target_capacity = c->target_capacity ? 2 * c->target_capacity : TARGETS_MIN;
    c->targets = resized(c->targets, c->target_capacity, sizeof *c->targets);
    c->slot_count = 2 * c->target_capacity;
    c->slots = resized(c->slots, c->slot_count, sizeof *c->slots);
    memset(c->slots, 0, c->slot_count * sizeof *c->slots);
    for (uint32_t i = 0; i < c->target_count; i++)
        *slot_of(c, c->targets[i].id) = i + 1;
}

struct target *run_changes_target(struct run_changes *c, entity_id id)
{
    if (c->target_count == c->target_capacity)
        grow_targets(c);
    if (c->recent < c->target_count && c->targets[c->recent].id == id)
        return &c->targets[c->recent]; /* the pairs of a rating come one after the other */
    uint32_t *slot = slot_of(c, id);
    if (*slot == 0) {
        c->targets[c->target_count++] = (struct target){.id = id};
        *slot = c->target_count;
    }
    c->recent = *slot - 1;
    return &c->targets[c->recent];
}

static void add_change(struct run_changes *c, struct target *target, struct change change)
{
    if (c->change_count == c->change_capacity) {
        c->change_capacity = c->change_capacity ? 2 * c->change_capacity : 1024;
        c->changes = resized(c->changes, c->change_capacity, sizeof *c->changes);
    }
    c->changes[c->change_count++] = change;
    *(target->last ? &c->changes[target->last - 1].next : &target->first) = c->change_count;
    target->last = c->change_count;
}

static int64_t minute_of(int64_t event_ms)
{
    return event_ms / MINUTE_MS - (event_ms % MINUTE_MS < 0);
}

static bool is_same(const struct tally *t, const struct count_effect *e, int64_t event_ms)
{
    return t->sum.source == e->source && t->sum.explained == e->explained && slice_equal(t->sum.scene, e->scene) &&
           minute_of(t->event_ms) == minute_of(event_ms);
}

static struct tally *tally_of(struct run_changes *c, struct target *target, const struct count_effect *e, int64_t event_ms)
{
    for (uint32_t i = target->tally; i; i = c->tallies[i - 1].next)
        if (is_same(&c->tallies[i - 1], e, event_ms))
            return &c->tallies[i - 1];
    if (c->tally_count == c->tally_capacity) {
        c->tally_capacity = c->tally_capacity ? 2 * c->tally_capacity : 64;
        c->tallies = resized(c->tallies, c->tally_capacity, sizeof *c->tallies);
    }
    struct tally *t = &c->tallies[c->tally_count++];
    t->sum.target = e->target; /* field by field: most counters are never written */
    t->sum.name = e->name;
    t->sum.scene = e->scene;
    t->sum.source = e->source;
    t->sum.explained = e->explained;
    t->sum.counter_count = 0;
    t->event_ms = event_ms;
    t->next = target->tally;
    target->tally = c->tally_count;
    return t;
}

static void add_count(struct run_changes *c, struct target *target, const struct count_effect *e, int64_t event_ms)
{
    struct tally *t = tally_of(c, target, e, event_ms);
    for (int i = 0; i < e->counter_count; i++)
        count_effect_add(&t->sum, e->counters[i].counter, e->counters[i].delta);
    if (event_ms > t->event_ms)
        t->event_ms = event_ms;
}

void run_changes_add(struct run_changes *c, struct target *target, const struct run_effect *e, int64_t event_ms)
{
    switch (e->op) {
    case RUN_COUNT:
        add_count(c, target, &e->count, event_ms);
        break;
    case RUN_RATING:
        if (e->name.size)
            target->name = e->name;
        add_change(c, target, (struct change){{0, e->delta, 0}, event_ms, 0});
        break;
    case RUN_PAIR:
        add_change(c, target, (struct change){{e->other, e->delta, e->step}, event_ms, 0});
        break;
    case RUN_END:
        break;
    }
}
