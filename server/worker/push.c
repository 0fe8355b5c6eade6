#include "server/worker/push.h"

#include "common/check.h"
#include "common/fetch.h"
#include "common/hash.h"
#include "common/mutant.h"
#include "server/codec/learner_codec.h"
#include "server/codec/recommendation_encode.h"
#include "server/worker/push_views.h"
#include "server/worker/segments.h"
#include "server/worker/sim_cache.h"
#include "server/worker/worker_internal.h"

#include <stdlib.h>

/* Soft part of a user's cell. */
struct sent {
    int64_t ranked_ms;
    int64_t sent_ms;
    int64_t seeded_ms;
    uint64_t seed; /* of the draws, kept between refreshes: chance alone is no change worth sending */
    uint64_t top;  /* hash of the first places */
    uint32_t n;    /* lists of this attempt, so that versions of one offset differ */
    bool pending;  /* in the wheel */
    uint8_t arm;
    int64_t offset; /* of the last event that asked for a ranking */
    struct name scene; /* and its scene */
    struct view_mark view;
    struct standing standing;
};

/* A ranking put off. */
struct request {
    int64_t due_ms;
    uint64_t local; /* the cell */
    int32_t partition;
    struct name user;
};

#define WHEEL 2048 /* 10 s, so that hardly any goes round twice */
#define WHEEL_TICK_MS 5
#define CHOICE_MS 20 /* between two looks for an example of a choice: each costs as much as a ranking */
#define BEHIND_RECORDS 256 /* waiting in a task: more are a backlog */

struct bucket {
    struct request *at; /* owned */
    size_t count, capacity;
};

struct push {
    struct worker *worker; /* borrowed */
    struct push_settings settings;
    struct recommender *arms[ARMS]; /* owned; NULL: not in use. Each sees all events */
    struct sim_cache *lists;         /* owned */
    struct push_views *views;        /* owned */
    struct bucket wheel[WHEEL];      /* requests by due_ms / WHEEL_TICK_MS */
    size_t count;                    /* in all buckets */
    int64_t tick;                    /* last one served */
    struct recommendation_text text; /* owned: scratch */
    struct recommendation *list;     /* owned: scratch */
    struct profile *nobody;          /* owned: of whom nothing is known */
    uint64_t blended;                /* number of the models whose blend the arms have */
    int64_t chosen_ms;               /* last example of a choice */
    bool has_choice;                 /* of the event that is being folded: */
    struct sample choice;
};

void push_settings_default(struct push_settings *s)
{
    *s = (struct push_settings){.enabled = true, .throttle_ms = 200, .refresh_ms = 30000, .valid_ms = 120000, .active_ms = 1800000, .top = 5, .reasons = 3,
                                .view_ms = 5000, .view_bytes = 64 << 20, .behind_ms_max = 10000, .pending_max = 200000, .list_max = 100000, .list_age_ms = 30000};
}

struct push *push_create(struct worker *w)
{
    struct push *p = calloc(1, sizeof *p);
    ASSERT(p);
    p->worker = w;
    p->settings = w->settings.push;
    for (int arm = 0; arm < ARMS; arm++) {
        struct recommend_settings s = w->settings.recommend;
        experiment_apply(&w->settings.experiment, arm, &s);
        p->arms[arm] = experiment_uses(&w->settings.experiment, arm) ? recommender_create(&s, w->tables.catalog) : NULL;
    }
    p->lists = sim_cache_create(w->store, w->tables.catalog, p->settings.list_max, p->settings.list_age_ms);
    p->views = push_views_create(w, p->settings.view_ms, p->settings.view_bytes);
    p->list = malloc(sizeof *p->list);
    ASSERT(p->list);
    p->nobody = profile_create();
    return p;
}

void push_destroy(struct push *p)
{
    if (!p)
        return;
    for (int arm = 0; arm < ARMS; arm++)
        recommender_destroy(p->arms[arm]);
    sim_cache_destroy(p->lists);
    push_views_destroy(p->views);
    for (int i = 0; i < WHEEL; i++)
        free(p->wheel[i].at);
    free(p->list);
    profile_destroy(p->nobody);
    writer_fini(&p->text.bytes);
    free(p);
}

void push_fetch(const void *soft)
{
    if (soft)
        fetch_bytes(soft, sizeof(struct sent));
}

static struct slice written(const struct writer *w)
{
    return (struct slice){(const char *)w->data, (uint32_t)w->size};
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

static int arm_of(const struct push *p, struct slice user)
{
    return experiment_arm(&p->worker->settings.experiment, user);
}

/* With what the newest models say. */
static struct recommender *ranker(struct push *p, int arm)
{
    const struct model *m = p->worker->tables.model;
    for (int i = 0; i < ARMS && m->number != p->blended; i++)
        if (p->arms[i])
            recommender_blend(p->arms[i], &m->blend);
    p->blended = m->number;
    return p->arms[arm];
}

static void send_list(struct push *p, struct task *t, struct sent *sent, struct slice user, int64_t now_ms)
{
    struct recommendation_head head = {
        .partition = t->partition, .offset = sent->offset, .epoch = t->position.epoch, .n = sent->n++,
        .user = user, .scene = name_slice(&sent->scene), .arm = arm_names[sent->arm], .now_ms = now_ms, .valid_until_ms = now_ms + p->settings.valid_ms,
    };
    recommendation_encode(&head, p->list, p->settings.reasons, &p->text);
    task_produce(t, &(struct outgoing){.topic = TOPIC_RECOMMENDATIONS, .partition = -1, .key = user, .value = written(&p->text.bytes)}, now_ms);
    p->worker->counts.recommendations++;
    p->worker->counts.arms[sent->arm].lists++;
}

/* For the newest event that asked; sent when the top changed or the last list is old. */
static void rank(struct push *p, struct task *t, struct cell *cell, struct slice user, int64_t now_ms)
{
    const struct profile *profile = cell->object;
    struct sent *sent = cell->soft;
    bool old = now_ms - sent->sent_ms >= p->settings.refresh_ms;
    sent->ranked_ms = now_ms;
    MUTANT(pushed_is_state, ((struct profile *)cell->object)->counts[EVENT_IMPRESSION]++, (void)0);
    if (sent->seed == 0 || now_ms - sent->seeded_ms >= p->settings.refresh_ms) {
        sent->seed = hash_mix((uint64_t)sent->offset << 10 | (uint64_t)t->partition);
        sent->seeded_ms = now_ms;
    }
    want_lists(p, profile, now_ms);
    sent->arm = (uint8_t)arm_of(p, user);
    recommend(ranker(p, sent->arm), profile, name_slice(&sent->scene), now_ms, sent->seed, similar, p, p->list);
    p->worker->counts.rankings++;
    uint64_t top = top_hash(p);
    if ((top == sent->top && !old) || (p->list->room_count == 0 && sent->top == 0))
        return;
    sent->top = top;
    sent->sent_ms = now_ms;
    send_list(p, t, sent, user, now_ms);
    push_views_put(p->views, &sent->view, &(struct viewed){user, profile, &sent->standing, &p->text}, now_ms);
}

/* As folded here; of a user whose state is not in memory nothing is known. */
static const struct profile *profile_of(struct push *p, struct slice user, int64_t now_ms)
{
    const struct worker *w = p->worker;
    int32_t partition = kafka_partition(user.at, user.size, w->log->partitions(w->log->self, TOPIC_EVENTS));
    const struct task *t = w->tasks[STAGE_PROFILE][partition];
    const struct cell *cell = t ? map_find(&t->cells.by_local, hash64(user.at, user.size, w->secret)) : NULL;
    if (!cell || !cell->object)
        return p->nobody;
    want_lists(p, cell->object, now_ms);
    return cell->object;
}

void push_ask(struct push *p, const struct question *q, struct recommendation *out)
{
    recommend(ranker(p, arm_of(p, q->user)), profile_of(p, q->user, q->now_ms), q->scene, q->now_ms, q->seed, similar, p, out);
}

void push_ask_items(struct push *p, const struct question *q, float *out)
{
    const struct asker a = {profile_of(p, q->user, q->now_ms), q->now_ms, similar, p};
    recommend_all(ranker(p, arm_of(p, q->user)), &a, out);
}

uint32_t push_ask_given(struct push *p, const struct question *q, const struct given *given, struct list_place *out)
{
    const struct asker a = {profile_of(p, q->user, q->now_ms), q->now_ms, similar, p};
    return recommend_given(ranker(p, arm_of(p, q->user)), &a, q->scene, given, out);
}

static void put_off(struct push *p, const struct request *q)
{
    int64_t tick = q->due_ms / WHEEL_TICK_MS + 1;
    struct bucket *b = &p->wheel[(tick > p->tick ? tick : p->tick + 1) % WHEEL];
    if (b->count == b->capacity) {
        b->capacity = b->capacity ? b->capacity * 2 : 16;
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
    for (int i = 0; i < 2; i++)
        task_produce(t, &(struct outgoing){.topic = topics[i], .partition = -1, .key = user, .tombstone = true}, now_ms);
    push_views_forget(p->views, user);
    free(cell->soft); /* with it goes a ranking that waits for its time: nothing may come behind the tombstone */
    cell->soft = NULL;
}

/*
 * Between two rankings of a user. A task that is behind ranks a user no more often than it is late: what it would send
 * meanwhile is out of date before it arrives, and the time is better spent on catching up.
 */
static int64_t throttle_ms(const struct push *p, const struct task *t, const struct record *r, int64_t now_ms)
{
    int64_t late_ms = t->queue_count > BEHIND_RECORDS ? now_ms - r->timestamp_ms : 0;
    if (late_ms > p->settings.behind_ms_max)
        late_ms = p->settings.behind_ms_max;
    return late_ms > p->settings.throttle_ms ? late_ms : p->settings.throttle_ms;
}

/* Showing a list is no reason for another one, unless it is old: who comes back is shown something first. */
static bool asks_for_ranking(const struct push *p, const struct sent *sent, const struct event *event, int64_t now_ms)
{
    return event->type != EVENT_IMPRESSION || now_ms - sent->sent_ms >= p->settings.refresh_ms;
}

static void rank_or_put_off(struct push *p, struct task *t, struct cell *cell, const struct event *event, const struct record *r, int64_t now_ms)
{
    struct sent *sent = sent_of(cell);
    if (!asks_for_ranking(p, sent, event, now_ms))
        return;
    sent->offset = r->offset;
    sent->scene = name_from(event->scene);
    int64_t due_ms = sent->ranked_ms + throttle_ms(p, t, r, now_ms);
    if (now_ms >= due_ms) {
        sent->pending = false;
        rank(p, t, cell, event->user, now_ms);
        return;
    }
    p->worker->counts.throttled++;
    if (sent->pending || p->count >= p->settings.pending_max)
        return;
    sent->pending = true;
    put_off(p, &(struct request){due_ms, cell->local, t->partition, name_from(event->user)});
}

/* Carried by a recommendation, or within the time in which results count as one's that showed the entity. */
static bool is_recommended(const struct push *p, const struct task *t, const struct profile *profile, const struct event *event)
{
    const struct slice names[] = {event->item, event->host, event->room};
    static const enum entity_kind kinds[] = {ENTITY_ITEM, ENTITY_HOST, ENTITY_ROOM};
    bool recommended = event->rec.size > 0;
    for (int i = 0; i < 3 && !recommended && event->source == SOURCE_ORGANIC && !event->source_given; i++) {
        const struct history_entry *h = names[i].size ? profile_find(profile, entity_id_of(kinds[i], names[i])) : NULL;
        int64_t since_ms = h && h->shown_ms ? event->event_ms - h->shown_ms : -1;
        recommended = since_ms >= 0 && since_ms <= t->fold->profile.attribution_ms;
    }
    return recommended;
}

/* Every arm sees everything, so that they differ in how they rank alone. */
static void see(struct push *p, const struct task *t, const struct profile *profile, const struct event *event, int64_t now_ms)
{
    struct arm_counts *c = &p->worker->counts.arms[arm_of(p, event->user)];
    for (int arm = 0; arm < ARMS; arm++)
        if (p->arms[arm])
            recommender_see(p->arms[arm], event, now_ms);
    if (profile)
        c->events[event->type][is_recommended(p, t, profile, event)]++;
}

/* The room or item that the event takes; 0: none. */
static entity_id taken_by(const struct event *e)
{
    bool enters = e->type == EVENT_CLICK || e->type == EVENT_ENTER;
    bool buys = e->type == EVENT_BROWSE || e->type == EVENT_TRIAL || e->type == EVENT_CART || e->type == EVENT_PURCHASE || (e->type == EVENT_RATING && e->value >= 4);
    if (enters && e->room.size)
        return entity_id_of(ENTITY_ROOM, e->room);
    return (enters || buys) && !e->room.size && e->item.size ? entity_id_of(ENTITY_ITEM, e->item) : 0;
}

static bool is_gone(const struct push *p, const struct record *r, int64_t now_ms)
{
    return now_ms - r->timestamp_ms > p->settings.active_ms || !p->worker->tables_ready;
}

void push_before(struct push *p, struct cell *cell, const struct event *event, const struct record *r, int64_t now_ms)
{
    const struct asker a = {cell->object ? cell->object : p->nobody, now_ms, similar, p};
    const struct taking taking = {taken_by(event), hash_mix((uint64_t)r->offset << 10 | (uint64_t)r->partition)};
    p->has_choice = false;
    if (!taking.id || !p->settings.enabled || is_gone(p, r, now_ms) || now_ms - p->chosen_ms < CHOICE_MS ||
        !recommend_begins(a.profile, now_ms, p->worker->settings.segments.session_gap_ms))
        return;
    p->chosen_ms = now_ms;
    p->choice = (struct sample){.kind = SAMPLE_CHOICE, .ts_ms = event->event_ms}; /* nobody's */
    p->has_choice = recommend_choice(ranker(p, 0), &a, event->scene, &taking, &p->choice.choice);
}

static void send_choice(struct push *p, struct task *t, int64_t now_ms)
{
    struct writer out = {0};
    sample_encode(&p->choice, &out);
    task_produce(t, &(struct outgoing){.topic = TOPIC_SAMPLES, .partition = 0, .value = written(&out)}, now_ms);
    writer_fini(&out);
}

void push_event(struct push *p, struct task *t, struct cell *cell, const struct event *event, const struct record *r,
                int64_t now_ms)
{
    if (p->settings.enabled)
        see(p, t, cell->object, event, now_ms);
    if (event->type == EVENT_FORGET) {
        forget(p, t, cell, event->user, now_ms);
        return;
    }
    if (!p->settings.enabled) {
        push_views_history(p->views, &sent_of(cell)->view, cell->object, event->user, now_ms);
        return;
    }
    if (is_gone(p, r, now_ms))
        return;
    if (p->has_choice)
        send_choice(p, t, now_ms);
    segments_event(p->worker, t, cell->object, &sent_of(cell)->standing, event, r, now_ms);
    rank_or_put_off(p, t, cell, event, r, now_ms);
}

static void serve(struct push *p, const struct request *q, int64_t now_ms)
{
    struct task *t = p->worker->tasks[STAGE_PROFILE][q->partition];
    struct cell *cell = t && t->state == TASK_RUN ? map_find(&t->cells.by_local, q->local) : NULL;
    struct sent *sent = cell && cell->object ? cell->soft : NULL;
    if (!sent || !sent->pending)
        return; /* gone, or ranked by a later event meanwhile */
    sent->pending = false;
    rank(p, t, cell, name_slice(&q->user), now_ms);
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
    if (p->count == 0 || until - p->tick > WHEEL)
        p->tick = p->count ? until - WHEEL : until;
    while (p->tick < until)
        serve_bucket(p, &p->wheel[++p->tick % WHEEL], now_ms);
    sim_cache_turn(p->lists, now_ms);
    push_views_turn(p->views, now_ms, false);
}

void push_drain(struct push *p, int64_t now_ms)
{
    push_views_turn(p->views, now_ms, true);
}

void push_views_read(struct push *p, struct view_read *read, int64_t now_ms)
{
    sim_cache_read(p->lists, read, now_ms);
}

float push_lift(const struct push *p, entity_id id, int64_t now_ms)
{
    return recommender_lift(p->arms[0], id, now_ms);
}

uint32_t push_taste(const struct push *p, const struct profile *profile, int64_t now_ms, struct model_tag *out)
{
    struct taste_word words[SAMPLE_TAGS];
    uint32_t count = recommender_taste(p->arms[0], profile, now_ms, words, SAMPLE_TAGS), kept = 0;
    for (uint32_t i = 0; i < count; i++)
        kept += model_tag_set(&out[kept], words[i].text, words[i].weight);
    return kept;
}
