/*
 * The shelf: what is live, and what it is worth to everybody. Built from the catalog when its shape changed, at most every
 * half second (longer with more rooms, so that building costs a bounded share of the time), valued once a second. It holds
 * ids and numbers, never pointers into the catalog: those move with every record.
 */
#include "server/engine/recommend_internal.h"

#include "common/check.h"

#include <math.h>
#include <stdlib.h>

#define BUILD_MS 500
#define ROOMS_A_MS 5 /* more than 2,500 rooms: a millisecond between two builds for so many */
#define VALUE_MS 1000

static void *array_of(size_t count, size_t size)
{
    void *at = calloc(count + 1, size);
    ASSERT(at);
    return at;
}

static void lists_fini(struct lists *l)
{
    free(l->from);
    free(l->at);
    *l = (struct lists){0};
}

/* Two passes: first every list_count(), then lists_begin(), then every list_add(). */
static void lists_init(struct lists *l, uint32_t keys)
{
    lists_fini(l);
    l->keys = keys;
    l->from = array_of(keys + 2, sizeof *l->from);
}

static void list_count(struct lists *l, uint32_t key)
{
    l->from[key + 2]++;
}

/* from[key + 1] is where the next of the key goes, and ends as where it ends. */
static void lists_begin(struct lists *l)
{
    for (uint32_t k = 0; k < l->keys; k++)
        l->from[k + 2] += l->from[k + 1];
    l->at = array_of(l->from[l->keys + 1], sizeof *l->at);
}

static void list_add(struct lists *l, uint32_t key, uint32_t value)
{
    l->at[l->from[key + 1]++] = value;
}

void shelf_fini(struct shelf *s)
{
    lists_fini(&s->rooms_of_item);
    lists_fini(&s->items_of_room);
    lists_fini(&s->rooms_of_host);
    lists_fini(&s->items_of_tag);
    lists_fini(&s->rooms_of_scene);
    map_fini(&s->room_numbers);
    map_fini(&s->host_numbers);
    map_fini(&s->group_numbers);
    free(s->items);
    free(s->offered);
    free(s->rooms);
    free(s->hosts);
    free(s->groups);
    *s = (struct shelf){0};
}

static uint32_t host_number(struct shelf *s, entity_id id)
{
    uintptr_t number = (uintptr_t)map_find(&s->host_numbers, id);
    if (number)
        return (uint32_t)number - 1;
    s->hosts[s->host_count].id = id;
    map_put(&s->host_numbers, id, (void *)(uintptr_t)(s->host_count + 1));
    return s->host_count++;
}

static uint32_t group_number(struct shelf *s, uint32_t category)
{
    uintptr_t number = (uintptr_t)map_find(&s->group_numbers, category);
    if (number)
        return (uint32_t)number - 1;
    map_put(&s->group_numbers, category, (void *)(uintptr_t)(s->group_count + 1));
    return s->group_count++;
}

static void add_room(struct shelf *s, const struct catalog_room *room)
{
    struct shelf_room *to = &s->rooms[s->room_count];
    *to = (struct shelf_room){.id = room->id, .host = host_number(s, room->host), .category = room->category,
                              .group = group_number(s, room->category), .scene_count = room->scene_count};
    memcpy(to->scenes, room->scenes, sizeof to->scenes);
    map_put(&s->room_numbers, room->id, (void *)(uintptr_t)(s->room_count + 1));
    s->room_count++;
}

/* Calls back with every item on offer in a room. */
static void each_offer(const struct recommender *r, void (*visit)(struct shelf *s, uint32_t room, uint32_t item), struct shelf *s)
{
    for (uint32_t i = 0; i < s->room_count; i++) {
        const struct catalog_room *room = catalog_room(r->catalog, s->rooms[i].id);
        for (uint32_t k = 0; k < room->draft.item_count; k++) {
            const struct catalog_item *it = catalog_item(r->catalog, room->items[k]);
            if (it && !it->restricted)
                visit(s, i, it->number);
        }
    }
}

static void count_offer(struct shelf *s, uint32_t room, uint32_t item)
{
    list_count(&s->rooms_of_item, item);
    list_count(&s->items_of_room, room);
}

static void add_offer(struct shelf *s, uint32_t room, uint32_t item)
{
    list_add(&s->rooms_of_item, item, room);
    list_add(&s->items_of_room, room, item);
}

static void link_rooms(struct recommender *r)
{
    struct shelf *s = &r->shelf;
    lists_init(&s->rooms_of_item, s->item_bound);
    lists_init(&s->items_of_room, s->room_count);
    lists_init(&s->rooms_of_host, s->host_count);
    lists_init(&s->rooms_of_scene, catalog_text_bound(r->catalog));
    each_offer(r, count_offer, s);
    for (uint32_t i = 0; i < s->room_count; i++) {
        list_count(&s->rooms_of_host, s->rooms[i].host);
        for (uint32_t k = 0; k < s->rooms[i].scene_count; k++)
            list_count(&s->rooms_of_scene, s->rooms[i].scenes[k]);
    }
    lists_begin(&s->rooms_of_item);
    lists_begin(&s->items_of_room);
    lists_begin(&s->rooms_of_host);
    lists_begin(&s->rooms_of_scene);
    each_offer(r, add_offer, s);
    for (uint32_t i = 0; i < s->room_count; i++) {
        list_add(&s->rooms_of_host, s->rooms[i].host, i);
        for (uint32_t k = 0; k < s->rooms[i].scene_count; k++)
            list_add(&s->rooms_of_scene, s->rooms[i].scenes[k], i);
    }
}

static void link_items(struct recommender *r)
{
    struct shelf *s = &r->shelf;
    s->offered = array_of(s->item_bound, sizeof *s->offered);
    lists_init(&s->items_of_tag, catalog_text_bound(r->catalog));
    for (uint32_t n = 0; n < s->item_bound; n++) {
        const struct catalog_item *it = catalog_numbered(r->catalog, n);
        s->items[n].from = s->rooms_of_item.from[n];
        s->items[n].count = s->rooms_of_item.from[n + 1] - s->items[n].from;
        if (!s->items[n].count)
            continue;
        s->offered[s->offered_count++] = n;
        s->items[n].scale = it->tag_count ? 1 / sqrtf((float)it->tag_count) : 0;
        for (uint32_t t = 0; t < it->tag_count; t++)
            list_count(&s->items_of_tag, it->tags[t]);
    }
    lists_begin(&s->items_of_tag);
    for (uint32_t i = 0; i < s->offered_count; i++) {
        const struct catalog_item *it = catalog_numbered(r->catalog, s->offered[i]);
        for (uint32_t t = 0; t < it->tag_count; t++)
            list_add(&s->items_of_tag, it->tags[t], s->offered[i]);
    }
    for (uint32_t i = 0; i < s->room_count; i++) {
        s->rooms[i].from = s->items_of_room.from[i];
        s->rooms[i].count = s->items_of_room.from[i + 1] - s->rooms[i].from;
    }
}

/* What the slots hold of the shelf before is void. */
static void clear_bases(struct recommender *r)
{
    for (uint32_t n = 0; n < r->item_bound; n++)
        r->slots[n].base = 0;
}

static void build(struct recommender *r, int64_t now_ms)
{
    struct shelf *s = &r->shelf;
    uint32_t open = catalog_open_count(r->catalog);
    shelf_fini(s);
    clear_bases(r);
    s->built = true;
    s->shape = catalog_shape(r->catalog);
    s->built_ms = now_ms;
    s->item_bound = catalog_number_bound(r->catalog);
    s->items = array_of(s->item_bound, sizeof *s->items);
    s->rooms = array_of(open, sizeof *s->rooms);
    s->hosts = array_of(open, sizeof *s->hosts);
    s->groups = array_of(open, sizeof *s->groups);
    for (uint32_t i = 0; i < open; i++)
        add_room(s, catalog_open(r->catalog, i));
    link_rooms(r);
    link_items(r);
}

static float popular_of(const struct recommender *r, const struct funnel *f, float lift)
{
    float taken = f && r->taken_most > 0 ? (float)(f->taken / r->taken_most) : 0;
    return squash(lift) * 0.5f + taken * 0.5f;
}

float shelf_popular(const struct recommender *r, const struct catalog_item *it, int64_t now_ms)
{
    const struct funnel *f = funnel_find(r, it->id);
    return popular_of(r, f, funnel_lift(r, f, now_ms));
}

static void value_items(struct recommender *r, int64_t now_ms)
{
    struct shelf *s = &r->shelf;
    for (uint32_t i = 0; i < s->offered_count; i++) {
        struct shelf_item *item = &s->items[s->offered[i]];
        const struct catalog_item *it = catalog_numbered(r->catalog, s->offered[i]);
        if (!it)
            continue; /* gone since the shelf was built */
        const struct funnel *f = funnel_find(r, it->id);
        float lift = funnel_lift(r, f, now_ms);
        item->cube = (float)cbrt(lift);
        item->popular = popular_of(r, f, lift);
        r->slots[s->offered[i]].base = item->popular * r->weights[REASON_POPULAR];
    }
}

static void value_room(struct recommender *r, struct shelf_room *room, int64_t now_ms)
{
    const struct shelf *s = &r->shelf;
    const float *w = r->weights;
    const struct funnel *f = funnel_find(r, room->id);
    double fade = f ? funnel_fade(r, f, now_ms) : 0;
    float lift = funnel_lift(r, f, now_ms) * funnel_lift(r, funnel_find(r, s->hosts[room->host].id), now_ms), best = 0;
    float trending = f ? squash((float)(50 * f->looks * fade / (r->all.looks + 100))) : 0;
    float explore = f ? (float)(1 / (1 + f->exposures * fade / 50)) : 1;
    room->cube = (float)cbrt(lift);
    room->trending = part_of(r, REASON_TRENDING, trending);
    room->explore = part_of(r, REASON_EXPLORE, explore);
    room->base = squash(room->cube * room->cube) * w[REASON_POPULAR] + trending * w[REASON_TRENDING] + explore * w[REASON_EXPLORE];
    room->best = 0;
    for (uint32_t i = 0; i < room->count; i++) {
        uint32_t item = s->items_of_room.at[room->from + i];
        if (r->slots[item].base <= best)
            continue;
        best = r->slots[item].base;
        room->best = item;
    }
    room->total = room->base + best;
}

/* Brings the best `max` of a list to its front, in order. */
static void bring_best(uint32_t *list, uint32_t count, uint32_t max, const float *value, size_t stride)
{
    const char *at = (const char *)value;
    for (uint32_t i = 1; i < count; i++) {
        uint32_t one = list[i], to = i < max ? i : max;
        float v = *(const float *)(at + one * stride);
        if (i >= max) {
            if (v <= *(const float *)(at + list[max - 1] * stride))
                continue;
            list[i] = list[max - 1];
            to = max - 1;
        }
        for (; to > 0 && *(const float *)(at + list[to - 1] * stride) < v; to--)
            list[to] = list[to - 1];
        list[to] = one;
    }
}

static void bring_lists(struct lists *l, uint32_t max, const float *value, size_t stride)
{
    for (uint32_t k = 0; k < l->keys; k++)
        bring_best(l->at + l->from[k], l->from[k + 1] - l->from[k], max, value, stride);
}

static void value(struct recommender *r, int64_t now_ms)
{
    struct shelf *s = &r->shelf;
    s->valued_ms = now_ms;
    value_items(r, now_ms);
    for (uint32_t h = 0; h < s->host_count; h++)
        s->hosts[h].popular = part_of(r, REASON_POPULAR, squash(funnel_lift(r, funnel_find(r, s->hosts[h].id), now_ms)));
    for (uint32_t i = 0; i < s->room_count; i++)
        value_room(r, &s->rooms[i], now_ms);
    bring_lists(&s->items_of_tag, TAG_ITEMS, &r->slots[0].base, sizeof *r->slots);
    bring_lists(&s->rooms_of_scene, TOP_ROOMS, &s->rooms[0].total, sizeof *s->rooms);
    bring_best(s->offered, s->offered_count, TOP_ITEMS, &r->slots[0].base, sizeof *r->slots);
    s->top_count = s->offered_count < TOP_ITEMS ? s->offered_count : TOP_ITEMS;
    memcpy(s->top, s->offered, s->top_count * sizeof *s->top);
}

static bool is_over(int64_t since_ms, int64_t now_ms, int64_t interval_ms)
{
    return now_ms - since_ms >= interval_ms || now_ms < since_ms;
}

void shelf_refresh(struct recommender *r, int64_t now_ms)
{
    struct shelf *s = &r->shelf;
    int64_t interval_ms = s->room_count / ROOMS_A_MS > BUILD_MS ? s->room_count / ROOMS_A_MS : BUILD_MS;
    bool old = s->shape != catalog_shape(r->catalog) && is_over(s->built_ms, now_ms, interval_ms);
    if (!s->built || old)
        build(r, now_ms);
    else if (!is_over(s->valued_ms, now_ms, VALUE_MS))
        return;
    value(r, now_ms);
}

void shelf_look(struct recommender *r, struct shelf_room *room)
{
    uint64_t version = catalog_version(r->catalog);
    if (room->seen == version)
        return;
    const struct catalog_room *entry = catalog_room(r->catalog, room->id);
    const struct catalog_item *shown = entry && entry->explaining ? catalog_item(r->catalog, entry->explaining) : NULL;
    room->seen = version;
    room->room = entry && entry->open ? entry : NULL;
    room->shown = shown && shown->number < r->item_bound ? shown->number : 0;
}
