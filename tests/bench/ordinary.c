#include "tests/bench/ordinary.h"

#include "common/check.h"
#include "common/hash.h"
#include "server/engine/entity.h"
#include "server/engine/profile.h"

#include <stdio.h>
#include <stdlib.h>

#define NOW 1732370000000

struct names {
    char id[32], item[32], room[32], host[32], order[32];
};

static struct event event_of(uint64_t seed, uint64_t items, int i, struct names *n)
{
    double v = (double)(hash_mix(seed * 10 + (uint64_t)i % 10) >> 11) * 0x1p-53;
    uint64_t item = ((uint64_t)((double)items * v * v * v) / 10 * 10 + (uint64_t)i % 10) % items; /* ten different ones */
    snprintf(n->id, sizeof n->id, "%016llx", (unsigned long long)hash_mix(seed * 64 + (uint64_t)i));
    snprintf(n->item, sizeof n->item, "c_%llu", (unsigned long long)item);
    snprintf(n->room, sizeof n->room, "r_%llu", (unsigned long long)(seed * 6 + (uint64_t)i % 6));
    snprintf(n->host, sizeof n->host, "h_%llu", (unsigned long long)(seed * 4 + (uint64_t)i % 4) % 700);
    snprintf(n->order, sizeof n->order, "o_%llu_%d", (unsigned long long)seed, i);
    bool buys = i < 4;
    return (struct event){.type = buys ? EVENT_PURCHASE : i % 5 ? EVENT_WATCH : EVENT_ENTER, .event_ms = NOW + i * 30000, .scene = slice_of("home"),
                          .dwell_ms = buys ? 0 : 15000, .qty = 1, .amount = buys ? 19900 : 0, .currency = buys ? 'C' << 16 | 'N' << 8 | 'Y' : 0,
                          .id = slice_of(n->id), .user = slice_of("u"), .item = slice_of(n->item), .room = slice_of(n->room),
                          .host = slice_of(n->host), .order = buys ? slice_of(n->order) : (struct slice){0}};
}

void ordinary_user(uint64_t seed, uint64_t items, struct writer *out)
{
    struct profile_settings s;
    struct effect_list effects = {0};
    struct names n;
    profile_settings_default(&s);
    struct profile *p = profile_create();
    for (int i = 0; i < 64; i++) {
        struct event e = event_of(seed, items, i, &n);
        effect_list_clear(&effects);
        ASSERT(profile_apply(p, &s, &e, e.event_ms, &effects) <= PROFILE_DUPLICATE); /* one short tag may be taken for another */
    }
    ASSERT(p->history_count >= 18 && p->dedupe_count >= 62 && p->owned_count >= 3 && p->visit_count == 10);
    profile_encode(p, out);
    profile_destroy(p);
    effect_list_fini(&effects);
}

void ordinary_neighbours(uint64_t seed, uint32_t neighbours, struct writer *out)
{
    struct entity_settings s;
    struct neighbours *n = neighbours_create();
    entity_settings_default(&s);
    for (uint32_t i = 0; i < 4 * neighbours; i++) {
        char name[24];
        uint64_t r = hash_mix(seed * 4096 + i);
        snprintf(name, sizeof name, "c_%llu", (unsigned long long)(seed * 7 + i % neighbours));
        struct neighbour_change change = {entity_id_of(ENTITY_ITEM, slice_of(name)), 1 + (int32_t)(r % 4), (uint8_t)(r >> 40 & 1)};
        neighbours_apply(n, &s, &change, NOW + (int64_t)(r >> 8) % 3 * s.pair_bucket_ms);
    }
    neighbours_encode(n, out);
    neighbours_destroy(n);
}

void ordinary_counters(uint64_t seed, struct writer *out)
{
    struct entity_settings s;
    struct counters *c = counters_create();
    char name[24];
    entity_settings_default(&s);
    snprintf(name, sizeof name, "c_%llu", (unsigned long long)seed);
    struct count_effect e = {.target = entity_id_of(ENTITY_ITEM, slice_of(name)), .name = slice_of(name), .scene = slice_of("home")};
    for (int i = 0; i < 200; i++) {
        uint64_t r = hash_mix(seed * 4096 + (uint64_t)i);
        e.source = r % 4 ? SOURCE_FEED : SOURCE_RECOMMENDATION;
        e.counter_count = 0;
        count_effect_add(&e, COUNTER_EXPOSURE, 1);
        count_effect_add(&e, r % 8 ? COUNTER_WATCH_MS : COUNTER_CLICK, r % 8 ? 15000 : 1);
        counters_add_count(c, &s, &e, NOW + (int64_t)i * 860000);
    }
    counters_add_rating(c, &s, e.name, 400, NOW);
    counters_encode(c, out);
    counters_destroy(c);
}
