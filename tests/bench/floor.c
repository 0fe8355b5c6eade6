/*
 * The floor under a figure: what the client libraries alone need for the same traffic. Each mode does one thing and
 * prints one JSON line with its CPU time (user and system, from getrusage).
 *   floor consume BROKERS TOPIC RECORDS
 *   floor produce BROKERS TOPIC RECORDS BYTES LINGER_MS
 *   floor redis PORT LOAD_KEYS COMMIT_KEYS COMMIT_BYTES COMMITS VIEWS VIEW_BYTES
 *   floor topic BROKERS NAME PARTITIONS [stamped]  makes a topic; stamped: by the broker
 *   floor tail BROKERS TOPIC             prints what comes from now on, after a line "ready"
 *   floor load BROKERS FILE [TOPIC]      writes a file of `sluice simulate --to-file`; TOPIC for its events
 */
#include "common/hash.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define BATCH 10000
#define PARTITIONS_MAX 64

static double cpu_s(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static double wall_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
    fprintf(stderr, "floor: %s\n", what);
    exit(1);
}

static rd_kafka_t *client(rd_kafka_type_t type, const char *brokers, const char *const *pairs)
{
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (rd_kafka_conf_set(conf, "bootstrap.servers", brokers, why, sizeof why) != RD_KAFKA_CONF_OK)
        die(why);
    for (; *pairs; pairs += 2)
        if (rd_kafka_conf_set(conf, pairs[0], pairs[1], why, sizeof why) != RD_KAFKA_CONF_OK)
            die(why);
    rd_kafka_t *k = rd_kafka_new(type, conf, why, sizeof why);
    if (!k)
        die(why);
    return k;
}

static int partitions_of(rd_kafka_t *k, rd_kafka_topic_t *topic)
{
    const struct rd_kafka_metadata *m;
    if (rd_kafka_metadata(k, 0, topic, &m, 10000) || m->topic_cnt != 1 || m->topics[0].partition_cnt == 0)
        die("no such topic");
    int count = m->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(m);
    return count;
}

static void consume(const char *brokers, const char *name, long records)
{
    static const char *const settings[] = {"group.id", "floor", "queued.min.messages", "1000000", "queued.max.messages.kbytes",
                                           "32768", "enable.auto.commit", "false", NULL};
    static rd_kafka_message_t *messages[BATCH];
    rd_kafka_t *k = client(RD_KAFKA_CONSUMER, brokers, settings);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(k, name, NULL);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(k);
    int partitions = partitions_of(k, topic);
    for (int p = 0; p < partitions; p++)
        rd_kafka_consume_start_queue(topic, p, RD_KAFKA_OFFSET_BEGINNING, queue);
    double start = wall_s();
    uint64_t bytes = 0;
    for (long got = 0; got < records;) {
        ssize_t n = rd_kafka_consume_batch_queue(queue, 100, messages, BATCH);
        for (ssize_t i = 0; i < n; i++) {
            got += !messages[i]->err;
            bytes += messages[i]->err ? 0 : messages[i]->len;
            rd_kafka_message_destroy(messages[i]);
        }
        if (wall_s() - start > 300)
            die("the topic does not hold so many records");
    }
    printf("{\"cpu_s\":%.3f,\"wall_s\":%.3f,\"bytes\":%llu}\n", cpu_s(), wall_s() - start, (unsigned long long)bytes);
}

static long failed;

static void delivered(rd_kafka_t *k, const rd_kafka_message_t *m, void *opaque)
{
    failed += m->err != 0;
}

static rd_kafka_t *producer(const char *brokers, const char *linger)
{
    const char *settings[] = {"acks", "all", "enable.idempotence", "true", "linger.ms", linger, "batch.num.messages", "100000",
                              "queue.buffering.max.messages", "500000", "queue.buffering.max.kbytes", "65536", "partitioner",
                              "murmur2_random", NULL};
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_conf_set(conf, "bootstrap.servers", brokers, why, sizeof why);
    for (int i = 0; settings[i]; i += 2)
        if (rd_kafka_conf_set(conf, settings[i], settings[i + 1], why, sizeof why) != RD_KAFKA_CONF_OK)
            die(why);
    rd_kafka_t *k = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (!k)
        die(why);
    return k;
}

static void send_one(rd_kafka_t *k, const char *topic, const char *key, size_t key_size, const char *value, size_t size, int64_t ms)
{
    while (rd_kafka_producev(k, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_KEY(key, key_size), RD_KAFKA_V_VALUE((void *)value, size),
                             RD_KAFKA_V_TIMESTAMP(ms), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END) ==
           RD_KAFKA_RESP_ERR__QUEUE_FULL)
        rd_kafka_poll(k, 10);
}

static void finish(rd_kafka_t *k)
{
    if (rd_kafka_flush(k, 60000) || failed)
        die("not everything was delivered");
    rd_kafka_destroy(k);
}

static void produce(const char *brokers, const char *topic, long records, double bytes, const char *linger)
{
    static char value[1 << 20];
    rd_kafka_t *k = producer(brokers, linger);
    size_t size = records ? (size_t)(bytes / (double)records) : 0;
    double start = wall_s();
    memset(value, 'x', sizeof value);
    for (long i = 0; i < records; i++) {
        char key[24];
        int key_size = snprintf(key, sizeof key, "u_%ld", i % 100000);
        send_one(k, topic, key, (size_t)key_size, value, size > (size_t)key_size ? size - (size_t)key_size : 1, 0);
        if (i % 1000 == 0)
            rd_kafka_poll(k, 0);
    }
    finish(k);
    printf("{\"cpu_s\":%.3f,\"wall_s\":%.3f}\n", cpu_s(), wall_s() - start);
}

static void expect(redisContext *c, long replies)
{
    for (long i = 0; i < replies; i++) {
        redisReply *r;
        if (redisGetReply(c, (void **)&r) != REDIS_OK)
            die("redis went away");
        freeReplyObject(r);
    }
}

/* WATCH, GET, MULTI, MSET, SET, EXEC a commit; MGET in batches of 500; plain SETs for views, 500 in a pipeline. */
static void redis(int port, long load_keys, long commit_keys, double commit_bytes, long commits, long views, double view_bytes)
{
    static char value[1 << 20];
    static const char *argv[2001];
    static size_t sizes[2001];
    static char keys[1000][32];
    redisContext *c = redisConnect("127.0.0.1", port);
    if (!c || c->err)
        die("no redis");
    memset(value, 'x', sizeof value);
    double start = wall_s();
    long n = 0, per = commits ? (commit_keys + commits - 1) / commits : 0;
    size_t size = commit_keys ? (size_t)(commit_bytes / (double)commit_keys) : 0;
    for (long done = 0; done < commit_keys; done += per) {
        long now = commit_keys - done < per ? commit_keys - done : per;
        redisAppendCommand(c, "WATCH {f}:p");
        redisAppendCommand(c, "GET {f}:p");
        redisAppendCommand(c, "MULTI");
        long replies = 5;
        for (long at = 0; at < now; at += 500, replies++) {
            int k = 1, count = (int)(now - at < 500 ? now - at : 500);
            argv[0] = "MSET";
            sizes[0] = 4;
            for (int i = 0; i < count; i++, n++) {
                sizes[k] = (size_t)snprintf(keys[i], sizeof keys[i], "{f}:u%011ld", n % 1000000);
                argv[k++] = keys[i];
                argv[k] = value;
                sizes[k++] = size;
            }
            redisAppendCommandArgv(c, k, argv, sizes);
        }
        redisAppendCommand(c, "SET {f}:p %s", "0123456789012345678901234567890123456789");
        redisAppendCommand(c, "EXEC");
        expect(c, replies);
    }
    for (long done = 0; done < load_keys; done += 500) {
        int count = (int)(load_keys - done < 500 ? load_keys - done : 500);
        argv[0] = "MGET";
        sizes[0] = 4;
        for (int i = 0; i < count; i++) {
            sizes[i + 1] = (size_t)snprintf(keys[i], sizeof keys[i], "{f}:u%011ld", done + i);
            argv[i + 1] = keys[i];
        }
        redisAppendCommandArgv(c, count + 1, argv, sizes);
        expect(c, 1);
    }
    size = views ? (size_t)(view_bytes / (double)views) : 0;
    for (long i = 0; i < views; i++) {
        redisAppendCommand(c, "SET v:%ld %b EX 600", i % 200000, value, size);
        if (i % 500 == 499 || i == views - 1)
            expect(c, i % 500 + 1);
    }
    redisFree(c);
    printf("{\"cpu_s\":%.3f,\"wall_s\":%.3f}\n", cpu_s(), wall_s() - start);
}

/* A text field of one of our own lines; they have no escapes before `value`. */
static const char *field(const char *line, const char *name, size_t *out_size)
{
    const char *at = strstr(line, name);
    if (!at)
        return NULL;
    at += strlen(name);
    *out_size = strcspn(at, "\"");
    return at;
}

static void load(const char *brokers, const char *path, const char *events)
{
    FILE *file = fopen(path, "r");
    rd_kafka_t *k = producer(brokers, "20");
    char *line = NULL;
    size_t capacity = 0, records = 0;
    ssize_t size;
    if (!file)
        die(strerror(errno));
    while ((size = getline(&line, &capacity, file)) > 0) {
        size_t topic_size = 0, key_size = 0;
        const char *topic = strncmp(line, "{\"topic\":\"", 10) == 0 ? field(line, "{\"topic\":\"", &topic_size) : NULL;
        const char *key = field(line, "\"key\":\"", &key_size), *ms = strstr(line, "\"timestamp\":"), *value = strstr(line, "\"value\":{");
        char name[256];
        if (!key || !ms || !value)
            continue; /* malformed on purpose */
        snprintf(name, sizeof name, "%.*s", (int)topic_size, topic ? topic : "");
        line[size - 2] = 0; /* the closing brace */
        send_one(k, topic ? name : events, key, key_size, value + 8, strlen(value + 8), atoll(ms + 12));
        if (++records % 1000 == 0)
            rd_kafka_poll(k, 0);
    }
    free(line);
    fclose(file);
    finish(k);
    printf("{\"records\":%zu}\n", records);
}

/* `stamped`: by the broker when a record is appended. */
static void make_topic(const char *brokers, const char *name, int partitions, bool stamped)
{
    static const char *const none[] = {NULL};
    char why[256];
    rd_kafka_t *k = client(RD_KAFKA_PRODUCER, brokers, none);
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(name, partitions, 1, why, sizeof why);
    rd_kafka_NewTopic_set_config(topic, "retention.ms", "-1"); /* the reference events are of a fixed day */
    if (stamped)
        rd_kafka_NewTopic_set_config(topic, "message.timestamp.type", "LogAppendTime");
    rd_kafka_queue_t *queue = rd_kafka_queue_new(k);
    rd_kafka_CreateTopics(k, &topic, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 30000);
    if (!event || rd_kafka_event_error(event))
        die("the topic was not made");
}

static void tail(const char *brokers, const char *name)
{
    static const char *const settings[] = {"group.id", "floor", "fetch.wait.max.ms", "10", NULL};
    rd_kafka_t *k = client(RD_KAFKA_CONSUMER, brokers, settings);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(k, name, NULL);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(k);
    int partitions = partitions_of(k, topic);
    for (int p = 0; p < partitions; p++)
        rd_kafka_consume_start_queue(topic, p, RD_KAFKA_OFFSET_END, queue);
    puts("ready");
    for (;;) {
        fflush(stdout);
        rd_kafka_message_t *m = rd_kafka_consume_queue(queue, 1000);
        if (m && !m->err)
            printf("%.*s\n", (int)m->len, (const char *)m->payload);
        if (m)
            rd_kafka_message_destroy(m);
    }
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    if (strcmp(mode, "consume") == 0 && argc == 5)
        consume(argv[2], argv[3], atol(argv[4]));
    else if (strcmp(mode, "produce") == 0 && argc == 7)
        produce(argv[2], argv[3], atol(argv[4]), atof(argv[5]), argv[6]);
    else if (strcmp(mode, "redis") == 0 && argc == 9)
        redis(atoi(argv[2]), atol(argv[3]), atol(argv[4]), atof(argv[5]), atol(argv[6]), atol(argv[7]), atof(argv[8]));
    else if (strcmp(mode, "topic") == 0 && argc >= 5)
        make_topic(argv[2], argv[3], atoi(argv[4]), argc > 5 && strcmp(argv[5], "stamped") == 0);
    else if (strcmp(mode, "tail") == 0 && argc == 4)
        tail(argv[2], argv[3]);
    else if (strcmp(mode, "load") == 0 && argc >= 4)
        load(argv[2], argv[3], argc > 4 ? argv[4] : "live.events");
    else
        die("wrong usage; see the head of floor.c");
    return 0;
}
