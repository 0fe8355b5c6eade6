#include "server/engine/catalog.h"

#include "common/check.h"

#include <stdlib.h>

const char *const item_format_names[FORMATS] = {"course", "book", "lecture", "trial"};

struct interned {
    uint32_t size;
    uint32_t number;
    char at[];
};

struct catalog {
    struct catalog_limits limits;
    struct map rooms, items, hosts; /* entity id -> struct catalog_…; owned */
    struct catalog_room **open;     /* owned */
    uint32_t open_count, open_capacity;
    struct map numbers;             /* hash of text -> struct interned; owned */
    struct interned **texts;        /* owned; by number, from 1 */
    uint32_t text_count, text_capacity;
    struct catalog_item **numbered; /* owned; by number; items are owned by the map */
    uint32_t numbered_count, numbered_capacity;
    uint32_t *freed;                /* owned; numbers of items that left, oldest first, from freed_first on */
    uint32_t freed_first, freed_count, freed_capacity;
    uint64_t version, shape;
};

struct catalog *catalog_create(const struct catalog_limits *limits)
{
    struct catalog *c = calloc(1, sizeof *c);
    ASSERT(c);
    c->limits = *limits;
    return c;
}

void catalog_destroy(struct catalog *c)
{
    if (!c)
        return;
    map_free(&c->rooms);
    map_free(&c->items);
    map_free(&c->hosts);
    map_free(&c->numbers);
    free(c->texts);
    free(c->open);
    free(c->numbered);
    free(c->freed);
    free(c);
}

static uint64_t text_hash(struct slice text)
{
    return hash64(text.at, text.size, 11) | 1;
}

uint32_t catalog_number(const struct catalog *c, struct slice text)
{
    const struct interned *n = text.size ? map_find(&c->numbers, text_hash(text)) : NULL;
    return n ? n->number : 0;
}

struct slice catalog_text(const struct catalog *c, uint32_t number)
{
    if (number == 0 || number > c->text_count)
        return (struct slice){"", 0};
    return (struct slice){c->texts[number - 1]->at, c->texts[number - 1]->size};
}

/* 0 for empty text; *full when the limit is reached. */
static uint32_t intern(struct catalog *c, struct slice text, bool *full)
{
    uint32_t known = catalog_number(c, text);
    if (known || text.size == 0)
        return known;
    if (c->text_count == c->limits.names_max) {
        *full = true;
        return 0;
    }
    if (c->text_count == c->text_capacity) {
        c->text_capacity = c->text_capacity ? c->text_capacity * 2 : 256;
        c->texts = realloc(c->texts, c->text_capacity * sizeof(struct interned *));
        ASSERT(c->texts);
    }
    struct interned *n = malloc(sizeof *n + text.size);
    ASSERT(n);
    n->size = text.size;
    n->number = c->text_count + 1;
    memcpy(n->at, text.at, text.size);
    c->texts[c->text_count++] = n;
    map_put(&c->numbers, text_hash(text), n);
    return n->number;
}

static uint32_t intern_list(struct catalog *c, const struct tag_list *list, uint32_t out[SCENE_TAGS_MAX], bool *full)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        uint32_t number = intern(c, list->at[i], full), at = count;
        for (; at > 0 && out[at - 1] > number; at--)
            out[at] = out[at - 1];
        if (number == 0 || (at > 0 && out[at - 1] == number)) { /* a repeat: close the gap again */
            memmove(out + at, out + at + 1, (count - at) * sizeof *out);
            continue;
        }
        out[at] = number;
        count++;
    }
    return count;
}

static struct map *map_of(struct catalog *c, enum entity_kind kind)
{
    return kind == ENTITY_ROOM ? &c->rooms : kind == ENTITY_ITEM ? &c->items : &c->hosts;
}

static void close_room(struct catalog *c, struct catalog_room *r)
{
    if (!r->open)
        return;
    c->open[r->open_at] = c->open[--c->open_count];
    c->open[r->open_at]->open_at = r->open_at;
    r->open = false;
}

static void open_room(struct catalog *c, struct catalog_room *r)
{
    if (c->open_count == c->open_capacity) {
        c->open_capacity = c->open_capacity ? c->open_capacity * 2 : 64;
        c->open = realloc(c->open, c->open_capacity * sizeof(struct catalog_room *));
        ASSERT(c->open);
    }
    r->open = true;
    r->open_at = c->open_count;
    c->open[c->open_count++] = r;
}

static void *grown(void *list, uint32_t *capacity, uint32_t count, size_t size)
{
    if (count < *capacity)
        return list;
    *capacity = *capacity ? *capacity * 2 : 256;
    list = realloc(list, *capacity * size);
    ASSERT(list);
    return list;
}

/* Lists that were read a while ago name items by number: so a number that became free waits as long as possible. */
static uint32_t take_number(struct catalog *c)
{
    if (c->numbered_count == 0)
        c->numbered_count = 1; /* 0 is no item */
    if (c->numbered_count > c->limits.items_max && c->freed_first < c->freed_count)
        return c->freed[c->freed_first++];
    c->numbered = grown(c->numbered, &c->numbered_capacity, c->numbered_count, sizeof(struct catalog_item *));
    return c->numbered_count++;
}

static void free_number(struct catalog *c, uint32_t number)
{
    if (c->freed_first > 0 && c->freed_first * 2 >= c->freed_count) { /* what was taken again leaves */
        c->freed_count -= c->freed_first;
        memmove(c->freed, c->freed + c->freed_first, c->freed_count * sizeof *c->freed);
        c->freed_first = 0;
    }
    c->freed = grown(c->freed, &c->freed_capacity, c->freed_count, sizeof *c->freed);
    c->freed[c->freed_count++] = number;
    c->numbered[number] = NULL;
}

void catalog_remove(struct catalog *c, enum entity_kind kind, struct slice name)
{
    entity_id id = entity_id_of(kind, name);
    if (kind == ENTITY_ROOM) {
        struct catalog_room *r = map_find(&c->rooms, id);
        if (r)
            close_room(c, r);
    }
    const struct catalog_item *it = kind == ENTITY_ITEM ? map_find(&c->items, id) : NULL;
    if (it)
        free_number(c, it->number);
    free(map_remove(map_of(c, kind), id));
    c->version++;
    c->shape += kind != ENTITY_HOST;
}

/* The text of a draft behind its struct, in one allocation. */
struct packing {
    char *at;
};

static struct slice pack(struct packing *p, struct slice text)
{
    struct slice out = {p->at, text.size};
    if (text.size)
        memcpy(p->at, text.at, text.size);
    p->at += text.size;
    return out;
}

static size_t list_size(const struct slice *at, uint32_t count)
{
    size_t size = 0;
    for (uint32_t i = 0; i < count; i++)
        size += at[i].size;
    return size;
}

static void pack_list(struct packing *p, struct slice *at, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        at[i] = pack(p, at[i]);
}

/* What forbids taking `name` as a new entry of this kind. */
static enum catalog_answer room_for(struct catalog *c, enum entity_kind kind, struct slice name, struct slice known, uint32_t max)
{
    if (known.size)
        return slice_equal(known, name) ? CATALOG_TAKEN : CATALOG_COLLISION;
    return map_of(c, kind)->count >= max ? CATALOG_FULL : CATALOG_TAKEN;
}

static void replace(struct catalog *c, enum entity_kind kind, entity_id id, void *entry)
{
    free(map_remove(map_of(c, kind), id));
    map_put(map_of(c, kind), id, entry);
    c->version++;
}

/* Whether only what is on show, or words for people, changed. */
static bool is_same_place(const struct catalog_room *a, const struct catalog_room *b, bool open)
{
    return a && a->open == open && a->host == b->host && a->category == b->category && a->scene_count == b->scene_count &&
           memcmp(a->scenes, b->scenes, a->scene_count * sizeof *a->scenes) == 0 && a->draft.item_count == b->draft.item_count &&
           memcmp(a->items, b->items, a->draft.item_count * sizeof *a->items) == 0;
}

enum catalog_answer catalog_put_room(struct catalog *c, struct slice name, const struct room_draft *d, int64_t record_ms)
{
    entity_id id = entity_id_of(ENTITY_ROOM, name);
    struct catalog_room *known = map_find(&c->rooms, id);
    enum catalog_answer answer = room_for(c, ENTITY_ROOM, name, known ? known->name : (struct slice){0}, c->limits.rooms_max);
    bool full = false;
    if (answer != CATALOG_TAKEN)
        return answer;
    size_t size = name.size + d->host.size + list_size(d->scenes, d->scene_count) + d->category.size +
                  list_size(d->tags.at, d->tags.count) + list_size(d->items, d->item_count) + d->explaining.size;
    struct catalog_room *r = calloc(1, sizeof *r + size);
    ASSERT(r);
    struct packing p = {(char *)(r + 1)};
    r->id = id;
    r->name = pack(&p, name);
    r->draft = *d;
    r->draft.host = pack(&p, d->host);
    pack_list(&p, r->draft.scenes, d->scene_count);
    r->draft.category = pack(&p, d->category);
    pack_list(&p, r->draft.tags.at, d->tags.count);
    pack_list(&p, r->draft.items, d->item_count);
    r->draft.explaining = pack(&p, d->explaining);
    r->host = entity_id_of(ENTITY_HOST, d->host);
    r->category = intern(c, d->category, &full);
    r->tag_count = intern_list(c, &d->tags, r->tags, &full);
    r->scene_count = d->scene_count;
    for (uint32_t i = 0; i < d->scene_count; i++)
        r->scenes[i] = intern(c, d->scenes[i], &full);
    for (uint32_t i = 0; i < d->item_count; i++)
        r->items[i] = entity_id_of(ENTITY_ITEM, d->items[i]);
    r->explaining = d->explaining.size ? entity_id_of(ENTITY_ITEM, d->explaining) : 0;
    r->record_ms = known && known->open && d->open ? known->record_ms : record_ms;
    if (full) {
        free(r);
        return CATALOG_NAMES_FULL;
    }
    c->shape += !is_same_place(known, r, d->open);
    if (known)
        close_room(c, known);
    replace(c, ENTITY_ROOM, id, r);
    if (d->open)
        open_room(c, r);
    return CATALOG_TAKEN;
}

/* To 8 bits a dimension, after scaling to unit length. */
static void quantize(const struct item_draft *d, struct catalog_item *it, int8_t *out)
{
    double sum = 0, most = 0;
    for (uint32_t i = 0; i < d->dims; i++) {
        double value = d->embedding[i] < 0 ? -(double)d->embedding[i] : (double)d->embedding[i];
        sum += value * value;
        most = value > most ? value : most;
    }
    if (most <= 0)
        return;
    for (uint32_t i = 0; i < d->dims; i++) {
        double scaled = (double)d->embedding[i] / most * 127;
        out[i] = (int8_t)(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    }
    it->dims = (uint16_t)d->dims;
    it->scale = (float)(most / 127 / __builtin_sqrt(sum));
    it->embedding = out;
}

enum catalog_answer catalog_put_item(struct catalog *c, struct slice name, const struct item_draft *d)
{
    entity_id id = entity_id_of(ENTITY_ITEM, name);
    const struct catalog_item *known = map_find(&c->items, id);
    enum catalog_answer answer = room_for(c, ENTITY_ITEM, name, known ? known->name : (struct slice){0}, c->limits.items_max);
    bool full = false;
    if (answer != CATALOG_TAKEN)
        return answer;
    struct catalog_item *it = calloc(1, sizeof *it + name.size + d->dims);
    ASSERT(it);
    struct packing p = {(char *)(it + 1)};
    it->id = id;
    it->name = pack(&p, name);
    it->category = intern(c, d->category, &full);
    it->tag_count = intern_list(c, &d->tags, it->tags, &full);
    it->format = d->format;
    it->price = d->price;
    it->currency = intern(c, d->currency, &full);
    it->level = d->level;
    it->series = intern(c, d->series, &full);
    it->requires_count = d->requires_count;
    for (uint32_t i = 0; i < d->requires_count; i++)
        it->requires[i] = entity_id_of(ENTITY_ITEM, d->requires[i]);
    it->restricted = d->restricted;
    quantize(d, it, (int8_t *)p.at);
    if (full) {
        free(it);
        return CATALOG_NAMES_FULL;
    }
    it->number = known ? known->number : take_number(c);
    c->numbered[it->number] = it;
    c->shape++;
    replace(c, ENTITY_ITEM, id, it);
    return CATALOG_TAKEN;
}

enum catalog_answer catalog_put_host(struct catalog *c, struct slice name, const struct host_draft *d)
{
    entity_id id = entity_id_of(ENTITY_HOST, name);
    const struct catalog_host *known = map_find(&c->hosts, id);
    enum catalog_answer answer = room_for(c, ENTITY_HOST, name, known ? known->name : (struct slice){0}, c->limits.hosts_max);
    bool full = false;
    if (answer != CATALOG_TAKEN)
        return answer;
    size_t size = name.size + list_size(d->domains.at, d->domains.count) + list_size(d->style.at, d->style.count);
    struct catalog_host *h = calloc(1, sizeof *h + size);
    ASSERT(h);
    struct packing p = {(char *)(h + 1)};
    h->id = id;
    h->name = pack(&p, name);
    h->domains = d->domains;
    h->style = d->style;
    pack_list(&p, h->domains.at, h->domains.count);
    pack_list(&p, h->style.at, h->style.count);
    h->tag_count = intern_list(c, &d->domains, h->tags, &full);
    h->fans = d->fans;
    h->commission_bp = d->commission_bp;
    h->bonus = d->bonus;
    if (full) {
        free(h);
        return CATALOG_NAMES_FULL;
    }
    replace(c, ENTITY_HOST, id, h);
    return CATALOG_TAKEN;
}

const struct catalog_room *catalog_room(const struct catalog *c, entity_id id)
{
    return map_find(&c->rooms, id);
}

const struct catalog_item *catalog_item(const struct catalog *c, entity_id id)
{
    return map_find(&c->items, id);
}

const struct catalog_host *catalog_host(const struct catalog *c, entity_id id)
{
    return map_find(&c->hosts, id);
}

uint32_t catalog_open_count(const struct catalog *c)
{
    return c->open_count;
}

bool catalog_room_in(const struct catalog_room *r, uint32_t scene)
{
    for (uint32_t i = 0; i < r->scene_count; i++)
        if (r->scenes[i] == scene)
            return true;
    return false;
}

const struct catalog_room *catalog_open(const struct catalog *c, uint32_t i)
{
    return c->open[i];
}

uint64_t catalog_version(const struct catalog *c)
{
    return c->version;
}

uint64_t catalog_shape(const struct catalog *c)
{
    return c->shape;
}

const struct catalog_item *catalog_numbered(const struct catalog *c, uint32_t number)
{
    return number && number < c->numbered_count ? c->numbered[number] : NULL;
}

uint32_t catalog_number_bound(const struct catalog *c)
{
    return c->numbered_count ? c->numbered_count : 1;
}

uint32_t catalog_text_bound(const struct catalog *c)
{
    return c->text_count + 1;
}
