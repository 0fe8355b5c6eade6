/*
 * What every layer stands on, each request for memory refused (lib/starve.h): containers, text, the keyed hash, the log, and files of
 * lines as backtest reads them. Nothing is left out without a word: a record whose bytes were not there would be a tombstone, a
 * line that was not read the end of the file.
 */
#include "common/check.h"
#include "common/hash.h"
#include "common/hmac.h"
#include "common/log.h"
#include "common/map.h"
#include "common/text.h"
#include "server/evaluate/protocols.h"
#include "server/rehearse/journal.h"
#include "server/verbs/replay.h"
#include "tests/lib/heap.h"
#include "tests/lib/starve.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

static char folder[] = "/tmp/sluice-starve-XXXXXX";

/* Of the first time, 0 before; what differs from it is wrong. */
static enum starve_result same_as(uint64_t *usual, uint64_t now)
{
    bool same = *usual == 0 || *usual == now;
    *usual = now;
    return same ? STARVE_RIGHT : STARVE_WRONG;
}

static enum starve_result containers(void *usual)
{
    struct map m = {0};
    struct writer w = {0};
    struct map_slot slot;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < 300; i++)
        map_put(&m, hash_mix(i), (void *)(uintptr_t)(i + 1));
    for (uint64_t i = 0; i < 300; i += 3)
        sum += (uintptr_t)map_remove(&m, hash_mix(i));
    for (size_t at = 0; map_next(&m, &at, &slot);)
        sum += slot.key * (uintptr_t)slot.value;
    for (int i = 0; i < 200; i++) {
        put_varint(&w, (uint64_t)i << i % 64);
        put_signed(&w, -i);
        put_u48(&w, (uint64_t)i << 40);
        put_slice(&w, slice_of("a slice"));
        text_add_json(&w, slice_of("\x01 \"text\" \xff"));
        text_add_decimal(&w, i / 3.0, 4);
        text_printf(&w, "%*d %.15g", i == 100 ? 2000 : 3, i, i / 7e100);
    }
    sum += hash64(text_cstr(&w), w.size, 1);
    map_fini(&m);
    writer_fini(&w);
    return same_as(usual, sum);
}

/* NULL of the keyed hash ends every caller. */
static enum starve_result keyed_hash(void *usual)
{
    uint8_t key[USER_KEY_BYTES];
    struct user_hmac *h = user_hmac_create(slice_of("a key that is longer than a block of the hash, which is hashed first: 64 bytes"));
    ASSERT(h);
    user_hmac_of(h, slice_of("u_88"), key);
    user_hmac_destroy(h);
    return same_as(usual, hash64(key, sizeof key, 0));
}

static enum starve_result a_log_line(void *usual)
{
    log_error("starve", "a line with \"quotes\" and %d words", 6);
    return !heap_watch.refuse || starve_said("with \\\"quotes\\\" and 6 words") ? STARVE_RIGHT : STARVE_WRONG;
}

static const char *path_of(const char *name)
{
    static char path[64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void write_files(void)
{
    FILE *lines = fopen(path_of("lines"), "w"), *table = fopen(path_of("table"), "w");
    ASSERT(lines && table);
    for (int i = 0; i < 12; i++) {
        fprintf(lines, "{\"timestamp\":%d,\"key\":\"u_%d\",\"value\":%s}\n", 1000 - i, i, i % 3 == 0 ? "{\"a\":[1,2.5,\"\\u4e00\"]}" : i % 3 == 1 ? "\"no event\"" : "null");
        fprintf(table, "%d,\"a \"\"quoted\"\" field\",%*d\n", i, i == 6 ? 500 : 1, i); /* one line is long */
    }
    fputs("{\"timestamp\":1,\"key\":\"u\",\"value\":\"", lines);
    for (int i = 0; i < 600; i++)
        fputs("long", lines);
    fputs("\"}\nno line of the journal\n{\"topic\":\"live.catalog\",\"timestamp\":5,\"key\":\"item:c\",\"value\":null}", lines);
    ASSERT(fclose(lines) == 0 && fclose(table) == 0);
}

static uint64_t hash_of_record(const struct record *r)
{
    return hash64(r->key.at, r->key.size, (uint64_t)r->timestamp_ms) + hash64(r->value.at ? r->value.at : "tombstone", r->value.at ? r->value.size : 9, 3);
}

static enum starve_result replay(void *usual)
{
    int32_t partitions[TOPICS];
    uint64_t bad = 0, sum = 0;
    for (int t = 0; t < TOPICS; t++)
        partitions[t] = 1;
    struct memory_cluster *c = memory_cluster_create(partitions);
    int64_t count = replay_file(c, path_of("lines"), &bad);
    bool told = count < 0 && errno == ENOMEM;
    for (int64_t i = 0; i < count - 1; i++)
        sum = hash_mix(sum + hash_of_record(memory_find(c, TOPIC_EVENTS, 0, i)));
    memory_cluster_destroy(c);
    return told ? STARVE_REFUSED : same_as(usual, sum + (uint64_t)count * 1000 + bad);
}

/* In the order of time, twice. */
static enum starve_result journal(void *usual)
{
    struct journal *j = journal_open(path_of("lines"));
    struct journal_record r;
    uint64_t sum = 0;
    if (!j)
        return starve_said(strerror(ENOMEM)) ? STARVE_REFUSED : STARVE_WRONG;
    for (int round = 0; round < 2; round++, journal_rewind(j))
        while (journal_next(j, &r))
            sum = hash_mix(sum + r.line + hash64(r.key.at, r.key.size, (uint64_t)r.timestamp_ms) + (r.value.at ? hash64(r.value.at, r.value.size, 3) : 1));
    sum += journal_bad(j);
    journal_close(j);
    return same_as(usual, sum);
}

static enum starve_result table(void *usual)
{
    struct table *t = table_open(folder, "table");
    char *fields[4];
    uint64_t sum = 0;
    int n;
    if (!t)
        return starve_said(strerror(ENOMEM)) ? STARVE_REFUSED : STARVE_WRONG;
    while ((n = table_next(t, ",", fields, 4)) > 0)
        for (int i = 0; i < n; i++)
            sum = hash_mix(sum + hash64(fields[i], strlen(fields[i]), 5));
    table_close(t);
    return same_as(usual, sum);
}

int main(void)
{
    static const struct {
        const char *name;
        enum starve_result (*operation)(void *usual);
    } rows[] = {{"containers", containers}, {"keyed hash", keyed_hash}, {"log", a_log_line}, {"replay", replay}, {"journal", journal}, {"table", table}};
    struct starved sum = {0};
    json_set_alloc_funcs(memory_take, free); /* as in main.c */
    if (!mkdtemp(folder))
        return 1;
    write_files();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t usual = 0;
        starve(rows[i].name, rows[i].operation, &usual, &sum);
    }
    unlink(path_of("lines"));
    unlink(path_of("table"));
    rmdir(folder);
    return starved_report("common and files", &sum);
}
