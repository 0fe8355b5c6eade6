/*
 * Weights in force are kept twice, as logged and as the folding under the other configuration publishes them. A screen is what a
 * user is shown within SCREEN_MS, in the order it stands. Chances of a scene are taken at most once a second, and when
 * weights change; they stay until the end, 12 bytes a room each time.
 */
#include "server/rehearse/offpolicy.h"

#include "common/check.h"
#include "common/hash.h"
#include "common/map.h"
#include "server/rehearse/shadow.h"

#include <jansson.h>
#include <stdlib.h>

#define SCREEN_MS 1000

enum side { SIDE_LOGGED, SIDE_JUDGED, SIDES };

struct weight {
    double share;
    int64_t until_ms;
};

/* The rooms of a scene and how they are drawn. */
struct pool {
    uint64_t changes, shape;
    int64_t second;
    struct chances *of[SIDES]; /* the same things */
};

struct screen {
    struct drawn *drawn;
    struct chances *of[SIDES];
    double taken[SIDES];
    uint64_t scene;
    int64_t at_ms;
};

struct traffic {
    const struct offpolicy_settings *settings;
    struct journal *journal;
    struct shadow *shadow;
    struct estimator *estimator;
    struct map weights[SIDES]; /* owned; hash of the key -> struct weight */
    uint64_t changes, read;
    struct map pools;    /* owned; hash of the scene -> struct pool */
    struct map screens;  /* owned; hash of the user -> struct screen */
    struct map shown;    /* hash of user and room -> number of the newest showing + 1 */
    int64_t *shown_ms;   /* owned; of every showing */
    size_t capacity;
};

static uint64_t text_hash(struct slice text)
{
    return hash64(text.at, text.size, 3) | 1;
}

static void *find_or_make(struct map *m, uint64_t key, size_t bytes)
{
    void *one = map_find(m, key);
    if (!one) {
        one = calloc(1, bytes);
        ASSERT(one);
        map_put(m, key, one);
    }
    return one;
}

/* Tombstones take the room out of the pool. */
static void take_weight(struct traffic *o, enum side side, struct slice key, struct slice value)
{
    json_t *root = value.size ? json_loadb(value.at, value.size, 0, NULL) : NULL;
    const json_t *share = json_object_get(root, "weight"), *until = json_object_get(root, "valid_until");
    if (value.size == 0 || (json_is_number(share) && json_is_integer(until))) {
        struct weight *w = find_or_make(&o->weights[side], text_hash(key), sizeof *w);
        *w = value.size ? (struct weight){json_number_value(share), json_integer_value(until)} : (struct weight){0, INT64_MAX};
        o->changes++;
    }
    json_decref(root);
}

static void hear(void *arg, const struct record *r)
{
    if (r->topic == TOPIC_TRAFFIC)
        take_weight(arg, SIDE_JUDGED, r->key, r->tombstone ? (struct slice){0} : r->value);
}

static double share_of(const struct traffic *o, enum side side, struct slice scene, struct slice room, double mean)
{
    char key[2 * EVENT_ID_BYTES + 1];
    memcpy(key, scene.at, scene.size);
    key[scene.size] = '|';
    memcpy(key + scene.size + 1, room.at, room.size);
    const struct weight *w = map_find(&o->weights[side], text_hash((struct slice){key, scene.size + 1 + room.size}));
    return w && w->until_ms >= shadow_now_ms(o->shadow) ? w->share : mean;
}

static void fill_pool(struct traffic *o, struct pool *p, struct slice scene)
{
    const struct catalog *c = worker_catalog(shadow_worker(o->shadow));
    uint32_t number = catalog_number(c, scene), count = 0;
    double sums[SIDES] = {0};
    for (uint32_t i = 0; i < catalog_open_count(c); i++)
        count += catalog_room_in(catalog_open(c, i), number);
    for (int side = 0; side < SIDES; side++)
        p->of[side] = estimator_chances(o->estimator, count);
    for (uint32_t i = 0, at = 0; i < catalog_open_count(c); i++) {
        const struct catalog_room *r = catalog_open(c, i);
        if (!catalog_room_in(r, number))
            continue;
        for (int side = 0; side < SIDES; side++) {
            p->of[side]->things[at] = estimator_thing(o->estimator, r->id);
            p->of[side]->each[at] = share_of(o, (enum side)side, scene, r->name, 1.0 / count);
            sums[side] += p->of[side]->each[at];
        }
        at++;
    }
    for (int side = 0; side < SIDES; side++)
        for (uint32_t i = 0; i < count && sums[side] > 0; i++)
            p->of[side]->each[i] /= sums[side];
}

static const struct pool *pool_of(struct traffic *o, struct slice scene)
{
    struct pool *p = find_or_make(&o->pools, text_hash(scene), sizeof *p);
    uint64_t shape = catalog_shape(worker_catalog(shadow_worker(o->shadow)));
    int64_t second = shadow_now_ms(o->shadow) / 1000;
    if (!p->of[SIDE_LOGGED] || p->changes != o->changes || p->shape != shape || p->second != second) {
        p->changes = o->changes;
        p->shape = shape;
        p->second = second;
        fill_pool(o, p, scene);
    }
    return p;
}

static struct screen *screen_of(struct traffic *o, const struct event *e)
{
    uint64_t user = text_hash(e->user), scene = text_hash(e->scene);
    struct screen *s = find_or_make(&o->screens, user, sizeof *s);
    if (!s->drawn || s->scene != scene || e->event_ms < s->at_ms || e->event_ms - s->at_ms > SCREEN_MS) {
        const struct pool *p = pool_of(o, e->scene);
        *s = (struct screen){.drawn = estimator_drawn(o->estimator, user), .of = {p->of[0], p->of[1]}, .scene = scene, .at_ms = e->event_ms};
    }
    return s;
}

static uint64_t pair_hash(const struct event *e)
{
    return hash_mix(text_hash(e->user) + hash64(e->room.at, e->room.size, 4)) | 1;
}

static bool is_traffic(const struct event *e)
{
    return e->rec.size == 0 && (e->source == SOURCE_FEED || e->source == SOURCE_ORGANIC);
}

/* The latest showing of a room to a user is what leads on from there. */
static void note_showing(struct traffic *o, const struct event *e, size_t number)
{
    if (number >= o->capacity) {
        o->capacity = o->capacity ? o->capacity * 2 : 4096;
        o->shown_ms = realloc(o->shown_ms, o->capacity * sizeof *o->shown_ms);
        ASSERT(o->shown_ms);
    }
    o->shown_ms[number] = e->event_ms;
    map_put(&o->shown, pair_hash(e), (void *)(uintptr_t)(number + 1));
}

static void take_impression(struct traffic *o, const struct event *e)
{
    struct screen *s = screen_of(o, e);
    struct drawn *d = s->drawn;
    double each[SIDES] = {0}, chance[SIDES];
    map_remove(&o->shown, pair_hash(e));
    if (d->count == o->settings->places)
        return;
    struct draw *to = &d->draws[d->count++];
    *to = (struct draw){.thing = estimator_thing(o->estimator, entity_id_of(ENTITY_ROOM, e->room)), .ratio = 1};
    for (int side = 0; side < SIDES; side++) {
        const struct chances *c = s->of[side];
        for (uint32_t i = 0; i < c->count; i++)
            each[side] = c->things[i] == to->thing ? c->each[i] : each[side];
        chance[side] = s->taken[side] < 1 ? each[side] / (1 - s->taken[side]) : 0;
        s->taken[side] += each[side];
    }
    if (!is_traffic(e) || chance[SIDE_LOGGED] <= 0)
        return;
    to->ratio = chance[SIDE_JUDGED] / chance[SIDE_LOGGED];
    to->chances = s->of[SIDE_JUDGED];
    note_showing(o, e, estimator_show(o->estimator, d, d->count - 1));
}

static void take_reward(struct traffic *o, const struct event *e)
{
    uintptr_t number = (uintptr_t)map_find(&o->shown, pair_hash(e));
    if (number && e->event_ms - o->shown_ms[number - 1] <= o->settings->within_ms)
        estimator_reward(o->estimator, number - 1);
}

static bool take(struct traffic *o, const struct journal_record *r)
{
    struct event e;
    enum offpolicy_record what = offpolicy_fold(o->settings, o->shadow, o->journal, r, &e);
    if (r->topic == TOPIC_TRAFFIC) {
        take_weight(o, SIDE_LOGGED, r->key, r->value);
        o->read++;
    }
    if (what != OFFPOLICY_EVENT)
        return what != OFFPOLICY_STUCK;
    if (e.type == EVENT_IMPRESSION && e.room.size && (e.rec.size || is_traffic(&e)))
        take_impression(o, &e);
    if (e.type == o->settings->reward && e.room.size && is_traffic(&e))
        take_reward(o, &e);
    return true;
}

bool offpolicy_traffic(const struct offpolicy_settings *s, struct journal *j, struct offpolicy_answer *out)
{
    struct journal_record r;
    struct traffic o = {.settings = s, .journal = j};
    bool good = true;
    ASSERT(s->places <= DRAWS_MAX);
    o.shadow = shadow_create(s->worker, &(struct shadow_hears){&o, hear, true});
    o.estimator = estimator_create(s->clip);
    for (journal_rewind(j); good && journal_next(j, &r);)
        good = take(&o, &r);
    out->decisions = o.read;
    estimator_answer(o.estimator, &out->estimated);
    map_free(&o.weights[SIDE_LOGGED]);
    map_free(&o.weights[SIDE_JUDGED]);
    map_free(&o.pools);
    map_free(&o.screens);
    map_fini(&o.shown);
    free(o.shown_ms);
    shadow_destroy(o.shadow);
    estimator_destroy(o.estimator);
    return good;
}
