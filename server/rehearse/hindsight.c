#include "server/rehearse/hindsight.h"

#include "common/check.h"
#include "common/hash.h"
#include "common/map.h"
#include "server/rehearse/plain.h"
#include "server/rehearse/promises.h"
#include "server/rehearse/shadow.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define SLATE_MS 60000
#define SAID_MAX 10

/* The lists made for a user at one moment. */
struct slate {
    uint32_t users; /* contacts and the user itself that hold it */
    int64_t at_ms;
    struct list lists[RIVALS];
};

/* The user met a target. */
struct contact {
    entity_id id;
    int64_t first_ms;
    struct slate *slate;
    bool possible, counted;
};

struct visitor {
    uint32_t number;
    uint64_t events;
    bool open[KINDS];            /* nothing but impressions since the slate was made */
    struct slate *slates[KINDS]; /* the newest */
    struct contact *contacts;    /* owned; oldest first */
    uint32_t contact_count, contact_capacity;
    uint32_t *owned;             /* owned; items bought that are not bought again */
    uint32_t owned_count, owned_capacity;
};

struct hindsight {
    const struct hindsight_settings *settings;
    struct journal *journal;
    struct shadow *shadow;
    struct tally *tally;
    struct hindsight_counts *counts;
    struct plain *rooms, *hosts, *items;
    struct promises *promises;
    struct map visitors; /* owned; hash of the id -> struct visitor */
    float *scores;       /* owned; by catalog number */
    uint32_t scores_capacity;
    struct map offered;  /* rooms and items that could be offered */
    uint32_t offered_count[KINDS];
    bool bare; /* the journal has no items in its catalog: each is entered when it is first named */
};

/* The best so far, ties by chance. */
struct best {
    struct list *list;
    double scores[LIST_PLACES];
    uint64_t chances[LIST_PLACES];
    uint64_t seed;
};

static void offer(struct best *b, double score, uint32_t thing)
{
    struct list *l = b->list;
    bool full = l->count == LIST_PLACES;
    if (full && score < b->scores[LIST_PLACES - 1])
        return;
    uint64_t chance = hash_mix(b->seed ^ (thing + 1) * 0x9e3779b97f4a7c15u);
    if (full && score == b->scores[LIST_PLACES - 1] && chance < b->chances[LIST_PLACES - 1])
        return;
    uint32_t at = full ? LIST_PLACES - 1 : l->count++;
    for (; at > 0 && (b->scores[at - 1] < score || (b->scores[at - 1] == score && b->chances[at - 1] < chance)); at--) {
        l->things[at] = l->things[at - 1];
        b->scores[at] = b->scores[at - 1];
        b->chances[at] = b->chances[at - 1];
    }
    l->things[at] = thing;
    b->scores[at] = score;
    b->chances[at] = chance;
}

static void note_offered(struct hindsight *h, entity_id id, enum kind kind)
{
    if (map_find(&h->offered, id))
        return;
    map_put(&h->offered, id, h);
    h->offered_count[kind]++;
}

static void list_rooms(struct hindsight *h, const struct visitor *v, const struct question *q, struct slate *s, const struct recommendation *r)
{
    struct best best[RIVALS];
    const struct catalog *c = worker_catalog(shadow_worker(h->shadow));
    uint32_t scene = catalog_number(c, q->scene);
    for (int i = 0; i < RIVALS; i++)
        best[i] = (struct best){.list = &s->lists[i], .seed = q->seed};
    for (uint32_t i = 0; i < catalog_open_count(c); i++) { /* numbers, and so ties, are the same under any settings */
        plain_thing(h->hosts, catalog_open(c, i)->host);
        plain_thing(h->rooms, catalog_open(c, i)->id);
    }
    const float *related = plain_related(h->hosts, v->number);
    for (uint32_t i = 0; i < r->room_count; i++) {
        uint32_t thing = plain_thing(h->rooms, r->rooms[i].id);
        offer(&best[RIVAL_SLUICE], -(double)i, thing);
        offer(&best[RIVAL_PUBLISHED], -(double)i, thing);
    }
    for (uint32_t i = 0; i < catalog_open_count(c); i++) {
        const struct catalog_room *one = catalog_open(c, i);
        if (!catalog_room_in(one, scene))
            continue;
        uint32_t thing = plain_thing(h->rooms, one->id), host = plain_thing(h->hosts, one->host);
        note_offered(h, one->id, KIND_ROOM);
        offer(&best[RIVAL_POPULARITY], plain_popular(h->rooms, thing), thing);
        offer(&best[RIVAL_DECAYED], plain_decayed(h->rooms, thing, q->now_ms), thing);
        offer(&best[RIVAL_ITEMITEM], (double)related[host], thing);
    }
}

static bool is_owned(const struct visitor *v, uint32_t thing)
{
    for (uint32_t i = 0; i < v->owned_count; i++)
        if (v->owned[i] == thing)
            return true;
    return false;
}

static void list_items(struct hindsight *h, const struct visitor *v, const struct question *q, struct slate *s, const struct recommendation *r)
{
    struct best best[RIVALS];
    const struct catalog *c = worker_catalog(shadow_worker(h->shadow));
    uint32_t bound = catalog_number_bound(c);
    for (int i = 0; i < RIVALS; i++)
        best[i] = (struct best){.list = &s->lists[i], .seed = q->seed};
    if (bound > h->scores_capacity) {
        h->scores_capacity = bound + bound / 2;
        h->scores = realloc(h->scores, h->scores_capacity * sizeof *h->scores);
        ASSERT(h->scores);
    }
    worker_ask_items(shadow_worker(h->shadow), q, h->scores);
    for (uint32_t i = 0; i < r->item_count; i++)
        offer(&best[RIVAL_PUBLISHED], -(double)i, plain_thing(h->items, r->items[i].id));
    for (uint32_t n = 0; n < bound; n++) {
        const struct catalog_item *it = catalog_numbered(c, n);
        if (it)
            plain_thing(h->items, it->id);
    }
    const float *related = plain_related(h->items, v->number);
    for (uint32_t n = 0; n < bound; n++) {
        const struct catalog_item *it = catalog_numbered(c, n);
        if (!it || it->restricted)
            continue;
        uint32_t thing = plain_thing(h->items, it->id);
        note_offered(h, it->id, KIND_ITEM);
        if (h->scores[n] >= 0)
            offer(&best[RIVAL_SLUICE], (double)h->scores[n], thing);
        if (is_owned(v, thing))
            continue;
        offer(&best[RIVAL_POPULARITY], plain_popular(h->items, thing), thing);
        offer(&best[RIVAL_DECAYED], plain_decayed(h->items, thing, q->now_ms), thing);
        offer(&best[RIVAL_ITEMITEM], (double)related[thing], thing);
    }
}

static void drop_slate(struct slate *s)
{
    if (s && --s->users == 0)
        free(s);
}

static struct slate *slate_of(struct hindsight *h, struct visitor *v, const struct event *e, enum kind kind)
{
    static struct recommendation list;
    int64_t now_ms = shadow_now_ms(h->shadow);
    struct slate *s = v->slates[kind];
    if (s && v->open[kind] && now_ms - s->at_ms < SLATE_MS)
        return s;
    drop_slate(s);
    s = v->slates[kind] = calloc(1, sizeof *s);
    ASSERT(s);
    s->users = 1;
    s->at_ms = now_ms;
    v->open[kind] = true;
    struct question q = {e->user, e->scene, now_ms, hash64(e->id.at, e->id.size, v->number)};
    double before = process_cpu_ns();
    worker_ask(shadow_worker(h->shadow), &q, &list);
    h->counts->ranking_ns += process_cpu_ns() - before;
    h->counts->rankings++;
    if (kind == KIND_ROOM)
        list_rooms(h, v, &q, s, &list);
    else
        list_items(h, v, &q, s, &list);
    return s;
}

static void forget_contacts(struct hindsight *h, struct visitor *v, int64_t now_ms)
{
    uint32_t old = 0;
    while (old < v->contact_count && now_ms - v->contacts[old].first_ms > h->settings->within_ms)
        drop_slate(v->contacts[old++].slate);
    v->contact_count -= old;
    if (old)
        memmove(v->contacts, v->contacts + old, v->contact_count * sizeof *v->contacts);
}

/* Whether anybody could be offered it now. */
static bool is_possible(const struct hindsight *h, entity_id id, struct slice scene)
{
    const struct catalog *c = worker_catalog(shadow_worker(h->shadow));
    const struct catalog_room *r = catalog_room(c, id);
    const struct catalog_item *it = catalog_item(c, id);
    if (entity_kind_of(id) == ENTITY_ROOM)
        return r && r->open && catalog_room_in(r, catalog_number(c, scene));
    return it && !it->restricted;
}

/* The contact with a target, begun when there is none. */
static struct contact *meet(struct hindsight *h, struct visitor *v, const struct event *e, entity_id id)
{
    for (uint32_t i = 0; i < v->contact_count; i++)
        if (v->contacts[i].id == id)
            return &v->contacts[i];
    if (v->contact_count == v->contact_capacity) {
        v->contact_capacity = v->contact_capacity ? v->contact_capacity * 2 : 8;
        v->contacts = realloc(v->contacts, v->contact_capacity * sizeof *v->contacts);
        ASSERT(v->contacts);
    }
    enum kind kind = entity_kind_of(id) == ENTITY_ROOM ? KIND_ROOM : KIND_ITEM;
    struct slate *s = slate_of(h, v, e, kind);
    struct contact *c = &v->contacts[v->contact_count++];
    *c = (struct contact){id, shadow_now_ms(h->shadow), s, is_possible(h, id, e->scene), false};
    s->users++;
    return c;
}

static double surprise(void *arg, enum kind kind, uint32_t thing)
{
    const struct hindsight *h = arg;
    const struct plain *p = kind == KIND_ROOM ? h->rooms : h->items;
    return -log2((plain_popular(p, thing) + 1) / (plain_total(p) + plain_things(p)));
}

static void count(struct hindsight *h, const struct visitor *v, struct contact *c, uint64_t user)
{
    enum kind kind = entity_kind_of(c->id) == ENTITY_ROOM ? KIND_ROOM : KIND_ITEM;
    uint32_t target = plain_thing(kind == KIND_ROOM ? h->rooms : h->items, c->id);
    c->counted = true;
    h->counts->asked[kind]++;
    h->counts->impossible[kind] += !c->possible;
    h->counts->new_users += v->events == 0;
    tally_add(h->tally, &(struct outcome){kind, user, target, c->slate->lists, surprise, h});
}

/* What the simple methods learn: events of interest, and what else raises the rating of an item. */
static void learn(struct hindsight *h, struct visitor *v, const struct event *e)
{
    bool interesting = h->settings->interest >> e->type & 1;
    if (e->type == EVENT_ENTER && interesting && e->room.size) {
        const struct catalog_room *r = catalog_room(worker_catalog(shadow_worker(h->shadow)), entity_id_of(ENTITY_ROOM, e->room));
        plain_note(h->rooms, v->number, plain_thing(h->rooms, entity_id_of(ENTITY_ROOM, e->room)), e->event_ms);
        if (r)
            plain_note(h->hosts, v->number, plain_thing(h->hosts, r->host), e->event_ms);
        return;
    }
    if (!e->item.size || !(interesting || h->settings->worker->profile.weights[e->type]))
        return;
    entity_id id = entity_id_of(ENTITY_ITEM, e->item);
    uint32_t thing = plain_thing(h->items, id);
    const struct catalog_item *it = catalog_item(worker_catalog(shadow_worker(h->shadow)), id);
    plain_note(h->items, v->number, thing, e->event_ms);
    if (e->type != EVENT_PURCHASE || (it && h->settings->worker->recommend.returning[it->format]))
        return;
    if (v->owned_count == v->owned_capacity) {
        v->owned_capacity = v->owned_capacity ? v->owned_capacity * 2 : 4;
        v->owned = realloc(v->owned, v->owned_capacity * sizeof *v->owned);
        ASSERT(v->owned);
    }
    v->owned[v->owned_count++] = thing;
}

static struct visitor *visitor_of(struct hindsight *h, uint64_t user)
{
    struct visitor *v = map_find(&h->visitors, user);
    if (!v) {
        v = calloc(1, sizeof *v);
        ASSERT(v);
        v->number = (uint32_t)h->visitors.count;
        map_put(&h->visitors, user, v);
    }
    return v;
}

static void enter_bare(struct shadow *s, const struct event *e, int64_t timestamp_ms)
{
    char key[EVENT_ID_BYTES + 8] = "item:";
    if (!e->item.size || catalog_item(worker_catalog(shadow_worker(s)), entity_id_of(ENTITY_ITEM, e->item)))
        return;
    memcpy(key + 5, e->item.at, e->item.size);
    shadow_record(s, &(struct journal_record){.topic = TOPIC_CATALOG, .timestamp_ms = timestamp_ms, .key = {key, e->item.size + 5},
                                                      .value = slice_of("{\"v\":1,\"title\":\"\",\"format\":\"book\"}")});
}

/* What the event takes; 0: nothing that is asked for. */
static entity_id target_of(const struct hindsight *h, const struct event *e)
{
    if (!(h->settings->interest >> e->type & 1))
        return 0;
    if (e->type == EVENT_ENTER)
        return e->room.size ? entity_id_of(ENTITY_ROOM, e->room) : 0;
    return e->item.size ? entity_id_of(ENTITY_ITEM, e->item) : 0;
}

/* Lists are made before the event is folded. */
static void foresee(struct hindsight *h, struct visitor *v, const struct event *e)
{
    bool rooms = h->settings->interest >> EVENT_ENTER & 1, items = h->settings->interest & ~(1u << EVENT_ENTER);
    forget_contacts(h, v, shadow_now_ms(h->shadow));
    if (h->settings->within_ms == 0) {
        v->open[KIND_ROOM] = v->open[KIND_ITEM] = false;
        if (target_of(h, e))
            meet(h, v, e, target_of(h, e));
        return;
    }
    if (rooms && e->room.size)
        meet(h, v, e, entity_id_of(ENTITY_ROOM, e->room));
    if (items && e->item.size)
        meet(h, v, e, entity_id_of(ENTITY_ITEM, e->item));
}

static void on_event(struct hindsight *h, const struct journal_record *r, const struct event *e, enum shadow_answer *out_answer)
{
    uint64_t user = hash64(r->key.at, r->key.size, 1) | 1;
    struct visitor *v = visitor_of(h, user);
    if (h->bare)
        enter_bare(h->shadow, e, r->timestamp_ms);
    shadow_advance(h->shadow, r->timestamp_ms);
    foresee(h, v, e);
    *out_answer = shadow_record(h->shadow, r);
    if (*out_answer != SHADOW_APPLIED)
        return;
    entity_id target = target_of(h, e);
    for (uint32_t i = 0; target && i < v->contact_count; i++)
        if (v->contacts[i].id == target && !v->contacts[i].counted)
            count(h, v, &v->contacts[i], user);
    learn(h, v, e);
    promises_event(h->promises, user, e, shadow_now_ms(h->shadow));
    v->events++;
    if (e->type != EVENT_IMPRESSION)
        v->open[KIND_ROOM] = v->open[KIND_ITEM] = false;
}

static bool take(struct hindsight *h, const struct journal_record *r)
{
    static struct event_scratch scratch;
    struct event e;
    enum shadow_answer answer;
    h->counts->lines++;
    h->counts->events += r->topic == TOPIC_EVENTS;
    bool readable = r->topic == TOPIC_EVENTS && event_decode(&h->settings->worker->event_rules, r->key, r->value, &scratch, &e) == EVENT_ACCEPTED;
    if (readable)
        on_event(h, r, &e, &answer);
    else
        answer = shadow_record(h->shadow, r);
    h->counts->applied += r->topic == TOPIC_EVENTS && answer == SHADOW_APPLIED;
    h->counts->duplicates += answer == SHADOW_DUPLICATE;
    if (answer == SHADOW_REFUSED && h->counts->dead_letters++ < SAID_MAX)
        fprintf(stderr, "%s:%llu: refused: %s\n", journal_path(h->journal), (unsigned long long)r->line, shadow_reason(h->shadow));
    if (answer == SHADOW_STUCK)
        fprintf(stderr, "%s:%llu: %s\n", journal_path(h->journal), (unsigned long long)r->line, shadow_reason(h->shadow));
    return answer != SHADOW_STUCK;
}

static void hear(void *arg, const struct record *r)
{
    struct hindsight *h = arg;
    if (r->topic == TOPIC_SEGMENTS)
        promises_heard(h->promises, hash64(r->key.at, r->key.size, 1) | 1, r->value);
}

static void visitors_fini(struct map *visitors)
{
    size_t at = 0;
    struct map_slot slot;
    while (map_next(visitors, &at, &slot)) {
        struct visitor *v = slot.value;
        for (uint32_t i = 0; i < v->contact_count; i++)
            drop_slate(v->contacts[i].slate);
        for (int k = 0; k < KINDS; k++)
            drop_slate(v->slates[k]);
        free(v->contacts);
        free(v->owned);
        free(v);
    }
    map_fini(visitors);
}

/* The log once more with nobody asking: events are folded as they come in, several a turn. */
static double event_cost_ns(const struct hindsight_settings *s, struct journal *j)
{
    static struct event_scratch scratch;
    struct shadow *shadow = shadow_create(s->worker, &(struct shadow_hears){NULL, NULL});
    struct journal_record r;
    struct event e;
    uint64_t events = 0;
    journal_rewind(j);
    while (journal_next(j, &r)) {
        if (r.topic != TOPIC_EVENTS) {
            shadow_record(shadow, &r);
            continue;
        }
        if (!journal_has_items(j) && event_decode(&s->worker->event_rules, r.key, r.value, &scratch, &e) == EVENT_ACCEPTED)
            enter_bare(shadow, &e, r.timestamp_ms);
        shadow_append(shadow, &r);
        events++;
    }
    shadow_advance(shadow, shadow_now_ms(shadow) + 1000);
    double cost = events ? shadow_cpu_ns(shadow) / (double)events : 0;
    shadow_destroy(shadow);
    return cost;
}

bool hindsight_run(const struct hindsight_settings *s, struct journal *j, struct tally *out, struct hindsight_counts *out_counts)
{
    struct journal_record r;
    struct hindsight h = {.settings = s, .journal = j, .tally = out, .counts = out_counts, .bare = !journal_has_items(j)};
    bool good = true;
    *out_counts = (struct hindsight_counts){0};
    h.rooms = plain_create();
    h.hosts = plain_create();
    h.items = plain_create();
    h.promises = promises_create(s->worker->learner.intent_ms, out);
    h.shadow = shadow_create(s->worker, &(struct shadow_hears){&h, hear});
    journal_rewind(j);
    while (good && journal_next(j, &r))
        good = take(&h, &r);
    promises_end(h.promises, shadow_now_ms(h.shadow));
    for (int k = 0; k < KINDS; k++)
        tally_candidates(out, (enum kind)k, h.offered_count[k]);
    out_counts->event_ns = event_cost_ns(s, j);
    out_counts->ranking_ns = out_counts->rankings ? out_counts->ranking_ns / (double)out_counts->rankings : 0;
    shadow_destroy(h.shadow);
    promises_destroy(h.promises);
    visitors_fini(&h.visitors);
    map_fini(&h.offered);
    plain_destroy(h.rooms);
    plain_destroy(h.hosts);
    plain_destroy(h.items);
    free(h.scores);
    return good;
}
