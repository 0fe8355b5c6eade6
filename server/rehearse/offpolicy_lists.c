#include "server/rehearse/offpolicy.h"

#include "common/check.h"
#include "common/hash.h"
#include "common/map.h"
#include "server/rehearse/shadow.h"

#include <jansson.h>
#include <stdlib.h>

#define AT_ONCE_MS 50 /* a list put off by the throttle comes later as a rule */

/* A list that was sent. */
struct logged {
    struct drawn *drawn; /* NULL until it was asked about */
    uint32_t count;
    entity_id ids[DRAWS_MAX];
    double propensities[DRAWS_MAX];
    char scene[EVENT_ID_BYTES + 1];
    int64_t sent_ms;
    struct logged *same; /* another of the same version */
};

struct lists {
    const struct offpolicy_settings *settings;
    struct journal *journal;
    struct shadow *shadow;
    struct estimator *estimator;
    struct map sent;     /* owned; hash of rec -> struct logged */
    struct map versions; /* hash of user and offset -> the lists made of that event */
    struct map shown;    /* hash of rec and place -> number of the showing + 1 */
};

static uint64_t rec_hash(struct slice rec)
{
    return hash64(rec.at, rec.size, 1) | 1;
}

static uint64_t place_hash(struct slice rec, uint32_t place)
{
    return hash_mix(rec_hash(rec) + place) | 1;
}

static uint64_t version_hash(struct slice user, int64_t offset)
{
    return hash_mix(hash64(user.at, user.size, 2) + (uint64_t)offset) | 1;
}

static void read_rooms(struct logged *l, const json_t *rooms, uint32_t places)
{
    for (size_t i = 0; i < json_array_size(rooms) && l->count < places; i++) {
        const char *id = json_string_value(json_object_get(json_array_get(rooms, i), "id"));
        double propensity = json_number_value(json_object_get(json_array_get(rooms, i), "propensity"));
        if (!id || !(propensity > 0))
            return;
        l->ids[l->count] = entity_id_of(ENTITY_ROOM, slice_of(id));
        l->propensities[l->count++] = propensity;
    }
}

static void read_list(struct lists *o, const struct journal_record *r)
{
    json_t *root = r->value.at ? json_loadb(r->value.at, r->value.size, 0, NULL) : NULL;
    const char *rec = json_string_value(json_object_get(root, "rec")), *scene = json_string_value(json_object_get(root, "scene"));
    const json_t *offset = json_array_get(json_object_get(root, "version"), 0);
    if (rec && scene && strlen(scene) <= EVENT_ID_BYTES && !map_find(&o->sent, rec_hash(slice_of(rec)))) {
        struct logged *l = calloc(1, sizeof *l);
        ASSERT(l);
        read_rooms(l, json_object_get(root, "rooms"), o->settings->places);
        l->sent_ms = r->timestamp_ms;
        memcpy(l->scene, scene, strlen(scene));
        uint64_t version = version_hash(r->key, json_integer_value(offset));
        l->same = map_find(&o->versions, version);
        map_put(&o->versions, version, l);
        map_put(&o->sent, rec_hash(slice_of(rec)), l);
    }
    json_decref(root);
}

static void fill_draw(struct lists *o, struct draw *to, const struct list_place *p, double propensity)
{
    to->chances = estimator_chances(o->estimator, p->count);
    for (uint32_t i = 0; i < p->count; i++) {
        to->chances->things[i] = estimator_thing(o->estimator, p->rooms[i]);
        to->chances->each[i] = i == 0 ? p->best : p->other;
        if (to->chances->things[i] == to->thing)
            to->ratio = to->chances->each[i] / propensity;
    }
}

static void ask(struct lists *o, struct logged *l, struct slice user)
{
    static struct list_place places[DRAWS_MAX];
    struct question q = {user, slice_of(l->scene), shadow_now_ms(o->shadow), 0};
    uint32_t told = worker_ask_given(shadow_worker(o->shadow), &q, &(struct given){l->count, l->ids}, places);
    struct drawn *d = l->drawn = estimator_drawn(o->estimator, hash64(user.at, user.size, 1));
    d->count = l->count;
    for (uint32_t k = 0; k < l->count; k++) {
        d->draws[k] = (struct draw){.thing = estimator_thing(o->estimator, l->ids[k])};
        if (k < told)
            fill_draw(o, &d->draws[k], &places[k], l->propensities[k]);
    }
}

/*
 * A list is asked about as its maker saw things: right after the event its version names, when it went out at once and the
 * log says offsets, for what came in beside that event was not folded yet; else when it was sent.
 */
static void take_list(struct lists *o, const struct journal_record *r)
{
    if (r->topic == TOPIC_EVENTS) {
        struct logged *l = r->offset >= 0 ? map_find(&o->versions, version_hash(r->key, r->offset)) : NULL;
        for (; l; l = l->same)
            if (!l->drawn && l->sent_ms - r->timestamp_ms <= AT_ONCE_MS)
                ask(o, l, r->key);
        return;
    }
    json_t *root = r->value.at ? json_loadb(r->value.at, r->value.size, 0, NULL) : NULL;
    const char *rec = json_string_value(json_object_get(root, "rec"));
    struct logged *l = rec ? map_find(&o->sent, rec_hash(slice_of(rec))) : NULL;
    if (l && !l->drawn)
        ask(o, l, r->key);
    json_decref(root);
}

static void take_impression(struct lists *o, const struct event *e)
{
    const struct logged *l = map_find(&o->sent, rec_hash(e->rec));
    if (!l || !l->drawn || e->pos >= l->count || l->ids[e->pos] != entity_id_of(ENTITY_ROOM, e->room))
        return;
    size_t number = estimator_show(o->estimator, l->drawn, e->pos);
    map_put(&o->shown, place_hash(e->rec, e->pos), (void *)(uintptr_t)(number + 1));
}

static void take_reward(struct lists *o, const struct event *e)
{
    uintptr_t number = (uintptr_t)map_find(&o->shown, place_hash(e->rec, e->pos));
    if (number)
        estimator_reward(o->estimator, number - 1);
}

static bool take(struct lists *o, const struct journal_record *r)
{
    struct event e;
    enum offpolicy_record what = offpolicy_fold(o->settings, o->shadow, o->journal, r, &e);
    if (r->topic == TOPIC_RECOMMENDATIONS || r->topic == TOPIC_EVENTS)
        take_list(o, r);
    if (what != OFFPOLICY_EVENT)
        return what != OFFPOLICY_STUCK;
    if (e.rec.size && e.room.size && e.type == EVENT_IMPRESSION)
        take_impression(o, &e);
    if (e.rec.size && e.type == o->settings->reward)
        take_reward(o, &e);
    return true;
}

static void lists_fini(struct lists *o)
{
    map_free(&o->sent);
    map_fini(&o->versions);
    map_fini(&o->shown);
    shadow_destroy(o->shadow);
    estimator_destroy(o->estimator);
}

bool offpolicy_lists(const struct offpolicy_settings *s, struct journal *j, struct offpolicy_answer *out)
{
    struct journal_record r;
    struct lists o = {.settings = s, .journal = j};
    bool good = true;
    ASSERT(s->places <= DRAWS_MAX);
    o.shadow = shadow_create(s->worker, &(struct shadow_hears){NULL, NULL});
    o.estimator = estimator_create(s->clip);
    for (journal_rewind(j); journal_next(j, &r);)
        if (r.topic == TOPIC_RECOMMENDATIONS)
            read_list(&o, &r);
    for (journal_rewind(j); good && journal_next(j, &r);)
        good = take(&o, &r);
    out->decisions = o.sent.count;
    estimator_answer(o.estimator, &out->estimated);
    lists_fini(&o);
    return good;
}
