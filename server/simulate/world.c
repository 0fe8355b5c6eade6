/*
 * The world's clock. Users act when they are due; once a simulated second rooms change and users arrive; records
 * that are late or sent twice leave when their time has come. Everything goes through one order of time: record
 * timestamps never fall back.
 */
#include "server/simulate/world_state.h"

#include "common/check.h"

#include <stdlib.h>

#define TICK_MS 1000

struct world_settings world_defaults(void)
{
    return (struct world_settings){
        .seed = 1,
        .start_ms = 1732370000000,
        .users = 5000,
        .rooms = 40,
        .items = 1000,
        .hosts = 200,
        .scenes = 1,
        .rate = 200,
        .duplicates = 0.01,
        .late = 0.005,
        .malformed = 0.001,
        .control_share = 0.1,
        .scenario_after_ms = 60000,
    };
}

void grow(void **array, uint32_t *capacity, uint32_t wanted, size_t each)
{
    if (wanted <= *capacity)
        return;
    uint32_t more = *capacity ? *capacity * 2 : 64;
    while (more < wanted)
        more *= 2;
    *array = realloc(*array, more * each);
    ASSERT(*array);
    *capacity = more;
}

struct world *world_create(const struct world_settings *settings)
{
    struct world *w = calloc(1, sizeof *w);
    ASSERT(w);
    w->settings = *settings;
    w->random.state = settings->seed * 0x2545f4914f6cdd1dull + 1;
    w->now_ms = w->tick_ms = w->catalog_ms = settings->start_ms;
    w->pace = 1;
    w->wanted = settings->rate * 2 + 1;
    w->course = w->lecturer = -1;
    /* A host has one room at a time; the scenario may open one more. */
    if (w->settings.rooms > w->settings.hosts)
        w->settings.rooms = w->settings.hosts;
    w->live = calloc(w->settings.hosts + 1, sizeof *w->live);
    w->popularity = calloc(w->settings.hosts + 1, sizeof *w->popularity);
    ASSERT(w->live && w->popularity);
    if (settings->beliefs) {
        w->beliefs = calloc(settings->hosts, sizeof *w->beliefs);
        ASSERT(w->beliefs);
    }
    catalog_make(w);
    users_make(w);
    return w;
}

void world_destroy(struct world *w)
{
    if (!w)
        return;
    for (uint32_t i = 0; i < w->settings.users; i++) {
        free(w->users[i].life);
        free(w->users[i].shown);
    }
    delayed_fini(w);
    writer_fini(&w->text);
    writer_fini(&w->key);
    free(w->users);
    free(w->hosts);
    free(w->beliefs);
    free(w->items);
    free(w->embeddings);
    free(w->rooms);
    free(w->live);
    free(w->popularity);
    free(w->due);
    free(w->faults);
    free(w->purchases);
    free(w->sessions);
    free(w);
}

static void tick(struct world *w, int64_t at_ms)
{
    rooms_tick(w, at_ms);
    if (!w->started || (w->settings.catalog_interval_ms && at_ms - w->catalog_ms >= w->settings.catalog_interval_ms)) {
        w->started = true;
        w->catalog_ms = at_ms;
        catalog_write(w, at_ms);
    }
    users_arrive(w, at_ms);
}

void world_step(struct world *w, int64_t now_ms, const struct world_sink *sink)
{
    w->sink = sink;
    for (;;) {
        int64_t user_ms = w->due_count ? w->due[0].at_ms : INT64_MAX;
        int64_t delayed_ms = w->delayed_count ? w->delayed[0].at_ms : INT64_MAX;
        int64_t next = w->tick_ms;
        next = user_ms < next ? user_ms : next;
        next = delayed_ms < next ? delayed_ms : next;
        if (next > now_ms)
            break;
        w->now_ms = next;
        if (next == w->tick_ms) {
            tick(w, next);
            w->tick_ms += TICK_MS;
        } else if (next == delayed_ms) {
            emit_delayed(w);
        } else {
            struct due d = due_pop(w);
            user_act(w, d.user, d.at_ms);
        }
    }
    w->sink = NULL;
}

const struct world_counts *world_counts(const struct world *w)
{
    return &w->counts;
}

static int64_t number_of(struct slice id, char prefix, uint32_t limit)
{
    uint64_t number = 0;
    if (id.size < 3 || id.size > 12 || id.at[0] != prefix || id.at[1] != '_')
        return -1;
    for (uint32_t i = 2; i < id.size; i++) {
        if (id.at[i] < '0' || id.at[i] > '9')
            return -1;
        number = number * 10 + (uint64_t)(id.at[i] - '0');
    }
    return number < limit ? (int64_t)number : -1;
}

static int scene_of(const struct world *w, struct slice name)
{
    for (uint32_t s = 0; s < w->settings.scenes; s++)
        if (slice_equal(slice_of(scene_names[s]), name))
            return (int)s;
    return -1;
}

static bool is_newer(const int64_t *a, const int64_t *b)
{
    for (int i = 0; i < 3; i++)
        if (a[i] != b[i])
            return a[i] > b[i];
    return false;
}

bool world_recommend(struct world *w, const struct advice *r, int64_t now_ms)
{
    int64_t user = number_of(r->user, 'u', w->settings.users);
    int scene = scene_of(w, r->scene);
    if (user < 0 || scene < 0 || r->rec.size > EVENT_ID_BYTES)
        return false;
    struct user *u = &w->users[user];
    if (u->shown && !is_newer(r->version, u->shown->version))
        return false;
    if (!u->shown)
        u->shown = malloc(sizeof *u->shown);
    ASSERT(u->shown);
    struct shown *l = u->shown;
    *l = (struct shown){.scene = (uint32_t)scene, .expires_ms = now_ms + r->valid_until - r->ts};
    memcpy(l->rec, r->rec.at, r->rec.size);
    memcpy(l->version, r->version, sizeof l->version);
    for (uint32_t i = 0; i < r->room_count; i++) {
        const struct room *room = room_find(w, r->rooms[i].id);
        if (room)
            l->rooms[l->room_count++] = room->number;
    }
    for (uint32_t i = 0; i < r->item_count; i++) {
        int64_t item = number_of(r->items[i].id, 'c', w->settings.items);
        if (item >= 0)
            l->items[l->item_count++] = (uint32_t)item;
    }
    return true;
}

void world_weigh(struct world *w, struct slice scene, struct slice room, double weight, int64_t now_ms,
                 int64_t life_ms)
{
    struct room *r = room_find(w, room);
    int s = scene_of(w, scene);
    if (!r || s < 0)
        return;
    r->weight[s] = (float)weight;
    r->weight_until[s] = now_ms + life_ms;
}
