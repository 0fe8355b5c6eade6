/*
 * What users did, told from the log by itself: only what the rules of the outputs need. Orders are followed to their last
 * refund, for an item that went back in full may be recommended again.
 */
#include "server/verbs/audit.h"

#include "common/check.h"
#include "common/hash.h"
#include "server/codec/event_decode.h"

#include <jansson.h>
#include <stdlib.h>

/* An item of an order; the newest first. */
struct bought {
    struct slice item; /* owned bytes */
    int64_t left;
    struct bought *before;
};

/* A user's last event ids, as many as the fold keeps tags of. */
struct recent {
    uint32_t count, next;
    uint64_t ids[]; /* hashes whose low bits are the tags */
};

void *audit_grow(void *list, size_t *capacity, size_t count, size_t size)
{
    if (count < *capacity)
        return list;
    *capacity = *capacity ? *capacity * 2 : 1024;
    list = realloc(list, *capacity * size);
    ASSERT(list);
    return list;
}

static uint64_t pair_of(struct slice user, int salt, struct slice id)
{
    return hash64(id.at, id.size, hash64(user.at, user.size, 11 + (uint64_t)salt)) | 1;
}

static uint64_t user_of(struct slice user)
{
    return hash64(user.at, user.size, 5) | 1;
}

static void add_fact(struct audit *a, struct slice user, enum entity_kind kind, struct slice id, struct fact fact)
{
    if (id.size == 0)
        return;
    struct fact *f = malloc(sizeof *f);
    ASSERT(f);
    uint64_t key = pair_of(user, (int)kind, id);
    *f = fact;
    f->before = map_find(&a->facts, key);
    map_put(&a->facts, key, f);
}

static bool is_payable(const struct audit *a, const struct event *e)
{
    const struct currency_settings *c = a->settings.daemon.worker.profile.currencies;
    for (int i = 0; i < CURRENCIES_MAX; i++)
        if (c[i].currency == e->currency && e->currency)
            return e->amount <= c[i].amount_max;
    return false;
}

static void buy(struct audit *a, const struct event *e, int64_t offset)
{
    uint64_t key = pair_of(e->user, 9, e->order);
    struct bought *first = map_find(&a->orders, key);
    for (struct bought *b = first; b; b = b->before)
        if (slice_equal(b->item, e->item))
            return; /* the order came again */
    if (!is_payable(a, e))
        return;
    char *item = malloc((size_t)e->item.size + 1);
    struct bought *b = malloc(sizeof *b);
    ASSERT(item && b);
    memcpy(item, e->item.at, e->item.size);
    *b = (struct bought){{item, e->item.size}, e->amount, first};
    map_put(&a->orders, key, b);
    add_fact(a, e->user, ENTITY_ITEM, e->item, (struct fact){.kind = FACT_OWNED, .offset = offset, .ts_ms = e->event_ms});
}

static void refund(struct audit *a, const struct event *e, int64_t offset)
{
    int64_t left = e->amount, open = 0;
    struct bought *first = map_find(&a->orders, pair_of(e->user, 9, e->order));
    for (struct bought *b = first; b; b = b->before)
        open += e->item.size == 0 || slice_equal(b->item, e->item) ? b->left : 0;
    for (struct bought *b = first; b && left > 0 && left <= open; b = b->before) {
        if (e->item.size && !slice_equal(b->item, e->item))
            continue;
        int64_t part = b->left < left ? b->left : left;
        b->left -= part;
        left -= part;
        open -= part;
        if (b->left == 0 && part > 0)
            add_fact(a, e->user, ENTITY_ITEM, b->item, (struct fact){.kind = FACT_REFUNDED, .offset = offset, .ts_ms = e->event_ms});
    }
}

static void refuse_or_show(struct audit *a, const struct event *e, int64_t offset)
{
    static const enum entity_kind kinds[] = {ENTITY_ITEM, ENTITY_HOST, ENTITY_ROOM};
    const struct slice ids[] = {e->item, e->host, e->room};
    struct fact fact = {.kind = e->type == EVENT_BLOCK ? FACT_REFUSED : FACT_SHOWN, .offset = offset, .ts_ms = e->event_ms};
    for (int i = 0; i < 3; i++)
        if (e->type == EVENT_BLOCK || kinds[i] == ENTITY_ROOM)
            add_fact(a, e->user, kinds[i], ids[i], fact);
}

/*
 * The fold knows event ids by their tags alone, so now and then it drops an event for another's tag: what the event
 * said is then no fact. Those are counted; a duplicate says nothing new.
 */
static bool is_dropped(struct audit *a, const struct event *e)
{
    uint32_t kept = a->settings.daemon.worker.profile.dedupe, tag = profile_id_tag(e->id);
    uint64_t user = user_of(e->user), id = hash64(e->id.at, e->id.size, 17) << DEDUPE_BITS | tag;
    struct recent *r = map_find(&a->recent, user);
    if (kept == 0)
        return false;
    if (!r) {
        r = calloc(1, sizeof *r + kept * sizeof *r->ids);
        ASSERT(r);
        map_put(&a->recent, user, r);
    }
    for (uint32_t i = 0; i < r->count; i++)
        if ((r->ids[i] & ((1u << DEDUPE_BITS) - 1)) == tag) {
            a->mistaken += r->ids[i] != id;
            return true;
        }
    r->ids[r->next] = id;
    r->next = (r->next + 1) % kept;
    r->count += r->count < kept;
    return false;
}

void audit_event(struct audit *a, const rd_kafka_message_t *m, int64_t ts_ms)
{
    static struct event_scratch scratch;
    struct event e;
    struct slice key = {m->key, (uint32_t)m->key_len}, value = {m->payload, (uint32_t)m->len};
    const struct profile_settings *p = &a->settings.daemon.worker.profile;
    if (event_decode(&a->settings.daemon.worker.event_rules, key, value, &scratch, &e) != EVENT_ACCEPTED ||
        profile_judge_time(p, &e, ts_ms) != PROFILE_APPLIED || is_dropped(a, &e))
        return;
    if (e.type == EVENT_PURCHASE)
        buy(a, &e, m->offset);
    else if (e.type == EVENT_REFUND)
        refund(a, &e, m->offset);
    else if (e.type == EVENT_FOLLOW || e.type == EVENT_UNFOLLOW)
        add_fact(a, e.user, ENTITY_HOST, e.host, (struct fact){.kind = FACT_ALLOWED, .offset = m->offset, .ts_ms = e.event_ms});
    else if (e.type == EVENT_FORGET)
        map_put(&a->forgets, user_of(e.user), (void *)(uintptr_t)(m->offset + 1));
    else if (e.type == EVENT_BLOCK || e.type == EVENT_IMPRESSION)
        refuse_or_show(a, &e, m->offset);
}

const struct fact *audit_fact(const struct audit *a, struct slice user, enum entity_kind kind, const char *id, int64_t offset,
                              enum fact_kind one, enum fact_kind other)
{
    uint64_t forgotten = (uint64_t)(uintptr_t)map_find(&a->forgets, user_of(user));
    const struct fact *f = id ? map_find(&a->facts, pair_of(user, (int)kind, slice_of(id))) : NULL;
    while (f && (f->offset > offset || (f->kind != one && f->kind != other)))
        f = f->before;
    return f && (uint64_t)f->offset + 1 > forgotten ? f : NULL;
}

uint64_t audit_key(enum entity_kind kind, const char *id, size_t size)
{
    return hash64(id, size, 3 + (uint64_t)kind) | 1;
}

const struct entry *audit_entry(const struct audit *a, enum entity_kind kind, const char *id)
{
    return id ? map_find(&a->entries, audit_key(kind, id, strlen(id))) : NULL;
}

void audit_catalog(struct audit *a, const rd_kafka_message_t *m, int64_t ts_ms)
{
    const char *key = m->key;
    bool room = m->key_len > 5 && memcmp(key, "room:", 5) == 0, item = m->key_len > 5 && memcmp(key, "item:", 5) == 0;
    if (!room && !item)
        return;
    uint64_t id = audit_key(room ? ENTITY_ROOM : ENTITY_ITEM, key + 5, m->key_len - 5);
    json_t *root = m->len ? json_loadb(m->payload, m->len, 0, NULL) : NULL;
    const char *status = json_string_value(json_object_get(root, "status")), *category = json_string_value(json_object_get(root, "category"));
    struct entry *e = map_find(&a->entries, id);
    if (!e) {
        e = calloc(1, sizeof *e);
        ASSERT(e);
        map_put(&a->entries, id, e);
    }
    if (room && (!status || strcmp(status, "open") != 0))
        e->closed_ms = e->closed_ms ? e->closed_ms : ts_ms;
    bool restricted = json_is_true(json_object_get(root, "restricted"));
    e->restricted_ms = !restricted ? 0 : e->restricted_ms ? e->restricted_ms : ts_ms;
    e->category = category ? hash64(category, strlen(category), 1) | 1 : 0;
    json_decref(root);
}
