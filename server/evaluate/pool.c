#include "server/evaluate/pool.h"

#include "common/check.h"
#include "common/map.h"
#include "server/engine/profile.h"

#include <stdio.h>
#include <stdlib.h>

struct entity {
    entity_id id;
    char name[16];
    struct counters *counters; /* owned */
    bool changed;
};

struct pool {
    struct stream_settings settings;
    struct scene *scene;
    struct scene_out out;
    struct map profiles;       /* user + 1 -> struct profile; owned */
    struct map entity_of;      /* id -> place + 1 */
    struct entity *entities;   /* owned */
    uint32_t entity_count, entity_capacity;
    struct effect_list effects;
    uint64_t events;
    int64_t offset;
};

struct pool *pool_create(const struct stream_settings *s)
{
    struct pool *p = calloc(1, sizeof *p);
    ASSERT(p);
    p->settings = *s;
    p->scene = scene_create(slice_of("home"));
    return p;
}

void pool_destroy(struct pool *p)
{
    size_t at = 0;
    struct map_slot slot;
    while (map_next(&p->profiles, &at, &slot))
        profile_destroy(slot.value);
    for (uint32_t i = 0; i < p->entity_count; i++)
        counters_destroy(p->entities[i].counters);
    free(p->entities);
    map_fini(&p->profiles);
    map_fini(&p->entity_of);
    effect_list_fini(&p->effects);
    scene_out_fini(&p->out);
    scene_destroy(p->scene);
    free(p);
}

static struct entity *entity_of(struct pool *p, entity_id id, struct slice name)
{
    uintptr_t number = (uintptr_t)map_find(&p->entity_of, id);
    if (number)
        return &p->entities[number - 1];
    if (p->entity_count == p->entity_capacity) {
        p->entity_capacity = p->entity_capacity ? p->entity_capacity * 2 : 256;
        p->entities = realloc(p->entities, p->entity_capacity * sizeof *p->entities);
        ASSERT(p->entities);
    }
    struct entity *e = &p->entities[p->entity_count++];
    *e = (struct entity){.id = id, .counters = counters_create()};
    snprintf(e->name, sizeof e->name, "%.*s", (int)name.size, name.at);
    map_put(&p->entity_of, id, (void *)(uintptr_t)p->entity_count);
    return e;
}

void pool_open(struct pool *p, uint32_t place, int64_t now_ms)
{
    char room[16], host[16];
    struct scene_entry e = {.type = SCENE_ROOM};
    snprintf(room, sizeof room, "r%u", place);
    snprintf(host, sizeof host, "h%u", place);
    e.room = (struct room_entry){.position = {1, 0, ++p->offset}, .open = true, .record_ms = now_ms, .room = slice_of(room),
                                 .host = slice_of(host), .item_count = 1};
    e.room.items[0].name = slice_of("goods");
    ASSERT(scene_apply(p->scene, &p->settings.allocation, &e, &p->out) == SCENE_APPLIED);
}

void pool_event(struct pool *p, uint32_t user, const char *type, uint32_t place, int64_t ts_ms, const char *fields)
{
    static struct event_scratch scratch;
    char text[400], name[16];
    struct event e;
    int size = snprintf(text, sizeof text, "{\"v\":1,\"id\":\"%llx\",\"ts\":%lld,\"type\":\"%s\",\"user\":\"u%u\",\"room\":\"r%u\",\"host\":\"h%u\",\"scene\":\"home\"%s}",
                        (unsigned long long)p->events++, (long long)ts_ms, type, user, place, place, fields);
    snprintf(name, sizeof name, "u%u", user);
    ASSERT(event_decode(&p->settings.rules, slice_of(name), (struct slice){text, (uint32_t)size}, &scratch, &e) == EVENT_ACCEPTED);
    struct profile *profile = map_find(&p->profiles, user + 1ull);
    if (!profile) {
        profile = profile_create();
        map_put(&p->profiles, user + 1ull, profile);
    }
    effect_list_clear(&p->effects);
    if (profile_apply(profile, &p->settings.profile, &e, ts_ms, &p->effects) != PROFILE_APPLIED)
        return;
    for (uint32_t i = 0; i < p->effects.count_count; i++) {
        const struct count_effect *c = &p->effects.counts[i];
        struct entity *entity = entity_of(p, c->target, c->name);
        entity->changed = true;
        counters_add_count(entity->counters, &p->settings.entity, c, ts_ms);
    }
}

static void roll_up(struct pool *p, const struct entity *e)
{
    struct scene_entry entry = {.type = SCENE_ROLLUP};
    entry.rollup = (struct rollup){.name = slice_of(e->name), .id = e->id, .offset = ++p->offset, .last_ms = counters_last_ms(e->counters)};
    for (int i = 0; i < counters_scenes(e->counters); i++) {
        entry.rollup.scene = counters_scene(e->counters, i, entry.rollup.totals);
        if (entity_kind_of(e->id) == ENTITY_HOST)
            counters_from(e->counters, i, SOURCE_RECOMMENDATION, entry.rollup.recommended);
        if (entry.rollup.scene.size)
            scene_apply(p->scene, &p->settings.allocation, &entry, &p->out);
    }
}

const struct scene_out *pool_tick(struct pool *p, int64_t now_ms)
{
    scene_out_clear(&p->out);
    for (uint32_t i = 0; i < p->entity_count; i++) {
        if (p->entities[i].changed)
            roll_up(p, &p->entities[i]);
        p->entities[i].changed = false;
    }
    scene_out_clear(&p->out);
    struct scene_entry tick = {.type = SCENE_TICK, .tick = {1, now_ms}};
    ASSERT(scene_apply(p->scene, &p->settings.allocation, &tick, &p->out) == SCENE_APPLIED);
    return &p->out;
}

uint32_t pool_place(const struct name *name)
{
    return (uint32_t)strtoul(name->at + 1, NULL, 10);
}
