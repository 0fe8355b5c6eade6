/*
 * Rooms: hosts go live and leave, show one item after another, gather viewers, and now and then something breaks:
 * a fault takes a step of one room's funnel down for five minutes.
 */
#include "server/simulate/world_state.h"

#include "common/check.h"

#include <stdlib.h>

#define FAULT_MS 300000
#define FAULT_LEAVES 0.03
#define ROOM_LIFE_S 2400
#define EXPLAIN_S 150
#define NEW_MS 1800000

static uint32_t draw_item(struct world *w, const struct host *h)
{
    uint32_t clusters = (w->settings.items + CLUSTERS - 1) / CLUSTERS;
    uint32_t cluster = random_chance(&w->random, 0.75) ? h->cluster : h->second;
    uint32_t item = random_zipf(&w->random, clusters) * CLUSTERS + cluster;
    return item < w->settings.items ? item : cluster % w->settings.items;
}

/* The course and its trial lesson come first in the rooms of its field. */
static void add_course(const struct world *w, struct room *r)
{
    r->items[0] = (uint32_t)w->course;
    r->items[1] = (uint32_t)w->course - 1;
    r->item_count = r->item_count < 2 ? 2 : r->item_count;
}

static void fill_items(struct world *w, struct room *r)
{
    const struct host *h = &w->hosts[r->host];
    for (int tries = 0; r->item_count < ROOM_ITEMS && tries < 40; tries++) {
        uint32_t item = draw_item(w, h);
        bool known = w->settings.scenario == SCENARIO_COURSE_LAUNCH && item + 2 >= w->settings.items;
        for (uint32_t i = 0; i < r->item_count; i++)
            known |= r->items[i] == item;
        if (!known)
            r->items[r->item_count++] = item;
    }
    if (w->course >= 0 && h->cluster == 0)
        add_course(w, r);
}

static uint32_t room_open(struct world *w, uint32_t host, int64_t now_ms, int64_t life_ms)
{
    grow((void **)&w->rooms, &w->room_capacity, w->room_count + 1, sizeof *w->rooms);
    uint32_t number = w->room_count++;
    struct room *r = &w->rooms[number];
    *r = (struct room){.number = number, .host = host, .opened_ms = now_ms, .open = true, .fault = -1};
    r->closes_ms = now_ms + life_ms;
    r->scenes = 1u << number % w->settings.scenes;
    if (w->settings.scenes > 1 && random_chance(&w->random, 0.2))
        r->scenes |= 1u << random_below(&w->random, w->settings.scenes);
    fill_items(w, r);
    r->explain_until_ms = now_ms + (int64_t)(random_between(&w->random, 0.5, 1.5) * EXPLAIN_S * 1000);
    w->hosts[host].room = (int32_t)number;
    if (w->hosts[host].first_ms == 0)
        w->hosts[host].first_ms = now_ms;
    w->live[w->live_count++] = number;
    if (w->sink)
        catalog_write_room(w, number, now_ms);
    return number;
}

static void room_close(struct world *w, uint32_t at, int64_t now_ms)
{
    struct room *r = &w->rooms[w->live[at]];
    r->open = false;
    w->hosts[r->host].room = -1;
    w->live[at] = w->live[--w->live_count];
    catalog_write_room(w, r->number, now_ms);
}

static void open_one(struct world *w, int64_t now_ms)
{
    for (int tries = 0; tries < 50; tries++) {
        uint32_t host = random_below(&w->random, w->settings.hosts);
        if (w->hosts[host].room >= 0)
            continue;
        /* Rooms of the first minute are of any age, so that they do not all close together. */
        double life = random_exponential(&w->random, ROOM_LIFE_S * 0.8) + ROOM_LIFE_S * 0.2;
        room_open(w, host, now_ms, (int64_t)(life * 1000));
        return;
    }
}

static void inject_fault(struct world *w, int64_t now_ms)
{
    if (w->live_count == 0)
        return;
    /* In a room that is seen enough for the fault to be seen. */
    struct room *best = NULL;
    for (int tries = 0; tries < 4; tries++) {
        struct room *r = &w->rooms[w->live[random_below(&w->random, w->live_count)]];
        if (r->fault < 0 && r->closes_ms > now_ms + FAULT_MS && (!best || r->exposures > best->exposures))
            best = r;
    }
    if (!best)
        return;
    grow((void **)&w->faults, &w->fault_capacity, w->counts.faults + 1, sizeof *w->faults);
    best->fault = (int32_t)w->counts.faults;
    w->faults[w->counts.faults++] = (struct fault){
        random_chance(&w->random, 0.5) ? FAULT_ENTRANCE : FAULT_CONVERSION, best->number, now_ms, now_ms + FAULT_MS, 0};
}

double room_factor(const struct world *w, const struct room *r, enum fault_kind kind)
{
    return r->fault >= 0 && w->faults[r->fault].kind == kind ? FAULT_LEAVES : 1.0;
}

void room_suffer(struct world *w, const struct room *r, enum fault_kind kind, double chance)
{
    if (r->fault >= 0 && w->faults[r->fault].kind == kind)
        w->faults[r->fault].lost += chance * (1 / FAULT_LEAVES - 1);
}

static void begin_scenario(struct world *w, int64_t now_ms)
{
    w->happened = true;
    if (w->settings.scenario == SCENARIO_COURSE_LAUNCH) {
        catalog_make_course(w);
        catalog_write_item(w, (uint32_t)w->course - 1, now_ms);
        catalog_write_item(w, (uint32_t)w->course, now_ms);
        for (uint32_t i = 0; i < w->live_count; i++) {
            struct room *r = &w->rooms[w->live[i]];
            if (w->hosts[r->host].cluster != 0)
                continue;
            add_course(w, r);
            catalog_write_room(w, r->number, now_ms);
        }
    } else {
        w->lecturer = (int32_t)(w->settings.hosts - 1);
        w->hosts[w->lecturer].quality = 0.98;
        w->hosts[w->lecturer].fans = 2000000;
        w->arrivals_left = w->settings.users / 10;
    }
    if (w->hosts[w->lecturer].room >= 0) /* the old session ends, a new one begins */
        for (uint32_t i = 0; i < w->live_count; i++)
            if (w->rooms[w->live[i]].host == (uint32_t)w->lecturer)
                room_close(w, i, now_ms);
    w->star_room = room_open(w, (uint32_t)w->lecturer, now_ms, 3600000);
}

static void refresh_popularity(struct world *w)
{
    for (uint32_t i = 0; i < w->live_count; i++) {
        const struct room *r = &w->rooms[w->live[i]];
        w->popularity[i] = (r->viewers + 1.0) * sqrt(1.0 + w->hosts[r->host].fans);
    }
}

bool host_is_new(const struct world *w, uint32_t host, int64_t now_ms)
{
    return now_ms - w->hosts[host].first_ms < NEW_MS;
}

void rooms_tick(struct world *w, int64_t now_ms)
{
    for (uint32_t i = 0; i < w->live_count;) {
        struct room *r = &w->rooms[w->live[i]];
        if (r->fault >= 0 && w->faults[r->fault].until_ms <= now_ms)
            r->fault = -1;
        if (r->closes_ms <= now_ms) {
            room_close(w, i, now_ms);
            continue;
        }
        if (r->explain_until_ms <= now_ms) {
            r->explaining = (r->explaining + 1) % r->item_count;
            r->explain_until_ms = now_ms + (int64_t)(random_between(&w->random, 0.5, 1.5) * EXPLAIN_S * 1000);
            catalog_write_room(w, r->number, now_ms);
        }
        i++;
    }
    if (w->settings.scenario != SCENARIO_ORDINARY && !w->happened &&
        now_ms >= w->settings.start_ms + w->settings.scenario_after_ms)
        begin_scenario(w, now_ms);
    for (uint32_t missing = w->live_count < w->settings.rooms ? w->settings.rooms - w->live_count : 0; missing; missing--)
        open_one(w, now_ms);
    if (random_chance(&w->random, w->settings.faults_per_hour / 3600.0))
        inject_fault(w, now_ms);
    refresh_popularity(w);
    w->live_new = 0;
    for (uint32_t i = 0; i < w->live_count; i++)
        w->live_new += host_is_new(w, w->rooms[w->live[i]].host, now_ms);
}

struct room *room_find(struct world *w, struct slice id)
{
    char known[EVENT_ID_BYTES + 1];
    uint32_t number = 0, at = id.size;
    for (uint32_t unit = 1; at > 0 && id.at[at - 1] >= '0' && id.at[at - 1] <= '9' && unit < 1000000000; unit *= 10)
        number += (uint32_t)(id.at[--at] - '0') * unit;
    if (number >= w->room_count)
        return NULL;
    world_room_id(w, number, known);
    return slice_equal(slice_of(known), id) ? &w->rooms[number] : NULL;
}

/* Against the scene's mean weight, so that an unknown weight counts as one. */
double room_weight(const struct world *w, const struct room *r, uint32_t scene)
{
    if (r->weight_until[scene] < w->now_ms)
        return 1;
    return r->weight[scene] < 0 ? 0 : (double)r->weight[scene] * w->live_count;
}

/* How much the room draws; against the others of the scene. */
static double pull_of(const struct world *w, uint32_t live, uint32_t scene, bool weighted)
{
    const struct room *r = &w->rooms[w->live[live]];
    if (!weighted)
        return w->popularity[live];
    return (w->settings.plain_feed ? 1 : w->popularity[live]) * room_weight(w, r, scene);
}

int32_t room_draw(struct world *w, uint32_t scene, bool weighted)
{
    double total = 0;
    for (uint32_t i = 0; i < w->live_count; i++) {
        const struct room *r = &w->rooms[w->live[i]];
        if (r->scenes >> scene & 1)
            total += pull_of(w, i, scene, weighted);
    }
    double at = random_unit(&w->random) * total;
    for (uint32_t i = 0; i < w->live_count; i++) {
        const struct room *r = &w->rooms[w->live[i]];
        if (!(r->scenes >> scene & 1))
            continue;
        at -= pull_of(w, i, scene, weighted);
        if (at < 0)
            return (int32_t)r->number;
    }
    return -1;
}
