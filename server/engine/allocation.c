/*
 * One scene: entries in, decisions out. Forwarded entries are dropped when their owner's epoch is older than one seen,
 * when their source position has been folded, or when a tick is not later than the last; rollups when a later one of
 * the same entity was folded. A tick runs the concerns in a fixed order: rooms (silence, samples), scores, tiers,
 * controls, weights, alerts, host rankings, cards.
 */
#include "server/engine/allocation_state.h"

#include "common/check.h"

#include <stdlib.h>

struct scene *scene_create(struct slice name)
{
    struct scene *c = calloc(1, sizeof *c);
    ASSERT(c);
    c->name = name_of(name);
    return c;
}

void scene_destroy(struct scene *c)
{
    if (!c)
        return;
    table_fini(&c->rooms);
    table_fini(&c->hosts);
    table_fini(&c->items);
    free(c);
}

static struct position *position_find(const struct scene *c, enum source source, int32_t partition)
{
    for (uint32_t i = 0; i < c->position_count; i++)
        if (c->positions[i].source == source && c->positions[i].partition == partition)
            return (struct position *)&c->positions[i];
    return NULL;
}

static void position_set(struct scene *c, enum source source, const struct source_position *p)
{
    struct position *known = position_find(c, source, p->partition);
    if (known) {
        known->offset = p->offset;
        return;
    }
    if (c->position_count == POSITIONS_MAX)
        return;
    uint32_t at = c->position_count++;
    for (; at > 0; at--) {
        const struct position *before = &c->positions[at - 1];
        if (before->source < source || (before->source == source && before->partition < p->partition))
            break;
        c->positions[at] = *before;
    }
    c->positions[at] = (struct position){(uint8_t)source, p->partition, p->offset};
}

/* One catalog record (a host's) may touch several rooms: at an equal position each room takes it once. */
static bool room_is_old(const struct scene *c, const struct room_entry *e)
{
    const struct position *p = position_find(c, SOURCE_OF_CATALOG, e->position.partition);
    if (!p || e->position.offset > p->offset)
        return false;
    if (e->position.offset < p->offset)
        return true;
    const struct room *r = table_find(&c->rooms, entity_id_of(ENTITY_ROOM, e->room));
    return e->open && r && r->catalog_partition == e->position.partition && r->catalog_offset >= e->position.offset;
}

static enum scene_verdict apply_room(struct scene *c, const struct allocation_settings *s,
                                     const struct room_entry *e, struct scene_out *out)
{
    if (e->position.epoch < c->epoch)
        return SCENE_OLD_EPOCH;
    if (room_is_old(c, e))
        return SCENE_OLD_POSITION;
    c->epoch = e->position.epoch;
    position_set(c, SOURCE_OF_CATALOG, &e->position);
    return rooms_apply_entry(c, s, e, out);
}

static enum scene_verdict apply_control(struct scene *c, const struct allocation_settings *s,
                                        const struct control_entry *e, struct scene_out *out)
{
    if (e->position.epoch < c->epoch)
        return SCENE_OLD_EPOCH;
    const struct position *p = position_find(c, SOURCE_OF_CONTROL, e->position.partition);
    if (p && e->position.offset <= p->offset)
        return SCENE_OLD_POSITION;
    c->epoch = e->position.epoch;
    position_set(c, SOURCE_OF_CONTROL, &e->position);
    return control_apply(c, s, e, out);
}

static enum scene_verdict apply_tick(struct scene *c, const struct allocation_settings *s, const struct tick_entry *e,
                                     struct scene_out *out)
{
    if (e->epoch < c->epoch)
        return SCENE_OLD_EPOCH;
    if (e->tick_ms <= c->tick_ms)
        return SCENE_OLD_TICK;
    int64_t gap_ms = c->tick_ms ? e->tick_ms - c->tick_ms : 0;
    c->epoch = e->epoch;
    c->tick_ms = e->tick_ms;
    struct cohorts cohorts;
    scene_rooms_tick(c, s, gap_ms < s->tick_gap_ms ? gap_ms : s->tick_gap_ms, out);
    bool new_minute = c->tick_ms / 60000 != (c->tick_ms - gap_ms) / 60000;
    scoring_tick(c, s, &cohorts);
    if (new_minute)
        tiers_tick(c, s, out);
    control_tick(c, s, out);
    explore_tick(c, s, new_minute);
    weights_tick(c, s, out);
    alerts_tick(c, s, &cohorts, out);
    hosts_tick(c, s, out);
    roi_tick(c, s, out);
    cohorts_fini(&cohorts);
    return SCENE_APPLIED;
}

enum scene_verdict scene_apply(struct scene *c, const struct allocation_settings *s, const struct scene_entry *e,
                               struct scene_out *out)
{
    enum scene_verdict verdict = SCENE_NOT_LISTED;
    switch (e->type) {
    case SCENE_ROLLUP:
        verdict = rooms_apply_rollup(c, &e->rollup, out);
        break;
    case SCENE_ROOM:
        verdict = apply_room(c, s, &e->room, out);
        break;
    case SCENE_CONTROL:
        verdict = apply_control(c, s, &e->control, out);
        break;
    case SCENE_TICK:
        verdict = apply_tick(c, s, &e->tick, out);
        break;
    }
    out->tick_ms = c->tick_ms;
    return verdict;
}

size_t scene_bytes(const struct scene *c)
{
    size_t slot = sizeof(entity_id) + sizeof(void *);
    return sizeof *c + c->rooms.count * sizeof(struct room) + c->hosts.count * sizeof(struct host) +
           c->items.count * sizeof(struct item) +
           (c->rooms.capacity + c->hosts.capacity + c->items.capacity) * slot;
}

struct slice scene_name(const struct scene *c)
{
    return name_slice(&c->name);
}

int64_t scene_tick_ms(const struct scene *c)
{
    return c->tick_ms;
}

int64_t scene_epoch(const struct scene *c)
{
    return c->epoch;
}

int64_t scene_catalog_offset(const struct scene *c, int32_t partition)
{
    const struct position *p = position_find(c, SOURCE_OF_CATALOG, partition);
    return p ? p->offset : -1;
}

int64_t scene_control_offset(const struct scene *c, int32_t partition)
{
    const struct position *p = position_find(c, SOURCE_OF_CONTROL, partition);
    return p ? p->offset : -1;
}

uint32_t scene_rooms(const struct scene *c)
{
    return c->rooms.count;
}

struct slice scene_room(const struct scene *c, uint32_t index, bool *out_live, int32_t *out_weight_ppm)
{
    const struct room *r = room_at(c, index);
    *out_live = !r->retired;
    *out_weight_ppm = r->weight_ppm > 0 ? r->weight_ppm : 0;
    return name_slice(&r->name);
}
