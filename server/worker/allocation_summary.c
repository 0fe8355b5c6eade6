/*
 * The weights as views: of each scene the rooms that weigh most, and under fixed names, for dashboards that never search the
 * keys, which scenes there are and how each stands. Written with each snapshot.
 */
#include "server/worker/allocation_stage.h"

#include "common/check.h"
#include "common/text.h"
#include "server/worker/worker_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define ROOMS_MAX 128 /* a view stays in its compact encoding */
#define SUMMARY_TTL_S 3600

static struct slice written(const struct writer *w)
{
    return (struct slice){(const char *)w->data, (uint32_t)w->size};
}

static int by_weight(const void *a, const void *b)
{
    const struct out_weight *x = *(const struct out_weight *const *)a, *y = *(const struct out_weight *const *)b;
    return x->weight_ppm != y->weight_ppm ? (x->weight_ppm > y->weight_ppm ? -1 : 1) : memcmp(x->room.at, y->room.at, sizeof x->room.at);
}

static void write(struct task *t, const char *kind, struct slice scene, struct view_write view)
{
    const struct store_port *store = t->worker->store;
    struct writer key = {0};
    text_add(&key, kind);
    text_add_slice(&key, scene);
    view.key = written(&key);
    view.ttl_s = SUMMARY_TTL_S;
    store->write_view(store->self, &view);
    writer_fini(&key);
}

/* Both as a hash, for who asks for a room, and sorted, for who wants the first. */
static void write_rooms(struct task *t, struct slice scene, const struct out_weight *const *rooms, size_t count)
{
    struct slice fields[2 * ROOMS_MAX];
    char scores[ROOMS_MAX][16];
    int n = 0;
    for (size_t i = 0; i < count && i < ROOMS_MAX; i++, n += 2) {
        snprintf(scores[i], sizeof scores[i], "%.6f", (double)rooms[i]->weight_ppm / PPM);
        fields[n] = name_slice(&rooms[i]->room);
        fields[n + 1] = slice_of(scores[i]);
    }
    write(t, "traffic:", scene, (struct view_write){.fields = fields, .field_count = n, .removed = n == 0});
    write(t, "summary:rooms:", scene, (struct view_write){.fields = fields, .field_count = n, .sorted = true, .removed = n == 0});
}

static void write_scene(struct task *t, struct slice scene, const struct out_weight *const *rooms, size_t count, int64_t tick_ms)
{
    enum { FIELDS_MAX = TIERS + 7 };
    struct slice fields[2 * FIELDS_MAX];
    char numbers[FIELDS_MAX][24];
    int tiers[TIERS] = {0}, young = 0, held = 0, n = 0;
    for (size_t i = 0; i < count; i++) {
        tiers[rooms[i]->tier]++;
        young += rooms[i]->young;
        held += rooms[i]->held != 0;
    }
    const struct {
        const char *name;
        int64_t value;
    } rows[] = {{"ts", tick_ms}, {"rooms", (int64_t)count}, {"young", young}, {"held", held}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows + TIERS; i++, n++) {
        size_t tier = i - sizeof rows / sizeof *rows;
        bool is_tier = i >= sizeof rows / sizeof *rows;
        snprintf(numbers[n], sizeof numbers[n], "%lld", (long long)(is_tier ? tiers[tier] : rows[i].value));
        fields[2 * n] = slice_of(is_tier ? tier_names[tier] : rows[i].name);
        fields[2 * n + 1] = slice_of(numbers[n]);
    }
    if (count) {
        snprintf(numbers[n], sizeof numbers[n], "%.6f", (double)rooms[0]->weight_ppm / PPM);
        fields[2 * n] = slice_of("top_weight");
        fields[2 * n + 1] = slice_of(numbers[n]);
        n++;
        fields[2 * n] = slice_of("top_room");
        fields[2 * n++ + 1] = name_slice(&rooms[0]->room);
    }
    write(t, "summary:scene:", scene, (struct view_write){.fields = fields, .field_count = 2 * n});
}

/* All scenes share one key: each adds itself and drops those that are silent. */
static void write_scenes(struct task *t, struct slice scene, int64_t tick_ms)
{
    char now[24], oldest[24];
    snprintf(now, sizeof now, "%lld", (long long)tick_ms);
    snprintf(oldest, sizeof oldest, "(%lld", (long long)(tick_ms - SUMMARY_TTL_S * 1000ll));
    const struct slice fields[] = {scene, slice_of(now)};
    write(t, "summary:scenes", (struct slice){0}, (struct view_write){.fields = fields, .field_count = 2, .sorted = true, .drop_below = oldest});
}

void allocation_summarise(struct task *t, const struct scene_out *out, struct slice scene)
{
    if (!out->snapshot)
        return;
    const struct out_weight **rooms = malloc((out->weight_count + 1) * sizeof *rooms);
    ASSERT(rooms);
    for (size_t i = 0; i < out->weight_count; i++)
        rooms[i] = &out->weights[i];
    qsort(rooms, out->weight_count, sizeof *rooms, by_weight);
    write_scenes(t, scene, out->tick_ms);
    write_scene(t, scene, rooms, out->weight_count, out->tick_ms);
    write_rooms(t, scene, rooms, out->weight_count);
    free(rooms);
}
