/*
 * What an ordinary user costs: 20 entities of history (10 items, 6 rooms, 4 hosts), 64 duplicate tags, 4 owned items,
 * 10 visits (6 rooms, 4 hosts of a day). Prints the bytes of the blob; with a port, stores 100,000 of them in that
 * Redis under the keys the daemon uses.
 */
#include "common/hash.h"
#include "server/engine/profile.h"
#include "server/io/redis_store.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#define USERS 100000

static void build(uint64_t seed, struct writer *out)
{
    struct profile_settings s;
    struct effect_list effects = {0};
    struct profile *p = profile_create();
    profile_settings_default(&s);
    for (int i = 0; i < 64; i++) {
        char id[32], item[32], room[32], host[32], order[32];
        uint64_t r = hash_mix(seed * 64 + (uint64_t)i);
        struct event e = {.type = i < 4 ? EVENT_PURCHASE : i % 5 ? EVENT_WATCH : EVENT_ENTER, .event_ms = 1732370000000 + i * 30000,
                          .scene = slice_of("home"), .dwell_ms = i < 4 ? 0 : 15000, .qty = 1, .amount = i < 4 ? 19900 : 0,
                          .currency = i < 4 ? 'C' << 16 | 'N' << 8 | 'Y' : 0};
        snprintf(id, sizeof id, "%016llx", (unsigned long long)r);
        snprintf(item, sizeof item, "c_%llu", (unsigned long long)(seed * 10 + (uint64_t)i % 10));
        snprintf(room, sizeof room, "r_%llu", (unsigned long long)(seed * 6 + (uint64_t)i % 6));
        snprintf(host, sizeof host, "h_%llu", (unsigned long long)(seed * 4 + (uint64_t)i % 4));
        snprintf(order, sizeof order, "o_%llu_%d", (unsigned long long)seed, i);
        e.id = slice_of(id);
        e.user = slice_of("u");
        e.item = slice_of(item);
        e.room = slice_of(room);
        e.host = slice_of(host);
        e.order = i < 4 ? slice_of(order) : (struct slice){0};
        effect_list_clear(&effects);
        if (profile_apply(p, &s, &e, e.event_ms, &effects) > PROFILE_DUPLICATE) /* 64 short tags: one may be taken for another */
            abort();
    }
    if (p->history_count != 20 || p->dedupe_count < 60 || p->owned_count < 3 || p->visit_count != 10)
        abort();
    profile_encode(p, out);
    profile_destroy(p);
    effect_list_fini(&effects);
}

int main(int argc, char **argv)
{
    struct writer blob = {0}, key = {0};
    redisContext *c = argc > 1 ? redisConnect("127.0.0.1", atoi(argv[1])) : NULL;
    size_t bytes = 0;
    for (uint64_t user = 0; user < (c ? USERS : 1); user++) {
        blob.size = key.size = 0;
        build(user, &blob);
        bytes += blob.size;
        redis_blob_name("sluice", STAGE_PROFILE, (int32_t)(user % 16), (struct blob_key){'u', hash_mix(user)}, &key);
        if (c)
            freeReplyObject(redisCommand(c, "SET %b %b", key.data, key.size, blob.data, blob.size));
    }
    printf("{\"blob_bytes\":%zu}\n", bytes / (c ? USERS : 1));
    return 0;
}
