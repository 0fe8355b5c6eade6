#include "server/evaluate/stream.h"

#include "common/check.h"
#include "common/hash.h"
#include "common/map.h"
#include "server/evaluate/choice.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define DECAYED_HALF_LIFE_MS (7 * 86400000ll) /* of the method `decayed` */

#define VISIT_MS 600000  /* of silence end a visit: segments.session_gap_ms */
#define BLEND_EVERY 50   /* examples between two snapshots of the blend */

#define PLAIN_ITEMS 200 /* the method itemitem looks at the newest so many of the user's */

const char *const method_names[METHODS] = {"sluice", "popularity", "decayed", "frequency", "itemitem"};

struct pair {
    uint32_t item;
    float count;
    int64_t next; /* NEXT_UNITs */
};

/* All of them, without a bound. */
struct pairs {
    struct pair *at; /* owned */
    uint32_t count, capacity;
    struct map of;   /* item + 1 -> place + 1 */
};

struct item {
    char name[32];
    entity_id id;
    uint32_t number;               /* in the catalog */
    struct counters *counters;     /* owned; NULL: no effect yet */
    struct neighbours *neighbours; /* owned */
    bool changed;                  /* the list is older than they are */
    struct similar list[SIMILAR_MAX];
    float next[SIMILAR_MAX];
    uint32_t list_count;
    double popular, faded;         /* events; and those fading, as of faded_ms */
    int64_t faded_ms;
    struct pairs plain;            /* for the method itemitem: users in common */
    struct pairs counted;          /* with all_pairs: what the table would hold if it had no bound */
};

struct own {
    uint32_t item;
    float count;
};

struct user {
    char name[32];
    struct profile *profile; /* owned */
    struct own *own;         /* owned */
    uint32_t own_count, own_capacity;
};

struct stream {
    struct stream_settings settings;
    struct catalog *catalog;
    struct recommender *recommender;
    struct learner *learner; /* owned */
    struct item *items; /* owned */
    struct user *users; /* owned */
    uint32_t item_count, item_capacity, user_count, user_capacity;
    struct map item_of, user_of, item_of_id; /* numbers + 1 */
    struct effect_list effects;
    struct profile *nobody;
    uint64_t events;
    float *all;          /* owned; by catalog number */
    float *out[METHODS]; /* owned; by item */
};

void stream_settings_default(struct stream_settings *s)
{
    *s = (struct stream_settings){.rules = {0}};
    profile_settings_default(&s->profile);
    entity_settings_default(&s->entity);
    similarity_settings_default(&s->similarity);
    recommend_settings_default(&s->recommend);
    allocation_settings_default(&s->allocation);
    learner_settings_default(&s->learner);
    stream_settings_adapt(s);
}

void stream_settings_adapt(struct stream_settings *s)
{
    s->recommend.returning[FORMAT_BOOK] = 1; /* goods, as in a shop; the data hold no courses */
    s->profile.early_ms_max = INT64_MAX / 4; /* the record's timestamp is the event's */
}

uint64_t stream_settings_hash(const struct stream_settings *s)
{
    return hash64(s, sizeof *s, 1);
}

static void *grown(void *at, uint32_t *capacity, uint32_t count, size_t size)
{
    if (count < *capacity)
        return at;
    uint32_t bigger = *capacity ? *capacity * 2 : size > 256 ? 1024 : 8;
    at = realloc(at, bigger * size);
    ASSERT(at);
    memset((char *)at + *capacity * size, 0, (bigger - *capacity) * size);
    *capacity = bigger;
    return at;
}

struct stream *stream_create(const struct stream_settings *settings)
{
    struct catalog_limits limits = {1, 1, 1000000, 1000};
    struct stream *s = calloc(1, sizeof *s);
    ASSERT(s);
    s->settings = *settings;
    s->catalog = catalog_create(&limits);
    s->recommender = recommender_create(&settings->recommend, s->catalog);
    memcpy(s->settings.learner.weights, settings->recommend.weights, sizeof s->settings.learner.weights);
    s->learner = learner_create(&s->settings.learner, NULL);
    s->nobody = profile_create();
    return s;
}

static void pairs_fini(struct pairs *p)
{
    free(p->at);
    map_fini(&p->of);
}

static struct pair *pair_of(struct pairs *p, uint32_t other)
{
    uintptr_t number = (uintptr_t)map_find(&p->of, other + 1ull);
    if (!number) {
        p->at = grown(p->at, &p->capacity, p->count, sizeof *p->at);
        p->at[p->count++] = (struct pair){other, 0, 0};
        number = p->count;
        map_put(&p->of, other + 1ull, (void *)number);
    }
    return &p->at[number - 1];
}

void stream_destroy(struct stream *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->item_count; i++) {
        counters_destroy(s->items[i].counters);
        neighbours_destroy(s->items[i].neighbours);
        pairs_fini(&s->items[i].plain);
        pairs_fini(&s->items[i].counted);
    }
    for (uint32_t u = 0; u < s->user_count; u++) {
        profile_destroy(s->users[u].profile);
        free(s->users[u].own);
    }
    for (int i = 0; i < METHODS; i++)
        free(s->out[i]);
    map_fini(&s->item_of);
    map_fini(&s->user_of);
    map_fini(&s->item_of_id);
    effect_list_fini(&s->effects);
    profile_destroy(s->nobody);
    recommender_destroy(s->recommender);
    learner_destroy(s->learner);
    catalog_destroy(s->catalog);
    free(s->all);
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
    for (int i = 0; i < METHODS; i++) {
        s->out[i] = realloc(s->out[i], s->item_capacity * sizeof(float));
        ASSERT(s->out[i]);
    }
    s->all = realloc(s->all, (s->item_capacity + 1) * sizeof(float));
    ASSERT(s->all);
}

uint32_t stream_item(struct stream *s, const char *id)
{
    uint64_t hash = hash64(id, strlen(id), 1) | 1;
    uintptr_t number = (uintptr_t)map_find(&s->item_of, hash);
    if (number)
        return (uint32_t)number - 1;
    room_for_item(s);
    struct item *it = &s->items[s->item_count];
    struct item_draft draft = {.format = FORMAT_BOOK};
    snprintf(it->name, sizeof it->name, "%s", id);
    it->id = entity_id_of(ENTITY_ITEM, slice_of(it->name));
    ASSERT(catalog_put_item(s->catalog, slice_of(it->name), &draft) == CATALOG_TAKEN);
    it->number = catalog_item(s->catalog, it->id)->number;
    map_put(&s->item_of, hash, (void *)(uintptr_t)(s->item_count + 1));
    map_put(&s->item_of_id, it->id, (void *)(uintptr_t)(s->item_count + 1));
    return s->item_count++;
}

void stream_tag(struct stream *s, uint32_t item, const struct tag_list *tags)
{
    struct item_draft draft = {.format = FORMAT_BOOK, .tags = *tags};
    ASSERT(catalog_put_item(s->catalog, slice_of(s->items[item].name), &draft) == CATALOG_TAKEN);
}

uint32_t stream_taste(struct stream *s, uint32_t user, int64_t now_ms, struct model_tag out[SAMPLE_TAGS])
{
    struct taste_word words[SAMPLE_TAGS];
    const struct profile *p = s->users[user].profile;
    uint32_t count = p ? recommender_taste(s->recommender, p, now_ms, words, SAMPLE_TAGS) : 0, kept = 0;
    for (uint32_t i = 0; i < count; i++)
        kept += model_tag_set(&out[kept], words[i].text, words[i].weight);
    return kept;
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

static double faded(double value, int64_t at_ms, int64_t now_ms)
{
    return now_ms > at_ms ? value * exp2(-(double)(now_ms - at_ms) / DECAYED_HALF_LIFE_MS) : value;
}

/* What the simple methods know. */
static void note_plain(struct stream *s, struct user *u, uint32_t item, int64_t ts_ms)
{
    struct item *it = &s->items[item];
    uint32_t i = 0;
    it->faded = faded(it->faded, it->faded_ms, ts_ms) + 1;
    it->faded_ms = ts_ms;
    it->popular++;
    while (i < u->own_count && u->own[i].item != item)
        i++;
    if (i == u->own_count) {
        for (uint32_t k = 0; k < u->own_count; k++) {
            pair_of(&it->plain, u->own[k].item)->count++;
            pair_of(&s->items[u->own[k].item].plain, item)->count++;
        }
        u->own = grown(u->own, &u->own_capacity, u->own_count, sizeof *u->own);
        u->own[u->own_count++] = (struct own){item, 0};
    }
    u->own[i].count++;
}

static struct item *item_with(const struct stream *s, entity_id id)
{
    uintptr_t number = (uintptr_t)map_find(&s->item_of_id, id);
    return number ? &s->items[number - 1] : NULL;
}

static void change_pair(struct stream *s, entity_id id, struct neighbour_change c, int64_t ts_ms)
{
    struct item *it = item_with(s, id);
    if (!it)
        return;
    it->changed = true;
    it->neighbours = it->neighbours ? it->neighbours : neighbours_create();
    neighbours_apply(it->neighbours, &s->settings.entity, &c, ts_ms);
    const struct item *other = s->settings.all_pairs ? item_with(s, c.other) : NULL;
    if (!other)
        return;
    struct pair *p = pair_of(&it->counted, (uint32_t)(other - s->items));
    p->count += (float)c.delta;
    p->next += c.step ? NEXT_UNIT / c.step : 0;
}

/* What the entity stage does with the effects of one event. */
static void apply_effects(struct stream *s, int64_t ts_ms)
{
    for (uint32_t i = 0; i < s->effects.rating_count; i++) {
        const struct rating_effect *e = &s->effects.ratings[i];
        struct item *it = item_with(s, e->target);
        if (!it)
            continue;
        it->changed = true;
        it->counters = it->counters ? it->counters : counters_create();
        counters_add_rating(it->counters, &s->settings.entity, e->name, e->delta, ts_ms);
    }
    for (uint32_t i = 0; i < s->effects.pair_count; i++) {
        const struct pair_effect *e = &s->effects.pairs[i];
        change_pair(s, e->target, (struct neighbour_change){e->other, e->delta, 0}, ts_ms);
        change_pair(s, e->other, (struct neighbour_change){e->target, e->delta, e->step}, ts_ms);
    }
}

static struct similar_list similar(void *arg, entity_id id);

/* What the daemon does before it folds an event, with all that was ever seen on offer. */
static void learn_choice(struct stream *s, const struct user *u, const struct event *e, int64_t now_ms)
{
    const struct asker asker = {u->profile ? u->profile : s->nobody, now_ms, similar, s};
    const struct item *it = item_with(s, entity_id_of(ENTITY_ITEM, e->item));
    struct sample sample = {.kind = SAMPLE_CHOICE, .ts_ms = now_ms};
    if (!it || it->popular == 0 || (e->type == EVENT_RATING && e->value < 4) || !recommend_begins(asker.profile, now_ms, VISIT_MS))
        return;
    recommend_all(s->recommender, &asker, s->all);
    for (uint32_t i = 0; i < s->item_count; i++)
        if (s->items[i].popular == 0)
            s->all[s->items[i].number] = -1;
    const struct all_scored all = {s->recommender, &asker, s->all, catalog_number_bound(s->catalog)};
    if (!choose_from_all(&all, it->number, s->events, &sample.choice))
        return;
    learner_apply(s->learner, &sample);
    if (learner_samples(s->learner) % BLEND_EVERY == 0)
        recommender_blend(s->recommender, &learner_model(s->learner)->blend);
}

bool stream_event(struct stream *s, uint32_t user, const char *type, uint32_t item, int64_t ts_ms, const char *fields)
{
    static struct event_scratch scratch;
    char text[600];
    struct event e;
    struct user *u = &s->users[user];
    int size = snprintf(text, sizeof text, "{\"v\":1,\"id\":\"%llx\",\"ts\":%lld,\"type\":\"%s\",\"user\":\"%s\",\"item\":\"%s\",\"scene\":\"home\"%s}",
                        (unsigned long long)s->events++, (long long)ts_ms, type, u->name, s->items[item].name, fields);
    if (event_decode(&s->settings.rules, slice_of(u->name), (struct slice){text, (uint32_t)size}, &scratch, &e) != EVENT_ACCEPTED)
        return false;
    if (s->settings.recommend.learned_permille)
        learn_choice(s, u, &e, ts_ms);
    u->profile = u->profile ? u->profile : profile_create();
    recommender_learn_next(s->recommender, u->profile, &e, ts_ms);
    effect_list_clear(&s->effects);
    if (profile_apply(u->profile, &s->settings.profile, &e, ts_ms, &s->effects) != PROFILE_APPLIED)
        return false;
    apply_effects(s, ts_ms);
    recommender_see(s->recommender, &e, ts_ms);
    note_plain(s, u, item, ts_ms);
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

size_t stream_bytes(const struct stream *s)
{
    size_t sum = 0;
    for (uint32_t i = 0; i < s->item_count; i++)
        sum += s->items[i].neighbours ? neighbours_bytes(s->items[i].neighbours) : 0;
    return sum;
}

static int64_t count_of(const struct item *it)
{
    return it && it->counters ? counters_rating(it->counters) : 0;
}

/* Keeps the list sorted, best first. */
static void list_add(struct stream *s, struct item *it, const struct neighbour *n)
{
    struct similarity own = {it->neighbours, count_of(it)};
    const struct item *other = item_with(s, n->id);
    float sim = similarity_of(&s->settings.similarity, &own, n, count_of(other));
    uint32_t at = it->list_count, max = s->settings.similarity.length;
    if (!other || (at == max && sim <= it->list[at - 1].sim))
        return;
    at = at == max ? at - 1 : it->list_count++;
    for (; at > 0 && it->list[at - 1].sim < sim; at--) {
        it->list[at] = it->list[at - 1];
        it->next[at] = it->next[at - 1];
    }
    it->list[at] = (struct similar){other->number, sim};
    it->next[at] = similarity_next(&s->settings.similarity, &own, n);
}

static void make_list(struct stream *s, struct item *it)
{
    struct neighbour top[SIMILAR_FROM_MAX];
    uint32_t found = s->settings.all_pairs ? 0 : neighbours_top(it->neighbours, &s->settings.entity, s->settings.similarity.from, top);
    it->changed = false;
    it->list_count = 0;
    for (uint32_t i = 0; i < found; i++)
        list_add(s, it, &top[i]);
    for (uint32_t i = 0; i < it->counted.count; i++) {
        const struct pair *p = &it->counted.at[i];
        if (p->count > 0)
            list_add(s, it, &(struct neighbour){s->items[p->item].id, (int64_t)p->count, p->next});
    }
}

/* The list as its view would be made now. */
static struct similar_list similar(void *arg, entity_id id)
{
    struct stream *s = arg;
    uintptr_t number = (uintptr_t)map_find(&s->item_of_id, id);
    struct item *it = number ? &s->items[number - 1] : NULL;
    if (!it || !it->neighbours)
        return (struct similar_list){0};
    if (it->changed)
        make_list(s, it);
    return (struct similar_list){it->list_count, it->list, it->next, similar_list_scale(it->list, it->list_count)};
}

static void rank_plain(struct stream *s, const struct user *u, int64_t now_ms)
{
    for (uint32_t i = 0; i < s->item_count; i++) {
        const struct item *it = &s->items[i];
        s->out[METHOD_POPULARITY][i] = (float)it->popular;
        s->out[METHOD_DECAYED][i] = (float)faded(it->faded, it->faded_ms, now_ms);
        s->out[METHOD_FREQUENCY][i] = (float)(1e-6 * it->popular); /* popularity only where the user's own say nothing */
        s->out[METHOD_ITEMITEM][i] = 0;
    }
    for (uint32_t k = 0; k < u->own_count; k++)
        s->out[METHOD_FREQUENCY][u->own[k].item] += u->own[k].count;
    for (uint32_t k = u->own_count > PLAIN_ITEMS ? u->own_count - PLAIN_ITEMS : 0; k < u->own_count; k++) {
        const struct item *mine = &s->items[u->own[k].item];
        for (uint32_t i = 0; i < mine->plain.count; i++) {
            const struct pair *p = &mine->plain.at[i];
            s->out[METHOD_ITEMITEM][p->item] += p->count / sqrtf((float)mine->popular * (float)s->items[p->item].popular);
        }
    }
}

/* By catalog number: the sum over the history of rating and similarity. */
static void add_lists(struct stream *s, const struct profile *p)
{
    memset(s->all, 0, catalog_number_bound(s->catalog) * sizeof *s->all);
    for (uint32_t k = 0; k < p->history_count; k++) {
        struct similar_list list = similar(s, p->history[k].id);
        for (uint32_t i = 0; i < list.count; i++)
            s->all[list.at[i].number] += (float)p->history[k].rating * list.at[i].sim;
    }
}

float *const *stream_rank(struct stream *s, uint32_t user, int64_t now_ms, bool repeats)
{
    const struct user *u = &s->users[user];
    struct asker asker = {u->profile ? u->profile : s->nobody, now_ms, similar, s};
    if (s->settings.lists_only)
        add_lists(s, asker.profile);
    else
        recommend_all(s->recommender, &asker, s->all);
    rank_plain(s, u, now_ms);
    for (uint32_t i = 0; i < s->item_count; i++)
        s->out[METHOD_SLUICE][i] = s->all[s->items[i].number];
    for (int m = 0; m < METHODS; m++) {
        for (uint32_t i = 0; i < s->item_count; i++)
            if (s->items[i].popular == 0)
                s->out[m][i] = -1;
        for (uint32_t k = 0; !repeats && k < u->own_count; k++)
            s->out[m][u->own[k].item] = -1;
    }
    return s->out;
}

const float *stream_next(struct stream *s, uint32_t user, int64_t now_ms)
{
    const struct user *u = &s->users[user];
    struct asker asker = {u->profile ? u->profile : s->nobody, now_ms, similar, s};
    recommend_next(s->recommender, &asker, s->all);
    for (uint32_t i = 0; i < s->item_count; i++)
        s->out[METHOD_SLUICE][i] = s->all[s->items[i].number];
    return s->out[METHOD_SLUICE];
}
