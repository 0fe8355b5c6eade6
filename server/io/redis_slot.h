/* One task's slot in Redis: its connection, its requests in order, and the standing WATCH. Private to redis_*.c. */
#pragma once

#include "server/io/redis_store.h"

struct redis_slot;

/* What all slots share; owned by the store. */
struct redis_shared {
    struct event_base *base;
    struct evdns_base *dns;
    const struct redis_store_settings *settings;
    struct redis_address seeds[REDIS_SEEDS_MAX];
    int seed_count;
    int64_t now_ms;
    size_t bytes;      /* of requests not yet answered */
    struct store_request **done; /* owned; answered, not yet handed back */
    size_t done_count, done_capacity;
};

struct redis_slot *redis_slot_create(struct redis_shared *shared, enum stage stage, int32_t partition);
/* Its requests are answered STORE_UNKNOWN. */
void redis_slot_destroy(struct redis_slot *s);
void redis_slot_submit(struct redis_slot *s, struct store_request *request);
void redis_slot_reset(struct redis_slot *s);
void redis_slot_turn(struct redis_slot *s);
void redis_slot_flush(struct redis_slot *s);
bool redis_slot_is_wanted(const struct redis_slot *s);
bool redis_slot_is_ready(const struct redis_slot *s);
int64_t redis_slot_down_ms(const struct redis_slot *s); /* 0: up, or not wanted */
uint64_t redis_slot_reconnects(const struct redis_slot *s);
