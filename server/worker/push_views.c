/*
 * The interval is the same for all, so what waits becomes due in the order in which it began to wait: a ring, written
 * from its front, while the store keeps up. An entry holds the bytes themselves, so it does not need the user's cell any more.
 */
#include "server/worker/push_views.h"

#include "common/check.h"
#include "common/text.h"
#include "server/worker/worker_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define VIEW_BYTES_MAX 10000 /* of one key */
#define NUMBERS 8

struct facts {
    int64_t numbers[NUMBERS];
    struct standing standing;
};

struct waiting {
    int64_t due_ms;
    struct name user; /* size 0: nothing to write any more */
    struct facts facts;
    struct writer list; /* owned */
};

struct push_views {
    struct worker *worker; /* borrowed */
    uint32_t interval_ms;
    size_t bytes_max, bytes;
    struct waiting *ring; /* owned */
    size_t capacity;
    uint64_t first, next; /* numbers of entries; number % capacity is its place */
    struct writer key, value; /* owned: scratch */
};

struct push_views *push_views_create(struct worker *w, uint32_t interval_ms, size_t bytes_max)
{
    struct push_views *v = calloc(1, sizeof *v);
    ASSERT(v);
    v->worker = w;
    v->interval_ms = interval_ms;
    v->bytes_max = bytes_max;
    v->first = v->next = 1;
    return v;
}

static struct waiting *entry_of(struct push_views *v, uint64_t number)
{
    return &v->ring[number % v->capacity];
}

void push_views_destroy(struct push_views *v)
{
    if (!v)
        return;
    for (size_t i = 0; i < v->capacity; i++)
        writer_fini(&v->ring[i].list);
    free(v->ring);
    writer_fini(&v->key);
    writer_fini(&v->value);
    free(v);
}

static bool is_late(const struct push_views *v)
{
    return v->worker->store->views_are_late(v->worker->store->self);
}

static struct slice written(const struct writer *w)
{
    return (struct slice){(const char *)w->data, (uint32_t)w->size};
}

static void key_text_of(struct push_views *v, struct slice user, char out_text[USER_KEY_TEXT + 1])
{
    uint8_t key[USER_KEY_BYTES];
    user_hmac_of(v->worker->users, user, key);
    user_key_text(key, out_text);
}

static void write_view(struct push_views *v, const char *prefix, const char *user, struct view_write write)
{
    const struct store_port *store = v->worker->store;
    v->key.size = 0;
    text_add(&v->key, prefix);
    text_add(&v->key, user);
    write.key = written(&v->key);
    store->write_view(store->self, &write);
    v->worker->counts.views++;
}

static void write_facts(struct push_views *v, const struct facts *f, const char *user)
{
    enum { USER_FIELDS = NUMBERS + 4 };
    static const char *const names[USER_FIELDS] = {"events", "orders", "spent", "refunded", "gifted", "watch_ms", "first_ms", "last_ms",
                                              "segment", "value", "intent", "churn"};
    const struct standing *s = &f->standing;
    char texts[USER_FIELDS][24];
    struct slice fields[2 * USER_FIELDS];
    for (int i = 0; i < NUMBERS; i++)
        snprintf(texts[i], sizeof texts[i], "%lld", (long long)f->numbers[i]);
    snprintf(texts[NUMBERS], sizeof texts[0], s->segment < 0 ? "" : "s%d", s->segment);
    snprintf(texts[NUMBERS + 1], sizeof texts[0], "%s", s->published ? value_tier_names[s->value] : "");
    snprintf(texts[NUMBERS + 2], sizeof texts[0], s->intent < 0 ? "" : "%.4f", s->intent);
    snprintf(texts[NUMBERS + 3], sizeof texts[0], s->churn < 0 ? "" : "%.4f", s->churn);
    for (int i = 0; i < USER_FIELDS; i++) {
        fields[2 * i] = slice_of(names[i]);
        fields[2 * i + 1] = slice_of(texts[i]);
    }
    write_view(v, "user:", user, (struct view_write){.fields = fields, .field_count = 2 * USER_FIELDS, .same_fields = true});
}

static const char *key_of(struct push_views *v, struct view_mark *mark, struct slice user)
{
    if (!*mark->key)
        key_text_of(v, user, mark->key);
    return mark->key;
}

static void write_both(struct push_views *v, const struct facts *f, const struct writer *list, const char *key)
{
    write_view(v, "rec:", key, (struct view_write){.value = written(list), .removed = list->size == 0});
    write_facts(v, f, key);
}

static void write_first(struct push_views *v)
{
    struct waiting *w = entry_of(v, v->first++);
    v->bytes -= w->list.size;
    if (w->user.size) {
        char key[USER_KEY_TEXT + 1];
        key_text_of(v, name_slice(&w->user), key);
        write_both(v, &w->facts, &w->list, key);
    }
    w->user.size = 0;
    writer_fini(&w->list);
}

static void grow(struct push_views *v)
{
    size_t capacity = v->capacity ? v->capacity * 2 : 256;
    struct waiting *ring = calloc(capacity, sizeof *ring);
    ASSERT(ring);
    for (uint64_t n = v->first; n < v->next; n++)
        ring[n % capacity] = *entry_of(v, n);
    free(v->ring);
    v->ring = ring;
    v->capacity = capacity;
}

static struct waiting *begin_to_wait(struct push_views *v, struct view_mark *mark, struct slice user, int64_t now_ms)
{
    if (v->next - v->first == v->capacity)
        grow(v);
    mark->number = v->next++;
    mark->last_ms = now_ms + v->interval_ms;
    struct waiting *w = entry_of(v, mark->number);
    *w = (struct waiting){.due_ms = mark->last_ms, .user.size = (uint8_t)user.size};
    memcpy(w->user.at, user.at, user.size);
    return w;
}

static struct facts facts_of(const struct viewed *viewed)
{
    const struct profile *p = viewed->profile;
    return (struct facts){{(int64_t)p->events, p->orders, p->spent, p->refunded, p->gifted, (int64_t)p->dwell_ms, p->first_ms, p->last_ms},
                          *viewed->standing};
}

void push_views_put(struct push_views *v, struct view_mark *mark, const struct viewed *viewed, int64_t now_ms)
{
    struct facts facts = facts_of(viewed);
    struct waiting *w = mark->number >= v->first ? entry_of(v, mark->number) : NULL;
    if (viewed->user.size > SCENE_ID_BYTES)
        return;
    if (!w && now_ms - mark->last_ms >= v->interval_ms && !is_late(v)) {
        mark->last_ms = now_ms;
        recommendation_view(viewed->list, VIEW_BYTES_MAX, &v->value);
        write_both(v, &facts, &v->value, key_of(v, mark, viewed->user));
        return;
    }
    if (!w)
        w = begin_to_wait(v, mark, viewed->user, now_ms);
    w->facts = facts;
    v->bytes -= w->list.size;
    recommendation_view(viewed->list, VIEW_BYTES_MAX, &w->list);
    v->bytes += w->list.size;
    while (v->bytes > v->bytes_max && v->first < v->next)
        write_first(v);
}

#define HISTORY_HEAD_BYTES 128 /* of the view, and its end */
#define HISTORY_ITEM_BYTES 64  /* of an item, but its id */

/*
 * All at once, and their names after them, so that the waits for memory overlap. NULL: not in the catalog. Answers the first
 * of the newest that fit into a view.
 */
static uint32_t find_items(const struct push_views *v, const struct profile *profile, const struct catalog_item **out)
{
    for (uint32_t i = 0; i < profile->history_count; i++) {
        out[i] = catalog_item(v->worker->tables.catalog, profile->history[i].id);
        if (out[i])
            __builtin_prefetch(&out[i]->name);
    }
    for (uint32_t i = 0; i < profile->history_count; i++)
        if (out[i])
            __builtin_prefetch(out[i]->name.at);
    uint32_t first = profile->history_count, left = VIEW_BYTES_MAX - HISTORY_HEAD_BYTES;
    for (; first > 0; first--) {
        uint32_t bytes = out[first - 1] ? out[first - 1]->name.size + HISTORY_ITEM_BYTES : 0;
        if (bytes > left)
            break;
        left -= bytes;
    }
    return first;
}

/* Through one pointer into room reserved for the worst case. Ids need no escaping: the catalog takes only [A-Za-z0-9_.-]. */
static void write_items(const struct push_views *v, const struct profile *profile, struct writer *w)
{
    const struct catalog_item *items[PROFILE_HISTORY_MAX];
    uint32_t first = find_items(v, profile, items);
    writer_reserve(w, VIEW_BYTES_MAX);
    char *at = (char *)w->data + w->size, *begin = at;
    for (uint32_t i = first; i < profile->history_count; i++) {
        const struct history_entry *h = &profile->history[i];
        if (!items[i])
            continue;
        *at = ',';
        at += at != begin;
        at = stpcpy(at, "{\"id\":\"");
        memcpy(at, items[i]->name.at, items[i]->name.size);
        at = stpcpy(at + items[i]->name.size, "\",\"rating\":");
        at = stpcpy(text_put_int(at, h->rating), ",\"ts\":");
        at = text_put_int(at, h->touched_ms);
        *at++ = '}';
    }
    w->size += (size_t)(at - begin);
}

void push_views_history(struct push_views *v, struct view_mark *mark, const struct profile *profile, struct slice user, int64_t now_ms)
{
    struct writer *w = &v->value;
    if (now_ms - mark->last_ms < v->interval_ms)
        return;
    mark->last_ms = now_ms;
    w->size = 0;
    text_add(w, "{\"events\":");
    text_add_int(w, (int64_t)profile->events);
    text_add(w, ",\"dwell_ms\":");
    text_add_int(w, (int64_t)profile->dwell_ms);
    text_add(w, ",\"last_ms\":");
    text_add_int(w, profile->last_ms);
    text_add(w, ",\"items\":[");
    write_items(v, profile, w);
    text_add(w, "]}");
    write_view(v, "history:", key_of(v, mark, user), (struct view_write){.value = written(w)});
}

/* Of a user who is forgotten nothing may come back, also when the cell that knew of the entry is gone. */
void push_views_forget(struct push_views *v, struct slice user)
{
    for (uint64_t n = v->first; n < v->next; n++)
        if (slice_equal(name_slice(&entry_of(v, n)->user), user))
            entry_of(v, n)->user.size = 0;
    char key[USER_KEY_TEXT + 1];
    key_text_of(v, user, key);
    write_view(v, "rec:", key, (struct view_write){.removed = true});
    write_view(v, "user:", key, (struct view_write){.removed = true});
}

void push_views_turn(struct push_views *v, int64_t now_ms, bool all)
{
    while (v->first < v->next && (all || (entry_of(v, v->first)->due_ms <= now_ms && !is_late(v))))
        write_first(v);
}
