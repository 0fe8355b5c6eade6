/*
 * Every blob of a task's state: a damaged one is refused, or is another state's own form: it encodes to the same bytes again,
 * and folds on without harm. A profile may name an entity in another way than it would be written, so of a damaged one only
 * what is written then must stay the same. The first byte of an input says which kind it is.
 */
#include "server/codec/learner_codec.h"
#include "server/engine/allocation.h"
#include "server/engine/entity.h"
#include "server/engine/profile.h"
#include "server/worker/chain.h"
#include "server/worker/position.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

enum { KIND_PROFILE, KIND_COUNTERS, KIND_NEIGHBOURS, KIND_SCENE, KIND_POSITION, KIND_HEADER, KIND_CHAIN, KINDS };

#define NOW 1732370000000

/* State has one form: what is accepted is what would be written. */
static bool is_same(const struct writer *w, struct slice bytes)
{
    return w->size == bytes.size && memcmp(w->data, bytes.at, w->size) == 0;
}

/* Two texts of a few, so that entities meet again. */
static struct slice some(const char *letter, char text[16], uint64_t of)
{
    snprintf(text, 16, "%s%d", letter, (int)fuzz_draw(of));
    return slice_of(text);
}

struct texts {
    char id[16], room[16], host[16], item[16], order[16];
};

static struct event make_event(struct texts *t, int n)
{
    snprintf(t->id, sizeof t->id, "e%d", n);
    return (struct event){
        .type = (enum event_type)fuzz_draw(EVENT_TYPES - 1), .event_ms = NOW + n * 700 - (int64_t)fuzz_draw(90000), .id = slice_of(t->id),
        .user = slice_of("u"), .scene = slice_of("home"), .room = some("r", t->room, 9), .host = some("h", t->host, 4),
        .item = some("c", t->item, 20), .order = some("o", t->order, 12), .rec = fuzz_draw(3) ? (struct slice){0} : slice_of("7-1-1-0"),
        .dwell_ms = (uint32_t)fuzz_draw(90000), .amount = (int64_t)fuzz_draw(2000), .currency = 'C' << 16 | 'N' << 8 | 'Y', .qty = 1,
        .value = (uint8_t)(1 + fuzz_draw(5)), .percent = (uint8_t)fuzz_draw(101),
    };
}

static void fold_on(struct profile *p, uint64_t events, struct effect_list *effects)
{
    struct profile_settings s;
    struct texts t;
    profile_settings_default(&s);
    for (uint64_t n = 0; n < events; n++) {
        struct event e = make_event(&t, (int)fuzz_draw(1000));
        profile_apply(p, &s, &e, e.event_ms + 50, effects);
    }
}

static void make_profile(struct writer *out)
{
    struct effect_list effects = {0};
    struct profile *p = profile_create();
    struct writer again = {0};
    size_t from = out->size;
    fold_on(p, fuzz_draw(60), &effects);
    profile_encode(p, out);
    profile_destroy(p);
    struct slice bytes = {(char *)out->data + from, (uint32_t)(out->size - from)};
    FUZZ_CHECK(profile_decode(bytes, &p) == ERR_NONE);
    profile_encode(p, &again);
    FUZZ_CHECK(is_same(&again, bytes));
    profile_destroy(p);
    writer_fini(&again);
    effect_list_fini(&effects);
}

static bool run_profile(struct slice bytes)
{
    struct profile *p, *q;
    struct writer one = {0}, two = {0};
    struct effect_list effects = {0};
    if (profile_decode(bytes, &p) != ERR_NONE)
        return false;
    profile_encode(p, &one);
    FUZZ_CHECK(profile_decode((struct slice){(char *)one.data, (uint32_t)one.size}, &q) == ERR_NONE);
    profile_encode(q, &two);
    FUZZ_CHECK(one.size == two.size && memcmp(one.data, two.data, one.size) == 0);
    fold_on(q, 3, &effects);
    profile_destroy(p);
    profile_destroy(q);
    writer_fini(&one);
    writer_fini(&two);
    effect_list_fini(&effects);
    return true;
}

static void count_on(struct counters *c, struct neighbours *n, uint64_t events)
{
    struct entity_settings s;
    struct effect_list effects = {0};
    struct profile *p = profile_create();
    entity_settings_default(&s);
    fold_on(p, events, &effects);
    int64_t event_ms = NOW + (int64_t)fuzz_draw(40) * 3600000;
    for (uint32_t i = 0; c && i < effects.count_count; i++)
        counters_add_count(c, &s, &effects.counts[i], event_ms);
    for (uint32_t i = 0; c && i < effects.rating_count; i++)
        counters_add_rating(c, &s, effects.ratings[i].name, effects.ratings[i].delta, event_ms);
    for (uint32_t i = 0; n && i < effects.pair_count; i++)
        neighbours_apply(n, &s, &(struct neighbour_change){effects.pairs[i].other, effects.pairs[i].delta, effects.pairs[i].step}, event_ms);
    profile_destroy(p);
    effect_list_fini(&effects);
}

static uint64_t zigzag(int64_t value)
{
    return (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
}

/* Where the encoder of an empty one puts the time 0 and four counts of zero, others, allowed or not, and what belongs to them. */
static void crowd_counters(struct writer *out)
{
    static const int64_t level_ms[] = {60000, 3600000, 86400000, 86400000};
    uint64_t scenes = fuzz_draw(2 * SCENES_PER_ENTITY), buckets = fuzz_draw(6), level = fuzz_draw(3);
    int64_t before = 0;
    out->size -= 5;
    put_signed(out, NOW);
    put_varint(out, scenes);
    for (uint64_t i = 0; i < scenes; i++) {
        bool named = (i < SCENES_PER_ENTITY) == (fuzz_draw(32) > 0); /* mostly as it must be: those beyond the bound have no name */
        put_slice(out, (struct slice){"home", named ? 1 + (uint32_t)fuzz_draw(4) : 0});
        put_varint(out, 0);
    }
    put_varint(out, 0);
    put_varint(out, 0);
    put_varint(out, buckets);
    for (uint64_t i = 0; i < buckets; i++) {
        uint32_t mask = fuzz_draw(4) ? 3 : 1u << fuzz_draw(32);
        level += fuzz_draw(3) == 0; /* they stand in order, and so mostly do their times */
        int64_t at = NOW / level_ms[level & 3] - 5 + (int64_t)i;
        put_u8(out, (uint8_t)((level & 3) | fuzz_draw(fuzz_draw(4) ? scenes : 10) << 4));
        put_u8(out, (uint8_t)(level || !fuzz_draw(4) ? fuzz_draw(4) : SOURCES));
        put_varint(out, fuzz_draw(4) ? zigzag(at - before) : fuzz_draw(2) ? fuzz_draw_odd() : UINT64_MAX - fuzz_draw(4)); /* the ends of 64 bits */
        before = at;
        put_varint(out, mask);
        for (int k = __builtin_popcount(mask); k > 0; k--)
            put_signed(out, 7);
    }
}

static void make_counters(struct writer *out)
{
    struct counters *c = counters_create();
    bool crowded = fuzz_draw(4) == 0;
    count_on(c, NULL, crowded ? 0 : fuzz_draw(12));
    counters_encode(c, out);
    counters_destroy(c);
    if (crowded)
        crowd_counters(out);
}

static bool run_counters(struct slice bytes)
{
    struct counters *c, *again;
    struct writer one = {0}, two = {0};
    int64_t totals[COUNTERS];
    if (counters_decode(bytes, &c) != ERR_NONE)
        return false;
    FUZZ_CHECK(counters_scenes(c) <= SCENES_PER_ENTITY + 1);
    counters_encode(c, &one);
    FUZZ_CHECK(is_same(&one, bytes));
    FUZZ_CHECK(counters_decode((struct slice){(char *)one.data, (uint32_t)one.size}, &again) == ERR_NONE);
    counters_encode(again, &two);
    FUZZ_CHECK(one.size == two.size && memcmp(one.data, two.data, one.size) == 0);
    for (int i = 0; i < counters_scenes(c); i++) {
        counters_scene(c, i, totals);
        counters_from(c, i, (enum event_source)fuzz_draw(SOURCES), totals);
    }
    counters_total(c, true, totals);
    counters_newest_minute(c, totals);
    counters_rating(c);
    count_on(c, NULL, 2);
    counters_destroy(c);
    counters_destroy(again);
    writer_fini(&one);
    writer_fini(&two);
    return true;
}

static void make_neighbours(struct writer *out)
{
    struct neighbours *n = neighbours_create();
    count_on(NULL, n, fuzz_draw(30));
    neighbours_encode(n, out);
    neighbours_destroy(n);
}

static bool run_neighbours(struct slice bytes)
{
    struct neighbours *n, *again;
    struct neighbour top[20];
    struct entity_settings s;
    struct writer one = {0}, two = {0};
    if (neighbours_decode(bytes, &n) != ERR_NONE)
        return false;
    entity_settings_default(&s);
    neighbours_encode(n, &one);
    FUZZ_CHECK(is_same(&one, bytes));
    FUZZ_CHECK(neighbours_decode((struct slice){(char *)one.data, (uint32_t)one.size}, &again) == ERR_NONE);
    neighbours_encode(again, &two);
    FUZZ_CHECK(one.size == two.size && memcmp(one.data, two.data, one.size) == 0);
    neighbours_top(n, &s, 20, top);
    count_on(NULL, n, 5);
    neighbours_destroy(n);
    neighbours_destroy(again);
    writer_fini(&one);
    writer_fini(&two);
    return true;
}

static void scene_step(struct scene *c, int64_t n, struct scene_out *out)
{
    struct allocation_settings s;
    struct scene_entry e = {.type = SCENE_TICK, .tick = {3, NOW + n * 1000}};
    char room[16], host[16], item[16], id[16];
    allocation_settings_default(&s);
    switch (fuzz_draw(4)) {
    case 0:
        e = (struct scene_entry){.type = SCENE_ROOM};
        e.room = (struct room_entry){.position = {3, 0, n}, .open = fuzz_draw(5) > 0, .record_ms = NOW + n * 1000, .room = some("r", room, 9),
                                     .host = some("h", host, 4), .category = slice_of("a"), .item_count = 1};
        e.room.items[0].name = some("c", item, 20);
        break;
    case 1:
        e = (struct scene_entry){.type = SCENE_CONTROL};
        e.control = (struct control_entry){.position = {3, 0, n}, .id = some("k", id, 1000), .scene = slice_of("home"), .room = some("r", room, 9),
                                           .op = (enum control_op)fuzz_draw(CONTROL_OPS), .value = (int64_t)fuzz_draw(2000000)};
        break;
    case 2:
        e = (struct scene_entry){.type = SCENE_ROLLUP};
        e.rollup = (struct rollup){.scene = slice_of("home"), .name = some("r", room, 9), .offset = n, .last_ms = NOW + n * 1000};
        e.rollup.id = entity_id_of(ENTITY_ROOM, e.rollup.name);
        e.rollup.totals[COUNTER_EXPOSURE] = n * 40;
        e.rollup.totals[COUNTER_PURCHASE] = n;
        break;
    default: break;
    }
    scene_out_clear(out);
    scene_apply(c, &s, &e, out);
}

/* In place of the count of positions of an empty one, another, allowed or not; then tags, rooms, hosts and items. */
static void crowd_scene(struct writer *out)
{
    out->size -= 5;
    uint64_t positions = fuzz_draw(600);
    put_varint(out, positions);
    for (uint64_t i = 0; i < positions; i++) {
        put_u8(out, 1);
        put_signed(out, (int64_t)i);
        put_signed(out, 100);
    }
    put_bytes(out, "\0\0\0", 4);
}

static void make_scene(struct writer *out)
{
    struct scene *c = scene_create(slice_of("home"));
    struct scene_out said = {0};
    bool crowded = fuzz_draw(8) == 0;
    for (int64_t n = crowded ? 0 : (int64_t)fuzz_draw(40); n > 0; n--)
        scene_step(c, 1000 - n, &said);
    scene_encode(c, out);
    if (crowded)
        crowd_scene(out);
    scene_out_fini(&said);
    scene_destroy(c);
}

static bool run_scene(struct slice bytes)
{
    struct scene *c, *again;
    struct scene_out said = {0};
    struct writer one = {0}, two = {0};
    if (scene_decode(bytes, &c) != ERR_NONE)
        return false;
    scene_encode(c, &one);
    FUZZ_CHECK(is_same(&one, bytes));
    FUZZ_CHECK(scene_decode((struct slice){(char *)one.data, (uint32_t)one.size}, &again) == ERR_NONE);
    scene_encode(again, &two);
    FUZZ_CHECK(one.size == two.size && memcmp(one.data, two.data, one.size) == 0);
    for (int n = 0; n < 4; n++)
        scene_step(c, 2000 + n, &said);
    scene_out_fini(&said);
    scene_destroy(c);
    scene_destroy(again);
    writer_fini(&one);
    writer_fini(&two);
    return true;
}

static void make_position(struct writer *out)
{
    struct position p = {.next = (int64_t)fuzz_draw(1 << 30), .token = fuzz_draw(UINT64_MAX), .epoch = (uint32_t)fuzz_draw(100), .has_print = fuzz_draw(2),
                         .print = 7};
    position_encode(&p, out);
}

static bool run_position(struct slice bytes)
{
    struct position p;
    struct writer w = {0};
    if (position_decode(bytes, &p) != ERR_NONE)
        return false;
    position_encode(&p, &w);
    FUZZ_CHECK(is_same(&w, bytes));
    writer_fini(&w);
    return true;
}

static void make_header(struct writer *out)
{
    struct slot_header h = {.format = FORMAT_VERSION, .hmac_check = 5, .partitions = {16, 16, 1, 1}, .fold_count = 1 + (uint32_t)fuzz_draw(3)};
    for (uint32_t i = 0; i < h.fold_count; i++)
        h.folds[i] = (struct fold_span){(int64_t)i * 100, fuzz_draw(UINT64_MAX)};
    slot_header_encode(&h, out);
    if (fuzz_draw(4))
        return;
    /* Another number of fold settings, allowed or not. */
    out->size -= 1 + h.fold_count * 9;
    uint64_t count = fuzz_draw(2 * FOLDS_MAX);
    put_varint(out, count);
    for (uint64_t i = 0; i < count; i++) {
        put_varint(out, i);
        put_u64(out, i);
    }
}

static bool run_header(struct slice bytes)
{
    struct slot_header h, same;
    struct writer w = {0};
    int64_t until;
    if (slot_header_decode(bytes, &h) != ERR_NONE)
        return false;
    slot_header_encode(&h, &w);
    FUZZ_CHECK(is_same(&w, bytes));
    FUZZ_CHECK(slot_header_decode((struct slice){(char *)w.data, (uint32_t)w.size}, &same) == ERR_NONE);
    FUZZ_CHECK(!slot_header_difference(&h, &same));
    slot_header_fold_at(&h, 50, &until);
    writer_fini(&w);
    return true;
}

#define SOURCES_CHAINED 4

static void make_chain(struct writer *out)
{
    struct chain chains[SOURCES_CHAINED];
    for (int i = 0; i < SOURCES_CHAINED; i++)
        chains[i] = (struct chain){(uint32_t)fuzz_draw(3), (int64_t)fuzz_draw(1000) - 1, fuzz_draw(2)};
    chains_encode(chains, SOURCES_CHAINED, out);
}

static bool run_chain(struct slice bytes)
{
    struct chain chains[SOURCES_CHAINED];
    struct writer w = {0};
    if (chains_decode(bytes, false, chains, SOURCES_CHAINED) != ERR_NONE)
        return false;
    chains_encode(chains, SOURCES_CHAINED, &w);
    FUZZ_CHECK(bytes.size == 0 || is_same(&w, bytes));
    writer_fini(&w);
    return true;
}

static const struct {
    void (*make)(struct writer *out);
    bool (*run)(struct slice bytes);
} kinds[KINDS] = {
    [KIND_PROFILE] = {make_profile, run_profile},       [KIND_COUNTERS] = {make_counters, run_counters},
    [KIND_NEIGHBOURS] = {make_neighbours, run_neighbours}, [KIND_SCENE] = {make_scene, run_scene},
    [KIND_POSITION] = {make_position, run_position},    [KIND_HEADER] = {make_header, run_header},
    [KIND_CHAIN] = {make_chain, run_chain},
};

static void make(struct writer *out)
{
    uint8_t kind = (uint8_t)fuzz_draw(KINDS);
    put_u8(out, kind);
    kinds[kind].make(out);
}

static bool run(struct slice input)
{
    return input.size && kinds[(uint8_t)input.at[0] % KINDS].run((struct slice){input.at + 1, input.size - 1});
}

const struct fuzz_target fuzz_target = {"state", 65536, 8 << 20, 64, make, run};
