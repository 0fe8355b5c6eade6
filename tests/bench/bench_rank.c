/*
 * One ranking for one user: 1,000 live rooms of eight items each, 10,000 items with six tags and an embedding, users with
 * an ordinary history. Prints CPU nanoseconds a ranking, without those of looking at the clock; what is derived for all
 * users at once is in it at its share, since the clock moves on by a millisecond a ranking and the explained item of a
 * room changes every tenth.
 */
#include "common/check.h"
#include "server/engine/recommend.h"
#include "tests/bench/cpu.h"

#include <stdio.h>
#include <stdlib.h>

enum { ITEMS = 10000, ROOMS = 1000, HOSTS = 700, TAGS = 400, USERS = 5000, LIST = 20, RANKINGS = 50000, DIMS = 64 };

#define START_MS 1732370000000ll

struct bench {
    struct catalog *catalog;
    struct recommender *r;
    struct similar *lists; /* ITEMS * LIST */
    struct map list_of;    /* item -> its list */
    struct profile *users[USERS];
    char names[ITEMS][8];
    uint64_t random;
};

/* What is measured between two looks at the clock with nothing between them: a look is a call of the system. */
static double look_s(void)
{
    enum { LOOKS = 20000 };
    double spent = 0;
    for (int i = 0; i < LOOKS; i++) {
        double begin = cpu_s();
        spent += cpu_s() - begin;
    }
    return spent / LOOKS;
}

static uint32_t draw(struct bench *b, uint32_t below)
{
    b->random += 0x9e3779b97f4a7c15u;
    return (uint32_t)(hash_mix(b->random) % below);
}

/* The lower the more often. */
static uint32_t draw_low(struct bench *b, uint32_t below)
{
    double u = draw(b, 1000000) / 1e6;
    return (uint32_t)(u * u * below);
}

static void put_item(struct bench *b, uint32_t i)
{
    static char tags[8][8];
    struct item_draft d = {.format = FORMAT_COURSE, .price = 9900, .dims = DIMS, .category = slice_of("a"), .currency = slice_of("CNY")};
    for (d.tags.count = 0; d.tags.count < 6; d.tags.count++) {
        snprintf(tags[d.tags.count], sizeof tags[0], "t%u", draw_low(b, TAGS));
        d.tags.at[d.tags.count] = slice_of(tags[d.tags.count]);
    }
    for (int k = 0; k < DIMS; k++)
        d.embedding[k] = (float)draw(b, 2001) - 1000;
    snprintf(b->names[i], sizeof b->names[0], "i%u", i);
    ASSERT(catalog_put_item(b->catalog, slice_of(b->names[i]), &d) == CATALOG_TAKEN);
}

static void put_room(struct bench *b, uint32_t i)
{
    char name[8], host[8], category[8];
    struct room_draft d = {.open = true, .scene_count = 1, .item_count = 8};
    snprintf(name, sizeof name, "r%u", i);
    snprintf(host, sizeof host, "h%u", i % HOSTS);
    snprintf(category, sizeof category, "c%u", i % 20);
    d.host = slice_of(host);
    d.category = slice_of(category);
    d.scenes[0] = slice_of("home");
    for (uint32_t k = 0; k < d.item_count; k++)
        d.items[k] = slice_of(b->names[(i * 7919 + k * 613) % ITEMS]);
    d.explaining = d.items[draw(b, d.item_count)];
    ASSERT(catalog_put_room(b->catalog, slice_of(name), &d, START_MS) == CATALOG_TAKEN);
}

static void remember(struct bench *b, struct profile *p, enum entity_kind kind, const char *name, uint32_t age_s)
{
    p->history = realloc(p->history, (p->history_count + 1) * sizeof *p->history);
    ASSERT(p->history);
    p->history[p->history_count++] = (struct history_entry){.id = entity_id_of(kind, slice_of(name)), .rating = (uint8_t)(1 + draw(b, 4)),
                                                            .dwell_s = draw(b, 600), .touched_ms = START_MS - 1000ll * age_s};
}

static struct profile *make_user(struct bench *b)
{
    struct profile *p = profile_create();
    char name[16];
    for (uint32_t k = 0; k < 40; k++) {
        uint32_t what = k % 4;
        snprintf(name, sizeof name, what < 2 ? "i%u" : what < 3 ? "h%u" : "r%u", what < 2 ? draw_low(b, ITEMS) : what < 3 ? draw(b, HOSTS) : 100000 + draw(b, 90000));
        remember(b, p, what < 2 ? ENTITY_ITEM : what < 3 ? ENTITY_HOST : ENTITY_ROOM, name, (40 - k) * 3600);
    }
    p->relations = calloc(4, sizeof *p->relations);
    p->owned = calloc(4, sizeof *p->owned);
    ASSERT(p->relations && p->owned);
    for (; p->relation_count < 4; p->relation_count++) {
        snprintf(name, sizeof name, "h%u", draw(b, HOSTS));
        p->relations[p->relation_count] = (struct relation){entity_id_of(ENTITY_HOST, slice_of(name)), false};
    }
    for (; p->owned_count < 4; p->owned_count++)
        p->owned[p->owned_count] = (struct owned_item){.item = p->history[p->owned_count * 6].id, .paid = 100};
    return p;
}

static struct similar_list similar(void *arg, entity_id item)
{
    static const float next[LIST] = {0.1f, 0.05f, 0.02f};
    struct bench *b = arg;
    const struct similar *at = map_find(&b->list_of, item);
    return at ? (struct similar_list){LIST, at, next, 2} : (struct similar_list){0};
}

static void see(struct bench *b, int64_t now_ms)
{
    char item[8], room[8], host[8];
    uint32_t n = draw_low(b, ROOMS);
    snprintf(room, sizeof room, "r%u", n);
    snprintf(host, sizeof host, "h%u", n % HOSTS);
    snprintf(item, sizeof item, "i%u", (n * 7919 + draw(b, 8) * 613) % ITEMS);
    static const enum event_type types[] = {EVENT_IMPRESSION, EVENT_IMPRESSION, EVENT_CLICK, EVENT_WATCH, EVENT_CART};
    struct event e = {.type = types[draw(b, 5)], .room = slice_of(room), .host = slice_of(host), .item = slice_of(item)};
    recommender_see(b->r, &e, now_ms);
}

static void setup(struct bench *b)
{
    struct catalog_limits limits = {20000, 20000, 20000, 20000};
    struct recommend_settings settings;
    recommend_settings_default(&settings);
    b->catalog = catalog_create(&limits);
    b->r = recommender_create(&settings, b->catalog);
    b->lists = calloc((size_t)ITEMS * LIST, sizeof *b->lists);
    ASSERT(b->lists);
    for (uint32_t i = 0; i < ITEMS; i++)
        put_item(b, i);
    for (uint32_t i = 0; i < ROOMS; i++)
        put_room(b, i);
    for (uint32_t i = 0; i < ITEMS * LIST; i++) {
        const struct catalog_item *it = catalog_item(b->catalog, entity_id_of(ENTITY_ITEM, slice_of(b->names[draw_low(b, ITEMS)])));
        b->lists[i] = (struct similar){.number = it->number, .sim = 0.3f / (float)(1 + i % LIST)};
    }
    for (uint32_t i = 0; i < ITEMS; i++)
        map_put(&b->list_of, entity_id_of(ENTITY_ITEM, slice_of(b->names[i])), b->lists + (size_t)i * LIST);
    for (uint32_t u = 0; u < USERS; u++)
        b->users[u] = make_user(b);
    for (uint32_t k = 0; k < 50000; k++)
        see(b, START_MS - 50000 + k);
}

int main(int argc, char **argv)
{
    static struct bench b;
    static struct recommendation out;
    uint64_t rooms = 0, items = 0, hosts = 0;
    double spent = 0;
    uint32_t rankings = argc > 1 ? (uint32_t)atoi(argv[1]) : RANKINGS;
    setup(&b);
    for (uint32_t k = 0; k < rankings; k++) {
        int64_t now_ms = START_MS + k;
        see(&b, now_ms);
        if (k % 100 == 0)
            put_room(&b, draw(&b, ROOMS));
        const struct profile *p = b.users[draw(&b, USERS)];
        double begin = cpu_s();
        recommend(b.r, p, slice_of("home"), now_ms, k, similar, &b, &out);
        spent += cpu_s() - begin;
        rooms += out.room_count;
        items += out.item_count;
        hosts += out.host_count;
    }
    spent -= rankings * look_s();
    printf("{\"rank.ns\":%.0f,\"rank.rooms\":%.2f,\"rank.items\":%.2f,\"rank.hosts\":%.2f}\n", spent / rankings * 1e9,
           (double)rooms / rankings, (double)items / rankings, (double)hosts / rankings);
    return 0;
}
