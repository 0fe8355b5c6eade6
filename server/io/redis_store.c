#include "server/io/redis_store.h"

#include "common/check.h"
#include "common/log.h"
#include "server/io/redis_slot.h"
#include "server/io/redis_views.h"

#include <event2/dns.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#define VIEWS_FLUSH_MS 5 /* nobody waits for a view: many in one write, one wake-up for their answers */
#define SLOTS_MAX 1024

struct redis_store {
    struct redis_store_settings settings;
    struct redis_shared shared;
    struct store_port port;
    struct redis_slot *slots[STAGES][SLOTS_MAX]; /* owned; NULL: never asked for */
    struct redis_slot **list;                    /* owned; the same, in order of creation */
    int count;
    struct redis_views *views;                   /* owned */
    int64_t views_ms;                            /* when they were flushed */
};

struct redis_store_settings redis_store_settings_default(void)
{
    return (struct redis_store_settings){
        .addresses = "127.0.0.1:6379",
        .prefix = "sluice",
        .connection = {.client_name = "sluice", .connect_timeout_ms = 2000, .request_timeout_ms = 5000, .backoff_min_ms = 20,
                       .backoff_max_ms = 2000},
        .view_bytes_max = 8 << 20,
        .view_ttl_s = 7 * 86400,
        .decisions_max = 10000,
    };
}

/* Answers how many addresses the list has; 0: it is not one. */
static int parse_seeds(const char *addresses, struct redis_address seeds[REDIS_SEEDS_MAX])
{
    char one[300];
    int count = 0;
    for (const char *at = addresses; *at;) {
        size_t size = strcspn(at, ",");
        if (size == 0 || size >= sizeof one || count == REDIS_SEEDS_MAX)
            return 0;
        memcpy(one, at, size);
        one[size] = 0;
        if (redis_address_parse(one, &seeds[count++]) != ERR_NONE)
            return 0;
        at += size;
        at += *at == ',';
    }
    return count;
}

bool redis_addresses_are_valid(const char *addresses)
{
    struct redis_address seeds[REDIS_SEEDS_MAX];
    return parse_seeds(addresses, seeds) > 0;
}

static void port_submit(void *self, struct store_request *request)
{
    struct redis_store *s = self;
    ASSERT(request->partition >= 0 && request->partition < SLOTS_MAX);
    struct redis_slot **slot = &s->slots[request->stage][request->partition];
    if (!*slot) {
        *slot = redis_slot_create(&s->shared, request->stage, request->partition);
        s->list = realloc(s->list, (size_t)(s->count + 1) * sizeof(struct redis_slot *));
        ASSERT(s->list);
        s->list[s->count++] = *slot;
    }
    redis_slot_submit(*slot, request);
}

static void port_reset(void *self, enum stage stage, int32_t partition)
{
    struct redis_store *s = self;
    if (s->slots[stage][partition])
        redis_slot_reset(s->slots[stage][partition]);
}

static void port_write_view(void *self, const struct view_write *write)
{
    redis_views_write(((struct redis_store *)self)->views, write);
}

static bool port_views_are_late(void *self)
{
    return redis_views_are_late(((struct redis_store *)self)->views);
}

static void port_append_decision(void *self, const struct slice *fields, int count)
{
    redis_views_decision(((struct redis_store *)self)->views, fields, count);
}

static void port_read_views(void *self, struct view_read *read)
{
    redis_views_read(((struct redis_store *)self)->views, read);
}

static size_t port_bytes_in_flight(void *self)
{
    return ((struct redis_store *)self)->shared.bytes;
}

struct redis_store *redis_store_create(struct event_base *base, const struct redis_store_settings *settings)
{
    struct redis_store *s = calloc(1, sizeof *s);
    ASSERT(s);
    s->settings = *settings;
    s->shared.settings = &s->settings;
    s->shared.base = base;
    s->shared.seed_count = parse_seeds(settings->addresses, s->shared.seeds);
    ASSERT(s->shared.seed_count);
    s->shared.dns = evdns_base_new(base, EVDNS_BASE_INITIALIZE_NAMESERVERS | EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    s->views = redis_views_create(&s->shared);
    s->port = (struct store_port){s,
                                  port_submit,
                                  port_reset,
                                  port_write_view,
                                  port_views_are_late,
                                  port_append_decision,
                                  port_read_views,
                                  port_bytes_in_flight};
    return s;
}

const struct store_port *redis_store_port(struct redis_store *s)
{
    return &s->port;
}

static void hand_back(struct redis_store *s, const struct redis_store_events *events, void *arg, int64_t now_ms)
{
    struct redis_shared *g = &s->shared;
    for (size_t i = 0; i < g->done_count; i++) /* more may be submitted and so appended meanwhile */
        events->stored(arg, g->done[i], now_ms);
    g->done_count = 0;
    struct view_read *read;
    while ((read = redis_views_done(s->views)) != NULL)
        if (events->views_read)
            events->views_read(arg, read, now_ms);
}

void redis_store_turn(struct redis_store *s, const struct redis_store_events *events, void *arg, int64_t now_ms)
{
    s->shared.now_ms = now_ms;
    for (int i = 0; i < s->count; i++)
        redis_slot_turn(s->list[i]);
    redis_views_turn(s->views);
    hand_back(s, events, arg, now_ms);
}

void redis_store_flush(struct redis_store *s)
{
    for (int i = 0; i < s->count; i++)
        redis_slot_flush(s->list[i]);
    if (s->shared.now_ms - s->views_ms < VIEWS_FLUSH_MS)
        return;
    s->views_ms = s->shared.now_ms;
    redis_views_flush(s->views);
}

void redis_store_destroy(struct redis_store *s, const struct redis_store_events *events, void *arg, int64_t now_ms)
{
    if (!s)
        return;
    for (int i = 0; i < s->count; i++)
        redis_slot_destroy(s->list[i]);
    redis_views_close(s->views);
    hand_back(s, events, arg, now_ms);
    redis_views_destroy(s->views);
    if (s->shared.dns)
        evdns_base_free(s->shared.dns, 1); /* lookups under way hold the streams that are gone */
    free(s->shared.done);
    free(s->list);
    free(s);
}

void redis_store_stats_get(const struct redis_store *s, struct redis_store_stats *out_stats)
{
    *out_stats = (struct redis_store_stats){.bytes_in_flight = s->shared.bytes};
    for (int i = 0; i < s->count; i++) {
        int64_t down = redis_slot_down_ms(s->list[i]);
        out_stats->slots += redis_slot_is_wanted(s->list[i]);
        out_stats->slots_ready += redis_slot_is_wanted(s->list[i]) && redis_slot_is_ready(s->list[i]);
        out_stats->down_ms = down > out_stats->down_ms ? down : out_stats->down_ms;
        out_stats->reconnects += redis_slot_reconnects(s->list[i]);
    }
    redis_views_stats(s->views, out_stats);
}

void redis_blob_id(struct blob_key key, struct writer *out)
{
    if (key.class == 'p' || key.class == 'h' || key.class == 'x') {
        const char *name = key.class == 'p' ? "position" : key.class == 'h' ? "header" : "chain";
        put_bytes(out, name, strlen(name));
        return;
    }
    put_u8(out, (uint8_t)key.class);
    put_u64(out, key.id);
}

void redis_blob_name(const char *prefix, enum stage stage, int32_t partition, struct blob_key key, struct writer *out)
{
    char tag[64];
    int size = snprintf(tag, sizeof tag, ":{%s.%d}:", stage_names[stage], (int)partition);
    put_bytes(out, prefix, strlen(prefix));
    put_bytes(out, tag, (size_t)size);
    redis_blob_id(key, out);
}

bool redis_blob_parse(struct slice name, struct blob_key *out_key)
{
    static const struct blob_key *const fixed[] = {&POSITION_KEY, &HEADER_KEY, &CHAIN_KEY};
    static const char *const names[] = {"position", "header", "chain"};
    for (int i = 0; i < 3; i++)
        if (slice_equal(name, slice_of(names[i]))) {
            *out_key = *fixed[i];
            return true;
        }
    if (name.size != 9 || memchr("phx", name.at[0], 3)) /* classes of the fixed ones */
        return false;
    struct reader r = reader_of(name.at + 1, 8);
    *out_key = (struct blob_key){name.at[0], get_u64(&r)};
    return true;
}
