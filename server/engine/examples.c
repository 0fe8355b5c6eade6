#include "server/engine/examples.h"

#include "common/check.h"
#include "common/hash.h"
#include "common/map.h"

#include <stdlib.h>
#include <string.h>

#define LEVEL_MAX 40

struct examples {
    struct example *ring;    /* owned; number n stands at n % max; numbers begin at 1 */
    uint64_t first, next;    /* numbers of the oldest, and of the one to come */
    struct map newest;       /* user -> number of the newest example */
    uint32_t max;
    uint32_t level;
    int64_t window_ms, level_ms; /* level_ms: when the level changed last */
    uint64_t thinned;
};

struct examples *examples_create(uint32_t max, int64_t window_ms)
{
    struct examples *q = calloc(1, sizeof *q);
    ASSERT(q);
    ASSERT(max >= 2);
    q->ring = calloc(max, sizeof *q->ring);
    ASSERT(q->ring);
    q->max = max;
    q->window_ms = window_ms;
    q->first = q->next = 1;
    return q;
}

void examples_destroy(struct examples *q)
{
    if (!q)
        return;
    map_fini(&q->newest);
    free(q->ring);
    free(q);
}

static struct example *at(struct examples *q, uint64_t number)
{
    return &q->ring[number % q->max];
}

static uint64_t newest_of(const struct examples *q, uint64_t user)
{
    return (uint64_t)(uintptr_t)map_find(&q->newest, user);
}

static bool kept(uint64_t user, int64_t ts_ms, uint32_t level)
{
    return level == 0 || hash_mix(user ^ hash_mix((uint64_t)ts_ms)) >> (64 - level) == 0;
}

static void append(struct examples *q, const struct example *e)
{
    struct example *to = at(q, q->next);
    uint64_t before = newest_of(q, e->user);
    *to = *e;
    to->before = before;
    map_put(&q->newest, e->user, (void *)(uintptr_t)q->next++);
}

/* Half of those waiting leave. The others move up to the oldest, and the users' chains are tied anew. */
static void thin(struct examples *q)
{
    uint64_t end = q->next;
    map_fini(&q->newest);
    q->newest = (struct map){0};
    q->level++;
    q->next = q->first;
    for (uint64_t number = q->first; number < end; number++) {
        struct example e = *at(q, number);
        if (kept(e.user, e.ts_ms, q->level))
            append(q, &e);
    }
    q->thinned += end - q->next;
}

/* Not before a window at this level has passed: it takes that long until all those waiting are of it. */
static void lower(struct examples *q, int64_t now_ms)
{
    if (q->level && q->next - q->first < q->max / 4 && now_ms - q->level_ms > q->window_ms) {
        q->level--;
        q->level_ms = now_ms;
    }
}

void examples_add(struct examples *q, uint64_t user, int64_t ts_ms, const float features[FEATURES])
{
    lower(q, ts_ms);
    for (; q->next - q->first == q->max && q->level < LEVEL_MAX; q->level_ms = ts_ms)
        thin(q);
    if (!kept(user, ts_ms, q->level) || q->next - q->first == q->max) {
        q->thinned++;
        return;
    }
    struct example e = {.user = user, .ts_ms = ts_ms};
    memcpy(e.features, features, sizeof e.features);
    append(q, &e);
}

void examples_label(struct examples *q, uint64_t user, int64_t now_ms, int64_t from_ms, int64_t until_ms)
{
    for (uint64_t number = newest_of(q, user); number >= q->first; number = at(q, number)->before) {
        struct example *e = at(q, number);
        int64_t age_ms = now_ms - e->ts_ms;
        e->label |= age_ms >= from_ms && age_ms <= until_ms;
    }
}

const struct example *examples_close(struct examples *q, int64_t now_ms)
{
    struct example *e = at(q, q->first);
    if (q->first == q->next || e->ts_ms + q->window_ms >= now_ms)
        return NULL;
    if (newest_of(q, e->user) == q->first)
        map_remove(&q->newest, e->user);
    q->first++;
    return e;
}

uint64_t examples_thinned(const struct examples *q)
{
    return q->thinned;
}
