/* The parts of the shell that need no server: names in Redis, answers of Redis, metrics and their list. */
#include "tests/unit/check.h"

#include "common/text.h"
#include "server/io/kafka_parts.h"
#include "server/io/metrics.h"
#include "server/io/redis_command.h"
#include "server/io/redis_keys.h"
#include "server/worker/memory_worker.h"

#include <stdlib.h>

static void test_blob_names(void)
{
    struct blob_key keys[] = {POSITION_KEY, HEADER_KEY, CHAIN_KEY, {'u', 0}, {'u', 1}, {'c', UINT64_MAX}, {'n', 0x0123456789abcdef}};
    struct writer w = {0};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct blob_key back;
        w.size = 0;
        redis_blob_name("p", STAGE_PROFILE, 7, keys[i], &w);
        const char *start = "p:{profile.7}:";
        CHECK(w.size > strlen(start) && memcmp(w.data, start, strlen(start)) == 0);
        CHECK(redis_blob_parse((struct slice){(char *)w.data + strlen(start), (uint32_t)(w.size - strlen(start))}, &back));
        CHECK(back.class == keys[i].class && back.id == keys[i].id);
    }
    struct blob_key none;
    CHECK(!redis_blob_parse(slice_of("u-short"), &none));
    CHECK(!redis_blob_parse(slice_of("u123456789"), &none));
    writer_fini(&w);
}

static struct redisReply error_reply(const char *text)
{
    return (struct redisReply){.type = REDIS_REPLY_ERROR, .str = (char *)(uintptr_t)text, .len = strlen(text)};
}

static void test_troubles(void)
{
    static const struct {
        const char *text;
        enum redis_trouble trouble;
    } rows[] = {
        {"MOVED 3999 127.0.0.1:6381", TROUBLE_MOVED}, {"ASK 3999 127.0.0.1:6381", TROUBLE_ASK}, {"CLUSTERDOWN x", TROUBLE_LATER},
        {"OOM command not allowed", TROUBLE_MEMORY},  {"READONLY x", TROUBLE_DEMOTED},          {"LOADING x", TROUBLE_DEMOTED},
        {"NOAUTH x", TROUBLE_REFUSED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct redisReply r = error_reply(rows[i].text);
        CHECK_INT(redis_trouble_of(&r), rows[i].trouble);
    }
    CHECK_INT(redis_trouble_of(NULL), TROUBLE_LOST);
    struct redisReply moved = error_reply("MOVED 3999 10.0.0.9:6381");
    struct redis_address asked = {"a", 1}, to;
    CHECK(redis_trouble_address(&moved, &asked, &to));
    CHECK(strcmp(to.host, "10.0.0.9") == 0 && to.port == 6381);
}

static void test_addresses(void)
{
    struct redis_address a;
    CHECK_INT(redis_address_parse("localhost:6379", &a), ERR_NONE);
    CHECK(strcmp(a.host, "localhost") == 0 && a.port == 6379);
    CHECK_INT(redis_address_parse("[::1]:6379", &a), ERR_NONE);
    CHECK(strcmp(a.host, "::1") == 0);
    const char *bad[] = {"", "x", "x:", ":1", "x:0", "x:65536", "x:1y"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_INT(redis_address_parse(bad[i], &a), ERR_INVALID);
}

/* The file says exactly what the program knows. */
static void check_file(const char *root, const char *name, const struct writer *list)
{
    char path[512], file[65536];
    snprintf(path, sizeof path, "%s/config/%s", root, name);
    FILE *f = fopen(path, "r");
    size_t size = f ? fread(file, 1, sizeof file - 1, f) : 0;
    if (f)
        fclose(f);
    CHECK(size == list->size && memcmp(file, list->data, size) == 0);
}

static void test_redis_keys(const char *root)
{
    struct writer list = {0};
    struct slice fields[2 * REDIS_KEYS_MAX];
    redis_keys_catalogue(&list);
    check_file(root, "redis-keys.json", &list);
    CHECK(redis_keys_fields(fields) <= 2 * REDIS_KEYS_MAX);
    writer_fini(&list);
}

static void test_lag_of_the_group_is_late_only_when_known(void)
{
    static const struct {
        int64_t committed, young;
        bool late;
    } rows[] = {{5, 10, true}, {10, 10, false}, {11, 10, false}, {RD_KAFKA_OFFSET_INVALID, 10, false}, {5, RD_KAFKA_OFFSET_END, false}, {0, 1, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rd_kafka_topic_partition_list_t *committed = rd_kafka_topic_partition_list_new(1), *young = rd_kafka_topic_partition_list_new(1);
        rd_kafka_topic_partition_list_add(committed, "effects", 0)->offset = rows[i].committed;
        rd_kafka_topic_partition_list_add(young, "effects", 0)->offset = rows[i].young;
        CHECK(kafka_is_late(committed, young) == rows[i].late);
        rd_kafka_topic_partition_list_destroy(committed);
        rd_kafka_topic_partition_list_destroy(young);
    }
}

/* What is rendered is in the list. */
static void test_metrics(const char *root)
{
    struct writer list = {0}, text = {0};
    struct memory_worker pipeline;
    metrics_catalogue(&list);
    check_file(root, "metrics.json", &list);
    struct worker_settings settings;
    worker_settings_default(&settings);
    settings.user_key_size = 16;
    memory_worker_open(&pipeline, NULL);
    memory_worker_start(&pipeline, &settings, 1);
    struct metrics_input in = {.worker = pipeline.worker, .now_ms = 2000, .started_ms = 1000};
    metrics_render(&in, &text);
    int lines = 0;
    for (const char *line = text_cstr(&text); *line; line += strcspn(line, "\n") + 1) {
        char name[128];
        if (*line == '#')
            continue;
        snprintf(name, sizeof name, "\"%.*s\"", (int)strcspn(line, "{ "), line);
        CHECK(strstr(text_cstr(&list), name));
        lines++;
    }
    CHECK(lines > 40);
    CHECK(metrics_unready(&in)); /* the tables are not read */
    in.kafka.tables_ready = true;
    CHECK(!metrics_unready(&in));
    in.kafka.turn_age_ms = 5000;
    CHECK(metrics_unready(&in));
    in.kafka.turn_age_ms = 0;
    in.redis.down_ms = 5000;
    CHECK(metrics_unready(&in));
    in.redis.down_ms = 0;
    in.draining = true;
    CHECK(metrics_unready(&in));
    memory_worker_close(&pipeline, in.now_ms);
    writer_fini(&list);
    writer_fini(&text);
}

int main(int argc, char **argv)
{
    const char *root = argc > 1 ? argv[1] : ".";
    if (argc > 2) { /* writes a list: test_io ROOT metrics > config/metrics.json, test_io ROOT keys > config/redis-keys.json */
        struct writer list = {0};
        if (strcmp(argv[2], "keys") == 0)
            redis_keys_catalogue(&list);
        else
            metrics_catalogue(&list);
        fwrite(list.data, 1, list.size, stdout);
        writer_fini(&list);
        return 0;
    }
    test_blob_names();
    test_troubles();
    test_addresses();
    test_redis_keys(root);
    test_lag_of_the_group_is_late_only_when_known();
    test_metrics(root);
    return checks_failed != 0;
}
