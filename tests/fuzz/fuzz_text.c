/*
 * Texts that come from a file, an operator or Redis: lines of `backtest --events`, similarity lists as views, addresses,
 * names of blobs, and the chains of an entity task. The first byte of an input says which.
 */
#include "common/check.h"
#include "common/text.h"
#include "server/codec/catalog_decode.h"
#include "server/io/redis_command.h"
#include "server/io/redis_store.h"
#include "server/rehearse/journal.h"
#include "server/worker/chain.h"
#include "server/worker/sim_cache.h"
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { LINE, VIEW, ADDRESS, NAME, CHAINS, KINDS };

#define ITEMS 40
#define SOURCES_COUNT 16

static void make_line(struct writer *out)
{
    static const char *const topics[] = {"", ",\"topic\":\"live.catalog\"", ",\"topic\":\"live.control\"", ",\"topic\":\"live.events\",\"offset\":7"};
    static const char *const values[] = {"{\"v\":1,\"type\":\"like\"}", "null", "\"not json\"", "[1,2]", "\"\\u00e9\""};
    text_printf(out, "{\"timestamp\":%d,\"key\":\"u_%d\",\"value\":%s%s}", (int)fuzz_draw(1000000), (int)fuzz_draw(100), values[fuzz_draw(5)], topics[fuzz_draw(4)]);
}

/* `text` ends with a zero, as the lines of a file do; so does what is borrowed from it. */
static bool run_line(const char *text, struct slice bytes)
{
    struct journal_line owner;
    struct journal_record r = {0};
    const char *wrong = journal_line_parse(&owner, text, &r);
    if (!wrong) {
        FUZZ_CHECK(r.topic < TOPICS && r.timestamp_ms >= 0 && strlen(r.key.at) <= r.key.size);
        FUZZ_CHECK(!r.value.at || strlen(r.value.at) == r.value.size);
    }
    journal_line_done(&owner);
    return !wrong;
}

static void make_view(struct writer *out)
{
    for (uint64_t n = fuzz_draw(2 * ITEMS); n > 0; n--)
        text_printf(out, "c_%d %d.%04d %d\n", (int)fuzz_draw(ITEMS), (int)fuzz_draw(2), (int)fuzz_draw(10000), (int)fuzz_draw(3));
}

static const struct catalog *some_catalog(void)
{
    static struct catalog *catalog;
    static const struct catalog_limits limits = {.items_max = ITEMS, .rooms_max = 1, .hosts_max = 1, .names_max = 1000};
    char key[16];
    enum entity_kind kind;
    if (catalog)
        return catalog;
    catalog = catalog_create(&limits);
    for (int i = 0; i < ITEMS; i++) {
        snprintf(key, sizeof key, "item:c_%d", i);
        FUZZ_CHECK(catalog_decode(catalog, slice_of(key), slice_of("{\"v\":1,\"format\":\"course\"}"), false, 1, &kind) == CATALOG_ACCEPTED);
    }
    return catalog;
}

static bool run_view(const char *text, struct slice bytes)
{
    uint32_t max = 1 + (uint32_t)fuzz_draw(ITEMS);
    struct similar *list = calloc(max, sizeof *list); /* of its size, so that a sanitizer sees a write beyond */
    float *next = calloc(max, sizeof *next);
    ASSERT(list);
    ASSERT(next);
    uint32_t count = similar_view_parse(some_catalog(), bytes, list, next, max);
    FUZZ_CHECK(count <= max);
    for (uint32_t i = 0; i < count; i++)
        FUZZ_CHECK(isfinite(list[i].sim) && isfinite(next[i]));
    free(list);
    free(next);
    return count > 0;
}

static void make_address(struct writer *out)
{
    char host[300];
    size_t size = fuzz_draw(fuzz_draw(4) ? 20 : sizeof host);
    memset(host, 'h', size);
    host[size] = 0;
    if (fuzz_draw(3))
        text_printf(out, "%s:%d", host, (int)fuzz_draw(70000));
    else
        text_printf(out, "[%s]:%d", host, (int)fuzz_draw(70000));
}

static bool run_address(const char *text, struct slice bytes)
{
    struct redis_address *address = calloc(1, sizeof *address);
    ASSERT(address);
    bool good = redis_address_parse(text, address) == ERR_NONE;
    FUZZ_CHECK(!good || (address->port > 0 && memchr(address->host, 0, sizeof address->host)));
    free(address);
    return good;
}

static void make_name(struct writer *out)
{
    static const char *const fixed[] = {"position", "header", "chain"};
    if (fuzz_draw(2)) {
        text_add(out, fixed[fuzz_draw(3)]);
        return;
    }
    put_u8(out, 'u');
    put_u64(out, fuzz_draw(UINT64_MAX));
}

static bool run_name(const char *text, struct slice bytes)
{
    struct blob_key key;
    struct writer again = {0};
    bool good = redis_blob_parse(bytes, &key);
    if (good)
        redis_blob_id(key, &again);
    FUZZ_CHECK(!good || slice_equal(bytes, (struct slice){(char *)again.data, (uint32_t)again.size}));
    writer_fini(&again);
    return good;
}

static void make_chains(struct writer *out)
{
    struct chain chains[SOURCES_COUNT];
    for (int i = 0; i < SOURCES_COUNT; i++)
        chains[i] = (struct chain){(uint32_t)fuzz_draw(3), (int64_t)fuzz_draw(1 << 30) - 1, fuzz_draw(2)};
    chains_encode(chains, SOURCES_COUNT, out);
}

static bool run_chains(const char *text, struct slice bytes)
{
    struct chain chains[SOURCES_COUNT], same[SOURCES_COUNT];
    struct writer w = {0};
    if (chains_decode(bytes, fuzz_draw(2), chains, SOURCES_COUNT) != ERR_NONE)
        return false;
    chains_encode(chains, SOURCES_COUNT, &w);
    FUZZ_CHECK(chains_decode((struct slice){(char *)w.data, (uint32_t)w.size}, false, same, SOURCES_COUNT) == ERR_NONE);
    for (int i = 0; i < SOURCES_COUNT; i++) {
        FUZZ_CHECK(same[i].generation == chains[i].generation && same[i].last == chains[i].last && same[i].open == chains[i].open);
        chain_judge(&chains[i], 1, (int64_t)fuzz_draw(100), 100, 50);
    }
    writer_fini(&w);
    return true;
}

static const struct {
    void (*make)(struct writer *out);
    bool (*run)(const char *text, struct slice bytes);
} kinds[KINDS] = {
    [LINE] = {make_line, run_line}, [VIEW] = {make_view, run_view}, [ADDRESS] = {make_address, run_address}, [NAME] = {make_name, run_name}, [CHAINS] = {make_chains, run_chains},
};

static void make(struct writer *out)
{
    uint8_t kind = (uint8_t)fuzz_draw(KINDS);
    put_u8(out, kind);
    kinds[kind].make(out);
}

static bool run(struct slice input)
{
    if (input.size == 0)
        return false;
    struct slice bytes = {input.at + 1, input.size - 1};
    char *text = malloc(bytes.size + 1ull);
    ASSERT(text);
    memcpy(text, bytes.at, bytes.size);
    text[bytes.size] = 0;
    bool accepted = kinds[(uint8_t)input.at[0] % KINDS].run(text, bytes);
    free(text);
    return accepted;
}

const struct fuzz_target fuzz_target = {"text", 20000, 4 << 20, 64, make, run};
