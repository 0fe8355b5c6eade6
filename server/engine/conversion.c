#include "server/engine/conversion.h"

#include "common/check.h"
#include "common/map.h"

#include <math.h>
#include <stdlib.h>

#define HALF_LIFE_MS 86400000.0
#define KINDS 16 /* of a look: match by eighths, wanted or not */
#define RATE_SECONDS 1000.0 /* the rate of all, before anything is known: one purchase in so many */
#define ENTITY_PRIOR 3.0
#define KIND_PRIOR 5.0
#define USER_PRIOR 1.0 /* buyers differ as if exponentially (Ehrenberg, Repeat-buying, 1972) */

struct place {
    struct conversion conversion;
    entity_id id;
    struct place *older, *newer; /* by when it was looked at or bought last */
};

struct conversions {
    uint32_t max;
    struct conversion all; /* expected: seconds, at the rate of one */
    struct conversion kinds[KINDS];
    struct map entities; /* entity id -> struct place; owned */
    struct place *oldest, *newest;
};

struct conversions *conversions_create(uint32_t max)
{
    struct conversions *c = calloc(1, sizeof *c);
    ASSERT(c);
    c->max = max;
    return c;
}

void conversions_destroy(struct conversions *c)
{
    if (!c)
        return;
    map_free(&c->entities);
    free(c);
}

static double fade_of(const struct conversion *f, int64_t now_ms)
{
    return now_ms > f->at_ms ? exp2(-(double)(now_ms - f->at_ms) / HALF_LIFE_MS) : 1;
}

static double mean_of(const struct conversion *f, double prior, int64_t now_ms)
{
    double fade = f ? fade_of(f, now_ms) : 0;
    return f ? (f->bought * fade + prior) / (f->expected * fade + prior) : 1;
}

static double rate_of(const struct conversions *c, int64_t now_ms)
{
    double fade = fade_of(&c->all, now_ms);
    return (c->all.bought * fade + 1) / (c->all.expected * fade + RATE_SECONDS);
}

static int kind_of(const struct look *at)
{
    int eighth = at->match > 0 ? (int)(at->match * 8) : 0;
    return 2 * (eighth < KINDS / 2 ? eighth : KINDS / 2 - 1) + at->wanted;
}

static void add(struct conversion *f, double bought, double expected, int64_t now_ms)
{
    double fade = fade_of(f, now_ms);
    f->bought = f->bought * fade + bought;
    f->expected = f->expected * fade + expected;
    f->at_ms = now_ms > f->at_ms ? now_ms : f->at_ms;
}

static void leave(struct conversions *c, struct place *p)
{
    *(p->older ? &p->older->newer : &c->oldest) = p->newer;
    *(p->newer ? &p->newer->older : &c->newest) = p->older;
}

static void become_newest(struct conversions *c, struct place *p)
{
    p->older = c->newest;
    p->newer = NULL;
    *(c->newest ? &c->newest->newer : &c->oldest) = p;
    c->newest = p;
}

/* Of one not seen before, in the place of the one unseen for longest when there is no more room. */
static struct place *place_for(struct conversions *c, entity_id id)
{
    struct place *p = c->entities.count < c->max ? malloc(sizeof *p) : c->oldest;
    ASSERT(p);
    if (p == c->oldest) {
        leave(c, p);
        map_remove(&c->entities, p->id);
    }
    *p = (struct place){.id = id};
    map_put(&c->entities, id, p);
    return p;
}

static void add_entity(struct conversions *c, entity_id id, double bought, double expected, int64_t now_ms)
{
    if (!id)
        return;
    struct place *p = map_find(&c->entities, id);
    if (p)
        leave(c, p);
    else
        p = place_for(c, id);
    become_newest(c, p);
    add(&p->conversion, bought, expected, now_ms);
}

static const struct conversion *find(const struct conversions *c, entity_id id)
{
    const struct place *p = id ? map_find(&c->entities, id) : NULL;
    return p ? &p->conversion : NULL;
}

struct conversion_factors conversions_factors(const struct conversions *c, const struct look *at, int64_t now_ms, const struct conversion *user)
{
    return (struct conversion_factors){
        .item = mean_of(find(c, at->item), ENTITY_PRIOR, now_ms),
        .host = mean_of(find(c, at->host), ENTITY_PRIOR, now_ms),
        .match = mean_of(&c->kinds[kind_of(at)], KIND_PRIOR, now_ms),
        .user = (user->bought + USER_PRIOR) / (user->expected + USER_PRIOR),
    };
}

void conversions_watch(struct conversions *c, const struct look *at, double seconds, int64_t now_ms, struct conversion *user)
{
    struct conversion_factors f = conversions_factors(c, at, now_ms, user);
    double all = f.item * f.host * f.match * f.user, expected = seconds * rate_of(c, now_ms) * all;
    add(&c->all, 0, seconds * all, now_ms);
    add(&c->kinds[kind_of(at)], 0, expected / f.match, now_ms);
    add_entity(c, at->item, 0, expected / f.item, now_ms);
    add_entity(c, at->host, 0, expected / f.host, now_ms);
    user->expected += expected / f.user;
}

void conversions_buy(struct conversions *c, const struct look *at, int64_t now_ms, struct conversion *user)
{
    add(&c->all, 1, 0, now_ms);
    add(&c->kinds[kind_of(at)], 1, 0, now_ms);
    add_entity(c, at->item, 1, 0, now_ms);
    add_entity(c, at->host, 1, 0, now_ms);
    user->bought++;
}
