#include "server/rehearse/estimate.h"

#include "common/check.h"
#include "common/hash.h"
#include "common/map.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FOLDS 8
#define PRIOR 5.0 /* rewards expected of a thing before its own count for half */

const char *const estimate_names[ESTIMATES] = {"logged", "ips", "snips", "dr", "dr_lift", "mean_weight"};

struct showing {
    const struct drawn *of;
    uint32_t place;
    bool reward;
};

/* Of a thing with the users of one fold. */
struct record_of_thing {
    double rewards, expected;
};

/* Pointers to what was handed out. */
struct owned {
    void **at; /* owned, as is what they point to */
    size_t count, capacity;
};

struct estimator {
    double clip;
    struct map thing_of; /* id -> number + 1 */
    uint32_t things;
    struct owned drawn, chances;
    struct showing *shown; /* owned */
    size_t count, capacity;
    double place_shown[FOLDS][DRAWS_MAX], place_rewarded[FOLDS][DRAWS_MAX];
    struct record_of_thing *records[FOLDS]; /* owned */
};

struct estimator *estimator_create(double clip)
{
    struct estimator *e = calloc(1, sizeof *e);
    ASSERT(e);
    e->clip = clip;
    return e;
}

static void owned_fini(struct owned *o)
{
    for (size_t i = 0; i < o->count; i++)
        free(o->at[i]);
    free(o->at);
}

static void *owned_add(struct owned *o, size_t bytes)
{
    if (o->count == o->capacity) {
        o->capacity = o->capacity ? o->capacity * 2 : 1024;
        o->at = realloc(o->at, o->capacity * sizeof *o->at);
        ASSERT(o->at);
    }
    void *one = calloc(1, bytes);
    ASSERT(one);
    o->at[o->count++] = one;
    return one;
}

void estimator_destroy(struct estimator *e)
{
    if (!e)
        return;
    owned_fini(&e->drawn);
    owned_fini(&e->chances);
    map_fini(&e->thing_of);
    for (int f = 0; f < FOLDS; f++)
        free(e->records[f]);
    free(e->shown);
    free(e);
}

uint32_t estimator_thing(struct estimator *e, entity_id id)
{
    uintptr_t number = (uintptr_t)map_find(&e->thing_of, id);
    if (number)
        return (uint32_t)number - 1;
    map_put(&e->thing_of, id, (void *)(uintptr_t)(e->things + 1));
    return e->things++;
}

struct chances *estimator_chances(struct estimator *e, uint32_t count)
{
    struct chances *c = owned_add(&e->chances, sizeof *c + count * (sizeof *c->each + sizeof *c->things));
    c->count = count;
    c->each = (double *)(c + 1);
    c->things = (uint32_t *)(c->each + count);
    return c;
}

struct drawn *estimator_drawn(struct estimator *e, uint64_t user)
{
    struct drawn *d = owned_add(&e->drawn, sizeof *d);
    d->group = (uint32_t)(hash_mix(user) % TALLY_GROUPS);
    return d;
}

size_t estimator_show(struct estimator *e, const struct drawn *of, uint32_t place)
{
    ASSERT(place < of->count);
    if (e->count == e->capacity) {
        e->capacity = e->capacity ? e->capacity * 2 : 4096;
        e->shown = realloc(e->shown, e->capacity * sizeof *e->shown);
        ASSERT(e->shown);
    }
    e->shown[e->count] = (struct showing){of, place, false};
    return e->count++;
}

void estimator_reward(struct estimator *e, size_t shown)
{
    ASSERT(shown < e->count);
    e->shown[shown].reward = true;
}

/* q, from the users of all folds but one. */
static double expected_reward(const struct estimator *e, uint32_t fold, uint32_t place, uint32_t thing)
{
    double shown = 0, rewarded = 0, rewards = 0, expected = 0;
    for (uint32_t f = 0; f < FOLDS; f++) {
        if (f == fold)
            continue;
        shown += e->place_shown[f][place];
        rewarded += e->place_rewarded[f][place];
        rewards += e->records[f][thing].rewards;
        expected += e->records[f][thing].expected;
    }
    double q = shown > 0 ? rewarded / shown * (rewards + PRIOR) / (expected + PRIOR) : 0;
    return q < 1 ? q : 1;
}

static void learn_rewards(struct estimator *e)
{
    double shown[DRAWS_MAX] = {0}, rewarded[DRAWS_MAX] = {0};
    memset(e->place_shown, 0, sizeof e->place_shown);
    memset(e->place_rewarded, 0, sizeof e->place_rewarded);
    for (int f = 0; f < FOLDS; f++) {
        free(e->records[f]);
        e->records[f] = calloc(e->things + 1, sizeof *e->records[f]);
        ASSERT(e->records[f]);
    }
    for (size_t i = 0; i < e->count; i++) {
        const struct showing *s = &e->shown[i];
        e->place_shown[s->of->group % FOLDS][s->place]++;
        e->place_rewarded[s->of->group % FOLDS][s->place] += s->reward;
        shown[s->place]++;
        rewarded[s->place] += s->reward;
    }
    for (size_t i = 0; i < e->count; i++) {
        const struct showing *s = &e->shown[i];
        struct record_of_thing *r = &e->records[s->of->group % FOLDS][s->of->draws[s->place].thing];
        r->rewards += s->reward;
        r->expected += rewarded[s->place] / shown[s->place];
    }
}

static bool stands_before(const struct drawn *d, uint32_t place, uint32_t thing)
{
    for (uint32_t k = 0; k < place; k++)
        if (d->draws[k].thing == thing)
            return true;
    return false;
}

/* What the policy to be judged would earn at this place, given those before. */
static double modelled(const struct estimator *e, const struct drawn *d, uint32_t place)
{
    const struct chances *c = d->draws[place].chances;
    double sum = 0, left = 0;
    for (uint32_t i = 0; c && i < c->count; i++) {
        if (c->each[i] <= 0 || stands_before(d, place, c->things[i]))
            continue;
        left += c->each[i];
        sum += c->each[i] * expected_reward(e, d->group % FOLDS, place, c->things[i]);
    }
    return left > 0 ? sum / left : 0;
}

struct sums {
    double count, rewards, weights, squares, weighted, robust;
};

static double clipped(const struct estimator *e, double w)
{
    return w < e->clip ? w : e->clip;
}

static void add_showing(const struct estimator *e, const struct showing *s, struct sums *to, struct estimated *out)
{
    const struct drawn *d = s->of;
    const struct draw *at = &d->draws[s->place];
    double before = 1;
    for (uint32_t k = 0; k < s->place; k++)
        before *= d->draws[k].ratio;
    double w = before * at->ratio;
    out->clipped += w > e->clip;
    out->zero += w == 0;
    out->weight_max = w > out->weight_max ? w : out->weight_max;
    out->rewards += s->reward;
    before = clipped(e, before);
    w = clipped(e, w);
    to->count++;
    to->rewards += s->reward;
    to->weights += w;
    to->squares += w * w;
    to->weighted += w * s->reward;
    to->robust += w * (s->reward - expected_reward(e, d->group % FOLDS, s->place, at->thing)) + (before > 0 ? before * modelled(e, d, s->place) : 0);
}

static void estimate(const struct sums groups[TALLY_GROUPS], int except, double out[ESTIMATES], double *out_effective)
{
    struct sums t = {0};
    for (int g = 0; g < TALLY_GROUPS; g++) {
        if (g == except)
            continue;
        t.count += groups[g].count;
        t.rewards += groups[g].rewards;
        t.weights += groups[g].weights;
        t.squares += groups[g].squares;
        t.weighted += groups[g].weighted;
        t.robust += groups[g].robust;
    }
    out[ESTIMATE_LOGGED] = t.count > 0 ? t.rewards / t.count : NAN;
    out[ESTIMATE_IPS] = t.count > 0 ? t.weighted / t.count : NAN;
    out[ESTIMATE_SNIPS] = t.weights > 0 ? t.weighted / t.weights : NAN;
    out[ESTIMATE_DR] = t.count > 0 ? t.robust / t.count : NAN;
    out[ESTIMATE_DR_LIFT] = out[ESTIMATE_DR] - out[ESTIMATE_LOGGED];
    out[ESTIMATE_WEIGHT] = t.count > 0 ? t.weights / t.count : NAN;
    *out_effective = t.squares > 0 ? t.weights * t.weights / t.squares : 0;
}

void estimator_answer(struct estimator *e, struct estimated *out)
{
    struct sums groups[TALLY_GROUPS] = {{0}};
    double left[TALLY_GROUPS][ESTIMATES], value[ESTIMATES], ignored;
    int used = 0;
    *out = (struct estimated){.shown = e->count};
    learn_rewards(e);
    for (size_t i = 0; i < e->count; i++)
        add_showing(e, &e->shown[i], &groups[e->shown[i].of->group], out);
    estimate(groups, -1, value, &out->effective);
    for (int g = 0; g < TALLY_GROUPS; g++)
        if (groups[g].count > 0)
            estimate(groups, g, left[used++], &ignored);
    for (int k = 0; k < ESTIMATES; k++)
        out->of[k] = (struct valued){value[k], jackknife_error(&left[0][k], used, ESTIMATES)};
}
