/*
 * The table of rooms, and the hosts and items they name.
 *
 * A room is live from its opening entry until it is closed (forgotten at once) or silent: no rollup for silent_ms of
 * tick time retires it; a later rollup revives it, and after retired_ms it is forgotten. Hosts and items enter with
 * a room that names them and stay, for their results, until their table is full; then the one longest without a room
 * makes place. Rollups of entities that stand in no table are dropped: the next one is absolute again.
 */
#include "server/engine/allocation_state.h"

#include "common/check.h"
#include "common/mutant.h"

#include <stdlib.h>

static void *allocate(size_t size)
{
    void *p = calloc(1, size);
    ASSERT(p);
    return p;
}

static struct tags tags_of(const struct tag_list *list)
{
    struct tags t = {0};
    for (uint32_t i = 0; i < list->count && i < SCENE_TAGS_MAX; i++)
        t.at[t.count++] = tag_of(list->at[i]);
    return t;
}

/* Makes place in a full table of hosts or items; false when all are in use. */
static bool evict_host(struct scene *c)
{
    struct host *oldest = NULL;
    for (uint32_t i = 0; i < c->hosts.count; i++) {
        struct host *h = c->hosts.at[i];
        if (h->refs == 0 && (!oldest || h->idle_ms < oldest->idle_ms))
            oldest = h;
    }
    if (oldest)
        free(table_remove(&c->hosts, oldest->id));
    return oldest;
}

static bool evict_item(struct scene *c)
{
    struct item *oldest = NULL;
    for (uint32_t i = 0; i < c->items.count; i++) {
        struct item *it = c->items.at[i];
        if (it->refs == 0 && (!oldest || it->idle_ms < oldest->idle_ms))
            oldest = it;
    }
    if (oldest)
        free(table_remove(&c->items, oldest->id));
    return oldest;
}

static struct host *host_take(struct scene *c, const struct allocation_settings *s, struct slice name)
{
    entity_id id = entity_id_of(ENTITY_HOST, name);
    struct host *h = table_find(&c->hosts, id);
    if (h || (c->hosts.count >= s->hosts_max && !evict_host(c)))
        return h;
    h = allocate(sizeof *h);
    h->id = id;
    h->name = name_of(name);
    h->tally.offset = -1;
    table_add(&c->hosts, id, h);
    return h;
}

static struct item *item_take(struct scene *c, const struct allocation_settings *s, struct slice name,
                              int32_t commission_bp)
{
    entity_id id = entity_id_of(ENTITY_ITEM, name);
    struct item *it = table_find(&c->items, id);
    if (it || (c->items.count >= s->items_max && !evict_item(c)))
        return it;
    it = allocate(sizeof *it);
    it->id = id;
    it->name = name_of(name);
    it->tally.offset = -1;
    it->commission_bp = commission_bp;
    table_add(&c->items, id, it);
    return it;
}

static void unlink_room(struct scene *c, struct room *r)
{
    struct host *h = table_find(&c->hosts, r->host);
    if (h && --h->refs == 0)
        h->idle_ms = c->tick_ms;
    for (int i = 0; i < r->item_count; i++) {
        struct item *it = table_find(&c->items, r->items[i]);
        if (it && --it->refs == 0)
            it->idle_ms = c->tick_ms;
    }
    r->host = 0;
    r->item_count = 0;
}

static void link_room(struct scene *c, const struct allocation_settings *s, struct room *r,
                      const struct room_entry *e)
{
    struct host *h = host_take(c, s, e->host);
    if (h) {
        h->refs++;
        h->domains = tags_of(&e->domains);
        h->style = tags_of(&e->style);
        h->fans = e->fans;
        h->commission_bp = e->commission_bp;
        h->bonus = e->bonus;
        h->dirty = true;
        r->host = h->id;
    }
    for (uint32_t i = 0; i < e->item_count && i < SCENE_ITEMS_MAX; i++) {
        struct item *it = item_take(c, s, e->items[i].name, e->commission_bp);
        if (!it)
            continue;
        bool twice = false;
        for (int j = 0; j < r->item_count; j++)
            twice = twice || r->items[j] == it->id;
        if (twice)
            continue;
        it->refs++;
        it->category = tag_of(e->items[i].category);
        it->tags = tags_of(&e->items[i].tags);
        it->price = e->items[i].price;
        r->items[r->item_count++] = it->id;
    }
}

bool rooms_link(struct scene *c)
{
    for (uint32_t i = 0; i < c->rooms.count; i++) {
        struct room *r = room_at(c, i);
        struct host *h = table_find(&c->hosts, r->host);
        if (h)
            h->refs++;
        else if (r->host)
            return false;
        for (int j = 0; j < r->item_count; j++) {
            struct item *it = table_find(&c->items, r->items[j]);
            if (!it)
                return false;
            it->refs++;
        }
    }
    return true;
}

static void forget_room(struct scene *c, struct room *r)
{
    unlink_room(c, r);
    free(table_remove(&c->rooms, r->id));
}

static bool make_place(struct scene *c, const struct allocation_settings *s)
{
    if (c->rooms.count < s->rooms_max)
        return true;
    struct room *oldest = NULL;
    for (uint32_t i = 0; i < c->rooms.count; i++) {
        struct room *r = room_at(c, i);
        if (r->retired && (!oldest || r->quiet_ms > oldest->quiet_ms))
            oldest = r;
    }
    if (oldest)
        forget_room(c, oldest);
    return oldest;
}

static struct room *open_room(struct scene *c, const struct room_entry *e, struct scene_out *out)
{
    struct room *r = allocate(sizeof *r);
    r->id = entity_id_of(ENTITY_ROOM, e->room);
    r->name = name_of(e->room);
    r->opened_ms = e->record_ms;
    r->weight_ppm = r->sent_ppm = r->drawn_ppm = WEIGHTS_NONE;
    r->tier = TIER_B;
    r->tally.offset = -1;
    table_add(&c->rooms, r->id, r);
    out_add_decision(out, DECISION_OPENED, &r->name, 0, 0);
    return r;
}

/* A host has one room at a time; of several the one heard of last speaks. */
static void note_showing(struct scene *c, const struct room *r)
{
    struct host *h = table_find(&c->hosts, r->host);
    const struct item *it = table_find(&c->items, r->explaining);
    if (h)
        h->afield = it && h->domains.count && !item_speaks_of(it, h->domains.at[0]);
}

enum scene_verdict rooms_apply_entry(struct scene *c, const struct allocation_settings *s,
                                     const struct room_entry *e, struct scene_out *out)
{
    struct room *r = table_find(&c->rooms, entity_id_of(ENTITY_ROOM, e->room));
    if (!e->open) {
        if (!r)
            return SCENE_NOT_LISTED;
        out_add_closed(out, &r->name);
        out_add_decision(out, DECISION_CLOSED, &r->name, 0, 0);
        forget_room(c, r);
        return SCENE_APPLIED;
    }
    if (!r && !make_place(c, s)) {
        struct name name = name_of(e->room);
        out_add_decision(out, DECISION_TABLE_FULL, &name, 0, 0);
        return SCENE_FULL;
    }
    if (!r)
        r = open_room(c, e, out);
    unlink_room(c, r);
    link_room(c, s, r, e);
    r->category = tag_of(e->category);
    r->explaining = e->explaining.size ? entity_id_of(ENTITY_ITEM, e->explaining) : 0;
    note_showing(c, r);
    r->catalog_partition = e->position.partition;
    r->catalog_offset = e->position.offset;
    roi_book(c, r, e->bonus + e->slot_cost - r->fixed, 0);
    return SCENE_APPLIED;
}

static bool tally_apply(struct tally *t, const struct rollup *u)
{
    if (MUTANT(rollup_overwrites, false, u->offset <= t->offset))
        return false;
    t->offset = u->offset;
    memcpy(t->totals, u->totals, sizeof t->totals);
    return true;
}

enum scene_verdict rooms_apply_rollup(struct scene *c, const struct rollup *u, struct scene_out *out)
{
    if (entity_kind_of(u->id) == ENTITY_ROOM) {
        struct room *r = table_find(&c->rooms, u->id);
        if (!r || !tally_apply(&r->tally, u))
            return r ? SCENE_OLD_ROLLUP : SCENE_NOT_LISTED;
        if (r->retired)
            out_add_decision(out, DECISION_REVIVED, &r->name, 0, 0);
        r->retired = false;
        r->quiet_ms = 0;
        r->dirty = true;
        return SCENE_APPLIED;
    }
    if (entity_kind_of(u->id) == ENTITY_HOST) {
        struct host *h = table_find(&c->hosts, u->id);
        if (!h)
            return SCENE_NOT_LISTED;
        struct tally before = h->tally;
        if (!tally_apply(&h->tally, u))
            return SCENE_OLD_ROLLUP;
        results_take(c, h, &before, u);
        h->dirty = true;
        return SCENE_APPLIED;
    }
    struct item *it = table_find(&c->items, u->id);
    int64_t before = it ? roi_revenue(it->tally.totals) : 0;
    if (!it || !tally_apply(&it->tally, u))
        return it ? SCENE_OLD_ROLLUP : SCENE_NOT_LISTED;
    roi_item_revenue(it, before);
    it->dirty = true;
    return SCENE_APPLIED;
}

/* Who has a live room now, and at what commission its items sell. */
static void count_live(struct scene *c)
{
    for (uint32_t i = 0; i < c->hosts.count; i++)
        ((struct host *)c->hosts.at[i])->refs_live = 0;
    for (uint32_t i = 0; i < c->items.count; i++) {
        struct item *it = c->items.at[i];
        it->refs_live = 0;
        it->bp_sum = 0;
    }
    for (uint32_t i = 0; i < c->rooms.count; i++) {
        struct room *r = room_at(c, i);
        if (r->retired)
            continue;
        struct host *h = table_find(&c->hosts, r->host);
        if (h)
            h->refs_live++;
        for (int j = 0; j < r->item_count; j++) {
            struct item *it = table_find(&c->items, r->items[j]);
            if (!it)
                continue;
            it->refs_live++;
            it->bp_sum += h ? h->commission_bp : 0;
        }
    }
    for (uint32_t i = 0; i < c->items.count; i++) {
        struct item *it = c->items.at[i];
        if (it->refs_live)
            it->commission_bp = (int32_t)(it->bp_sum / it->refs_live);
    }
}

void scene_rooms_tick(struct scene *c, const struct allocation_settings *s, int64_t gap_ms, struct scene_out *out)
{
    for (uint32_t i = 0; i < c->rooms.count;) {
        struct room *r = room_at(c, i);
        r->quiet_ms += gap_ms;
        if (r->retired && r->quiet_ms >= s->silent_ms + s->retired_ms) {
            forget_room(c, r);
            continue;
        }
        if (!r->retired && r->quiet_ms >= s->silent_ms) {
            r->retired = true;
            r->dirty = true;
            r->weight_ppm = r->sent_ppm = r->drawn_ppm = WEIGHTS_NONE;
            r->tier_streak = 0;
            out_add_closed(out, &r->name);
            out_add_decision(out, DECISION_RETIRED, &r->name, 0, 0);
        }
        i++;
    }
    count_live(c);
    int64_t minute = c->tick_ms / 60000;
    if (minute == c->minute)
        return;
    c->minute = minute;
    for (uint32_t i = 0; i < c->rooms.count; i++)
        if (!room_at(c, i)->retired)
            windows_sample(room_at(c, i), minute);
}
