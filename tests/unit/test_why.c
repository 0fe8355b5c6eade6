/* Explanations: the parts add up to the score that is sent, and each rule that keeps something out says so. */
#include "tests/unit/check.h"

#include "server/codec/catalog_decode.h"
#include "server/engine/recommend_why.h"

#include <math.h>
#include <stdlib.h>

#define NOW 1732370000000ll
#define ITEMS 60
#define ROOMS 50
#define HOSTS 18

struct stage {
    struct catalog *catalog;
    struct recommender *r;
    struct profile *p;
    uint64_t random;
    int64_t asked; /* a second apart: the index of live rooms is built again only now and then */
    struct similar lists[ITEMS][8];
    float next[ITEMS][8];
};

static uint32_t draw(struct stage *s, uint32_t below)
{
    s->random = hash_mix(s->random + 1);
    return (uint32_t)(s->random % below);
}

static void put(struct stage *s, const char *kind, const char *name, const char *value)
{
    char key[64];
    enum entity_kind found;
    snprintf(key, sizeof key, "%s:%s", kind, name);
    CHECK_INT(catalog_decode(s->catalog, slice_of(key), slice_of(value), false, NOW, &found), CATALOG_ACCEPTED);
}

static entity_id id_of(enum entity_kind kind, const char *prefix, uint32_t number)
{
    char name[16];
    snprintf(name, sizeof name, "%s%u", prefix, number);
    return entity_id_of(kind, slice_of(name));
}

static void open_stage(struct stage *s, const struct recommend_settings *settings, uint64_t seed)
{
    struct catalog_limits limits = {1000, 1000, 1000, 1000};
    char name[16], value[300];
    s->random = seed;
    s->catalog = catalog_create(&limits);
    s->r = recommender_create(settings, s->catalog);
    s->p = profile_create();
    for (uint32_t i = 0; i < ITEMS; i++) {
        snprintf(name, sizeof name, "c%u", i);
        snprintf(value, sizeof value, "{\"v\":1,\"format\":\"course\",\"price\":100,\"currency\":\"CNY\",\"tags\":[\"t%u\",\"t%u\"]%s%s}", i % 7, 7 + i % 5,
                 i % 20 == 3 ? ",\"restricted\":true" : "", i % 10 == 6 ? ",\"requires\":[\"c0\"],\"series\":\"s\"" : "");
        put(s, "item", name, value);
    }
    for (uint32_t i = 0; i < HOSTS; i++) {
        snprintf(name, sizeof name, "h%u", i);
        put(s, "host", name, "{\"v\":1,\"fans\":10}");
    }
    for (uint32_t i = 0; i < ROOMS; i++) {
        snprintf(name, sizeof name, "r%u", i);
        snprintf(value, sizeof value, "{\"v\":1,\"host\":\"h%u\",\"scenes\":[\"%s\"],\"status\":\"%s\",\"category\":\"k%u\",\"items\":[\"c%u\",\"c%u\"]}", draw(s, HOSTS),
                 i % 11 == 5 ? "learn" : "home", i % 9 == 4 ? "closed" : "open", i % 6, draw(s, ITEMS), draw(s, ITEMS));
        put(s, "room", name, value);
    }
    for (uint32_t i = 0; i < ITEMS; i++)
        for (uint32_t k = 0; k < 8; k++) {
            s->lists[i][k] = (struct similar){catalog_item(s->catalog, id_of(ENTITY_ITEM, "c", (i + 1 + 7 * k + draw(s, 7)) % ITEMS))->number, 0.5f / (float)(k + 1)};
            s->next[i][k] = (float)draw(s, 100) / 400;
        }
}

static void close_stage(struct stage *s)
{
    profile_destroy(s->p);
    recommender_destroy(s->r);
    catalog_destroy(s->catalog);
}

static struct similar_list similar(void *arg, entity_id id)
{
    struct stage *s = arg;
    for (uint32_t i = 0; i < ITEMS; i++)
        if (id == id_of(ENTITY_ITEM, "c", i))
            return (struct similar_list){8, s->lists[i], s->next[i], 1};
    return (struct similar_list){0};
}

static void remember(struct stage *s, entity_id id, struct history_entry entry)
{
    struct profile *p = s->p;
    if (profile_find(p, id))
        return;
    p->history = realloc(p->history, (p->history_count + 1) * sizeof *p->history);
    entry.id = id;
    entry.touched_ms = NOW - 1000;
    p->history[p->history_count++] = entry;
}

static void own(struct stage *s, entity_id id)
{
    struct profile *p = s->p;
    p->owned = realloc(p->owned, (p->owned_count + 1) * sizeof *p->owned);
    p->owned[p->owned_count++] = (struct owned_item){.item = id, .paid = 100};
}

static void relate(struct stage *s, entity_id id, bool blocked)
{
    struct profile *p = s->p;
    p->relations = realloc(p->relations, (p->relation_count + 1) * sizeof *p->relations);
    p->relations[p->relation_count++] = (struct relation){id, blocked};
}

static void invent(struct stage *s)
{
    for (uint32_t i = 0; i < 12; i++)
        remember(s, id_of(ENTITY_ITEM, "c", draw(s, ITEMS)), (struct history_entry){.rating = (uint8_t)(1 + draw(s, 5)), .flags = draw(s, 8) == 0 ? HISTORY_NEGATIVE : 0});
    for (uint32_t i = 0; i < 8; i++)
        remember(s, id_of(ENTITY_ROOM, "r", draw(s, ROOMS)),
                 (struct history_entry){.flags = HISTORY_IMPRESSED, .impressed_ms = NOW - 1 - draw(s, 1200000)});
    for (uint32_t i = 0; i < 3; i++)
        remember(s, id_of(ENTITY_HOST, "h", draw(s, HOSTS)), (struct history_entry){.rating = 3, .dwell_s = draw(s, 2000)});
    for (uint32_t i = 0; i < 3; i++)
        own(s, id_of(ENTITY_ITEM, "c", draw(s, ITEMS)));
    relate(s, id_of(ENTITY_HOST, "h", draw(s, HOSTS)), true);
    relate(s, id_of(ENTITY_HOST, "h", draw(s, HOSTS)), false);
    for (uint32_t i = 0; i < 200; i++) {
        char item[16], room[16];
        snprintf(item, sizeof item, "c%u", draw(s, ITEMS));
        snprintf(room, sizeof room, "r%u", draw(s, ROOMS));
        struct event e = {.type = i % 3 ? EVENT_IMPRESSION : EVENT_CLICK, .item = slice_of(item), .room = slice_of(room)};
        recommender_see(s->r, &e, NOW - 60000);
    }
}

static const struct recommended *find(const struct recommended *list, uint32_t count, entity_id id, uint32_t *place)
{
    for (*place = 1; *place <= count; ++*place)
        if (list[*place - 1].id == id)
            return &list[*place - 1];
    return NULL;
}

static void check_sum(const struct recommended *e)
{
    double sum = 0;
    for (int k = 0; k < REASONS; k++)
        sum += e->parts[k];
    CHECK(fabs(sum - e->score) < 1e-9);
}

/* The shares of a part add up to it; similarity comes from what the user did, and most of it from what the list names. */
static void check_sources(const struct stage *s, const struct explanation *e)
{
    double sums[REASONS] = {0}, most = 0;
    struct slice from = {0};
    for (uint32_t i = 0; i < e->source_count; i++) {
        const struct why_source *one = &e->sources[i];
        sums[one->reason] += one->part;
        if (one->reason != REASON_SIMILAR_ITEM)
            continue;
        CHECK(one->part > 0 && profile_find(s->p, entity_id_of(ENTITY_ITEM, one->of)));
        from = one->part > most ? one->of : from;
        most = one->part > most ? one->part : most;
    }
    if (entity_kind_of(e->entry.id) == ENTITY_HOST)
        return; /* its interest is its best room's */
    CHECK(fabs(sums[REASON_INTEREST] - e->entry.parts[REASON_INTEREST]) < 1e-5);
    CHECK(fabs(sums[REASON_SIMILAR_ITEM] - e->entry.parts[REASON_SIMILAR_ITEM]) < 1e-5);
    CHECK(most == 0 || e->entry.of.size > 0);
}

/* What is listed is explained as it is listed; what is not has a reason; and the parts add up either way. */
static void check_one(struct stage *s, entity_id id, const struct recommended *list, uint32_t count, uint64_t counts[WHYS])
{
    struct asker a = {s->p, NOW, similar, s};
    struct explanation out;
    uint32_t place;
    const struct recommended *listed = find(list, count, id, &place);
    recommend_why(s->r, &a, slice_of("home"), id, &out);
    CHECK((listed != NULL) == (out.why == WHY_LISTED));
    counts[out.why]++;
    CHECK(out.scored == (out.entry.score > 0));
    check_sum(&out.entry);
    check_sources(s, &out);
    if (!listed)
        return;
    CHECK_INT(out.place, place);
    CHECK(out.entry.score == listed->score);
    for (int k = 0; k < REASONS; k++)
        CHECK(out.entry.parts[k] == listed->parts[k]);
    CHECK(slice_equal(out.entry.of, listed->of));
}

/* The other way to all scores, before they are rounded: each part by half a step at most. */
static void check_against_all(struct stage *s)
{
    float all[ITEMS + 8];
    struct asker a = {s->p, NOW, similar, s};
    recommend_all(s->r, &a, all);
    for (uint32_t i = 0; i < ITEMS; i++) {
        struct explanation out;
        entity_id id = id_of(ENTITY_ITEM, "c", i);
        recommend_why(s->r, &a, slice_of("home"), id, &out);
        float score = all[catalog_item(s->catalog, id)->number];
        CHECK(out.scored == (score >= 0));
        if (out.scored)
            CHECK(fabs(score / 1000 - out.entry.score) < REASONS * 0.5e-4 + 1e-4);
    }
}

static void test_parts_add_up_to_what_is_listed(void)
{
    struct recommend_settings settings;
    uint64_t counts[WHYS] = {0};
    recommend_settings_default(&settings);
    settings.explore_ppm = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct stage s = {0};
        struct recommendation list;
        open_stage(&s, &settings, seed);
        invent(&s);
        recommend(s.r, s.p, slice_of("home"), NOW, 1, similar, &s, &list);
        for (uint32_t i = 0; i < list.room_count; i++)
            check_sum(&list.rooms[i]);
        for (uint32_t i = 0; i < ROOMS; i++)
            check_one(&s, id_of(ENTITY_ROOM, "r", i), list.rooms, list.room_count, counts);
        for (uint32_t i = 0; i < ITEMS; i++)
            check_one(&s, id_of(ENTITY_ITEM, "c", i), list.items, list.item_count, counts);
        for (uint32_t i = 0; i < HOSTS; i++)
            check_one(&s, id_of(ENTITY_HOST, "h", i), list.hosts, list.host_count, counts);
        check_against_all(&s);
        close_stage(&s);
    }
    static const enum why met[] = {WHY_LISTED, WHY_OUTRANKED, WHY_HOST_CAP, WHY_CATEGORY_CAP, WHY_SHOWN, WHY_OWNED, WHY_BLOCKED,
                                   WHY_DISLIKED, WHY_RESTRICTED, WHY_PREREQUISITE, WHY_CLOSED, WHY_OTHER_SCENE};
    for (size_t i = 0; i < sizeof met / sizeof *met; i++)
        CHECK(counts[met[i]] > 0);
}

static enum why why_of(struct stage *s, entity_id id, struct explanation *out)
{
    recommend_why(s->r, &(struct asker){s->p, NOW + 1000 * s->asked++, similar, s}, slice_of("home"), id, out);
    return out->why;
}

/* One rule at a time, on the same room. */
static void test_each_rule(void)
{
    struct recommend_settings settings;
    struct stage s = {0};
    struct explanation out;
    recommend_settings_default(&settings);
    open_stage(&s, &settings, 7);
    entity_id room = id_of(ENTITY_ROOM, "x", 0), item = id_of(ENTITY_ITEM, "y", 0), host = id_of(ENTITY_HOST, "z", 0);
    CHECK_INT(why_of(&s, room, &out), WHY_UNKNOWN);
    put(&s, "item", "y0", "{\"v\":1,\"format\":\"course\",\"requires\":[\"y1\"]}");
    put(&s, "item", "y1", "{\"v\":1,\"format\":\"course\"}");
    put(&s, "room", "x0", "{\"v\":1,\"host\":\"z0\",\"scenes\":[\"home\"],\"status\":\"open\",\"items\":[\"y0\"]}");
    CHECK_INT(why_of(&s, room, &out), WHY_PREREQUISITE);
    CHECK(slice_equal(out.because, slice_of("y0")));
    CHECK_INT(why_of(&s, item, &out), WHY_PREREQUISITE);
    CHECK(slice_equal(out.because, slice_of("y1")));
    own(&s, id_of(ENTITY_ITEM, "y", 1));
    relate(&s, host, false);
    CHECK_INT(why_of(&s, room, &out), WHY_LISTED);
    CHECK(out.place >= 1 && out.entry.parts[REASON_FOLLOWED] > 0);
    remember(&s, room, (struct history_entry){.flags = HISTORY_IMPRESSED, .impressed_ms = NOW - 1000});
    CHECK_INT(why_of(&s, room, &out), WHY_SHOWN);
    CHECK_INT(out.until_ms, NOW - 1000 + settings.pause_ms);
    CHECK(out.entry.score > 0);
    relate(&s, host, true);
    CHECK_INT(why_of(&s, room, &out), WHY_BLOCKED);
    CHECK(slice_equal(out.because, slice_of("z0")));
    s.p->relation_count = 0;
    own(&s, item);
    CHECK_INT(why_of(&s, room, &out), WHY_OWNED);
    CHECK_INT(why_of(&s, item, &out), WHY_OWNED);
    put(&s, "room", "x0", "{\"v\":1,\"host\":\"z0\",\"scenes\":[\"home\"],\"status\":\"closed\",\"items\":[\"y0\"]}");
    CHECK_INT(why_of(&s, room, &out), WHY_CLOSED);
    close_stage(&s);
}

int main(void)
{
    test_parts_add_up_to_what_is_listed();
    test_each_rule();
    return checks_failed != 0;
}
