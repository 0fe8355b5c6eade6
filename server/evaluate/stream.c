#include "server/evaluate/stream.h"

#include "common/check.h"
#include "common/hash.h"
#include "common/map.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define NEXT_MAX 256  /* followers kept of one item */
#define NEXT_STEPS 3

const char *const method_names[METHODS] = {"sluice", "popularity", "decayed", "frequency", "itemitem"};

struct follower {
    uint32_t item;
    float count;
};

struct item {
    char name[32];
    entity_id id;
    struct counters *counters;     /* owned; NULL: no effect yet */
    struct neighbours *neighbours; /* owned */
    struct follower *next;         /* owned */
    uint32_t next_count;
    float next_sum;
    double popular, faded; /* events; and those fading, as of faded_ms */
    int64_t faded_ms;
};

struct own {
    uint32_t item;
    float count, faded;
    int64_t at_ms;
};

struct user {
    char name[32];
    struct profile *profile; /* owned */
    struct own *own;         /* owned */
    uint32_t own_count, own_capacity;
    uint32_t last[NEXT_STEPS];
    uint32_t last_count;
};

struct stream {
    struct stream_settings settings;
    struct item *items; /* owned */
    struct user *users; /* owned */
    uint32_t item_count, item_capacity, user_count, user_capacity;
    struct map item_of, user_of, item_of_id; /* numbers + 1 */
    struct effect_list effects;
    uint64_t events;
    double blend[RANK_SOURCES], gradient[RANK_SOURCES];
    float *parts[RANK_SOURCES], *out[METHODS]; /* owned; by item */
    uint32_t *marked; /* owned; by item: events number of the user's own */
    uint64_t random;
};

void stream_settings_default(struct stream_settings *s)
{
    *s = (struct stream_settings){.history_decay = 0.95, .popular_half_life_ms = 7 * 86400000ll, .own_half_life_ms = 365 * 86400000ll, .rate = 0.5};
    profile_settings_default(&s->profile);
    entity_settings_default(&s->entity);
    s->profile.early_ms_max = INT64_MAX / 4;
}

uint64_t stream_settings_hash(const struct stream_settings *s)
{
    int64_t all[] = {s->profile.history, s->entity.neighbours, s->entity.pair_bucket_ms, s->entity.pair_buckets, (int64_t)(s->history_decay * 1e6),
                     s->popular_half_life_ms, s->own_half_life_ms, (int64_t)(s->rate * 1e6)};
    return hash64(s->profile.weights, sizeof s->profile.weights, hash64(all, sizeof all, 1));
}

static void *grown(void *at, uint32_t *capacity, uint32_t count, size_t size)
{
    if (count < *capacity)
        return at;
    uint32_t bigger = *capacity ? *capacity * 2 : 1024;
    at = realloc(at, bigger * size);
    ASSERT(at);
    memset((char *)at + *capacity * size, 0, (bigger - *capacity) * size);
    *capacity = bigger;
    return at;
}

struct stream *stream_create(const struct stream_settings *settings)
{
    static const double first[RANK_SOURCES] = {6, 3, 2, 12};
    struct stream *s = calloc(1, sizeof *s);
    ASSERT(s);
    s->settings = *settings;
    memcpy(s->blend, first, sizeof first);
    s->random = 1;
    return s;
}

void stream_destroy(struct stream *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->item_count; i++) {
        counters_destroy(s->items[i].counters);
        neighbours_destroy(s->items[i].neighbours);
        free(s->items[i].next);
    }
    for (uint32_t u = 0; u < s->user_count; u++) {
        profile_destroy(s->users[u].profile);
        free(s->users[u].own);
    }
    for (int i = 0; i < RANK_SOURCES; i++)
        free(s->parts[i]);
    for (int i = 0; i < METHODS; i++)
        free(s->out[i]);
    map_fini(&s->item_of);
    map_fini(&s->user_of);
    map_fini(&s->item_of_id);
    effect_list_fini(&s->effects);
    free(s->marked);
    free(s->items);
    free(s->users);
    free(s);
}

static void room_for_item(struct stream *s)
{
    uint32_t before = s->item_capacity;
    s->items = grown(s->items, &s->item_capacity, s->item_count, sizeof *s->items);
    if (before == s->item_capacity)
        return;
    for (int i = 0; i < RANK_SOURCES; i++)
        s->parts[i] = realloc(s->parts[i], s->item_capacity * sizeof(float));
    for (int i = 0; i < METHODS; i++)
        s->out[i] = realloc(s->out[i], s->item_capacity * sizeof(float));
    s->marked = realloc(s->marked, s->item_capacity * sizeof *s->marked);
}

uint32_t stream_item(struct stream *s, const char *id)
{
    uint64_t hash = hash64(id, strlen(id), 1) | 1;
    uintptr_t number = (uintptr_t)map_find(&s->item_of, hash);
    if (number)
        return (uint32_t)number - 1;
    room_for_item(s);
    struct item *it = &s->items[s->item_count];
    snprintf(it->name, sizeof it->name, "%s", id);
    it->id = entity_id_of(ENTITY_ITEM, slice_of(it->name));
    map_put(&s->item_of, hash, (void *)(uintptr_t)(s->item_count + 1));
    map_put(&s->item_of_id, it->id, (void *)(uintptr_t)(s->item_count + 1));
    return s->item_count++;
}

uint32_t stream_user(struct stream *s, const char *id)
{
    uint64_t hash = hash64(id, strlen(id), 2) | 1;
    uintptr_t number = (uintptr_t)map_find(&s->user_of, hash);
    if (number)
        return (uint32_t)number - 1;
    s->users = grown(s->users, &s->user_capacity, s->user_count, sizeof *s->users);
    snprintf(s->users[s->user_count].name, sizeof s->users[0].name, "%s", id);
    map_put(&s->user_of, hash, (void *)(uintptr_t)(s->user_count + 1));
    return s->user_count++;
}

uint32_t stream_items(const struct stream *s)
{
    return s->item_count;
}

uint32_t stream_users(const struct stream *s)
{
    return s->user_count;
}

const struct profile *stream_profile(const struct stream *s, uint32_t user)
{
    return s->users[user].profile;
}

static double faded(double value, int64_t at_ms, int64_t now_ms, int64_t half_life_ms)
{
    return now_ms > at_ms ? value * exp2(-(double)(now_ms - at_ms) / (double)half_life_ms) : value;
}

static void follow(struct item *it, uint32_t item, float amount)
{
    uint32_t i = 0, least = 0;
    if (!it->next) {
        it->next = calloc(NEXT_MAX, sizeof *it->next);
        ASSERT(it->next);
    }
    it->next_sum += amount;
    for (; i < it->next_count && it->next[i].item != item; i++)
        least = it->next[i].count < it->next[least].count ? i : least;
    if (i == it->next_count && it->next_count < NEXT_MAX)
        it->next[it->next_count++] = (struct follower){item, 0};
    else if (i == it->next_count) { /* the weakest fades and gives way at last */
        it->next[least].count -= amount;
        if (it->next[least].count > 0)
            return;
        it->next[i = least] = (struct follower){item, 0};
    }
    it->next[i].count += amount;
}

static void note_own(struct stream *s, struct user *u, uint32_t item, int64_t ts_ms)
{
    uint32_t i = 0;
    while (i < u->own_count && u->own[i].item != item)
        i++;
    if (i == u->own_count) {
        u->own = grown(u->own, &u->own_capacity, u->own_count, sizeof *u->own);
        u->own[u->own_count++] = (struct own){item, 0, 0, ts_ms};
    }
    u->own[i].faded = (float)faded(u->own[i].faded, u->own[i].at_ms, ts_ms, s->settings.own_half_life_ms) + 1;
    u->own[i].at_ms = ts_ms;
    u->own[i].count++;
}

static struct item *find_item(struct stream *s, entity_id id)
{
    uintptr_t number = (uintptr_t)map_find(&s->item_of_id, id);
    return number ? &s->items[number - 1] : NULL;
}

static void apply_pair(struct stream *s, entity_id target, entity_id other, int32_t delta, int64_t ts_ms)
{
    struct item *it = find_item(s, target);
    if (!it)
        return;
    it->neighbours = it->neighbours ? it->neighbours : neighbours_create();
    neighbours_apply(it->neighbours, &s->settings.entity, other, delta, ts_ms);
}

/* What the entity stage does with the effects of one event. */
static void apply_effects(struct stream *s, int64_t ts_ms)
{
    for (uint32_t i = 0; i < s->effects.rating_count; i++) {
        const struct rating_effect *e = &s->effects.ratings[i];
        struct item *it = find_item(s, e->target);
        if (!it)
            continue;
        it->counters = it->counters ? it->counters : counters_create();
        counters_add_rating(it->counters, &s->settings.entity, e->name, e->delta, ts_ms);
    }
    for (uint32_t i = 0; i < s->effects.pair_count; i++) {
        const struct pair_effect *e = &s->effects.pairs[i];
        apply_pair(s, e->target, e->other, e->delta, ts_ms);
        apply_pair(s, e->other, e->target, e->delta, ts_ms);
    }
}

bool stream_event(struct stream *s, uint32_t user, const char *type, uint32_t item, int64_t ts_ms, const char *fields)
{
    static struct event_scratch scratch;
    char text[600];
    struct event e;
    struct user *u = &s->users[user];
    struct item *it = &s->items[item];
    int size = snprintf(text, sizeof text, "{\"v\":1,\"id\":\"%llx\",\"ts\":%lld,\"type\":\"%s\",\"user\":\"%s\",\"item\":\"%s\",\"scene\":\"home\"%s}",
                        (unsigned long long)s->events++, (long long)ts_ms, type, u->name, it->name, fields);
    if (event_decode(&s->settings.rules, slice_of(u->name), (struct slice){text, (uint32_t)size}, &scratch, &e) != EVENT_ACCEPTED)
        return false;
    u->profile = u->profile ? u->profile : profile_create();
    effect_list_clear(&s->effects);
    if (profile_apply(u->profile, &s->settings.profile, &e, ts_ms, &s->effects) != PROFILE_APPLIED)
        return false;
    apply_effects(s, ts_ms);
    it->faded = faded(it->faded, it->faded_ms, ts_ms, s->settings.popular_half_life_ms) + 1;
    it->faded_ms = ts_ms;
    it->popular++;
    note_own(s, u, item, ts_ms);
    for (uint32_t k = 0; k < u->last_count; k++)
        if (u->last[k] != item)
            follow(&s->items[u->last[k]], item, 1.0f / (float)(k + 1));
    memmove(&u->last[1], &u->last[0], (NEXT_STEPS - 1) * sizeof u->last[0]);
    u->last[0] = item;
    u->last_count += u->last_count < NEXT_STEPS;
    return true;
}

bool stream_has(const struct stream *s, uint32_t user, uint32_t item)
{
    const struct user *u = &s->users[user];
    for (uint32_t i = 0; i < u->own_count; i++)
        if (u->own[i].item == item)
            return true;
    return false;
}

bool stream_seen(const struct stream *s, uint32_t item)
{
    return s->items[item].popular > 0;
}

/* Decayed over the history's places for `similar`, plain for the comparison. */
static void add_similar(struct stream *s, const struct user *u, float *decayed, float *plain)
{
    struct neighbour list[256];
    double weight = 1;
    for (uint32_t i = u->profile ? u->profile->history_count : 0; i-- > 0; weight *= s->settings.history_decay) {
        const struct history_entry *h = &u->profile->history[i];
        uintptr_t number = (uintptr_t)map_find(&s->item_of_id, h->id);
        const struct item *it = number ? &s->items[number - 1] : NULL;
        if (!it || !it->neighbours || !it->counters || h->flags & HISTORY_NEGATIVE)
            continue;
        uint32_t count = neighbours_top(it->neighbours, &s->settings.entity, 256, list);
        double mine = (double)counters_rating(it->counters);
        for (uint32_t k = 0; k < count; k++) {
            uintptr_t other = (uintptr_t)map_find(&s->item_of_id, list[k].id);
            if (!other || !s->items[other - 1].counters)
                continue;
            double theirs = (double)counters_rating(s->items[other - 1].counters), norm = sqrt(mine * theirs);
            double sim = norm > 0 ? (double)list[k].pair_count / norm : 0;
            decayed[other - 1] += (float)(weight * sim);
            plain[other - 1] += (float)sim;
        }
    }
}

static void scale(float *at, uint32_t count, const float *candidates)
{
    float most = 0;
    for (uint32_t i = 0; i < count; i++)
        most = candidates[i] >= 0 && at[i] > most ? at[i] : most;
    for (uint32_t i = 0; i < count && most > 0; i++)
        at[i] /= most;
}

const float *const *stream_rank(struct stream *s, uint32_t user, int64_t now_ms, bool repeats)
{
    const struct user *u = &s->users[user];
    uint32_t n = s->item_count;
    for (int k = 0; k < RANK_SOURCES; k++)
        memset(s->parts[k], 0, n * sizeof(float));
    for (int m = 0; m < METHODS; m++)
        memset(s->out[m], 0, n * sizeof(float));
    for (uint32_t i = 0; i < n; i++) {
        const struct item *it = &s->items[i];
        s->out[METHOD_POPULARITY][i] = it->popular > 0 ? (float)it->popular : -1;
        s->parts[SOURCE_POPULAR][i] = (float)faded(it->faded, it->faded_ms, now_ms, s->settings.popular_half_life_ms);
    }
    for (uint32_t i = 0; i < u->own_count; i++) {
        uint32_t item = u->own[i].item;
        s->parts[SOURCE_OWN][item] = (float)faded(u->own[i].faded, u->own[i].at_ms, now_ms, s->settings.own_half_life_ms);
        s->out[METHOD_FREQUENCY][item] = u->own[i].count;
        if (!repeats)
            s->out[METHOD_POPULARITY][item] = -1;
    }
    add_similar(s, u, s->parts[SOURCE_SIMILAR], s->out[METHOD_ITEMITEM]);
    for (uint32_t k = 0; k < u->last_count; k++) {
        const struct item *it = &s->items[u->last[k]];
        for (uint32_t i = 0; i < it->next_count; i++)
            s->parts[SOURCE_NEXT][it->next[i].item] += it->next[i].count / (it->next_sum + 5) / (float)(k + 1);
    }
    for (uint32_t i = 0; i < u->own_count; i++) { /* a second time tells more than a twentieth */
        float *own = &s->parts[SOURCE_OWN][u->own[i].item];
        *own = *own / (*own + 1);
    }
    for (int k = 0; k < RANK_SOURCES - 1; k++)
        scale(s->parts[k], n, s->out[METHOD_POPULARITY]);
    for (uint32_t i = 0; i < n; i++) {
        bool candidate = s->out[METHOD_POPULARITY][i] >= 0;
        float sum = 0;
        for (int k = 0; k < RANK_SOURCES; k++)
            sum += (float)s->blend[k] * s->parts[k][i];
        s->out[METHOD_SLUICE][i] = candidate ? sum : -1;
        s->out[METHOD_DECAYED][i] = candidate ? s->parts[SOURCE_POPULAR][i] : -1;
        s->out[METHOD_FREQUENCY][i] = candidate ? s->out[METHOD_FREQUENCY][i] + 0.9f * s->parts[SOURCE_POPULAR][i] : -1;
        s->out[METHOD_ITEMITEM][i] = candidate ? s->out[METHOD_ITEMITEM][i] : -1;
    }
    return (const float *const *)s->out;
}

static uint32_t draw(struct stream *s, uint32_t below)
{
    s->random += 0x9e3779b97f4a7c15u;
    return (uint32_t)(hash_mix(s->random) % below);
}

#define OTHERS 100

/* The likelihood of the choice among a sample of the candidates, followed uphill: a softmax regression, online. */
void stream_chosen(struct stream *s, uint32_t item)
{
    const float *scores = s->out[METHOD_SLUICE];
    uint32_t others[OTHERS + 1], count = 0;
    double most = scores[item], all = 0, mean[RANK_SOURCES] = {0};
    if (scores[item] < 0)
        return;
    others[count++] = item;
    for (int k = 0; k < OTHERS; k++) {
        uint32_t i = draw(s, s->item_count);
        if (i != item && scores[i] >= 0) {
            others[count++] = i;
            most = scores[i] > most ? scores[i] : most;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        double weight = exp(scores[others[i]] - most);
        all += weight;
        for (int k = 0; k < RANK_SOURCES; k++)
            mean[k] += weight * s->parts[k][others[i]];
    }
    for (int k = 0; k < RANK_SOURCES; k++) {
        double g = s->parts[k][item] - mean[k] / all;
        s->gradient[k] += g * g;
        s->blend[k] += s->settings.rate * g / (sqrt(s->gradient[k]) + 0.1);
        s->blend[k] = s->blend[k] < 0 ? 0 : s->blend[k];
    }
}

const double *stream_blend(const struct stream *s)
{
    return s->blend;
}

static void place(const float *scores, uint32_t count, uint32_t target, double *out_above, double *out_equal)
{
    *out_above = *out_equal = 0;
    for (uint32_t i = 0; i < count; i++)
        if (i != target && scores[i] >= 0) {
            *out_above += scores[i] > scores[target];
            *out_equal += scores[i] == scores[target];
        }
}

double rank_of(const float *scores, uint32_t count, uint32_t target)
{
    double above, equal;
    place(scores, count, target, &above, &equal);
    return above + equal / 2;
}

double hit_at(const float *scores, uint32_t count, uint32_t target, uint32_t k)
{
    double above, equal;
    place(scores, count, target, &above, &equal);
    double room = ((double)k - above) / (equal + 1);
    return room > 1 ? 1 : room < 0 ? 0 : room;
}
