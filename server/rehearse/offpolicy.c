#include "server/rehearse/offpolicy.h"

#include "common/check.h"
#include "common/hash.h"
#include "common/map.h"
#include "server/rehearse/shadow.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define FOLDS 8
#define AT_ONCE_MS 50 /* a list put off by the throttle comes later as a rule */
#define PRIOR 5.0 /* rewards expected of a room before its own count for half */

const char *const estimate_names[ESTIMATES] = {"logged", "ips", "snips", "dr", "dr_lift", "mean_weight"};

/* One place of a logged list under the new configuration. */
struct spot {
    uint32_t room;           /* number */
    double ratio;            /* P_new / P_logged of it */
    uint32_t count;          /* rooms that may stand there; 0: nothing is known, the new list went another way */
    uint32_t *rooms;         /* owned; numbers, the best first */
    double best, other;
};

/* A list that was sent. */
struct logged {
    uint32_t group;
    uint32_t count; /* spots */
    struct spot spots[OFFPOLICY_PLACES_MAX];
    entity_id ids[OFFPOLICY_PLACES_MAX];
    double propensities[OFFPOLICY_PLACES_MAX];
    char scene[EVENT_ID_BYTES + 1];
    int64_t sent_ms;
    struct logged *same; /* another of the same version */
    bool asked;
};

struct showing {
    const struct logged *list;
    uint32_t place;
    bool reward;
};

/* Of a room with the users of one fold. */
struct record_of_room {
    double rewards, expected;
};

struct offpolicy {
    const struct offpolicy_settings *settings;
    struct journal *journal;
    struct shadow *shadow;
    struct map lists;      /* hash of rec -> struct logged, owned */
    struct map versions;   /* hash of user and offset -> the lists made of that event */
    struct map sample_of;  /* hash of rec and place -> sample's number + 1 */
    struct map room_of;    /* id -> number + 1 */
    uint32_t room_count;
    struct showing *samples; /* owned */
    size_t count, capacity;
    uint64_t list_count;
    double shown[FOLDS][OFFPOLICY_PLACES_MAX], rewarded[FOLDS][OFFPOLICY_PLACES_MAX];
    struct record_of_room *rooms[FOLDS]; /* owned */
};

static uint32_t room_number(struct offpolicy *o, entity_id id)
{
    uintptr_t number = (uintptr_t)map_find(&o->room_of, id);
    if (number)
        return (uint32_t)number - 1;
    map_put(&o->room_of, id, (void *)(uintptr_t)(o->room_count + 1));
    return o->room_count++;
}

static uint64_t rec_hash(struct slice rec)
{
    return hash64(rec.at, rec.size, 1) | 1;
}

static uint64_t place_hash(struct slice rec, uint32_t place)
{
    return hash_mix(rec_hash(rec) + place) | 1;
}

static void fill_spot(struct offpolicy *o, struct spot *s, const struct list_place *p, entity_id id, double propensity)
{
    *s = (struct spot){.room = room_number(o, id), .count = p->count, .best = p->best, .other = p->other};
    s->rooms = malloc((p->count + 1) * sizeof *s->rooms);
    ASSERT(s->rooms);
    for (uint32_t i = 0; i < p->count; i++) {
        s->rooms[i] = room_number(o, p->rooms[i]);
        if (p->rooms[i] == id)
            s->ratio = (i == 0 ? p->best : p->other) / propensity;
    }
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

static uint64_t version_hash(struct slice user, int64_t offset)
{
    return hash_mix(hash64(user.at, user.size, 2) + (uint64_t)offset) | 1;
}

static void read_list(struct offpolicy *o, const struct journal_record *r)
{
    json_t *root = r->value.at ? json_loadb(r->value.at, r->value.size, 0, NULL) : NULL;
    const char *rec = json_string_value(json_object_get(root, "rec")), *scene = json_string_value(json_object_get(root, "scene"));
    const json_t *offset = json_array_get(json_object_get(root, "version"), 0);
    if (rec && scene && strlen(scene) <= EVENT_ID_BYTES && !map_find(&o->lists, rec_hash(slice_of(rec)))) {
        struct logged *l = calloc(1, sizeof *l);
        ASSERT(l);
        read_rooms(l, json_object_get(root, "rooms"), o->settings->places);
        l->group = (uint32_t)(hash_mix(hash64(r->key.at, r->key.size, 1)) % TALLY_GROUPS);
        l->sent_ms = r->timestamp_ms;
        memcpy(l->scene, scene, strlen(scene));
        uint64_t version = version_hash(r->key, json_integer_value(offset));
        l->same = map_find(&o->versions, version);
        map_put(&o->versions, version, l);
        map_put(&o->lists, rec_hash(slice_of(rec)), l);
        o->list_count++;
    }
    json_decref(root);
}

static void ask(struct offpolicy *o, struct logged *l, struct slice user)
{
    static struct list_place places[OFFPOLICY_PLACES_MAX];
    struct question q = {user, slice_of(l->scene), shadow_now_ms(o->shadow), 0};
    uint32_t told = worker_ask_given(shadow_worker(o->shadow), &q, &(struct given){l->count, l->ids}, places);
    l->asked = true;
    for (uint32_t k = 0; k < l->count; k++)
        if (k < told)
            fill_spot(o, &l->spots[k], &places[k], l->ids[k], l->propensities[k]);
        else
            l->spots[k] = (struct spot){.room = room_number(o, l->ids[k])};
}

/*
 * A list is asked about as its maker saw things: right after the event its version names, when it went out at once and the
 * log says offsets, for what came in beside that event was not folded yet; else when it was sent.
 */
static void take_list(struct offpolicy *o, const struct journal_record *r)
{
    if (r->topic == TOPIC_EVENTS) {
        struct logged *l = r->offset >= 0 ? map_find(&o->versions, version_hash(r->key, r->offset)) : NULL;
        for (; l; l = l->same)
            if (!l->asked && l->sent_ms - r->timestamp_ms <= AT_ONCE_MS)
                ask(o, l, r->key);
        return;
    }
    json_t *root = r->value.at ? json_loadb(r->value.at, r->value.size, 0, NULL) : NULL;
    const char *rec = json_string_value(json_object_get(root, "rec"));
    struct logged *l = rec ? map_find(&o->lists, rec_hash(slice_of(rec))) : NULL;
    if (l && !l->asked)
        ask(o, l, r->key);
    json_decref(root);
}

static void take_impression(struct offpolicy *o, const struct event *e)
{
    const struct logged *l = map_find(&o->lists, rec_hash(e->rec));
    if (!l || !l->asked || e->pos >= l->count || l->spots[e->pos].room != room_number(o, entity_id_of(ENTITY_ROOM, e->room)))
        return;
    if (o->count == o->capacity) {
        o->capacity = o->capacity ? o->capacity * 2 : 4096;
        o->samples = realloc(o->samples, o->capacity * sizeof *o->samples);
        ASSERT(o->samples);
    }
    o->samples[o->count++] = (struct showing){l, e->pos, false};
    map_put(&o->sample_of, place_hash(e->rec, e->pos), (void *)(uintptr_t)o->count);
}

static void take_reward(struct offpolicy *o, const struct event *e)
{
    uintptr_t number = (uintptr_t)map_find(&o->sample_of, place_hash(e->rec, e->pos));
    if (number)
        o->samples[number - 1].reward = true;
}

static bool take(struct offpolicy *o, const struct journal_record *r)
{
    static struct event_scratch scratch;
    struct event e;
    enum shadow_answer answer = shadow_record(o->shadow, r);
    if (r->topic == TOPIC_RECOMMENDATIONS || r->topic == TOPIC_EVENTS)
        take_list(o, r);
    if (answer == SHADOW_STUCK)
        fprintf(stderr, "%s:%llu: %s\n", journal_path(o->journal), (unsigned long long)r->line, shadow_reason(o->shadow));
    if (r->topic != TOPIC_EVENTS || answer != SHADOW_APPLIED || event_decode(&o->settings->worker->event_rules, r->key, r->value, &scratch, &e) != EVENT_ACCEPTED)
        return answer != SHADOW_STUCK;
    if (e.rec.size && e.room.size && e.type == EVENT_IMPRESSION)
        take_impression(o, &e);
    if (e.rec.size && e.type == o->settings->reward)
        take_reward(o, &e);
    return true;
}

/* q, from the users of all folds but one. */
static double expected_reward(const struct offpolicy *o, uint32_t fold, uint32_t place, uint32_t room)
{
    double shown = 0, rewarded = 0, rewards = 0, expected = 0;
    for (uint32_t f = 0; f < FOLDS; f++) {
        if (f == fold)
            continue;
        shown += o->shown[f][place];
        rewarded += o->rewarded[f][place];
        rewards += o->rooms[f][room].rewards;
        expected += o->rooms[f][room].expected;
    }
    double q = shown > 0 ? rewarded / shown * (rewards + PRIOR) / (expected + PRIOR) : 0;
    return q < 1 ? q : 1;
}

static void learn_rewards(struct offpolicy *o)
{
    double shown[OFFPOLICY_PLACES_MAX] = {0}, rewarded[OFFPOLICY_PLACES_MAX] = {0};
    for (int f = 0; f < FOLDS; f++) {
        o->rooms[f] = calloc(o->room_count + 1, sizeof *o->rooms[f]);
        ASSERT(o->rooms[f]);
    }
    for (size_t i = 0; i < o->count; i++) {
        const struct showing *s = &o->samples[i];
        o->shown[s->list->group % FOLDS][s->place]++;
        o->rewarded[s->list->group % FOLDS][s->place] += s->reward;
        shown[s->place]++;
        rewarded[s->place] += s->reward;
    }
    for (size_t i = 0; i < o->count; i++) {
        const struct showing *s = &o->samples[i];
        struct record_of_room *r = &o->rooms[s->list->group % FOLDS][s->list->spots[s->place].room];
        r->rewards += s->reward;
        r->expected += rewarded[s->place] / shown[s->place];
    }
}

struct sums {
    double count, rewards, weights, squares, weighted, robust;
};

static double clipped(const struct offpolicy *o, double w)
{
    return w < o->settings->clip ? w : o->settings->clip;
}

static void add_sample(const struct offpolicy *o, const struct showing *s, struct sums *to, struct offpolicy_answer *out)
{
    const struct logged *l = s->list;
    const struct spot *at = &l->spots[s->place];
    uint32_t fold = l->group % FOLDS;
    double before = 1, model = 0;
    for (uint32_t k = 0; k < s->place; k++)
        before *= l->spots[k].ratio;
    double w = before * at->ratio;
    for (uint32_t i = 0; i < at->count && before > 0; i++)
        model += (i == 0 ? at->best : at->other) * expected_reward(o, fold, s->place, at->rooms[i]);
    out->clipped += w > o->settings->clip;
    out->zero += w == 0;
    out->weight_max = w > out->weight_max ? w : out->weight_max;
    before = clipped(o, before);
    w = clipped(o, w);
    to->count++;
    to->rewards += s->reward;
    to->weights += w;
    to->squares += w * w;
    to->weighted += w * s->reward;
    to->robust += w * (s->reward - expected_reward(o, fold, s->place, at->room)) + before * model;
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

static void judge(struct offpolicy *o, struct offpolicy_answer *out)
{
    static struct sums groups[TALLY_GROUPS];
    static double left[TALLY_GROUPS][ESTIMATES];
    double value[ESTIMATES], ignored;
    int used = 0;
    memset(groups, 0, sizeof groups);
    learn_rewards(o);
    for (size_t i = 0; i < o->count; i++) {
        out->rewards += o->samples[i].reward;
        add_sample(o, &o->samples[i], &groups[o->samples[i].list->group], out);
    }
    out->lists = o->list_count;
    out->impressions = o->count;
    estimate(groups, -1, value, &out->effective);
    for (int g = 0; g < TALLY_GROUPS; g++)
        if (groups[g].count > 0)
            estimate(groups, g, left[used++], &ignored);
    for (int e = 0; e < ESTIMATES; e++)
        out->estimates[e] = (struct valued){value[e], jackknife_error(&left[0][e], used, ESTIMATES)};
}

static void lists_fini(struct map *lists)
{
    size_t at = 0;
    struct map_slot slot;
    while (map_next(lists, &at, &slot)) {
        struct logged *l = slot.value;
        for (uint32_t k = 0; k < l->count; k++)
            free(l->spots[k].rooms);
        free(l);
    }
    map_fini(lists);
}

bool offpolicy_run(const struct offpolicy_settings *s, struct journal *j, struct offpolicy_answer *out)
{
    struct journal_record r;
    bool good = true;
    struct offpolicy *o = calloc(1, sizeof *o);
    ASSERT(o);
    ASSERT(s->places <= OFFPOLICY_PLACES_MAX);
    o->settings = s;
    o->journal = j;
    o->shadow = shadow_create(s->worker, &(struct shadow_hears){NULL, NULL});
    *out = (struct offpolicy_answer){.lists = 0};
    for (journal_rewind(j); journal_next(j, &r);)
        if (r.topic == TOPIC_RECOMMENDATIONS)
            read_list(o, &r);
    for (journal_rewind(j); good && journal_next(j, &r);)
        good = take(o, &r);
    judge(o, out);
    shadow_destroy(o->shadow);
    lists_fini(&o->lists);
    map_fini(&o->versions);
    map_fini(&o->sample_of);
    map_fini(&o->room_of);
    for (int f = 0; f < FOLDS; f++)
        free(o->rooms[f]);
    free(o->samples);
    free(o);
    return good;
}
