/*
 * Records of our own logs: effects, rollups, samples, models. A damaged one is refused or ends early; what is read stays
 * within its bounds. The first byte of an input says which log it is of.
 */
#include "server/codec/effects_codec.h"
#include "server/codec/learner_codec.h"
#include "server/codec/scene_codec.h"
#include "server/engine/profile.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

enum { EFFECTS, ROLLUPS, SAMPLES, MODELS, LOGS };

#define NOW 1732370000000

/* Names borrow from the event, so each entry is written while it is there. */
static void make_effects(struct writer *out)
{
    struct effects_run run = {0};
    struct effect_list list = {0};
    struct profile *p = profile_create();
    struct profile_settings s;
    profile_settings_default(&s);
    for (int n = 0, entries = (int)fuzz_draw(8); n < entries; n++) {
        char item[16];
        snprintf(item, sizeof item, "c%d", (int)fuzz_draw(9));
        struct event e = {.type = fuzz_draw(2) ? EVENT_CART : EVENT_CHAT, .event_ms = NOW + n * 500, .id = slice_of(item), .user = slice_of("u"),
                          .scene = slice_of("home"), .room = slice_of("r"), .item = slice_of(item)};
        effect_list_clear(&list);
        profile_apply(p, &s, &e, e.event_ms, &list);
        effects_run_begin_entry(&run, n * 3 + 2, n * 3 - 1, e.event_ms);
        for (uint32_t i = 0; i < list.count_count; i++)
            effects_run_add_count(&run, &list.counts[i]);
        for (uint32_t i = 0, from = 0; i < list.rating_count; from += list.ratings[i++].pairs)
            effects_run_add_rating(&run, &list.ratings[i], list.pairs + from);
        for (uint32_t i = 0; i < list.pair_count; i++)
            effects_run_add_mirror(&run, &list.pairs[i]);
        effects_run_end_entry(&run);
    }
    struct slice record = effects_run_close(&run, &(struct run_head){.source = 3, .confirmed = 100, .prev = 21});
    put_bytes(out, record.at, record.size);
    effects_run_clear(&run);
    writer_fini(&run.bytes);
    effect_list_fini(&list);
    profile_destroy(p);
}

static bool inside(struct slice part, struct slice whole)
{
    return part.size == 0 || (part.at >= whole.at && part.at + part.size <= whole.at + whole.size);
}

static bool run_effects(struct slice bytes)
{
    struct run_reader run;
    struct run_entry entry;
    struct run_effect effect;
    uint64_t effects = 0;
    if (effects_run_open(bytes, &run) != ERR_NONE)
        return false;
    while (effects_run_next(&run, &entry)) {
        FUZZ_CHECK(entry.prev >= -1 && entry.prev < entry.offset);
        while (effects_entry_next(&run, &effect)) {
            effects++;
            for (int i = 0; effect.op == RUN_COUNT && i < effect.count.counter_count; i++)
                FUZZ_CHECK(effect.count.counters[i].counter < COUNTERS);
            FUZZ_CHECK(effect.op != RUN_RATING || inside(effect.name, bytes));
            if (effect.op == RUN_COUNT)
                FUZZ_CHECK(inside(effect.count.name, bytes) && inside(effect.count.scene, bytes) && effect.count.counter_count <= COUNTERS &&
                           effect.count.source < SOURCES);
        }
    }
    FUZZ_CHECK(effects <= bytes.size);
    return !run.failed;
}

static struct scene_entry make_entry(void)
{
    struct scene_entry e = {.type = SCENE_TICK, .tick = {3, NOW}};
    switch (fuzz_draw(4)) {
    case 0:
        e.type = SCENE_ROLLUP;
        e.rollup = (struct rollup){.scene = slice_of("home"), .name = slice_of("n1"), .offset = 7, .last_ms = NOW};
        e.rollup.id = entity_id_of((enum entity_kind)(ENTITY_ITEM + fuzz_draw(3)), e.rollup.name);
        for (int i = 0; i < COUNTERS; i++)
            e.rollup.totals[i] = (int64_t)fuzz_draw(2) * 40;
        break;
    case 1:
        e.type = SCENE_ROOM;
        e.room = (struct room_entry){.position = {3, 0, 9}, .open = true, .record_ms = NOW, .room = slice_of("r1"), .host = slice_of("h"),
                                     .category = slice_of("a"), .tags = {1, {{"t", 1}}}, .item_count = (uint32_t)fuzz_draw(SCENE_ITEMS_MAX + 1)};
        for (uint32_t i = 0; i < e.room.item_count; i++)
            e.room.items[i] = (struct scene_item){.name = slice_of("c1"), .category = slice_of("a"), .price = 100};
        break;
    case 2:
        e.type = SCENE_CONTROL;
        e.control = (struct control_entry){.position = {3, 0, 9}, .id = slice_of("k"), .scene = slice_of("home"), .op = (enum control_op)fuzz_draw(CONTROL_OPS),
                                           .room = slice_of("r1"), .value = 100, .by = slice_of("me"), .why = slice_of("x")};
        break;
    default: break;
    }
    return e;
}

static void make_rollups(struct writer *out)
{
    scene_record_begin(out, slice_of("home"));
    for (uint64_t n = fuzz_draw(5); n > 0; n--) {
        struct scene_entry e = make_entry();
        scene_record_add(out, &e);
    }
}

static bool run_rollups(struct slice bytes)
{
    struct scene_record record;
    struct scene_entry e;
    enum err err = scene_record_open(bytes, &record);
    while (err == ERR_NONE && (err = scene_record_next(&record, &e)) == ERR_NONE) {
        FUZZ_CHECK(e.type != SCENE_ROOM || (e.room.item_count <= SCENE_ITEMS_MAX && e.room.tags.count <= SCENE_TAGS_MAX && inside(e.room.room, bytes)));
        FUZZ_CHECK(e.type != SCENE_CONTROL || (e.control.op < CONTROL_OPS && inside(e.control.why, bytes)));
        FUZZ_CHECK(e.type != SCENE_ROLLUP || inside(e.rollup.name, bytes));
    }
    return err == ERR_NOT_FOUND;
}

static bool are_short(const struct model_tag *tags, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (tags[i].size > sizeof tags[i].text)
            return false;
    return true;
}

static void make_sample(struct writer *out)
{
    struct sample s = {.kind = (enum sample_kind)(SAMPLE_SEEN + fuzz_draw(3)), .user = 7, .ts_ms = NOW, .tag_count = 2};
    for (uint32_t i = 0; i < s.tag_count; i++)
        s.tags[i] = (struct model_tag){.size = 2, .text = "ab", .weight = 0.7f};
    s.choice.count = (uint8_t)(2 + fuzz_draw(CHOICE_MAX - 1));
    for (uint32_t j = 0; j < s.choice.count; j++)
        s.choice.values[j][fuzz_draw(REASONS)] = (uint16_t)fuzz_draw(CHOICE_ONE + 1);
    sample_encode(&s, out);
    if (s.kind != SAMPLE_CHOICE || fuzz_draw(4))
        return;
    const size_t one = REASONS * sizeof(uint16_t); /* alternatives more than there is room for */
    out->data[out->size - s.choice.count * one - 2] = CHOICE_MAX + 4;
    for (size_t more = (CHOICE_MAX + 4u - s.choice.count) * one; more > 0; more--)
        put_u8(out, 7);
}

static bool run_sample(struct slice bytes)
{
    static struct learner *learner;
    struct sample s;
    struct learner_settings settings;
    learner_settings_default(&settings);
    for (int i = 0; i < REASONS; i++)
        settings.weights[i] = 10000;
    settings.examples_max = 100;
    if (!learner || fuzz_draw(1000) == 0) {
        learner_destroy(learner);
        learner = learner_create(&settings, NULL);
    }
    if (sample_decode(bytes, &s) != ERR_NONE)
        return false;
    FUZZ_CHECK(s.tag_count <= SAMPLE_TAGS && are_short(s.tags, s.tag_count) && s.choice.count <= CHOICE_MAX);
    learner_apply(learner, &s);
    return true;
}

/* The first segment as often as it comes, allowed or not. */
static void crowd_model(struct model *m, struct writer *out)
{
    struct writer one = {0};
    uint64_t segments = fuzz_draw(2 * SEGMENTS_MAX);
    size_t before = out->size;
    m->segment_count = 0;
    model_encode(m, out);
    size_t bare = out->size - before;
    m->segment_count = 1;
    model_encode(m, &one);
    out->size--;
    put_varint(out, segments);
    for (; segments > 0; segments--)
        put_bytes(out, one.data + bare, one.size - bare);
    writer_fini(&one);
}

static void make_model(struct writer *out)
{
    static struct model m;
    m = (struct model){.number = 5, .segment_count = (uint32_t)fuzz_draw(SEGMENTS_MAX + 1)};
    for (uint32_t i = 0; i < m.segment_count; i++)
        m.segments[i] = (struct segment_model){.users = i, .tag_count = 1, .tags = {{.size = 1, .text = "a", .weight = 1}}};
    m.intent.examples = m.blend.examples = 1000;
    m.intent.mature = fuzz_draw(2);
    m.intent.from_ms = (int64_t)fuzz_draw(1000);
    if (fuzz_draw(8) && m.segment_count > 0)
        model_encode(&m, out);
    else
        crowd_model(&m, out);
}

static bool run_model(struct slice bytes)
{
    static struct model m;
    float x[FEATURES] = {1};
    struct learner_settings settings;
    if (model_decode(bytes, &m) != ERR_NONE)
        return false;
    FUZZ_CHECK(m.segment_count <= SEGMENTS_MAX);
    for (uint32_t i = 0; i < m.segment_count; i++)
        FUZZ_CHECK(m.segments[i].tag_count <= SEGMENT_TAGS && are_short(m.segments[i].tags, m.segments[i].tag_count));
    model_segment(&m, m.segments[0].tags, m.segments[0].tag_count);
    double p = logistic_predict(&m.intent, x);
    FUZZ_CHECK(p == -1 || (p >= 0 && p <= 1));
    double factor = blend_factor(&m.blend, REASON_POPULAR, 1000);
    FUZZ_CHECK(factor >= 1 / BLEND_MOST - 1e-9 && factor <= BLEND_MOST + 1e-9);
    learner_settings_default(&settings);
    for (int i = 0; i < REASONS; i++)
        settings.weights[i] = 10000;
    settings.examples_max = 100;
    struct learner *l = learner_create(&settings, &m);
    learner_apply(l, &(struct sample){.kind = SAMPLE_CHOICE, .choice = {.count = 2, .values = {{CHOICE_ONE}}}});
    FUZZ_CHECK(blend_factor(&learner_model(l)->blend, REASON_INTEREST, 1000) <= BLEND_MOST + 1e-9);
    struct writer out = {0};
    model_encode(learner_model(l), &out);
    FUZZ_CHECK(model_decode((struct slice){(const char *)out.data, out.size}, &m) == ERR_NONE);
    writer_fini(&out);
    learner_destroy(l);
    return true;
}

static const struct {
    void (*make)(struct writer *out);
    bool (*run)(struct slice bytes);
} logs[LOGS] = {
    [EFFECTS] = {make_effects, run_effects}, [ROLLUPS] = {make_rollups, run_rollups}, [SAMPLES] = {make_sample, run_sample}, [MODELS] = {make_model, run_model},
};

static void make(struct writer *out)
{
    uint8_t log = (uint8_t)fuzz_draw(LOGS);
    put_u8(out, log);
    logs[log].make(out);
}

static bool run(struct slice input)
{
    return input.size && logs[(uint8_t)input.at[0] % LOGS].run((struct slice){input.at + 1, input.size - 1});
}

const struct fuzz_target fuzz_target = {"records", 65536, 4 << 20, 64, make, run};
