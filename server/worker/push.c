#include "server/worker/push.h"

#include "common/check.h"
#include "common/text.h"
#include "server/codec/recommendation_encode.h"
#include "server/codec/recommendation_view.h"
#include "server/worker/segments.h"
#include "server/worker/sim_cache.h"
#include "server/worker/worker_internal.h"

#include <stdio.h>
#include <stdlib.h>

/* Soft part of a user's cell. */
struct sent {
    int64_t ranked_ms;
    int64_t sent_ms;
    int64_t view_ms;
    uint64_t top; /* hash of the first places */
    uint32_t n;   /* lists of this attempt, so that versions of one offset differ */
    int64_t offset; /* of the last event that asked for a ranking */
    bool pending; /* in the wheel */
    struct standing standing;
};

/* Enough of an event to rank after it. */
struct request {
    int32_t partition;
    uint64_t local; /* the cell */
    int64_t due_ms;
    int64_t offset;
    int64_t ts_ms;
    struct name user, scene;
};

#define VIEW_BYTES_MAX 10000
#define WHEEL 64
#define WHEEL_TICK_MS 5

struct bucket {
    struct request *at; /* owned */
    size_t count, capacity;
};

struct push {
    struct worker *worker; /* borrowed */
    struct push_settings settings;
    struct recommender *recommender; /* owned */
    struct sim_cache *lists;         /* owned */
    struct bucket wheel[WHEEL];      /* requests by due_ms / WHEEL_TICK_MS */
    size_t count;                    /* in all buckets */
    int64_t tick;                    /* last one served */
    struct writer value, key, view;  /* owned: scratch */
    struct recommendation *list;     /* owned: scratch */
};

void push_settings_default(struct push_settings *s)
{
    *s = (struct push_settings){.enabled = true, .throttle_ms = 200, .refresh_ms = 30000, .valid_ms = 120000, .active_ms = 1800000, .top = 5, .reasons = 3,
                                .view_ms = 1000, .pending_max = 200000, .list_max = 100000, .list_age_ms = 30000};
}

struct push *push_create(struct worker *w)
{
    struct push *p = calloc(1, sizeof *p);
    ASSERT(p);
    p->worker = w;
    p->settings = w->settings.push;
    p->recommender = recommender_create(&w->settings.recommend, w->tables.catalog);
    p->lists = sim_cache_create(w->store, w->tables.catalog, p->settings.list_max, p->settings.list_age_ms);
    p->list = malloc(sizeof *p->list);
    ASSERT(p->list);
    return p;
}

void push_destroy(struct push *p)
{
    if (!p)
        return;
    recommender_destroy(p->recommender);
    sim_cache_destroy(p->lists);
    for (int i = 0; i < WHEEL; i++)
        free(p->wheel[i].at);
    free(p->list);
    writer_fini(&p->value);
    writer_fini(&p->key);
    writer_fini(&p->view);
    free(p);
}

static struct slice written(const struct writer *w)
{
    return (struct slice){(const char *)w->data, (uint32_t)w->size};
}

static void write_list(struct push *p, const struct task *t, const struct request *q, uint32_t n, int64_t now_ms)
{
    struct recommendation_head head = {
        .partition = t->partition, .offset = q->offset, .epoch = t->position.epoch, .n = n,
        .user = name_slice(&q->user), .scene = name_slice(&q->scene), .now_ms = now_ms, .valid_until_ms = now_ms + p->settings.valid_ms,
    };
    recommendation_encode(&head, p->list, p->settings.reasons, &p->value);
}

static struct sent *sent_of(struct cell *cell)
{
    if (!cell->soft) {
        struct sent *sent = cell->soft = calloc(1, sizeof *sent);
        ASSERT(sent);
        sent->standing = (struct standing){.segment = -1, .intent = -1, .churn = -1};
    }
    return cell->soft;
}

static void view_key(struct push *p, const char *prefix, struct slice user)
{
    uint8_t key[USER_KEY_BYTES];
    char text[USER_KEY_TEXT + 1];
    user_hmac_of(p->worker->users, user, key);
    user_key_text(key, text);
    p->key.size = 0;
    text_add(&p->key, prefix);
    text_add(&p->key, text);
}

static void view_user(struct push *p, const struct profile *profile, const struct standing *standing, struct slice user)
{
    enum { NUMBERS = 8, USER_FIELDS = 12 };
    static const char *const names[USER_FIELDS] = {"events", "orders", "spent", "refunded", "gifted", "watch_ms", "first_ms", "last_ms",
                                                   "segment", "value", "intent", "churn"};
    const int64_t values[NUMBERS] = {(int64_t)profile->events, profile->orders, profile->spent, profile->refunded,
                                    profile->gifted, (int64_t)profile->dwell_ms, profile->first_ms, profile->last_ms};
    char texts[USER_FIELDS][24];
    struct slice fields[2 * USER_FIELDS];
    snprintf(texts[NUMBERS], sizeof texts[0], standing->segment < 0 ? "" : "s%d", standing->segment);
    snprintf(texts[NUMBERS + 1], sizeof texts[0], "%s", standing->published ? value_tier_names[standing->value] : "");
    snprintf(texts[NUMBERS + 2], sizeof texts[0], standing->intent < 0 ? "" : "%.4f", standing->intent);
    snprintf(texts[NUMBERS + 3], sizeof texts[0], standing->churn < 0 ? "" : "%.4f", standing->churn);
    for (int i = 0; i < USER_FIELDS; i++) {
        if (i < NUMBERS)
            snprintf(texts[i], sizeof texts[i], "%lld", (long long)values[i]);
        fields[2 * i] = slice_of(names[i]);
        fields[2 * i + 1] = slice_of(texts[i]);
    }
    view_key(p, "user:", user);
    const struct store_port *store = p->worker->store;
    store->write_view(store->self, &(struct view_write){.key = written(&p->key), .fields = fields, .field_count = 2 * USER_FIELDS});
}

/* Without ranking: what the user touched, as one JSON text. */
static void view_history(struct push *p, struct cell *cell, struct slice user, int64_t now_ms)
{
    const struct profile *profile = cell->object;
    const struct store_port *store = p->worker->store;
    struct sent *sent = sent_of(cell);
    if (now_ms - sent->view_ms < p->settings.view_ms)
        return;
    sent->view_ms = now_ms;
    p->value.size = 0;
    text_printf(&p->value, "{\"events\":%llu,\"dwell_ms\":%llu,\"last_ms\":%lld,\"items\":[", (unsigned long long)profile->events,
                (unsigned long long)profile->dwell_ms, (long long)profile->last_ms);
    const char *comma = "";
    for (uint32_t i = 0; i < profile->history_count; i++) {
        const struct history_entry *h = &profile->history[i];
        const struct catalog_item *item = catalog_item(p->worker->tables.catalog, h->id);
        if (!item)
            continue;
        text_add(&p->value, comma);
        text_add(&p->value, "{\"id\":");
        text_add_json(&p->value, item->name);
        text_add(&p->value, ",\"rating\":");
        text_add_int(&p->value, h->rating);
        text_add(&p->value, ",\"ts\":");
        text_add_int(&p->value, h->touched_ms);
        text_add(&p->value, "}");
        comma = ",";
    }
    text_add(&p->value, "]}");
    view_key(p, "history:", user);
    store->write_view(store->self, &(struct view_write){.key = written(&p->key), .value = written(&p->value)});
}

static void write_views(struct push *p, const struct profile *profile, struct sent *sent, struct slice user, int64_t now_ms)
{
    const struct store_port *store = p->worker->store;
    if (now_ms - sent->view_ms < p->settings.view_ms)
        return;
    sent->view_ms = now_ms;
    view_key(p, "rec:", user);
    bool fits = recommendation_view(written(&p->value), VIEW_BYTES_MAX, &p->view);
    store->write_view(store->self, &(struct view_write){.key = written(&p->key), .value = written(&p->view), .removed = !fits});
    view_user(p, profile, &sent->standing, user);
}

static uint64_t top_hash(const struct push *p)
{
    uint64_t hash = 1;
    for (uint32_t i = 0; i < p->list->room_count && i < p->settings.top; i++)
        hash = hash_mix(hash ^ p->list->rooms[i].id);
    return hash;
}

static struct similar_list similar(void *arg, entity_id item)
{
    struct push *p = arg;
    return sim_cache_find(p->lists, item);
}

/* What the next ranking of this user needs: the lists of what is in the history. */
static void want_lists(struct push *p, const struct profile *profile, int64_t now_ms)
{
    for (uint32_t i = 0; i < profile->history_count; i++)
        if (entity_kind_of(profile->history[i].id) == ENTITY_ITEM && profile->history[i].rating)
            sim_cache_want(p->lists, profile->history[i].id, now_ms);
}

static void rank(struct push *p, struct task *t, struct cell *cell, const struct request *q, int64_t now_ms)
{
    const struct profile *profile = cell->object;
    struct sent *sent = cell->soft;
    sent->ranked_ms = now_ms;
    want_lists(p, profile, now_ms);
    uint64_t seed = hash_mix((uint64_t)q->offset << 10 | (uint64_t)t->partition);
    recommend(p->recommender, profile, name_slice(&q->scene), now_ms, seed, similar, p, p->list);
    uint64_t top = top_hash(p);
    bool changed = top != sent->top || now_ms - sent->sent_ms >= p->settings.refresh_ms;
    if (!changed || (p->list->room_count == 0 && sent->top == 0))
        return;
    sent->top = top;
    sent->sent_ms = now_ms;
    write_list(p, t, q, sent->n++, now_ms);
    task_produce(t, &(struct outgoing){.topic = TOPIC_RECOMMENDATIONS, .partition = -1, .key = name_slice(&q->user), .value = written(&p->value)}, now_ms);
    p->worker->counts.recommendations++;
    write_views(p, profile, sent, name_slice(&q->user), now_ms);
}

/* A throttle longer than the wheel goes round more than once. */
static void wait_for_throttle(struct push *p, const struct request *q)
{
    int64_t tick = q->due_ms / WHEEL_TICK_MS + 1;
    struct bucket *b = &p->wheel[(tick > p->tick ? tick : p->tick + 1) % WHEEL];
    if (b->count == b->capacity) {
        b->capacity = b->capacity ? b->capacity * 2 : 64;
        b->at = realloc(b->at, b->capacity * sizeof *b->at);
        ASSERT(b->at);
    }
    b->at[b->count++] = *q;
    p->count++;
}

static struct name name_from(struct slice s)
{
    struct name n = {.size = (uint8_t)(s.size < SCENE_ID_BYTES ? s.size : SCENE_ID_BYTES)};
    memcpy(n.at, s.at, n.size);
    return n;
}

static void forget(struct push *p, struct task *t, struct cell *cell, struct slice user, int64_t now_ms)
{
    static const enum topic topics[] = {TOPIC_RECOMMENDATIONS, TOPIC_SEGMENTS};
    const struct store_port *store = p->worker->store;
    for (int i = 0; i < 2; i++)
        task_produce(t, &(struct outgoing){.topic = topics[i], .partition = -1, .key = user, .tombstone = true}, now_ms);
    view_key(p, "rec:", user);
    store->write_view(store->self, &(struct view_write){.key = written(&p->key), .removed = true});
    view_key(p, "user:", user);
    store->write_view(store->self, &(struct view_write){.key = written(&p->key), .removed = true});
    struct sent *sent = cell->soft;
    if (sent)
        sent->top = 0;
}

void push_event(struct push *p, struct task *t, struct cell *cell, const struct event *event, const struct record *r,
                int64_t now_ms)
{
    if (p->settings.enabled)
        recommender_see(p->recommender, event, now_ms);
    if (event->type == EVENT_FORGET) {
        forget(p, t, cell, event->user, now_ms);
        return;
    }
    if (!p->settings.enabled) {
        view_history(p, cell, event->user, now_ms);
        return;
    }
    if (now_ms - r->timestamp_ms <= p->settings.active_ms && p->worker->tables_ready)
        segments_event(p->worker, t, cell->object, &sent_of(cell)->standing, event, r, now_ms);
    if (event->type == EVENT_IMPRESSION || now_ms - r->timestamp_ms > p->settings.active_ms || !p->worker->tables_ready)
        return;
    struct sent *sent = sent_of(cell);
    struct request q = {t->partition, cell->local, sent->ranked_ms + p->settings.throttle_ms, r->offset, event->event_ms,
                        name_from(event->user), name_from(event->scene)};
    sent->offset = r->offset;
    if (now_ms >= q.due_ms) {
        sent->pending = false;
        rank(p, t, cell, &q, now_ms);
        return;
    }
    p->worker->counts.throttled++;
    if (sent->pending || p->count >= p->settings.pending_max)
        return;
    sent->pending = true;
    wait_for_throttle(p, &q);
}

static void serve(struct push *p, struct request *q, int64_t now_ms)
{
    struct task *t = p->worker->tasks[STAGE_PROFILE][q->partition];
    struct cell *cell = t && t->state == TASK_RUN ? map_find(&t->cells.by_local, q->local) : NULL;
    struct sent *sent = cell && cell->object ? cell->soft : NULL;
    if (!sent || !sent->pending)
        return; /* gone, or ranked by a later event meanwhile */
    sent->pending = false;
    q->offset = sent->offset;
    rank(p, t, cell, q, now_ms);
}

static void serve_bucket(struct push *p, struct bucket *b, int64_t now_ms)
{
    size_t kept = 0, count = b->count;
    for (size_t i = 0; i < count; i++) {
        if (b->at[i].due_ms > now_ms) {
            b->at[kept++] = b->at[i];
            continue;
        }
        serve(p, &b->at[i], now_ms);
        p->count--;
    }
    b->count = kept;
}

void push_turn(struct push *p, int64_t now_ms)
{
    int64_t until = now_ms / WHEEL_TICK_MS;
    if (until - p->tick > WHEEL)
        p->tick = until - WHEEL;
    while (p->tick < until)
        serve_bucket(p, &p->wheel[++p->tick % WHEEL], now_ms);
    sim_cache_turn(p->lists, now_ms);
}

void push_views_read(struct push *p, struct view_read *read, int64_t now_ms)
{
    sim_cache_read(p->lists, read, now_ms);
}

uint32_t push_taste(const struct push *p, const struct profile *profile, int64_t now_ms, struct model_tag *out)
{
    struct taste_word words[SAMPLE_TAGS];
    uint32_t count = recommender_taste(p->recommender, profile, now_ms, words, SAMPLE_TAGS), kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (words[i].text.size > SCENE_ID_BYTES)
            continue;
        out[kept].size = (uint8_t)words[i].text.size;
        memcpy(out[kept].text, words[i].text.at, words[i].text.size);
        out[kept++].weight = words[i].weight;
    }
    return kept;
}
