/*
 * What is stored, byte for byte: `formats.txt` holds a blob or record of every kind, made of fixed events. A format that
 * changes without another version would be misread by the binary before it; here it fails.
 *
 *   test_formats ROOT [--write]   writes the file anew, after a version has gone up
 */
#include "server/codec/effects_codec.h"
#include "server/codec/learner_codec.h"
#include "server/codec/scene_codec.h"
#include "server/engine/allocation.h"
#include "server/engine/entity.h"
#include "server/engine/profile.h"
#include "server/worker/position.h"
#include "tests/unit/check.h"

#include <stdio.h>
#include <stdlib.h>

#define NOW 1732370000000
#define EVENTS 24

static struct event event_of(int n, char id[16], char room[16], char item[16])
{
    static const enum event_type types[] = {EVENT_ENTER, EVENT_WATCH, EVENT_CHAT, EVENT_CART, EVENT_PURCHASE, EVENT_RATING, EVENT_GIFT, EVENT_IMPRESSION};
    snprintf(id, 16, "e%d", n);
    snprintf(room, 16, "r%d", n / 6);
    snprintf(item, 16, "c%d", n % 5);
    return (struct event){
        .type = types[n % 8], .event_ms = NOW + n * 61007, .id = slice_of(id), .user = slice_of("u"), .scene = slice_of("home"), .room = slice_of(room),
        .host = slice_of("h"), .item = slice_of(item), .order = slice_of(id), .dwell_ms = 9000, .amount = 1999, .currency = 'C' << 16 | 'N' << 8 | 'Y',
        .qty = 1, .value = 4,
    };
}

/* The profile after all events; `effects` are the last one's, `run` is told all of them. */
static void fold(struct profile *p, struct effect_list *effects, struct effects_run *run)
{
    struct profile_settings s;
    char id[16], room[16], item[16];
    profile_settings_default(&s);
    for (int n = 0; n < EVENTS; n++) {
        struct event e = event_of(n, id, room, item);
        effect_list_clear(effects);
        profile_apply(p, &s, &e, e.event_ms + 50, effects);
        if (!run)
            continue;
        effects_run_begin_entry(run, n * 3, n ? n * 3 - 3 : -1, e.event_ms);
        for (uint32_t i = 0; i < effects->count_count; i++)
            effects_run_add_count(run, &effects->counts[i]);
        for (uint32_t i = 0, from = 0; i < effects->rating_count; from += effects->ratings[i++].pairs)
            effects_run_add_rating(run, &effects->ratings[i], effects->pairs + from);
        for (uint32_t i = 0; i < effects->pair_count; i++)
            effects_run_add_mirror(run, &effects->pairs[i]);
        effects_run_end_entry(run);
    }
}

static void make_profile(struct writer *out)
{
    struct effect_list effects = {0};
    struct profile *p = profile_create(), *again = NULL;
    fold(p, &effects, NULL);
    profile_encode(p, out);
    struct writer same = {0};
    CHECK(profile_decode((struct slice){(char *)out->data, (uint32_t)out->size}, &again) == ERR_NONE);
    profile_encode(again, &same);
    CHECK(same.size == out->size && memcmp(same.data, out->data, same.size) == 0);
    writer_fini(&same);
    profile_destroy(again);
    profile_destroy(p);
    effect_list_fini(&effects);
}

static void make_effects(struct writer *out)
{
    struct effect_list effects = {0};
    struct effects_run run = {0};
    struct profile *p = profile_create();
    fold(p, &effects, &run);
    struct slice record = effects_run_close(&run, &(struct run_head){.source = 3, .confirmed = 100, .prev = 66});
    put_bytes(out, record.at, record.size);
    effects_run_clear(&run);
    writer_fini(&run.bytes);
    profile_destroy(p);
    effect_list_fini(&effects);
}

static void count(struct counters *c, struct neighbours *n)
{
    struct entity_settings s;
    struct profile_settings t;
    struct effect_list effects = {0};
    struct profile *p = profile_create();
    char id[16], room[16], item[16];
    entity_settings_default(&s);
    profile_settings_default(&t);
    for (int k = 0; k < EVENTS; k++) {
        struct event e = event_of(k, id, room, item);
        effect_list_clear(&effects);
        profile_apply(p, &t, &e, e.event_ms + 50, &effects);
        for (uint32_t i = 0; i < effects.count_count; i++)
            counters_add_count(c, &s, &effects.counts[i], e.event_ms);
        for (uint32_t i = 0; i < effects.rating_count; i++)
            counters_add_rating(c, &s, effects.ratings[i].name, effects.ratings[i].delta, e.event_ms);
        for (uint32_t i = 0; i < effects.pair_count; i++)
            neighbours_apply(n, &s, &(struct neighbour_change){effects.pairs[i].other, effects.pairs[i].delta, effects.pairs[i].step}, e.event_ms);
    }
    profile_destroy(p);
    effect_list_fini(&effects);
}

static void make_counters(struct writer *out)
{
    struct counters *c = counters_create();
    struct neighbours *n = neighbours_create();
    count(c, n);
    counters_encode(c, out);
    counters_destroy(c);
    neighbours_destroy(n);
}

static void make_neighbours(struct writer *out)
{
    struct counters *c = counters_create();
    struct neighbours *n = neighbours_create();
    count(c, n);
    neighbours_encode(n, out);
    counters_destroy(c);
    neighbours_destroy(n);
}

static int entries(struct scene_entry out[4])
{
    out[0] = (struct scene_entry){.type = SCENE_ROOM};
    out[0].room = (struct room_entry){.position = {3, 0, 9}, .open = true, .record_ms = NOW, .room = slice_of("r1"), .host = slice_of("h"),
                                      .category = slice_of("a"), .tags = {1, {{"t", 1}}}, .item_count = 1};
    out[0].room.items[0] = (struct scene_item){.name = slice_of("c1"), .category = slice_of("a"), .price = 100};
    out[1] = (struct scene_entry){.type = SCENE_ROLLUP};
    out[1].rollup = (struct rollup){.scene = slice_of("home"), .name = slice_of("r1"), .offset = 7, .last_ms = NOW};
    out[1].rollup.id = entity_id_of(ENTITY_ROOM, slice_of("r1"));
    out[1].rollup.totals[COUNTER_EXPOSURE] = 40;
    out[1].rollup.totals[COUNTER_PURCHASE] = 3;
    out[2] = (struct scene_entry){.type = SCENE_CONTROL};
    out[2].control = (struct control_entry){.position = {3, 0, 10}, .id = slice_of("k"), .scene = slice_of("home"), .op = CONTROL_PIN,
                                            .room = slice_of("r1"), .value = 100, .by = slice_of("me"), .why = slice_of("x")};
    out[3] = (struct scene_entry){.type = SCENE_TICK, .tick = {3, NOW + 1000}};
    return 4;
}

static void make_rollups(struct writer *out)
{
    static struct scene_entry e[4];
    scene_record_begin(out, slice_of("home"));
    for (int i = 0, n = entries(e); i < n; i++)
        scene_record_add(out, &e[i]);
}

static void make_scene(struct writer *out)
{
    static struct scene_entry e[4];
    struct allocation_settings s;
    struct scene *c = scene_create(slice_of("home")), *again = NULL;
    struct scene_out said = {0};
    allocation_settings_default(&s);
    for (int i = 0, n = entries(e); i < n; i++)
        scene_apply(c, &s, &e[i], &said);
    scene_encode(c, out);
    struct writer same = {0};
    CHECK(scene_decode((struct slice){(char *)out->data, (uint32_t)out->size}, &again) == ERR_NONE);
    scene_encode(again, &same);
    CHECK(same.size == out->size && memcmp(same.data, out->data, same.size) == 0);
    writer_fini(&same);
    scene_destroy(again);
    scene_out_fini(&said);
    scene_destroy(c);
}

static void make_position(struct writer *out)
{
    position_encode(&(struct position){.next = 123456789, .token = 0x0123456789abcdef, .epoch = 7, .has_print = true, .print = 99, .claims = 2, .tries = 1}, out);
}

static void make_header(struct writer *out)
{
    struct slot_header h = {.format = FORMAT_VERSION, .hmac_check = 5, .partitions = {16, 16, 1, 1}, .fold_count = 2};
    h.folds[0] = (struct fold_span){0, 11};
    h.folds[1] = (struct fold_span){100, 12};
    slot_header_encode(&h, out);
}

static void make_sample(struct writer *out)
{
    struct sample s = {.kind = SAMPLE_SEEN, .user = 7, .ts_ms = NOW, .tag_count = 2};
    for (uint32_t i = 0; i < s.tag_count; i++)
        s.tags[i] = (struct model_tag){.size = 2, .text = "ab", .weight = 0.5f};
    sample_encode(&s, out);
}

static void make_choice(struct writer *out)
{
    struct sample s = {.kind = SAMPLE_CHOICE, .user = 7, .ts_ms = NOW, .choice = {.count = 2, .values = {{CHOICE_ONE, 1}, {0, 2}}}};
    sample_encode(&s, out);
}

static void make_model(struct writer *out)
{
    static struct model m = {.number = 3, .segment_count = 1, .segments = {{.users = 2, .tag_count = 1, .tags = {{.size = 1, .text = "a", .weight = 1}}}},
                             .blend = {.examples = 9, .at = {0.5}, .sure = {2}}};
    model_encode(&m, out);
}

static const struct {
    const char *name;
    void (*make)(struct writer *out);
} kinds[] = {
    {"header", make_header},   {"position", make_position}, {"profile", make_profile}, {"counters", make_counters}, {"neighbours", make_neighbours},
    {"scene", make_scene},     {"effects", make_effects},   {"rollups", make_rollups}, {"sample", make_sample},
    {"choice", make_choice},   {"model", make_model},
};

#define KINDS (sizeof kinds / sizeof *kinds)

/* The line's hexadecimal digits, or NULL when the file has none of that name. */
static const char *stored(const char *path, const char *name, char line[16384])
{
    FILE *file = fopen(path, "r");
    size_t length = strlen(name);
    while (file && fgets(line, 16384, file))
        if (strncmp(line, name, length) == 0 && line[length] == ' ') {
            fclose(file);
            line[strcspn(line, "\n")] = '\0';
            return line + length + 1;
        }
    if (file)
        fclose(file);
    return NULL;
}

static void text_of(const struct writer *bytes, char text[16384])
{
    CHECK(2 * bytes->size < 16384);
    for (size_t i = 0; i < bytes->size && 2 * i + 2 < 16384; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes->data[i]);
}

static bool takes_effects(struct slice bytes)
{
    struct run_reader run;
    struct run_entry entry;
    struct run_effect effect;
    if (effects_run_open(bytes, &run) != ERR_NONE)
        return false;
    while (effects_run_next(&run, &entry))
        while (effects_entry_next(&run, &effect))
            ;
    return !run.failed;
}

static bool takes_counters(struct slice bytes)
{
    struct counters *c = NULL;
    bool taken = counters_decode(bytes, &c) == ERR_NONE;
    counters_destroy(c);
    return taken;
}

static bool takes_rollups(struct slice bytes)
{
    struct scene_record record;
    struct scene_entry entry;
    enum err err = scene_record_open(bytes, &record);
    while (err == ERR_NONE)
        err = scene_record_next(&record, &entry);
    return err == ERR_NOT_FOUND;
}

static bool takes_scene(struct slice bytes)
{
    struct scene *c = NULL;
    bool taken = scene_decode(bytes, &c) == ERR_NONE;
    scene_destroy(c);
    return taken;
}

/* A scene's name, or a room's, as they stand in the bytes behind their size; with a letter that no id has they are refused. */
static void test_names_of_other_letters_are_refused(void)
{
    static const struct {
        void (*make)(struct writer *);
        bool (*takes)(struct slice);
        const char *name;
    } rows[] = {{make_effects, takes_effects, "\4home"}, {make_effects, takes_effects, "\2r1"}, {make_counters, takes_counters, "\4home"},
                {make_counters, takes_counters, "\2r0"}, {make_rollups, takes_rollups, "\4home"}, {make_rollups, takes_rollups, "\2r1"},
                {make_rollups, takes_rollups, "\1k"}, {make_scene, takes_scene, "\4home"}, {make_scene, takes_scene, "\2r1"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct writer bytes = {0};
        rows[i].make(&bytes);
        struct slice all = {(char *)bytes.data, (uint32_t)bytes.size};
        char *name = memmem(bytes.data, bytes.size, rows[i].name, strlen(rows[i].name));
        CHECK(name && rows[i].takes(all));
        for (const char *other = "\"\n\x80<"; name && *other; other++) {
            name[1] = *other;
            CHECK(!rows[i].takes(all));
        }
        writer_fini(&bytes);
    }
}

int main(int argc, char **argv)
{
    static char path[4096], line[16384], text[16384];
    if (argc < 2)
        return 2;
    snprintf(path, sizeof path, "%s/tests/unit/formats.txt", argv[1]);
    FILE *file = argc > 2 && strcmp(argv[2], "--write") == 0 ? fopen(path, "w") : NULL;
    for (size_t i = 0; i < KINDS; i++) {
        struct writer bytes = {0};
        kinds[i].make(&bytes);
        text_of(&bytes, text);
        writer_fini(&bytes);
        if (file) {
            fprintf(file, "%s %s\n", kinds[i].name, text);
            continue;
        }
        const char *want = stored(path, kinds[i].name, line);
        CHECK(want != NULL);
        if (want && strcmp(want, text) != 0) {
            fprintf(stderr, "%s is stored differently%s\n", kinds[i].name,
                    strncmp(want, text, 2) == 0 ? ", and its version is the same" : ": write formats.txt anew");
            checks_failed++;
        }
    }
    if (file)
        fclose(file);
    test_names_of_other_letters_are_refused();
    return checks_failed != 0;
}
