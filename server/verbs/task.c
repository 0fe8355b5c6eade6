/*
 * task: what an operator does about a task that halted. Each change is one compare-and-set of the position blob with a
 * fresh owner token, so that whoever owns the task notices at its next commit; and it is noted in the stream of decisions.
 *   restore      after state was restored from a copy: the task takes it as it stands; clears the marks of a poison record
 *   accept-loss  records before OFFSET are gone: go on from there, the state as it is
 *   rebuild      drop the state and fold the log again from its origin
 *   migrate      from each task's position on fold with other settings (task_migrate.c)
 */
#include "common/hash.h"
#include "common/text.h"
#include "server/io/redis_ask.h"
#include "server/io/redis_scan.h"
#include "server/verbs/connect.h"
#include "server/verbs/task_slots.h"
#include "server/verbs/verb.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define ANSWER_MS 10000

static void see(void *arg, enum stage stage, int32_t partition, struct blob_key key, struct slice value)
{
    struct slots *s = arg;
    size_t i = 0;
    while (i < s->count && (s->at[i].stage != stage || s->at[i].partition != partition))
        i++;
    if (i == s->count) {
        if (s->count == s->capacity) {
            s->capacity = s->capacity ? s->capacity * 2 : 64;
            s->at = realloc(s->at, s->capacity * sizeof *s->at);
            if (!s->at)
                abort();
        }
        s->at[s->count++] = (struct slot){.stage = stage, .partition = partition, .found = true};
    }
    struct slot *slot = &s->at[i];
    slot->blobs++;
    slot->bytes += value.size;
    if (key.class == HEADER_KEY.class && slot_header_decode(value, &slot->header) != ERR_NONE)
        slot->header = (struct slot_header){0};
    if (key.class != POSITION_KEY.class)
        return;
    slot->has_position = position_decode(value, &slot->position) == ERR_NONE;
    slot->stored.size = 0;
    put_bytes(&slot->stored, value.at, value.size);
}

int slot_by_place(const void *a, const void *b)
{
    const struct slot *x = a, *y = b;
    return x->stage != y->stage ? (x->stage < y->stage ? -1 : 1) : x->partition < y->partition ? -1 : x->partition > y->partition;
}

static bool log_ends(rd_kafka_t *client, const struct kafka_log_settings *k, const struct slot *s, int64_t *out_low, int64_t *out_high)
{
    return rd_kafka_query_watermark_offsets(client, k->topics[s->stage], s->partition, out_low, out_high, ANSWER_MS) == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_t *open_client(const struct kafka_log_settings *k)
{
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    bool ok = rd_kafka_conf_set(conf, "bootstrap.servers", k->brokers, why, sizeof why) == RD_KAFKA_CONF_OK;
    for (int i = 0; ok && i < k->property_count; i++)
        ok = rd_kafka_conf_set(conf, k->properties[i].name, k->properties[i].value, why, sizeof why) == RD_KAFKA_CONF_OK;
    rd_kafka_t *client = ok ? rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why) : NULL;
    if (!client)
        fprintf(stderr, "sluice task: %s\n", why);
    return client;
}

static int status(const struct settings *settings, rd_kafka_t *client, struct slots *s)
{
    int bad = 0;
    qsort(s->at, s->count, sizeof *s->at, slot_by_place);
    printf("%-14s %12s %12s %12s %8s %8s %10s %s\n", "task", "position", "log start", "log end", "lag", "blobs", "bytes", "state");
    for (size_t i = 0; i < s->count; i++) {
        struct slot *slot = &s->at[i];
        int64_t low = -1, high = -1;
        char name[32];
        const char *what = "ok";
        bool known = log_ends(client, &settings->daemon.kafka, slot, &low, &high);
        snprintf(name, sizeof name, "%s.%d", stage_names[slot->stage], (int)slot->partition);
        if (!slot->has_position)
            what = "no position: restore the state, or rebuild";
        else if (!known)
            what = "the log cannot be reached";
        else if (slot->position.next < low)
            what = "records were lost before they were folded: restore the log, or accept-loss";
        else if (slot->position.next > high)
            what = "the position is beyond the log: restore the log, or rebuild";
        else if (slot->position.tries)
            what = "a record crashed its folder; it is tried one at a time";
        bad += strcmp(what, "ok") != 0;
        printf("%-14s %12lld %12lld %12lld %8lld %8llu %10llu %s\n", name, (long long)slot->position.next, (long long)low, (long long)high,
               (long long)(known ? high - slot->position.next : -1), (unsigned long long)slot->blobs, (unsigned long long)slot->bytes, what);
    }
    return s->count && !bad ? 0 : 1;
}

bool slot_note(struct redis_ask *redis, const char *prefix, const char *verb, const struct slot *s, int64_t next)
{
    char key[300], task[32], offset[32];
    snprintf(key, sizeof key, "%s:decisions", prefix);
    snprintf(task, sizeof task, "%s.%d", stage_names[s->stage], (int)s->partition);
    snprintf(offset, sizeof offset, "%lld", (long long)next);
    const char *argv[] = {"XADD", key, "*", "kind", verb, "task", task, "offset", offset};
    size_t sizes[9];
    for (int i = 0; i < 9; i++)
        sizes[i] = strlen(argv[i]);
    redisReply *r = redis_ask(redis, 9, argv, sizes);
    if (r)
        freeReplyObject(r);
    return r;
}

bool slot_replace(struct redis_ask *redis, const char *prefix, const struct slot *s, const struct position *p, const struct slot_header *header)
{
    static const char script[] = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) "
                                 "redis.call('SET', KEYS[2], ARGV[3]) return 1 end return 0";
    struct writer key = {0}, bytes = {0}, header_key = {0}, header_bytes = {0};
    redis_blob_name(prefix, s->stage, s->partition, POSITION_KEY, &key);
    redis_blob_name(prefix, s->stage, s->partition, HEADER_KEY, &header_key);
    position_encode(p, &bytes);
    slot_header_encode(header, &header_bytes);
    const char *argv[] = {"EVAL", script, "2", text_cstr(&key), text_cstr(&header_key), (const char *)s->stored.data,
                          (const char *)bytes.data, (const char *)header_bytes.data};
    const size_t sizes[] = {4, sizeof script - 1, 1, key.size, header_key.size, s->stored.size, bytes.size, header_bytes.size};
    redisReply *r = redis_ask(redis, 8, argv, sizes);
    bool done = r && r->integer == 1;
    if (r)
        freeReplyObject(r);
    writer_fini(&key);
    writer_fini(&bytes);
    writer_fini(&header_key);
    writer_fini(&header_bytes);
    return done;
}

struct removal {
    struct redis_ask *redis;
    const char *prefix;
    const struct slot *slot;
    bool failed;
};

static void remove_blob(void *arg, enum stage stage, int32_t partition, struct blob_key key, struct slice value)
{
    struct removal *r = arg;
    if (stage != r->slot->stage || partition != r->slot->partition || key.class == HEADER_KEY.class || key.class == POSITION_KEY.class)
        return;
    struct writer name = {0};
    redis_blob_name(r->prefix, stage, partition, key, &name);
    redisReply *answer = redis_ask(r->redis, 2, (const char *[]){"DEL", (const char *)name.data}, (const size_t[]){3, name.size});
    r->failed |= !answer;
    if (answer)
        freeReplyObject(answer);
    writer_fini(&name);
}

static int refuse(const char *why)
{
    fprintf(stderr, "sluice task: %s\n", why);
    return 1;
}

static int change(const struct settings *settings, rd_kafka_t *client, struct slot *s, const char *verb, int64_t offset)
{
    int64_t low, high;
    const char *prefix = settings->daemon.redis.prefix;
    struct position p = s->position;
    bool loss = strcmp(verb, "accept-loss") == 0, rebuild = strcmp(verb, "rebuild") == 0;
    if (!log_ends(client, &settings->daemon.kafka, s, &low, &high))
        return refuse("the log cannot be reached");
    if (!s->has_position && !rebuild)
        return refuse("the slot has no position: restore it, or rebuild");
    if (loss && (offset < low || offset > high || offset <= p.next))
        return refuse("--from is an offset of the log beyond the position");
    if (rebuild && low > s->header.origin)
        return refuse("the log no longer reaches back to the origin of the state");
    if (!loss && !rebuild && (p.next < low || p.next > high))
        return refuse("the position is outside the log: what was restored does not belong to it");
    p.next = loss ? offset : rebuild ? s->header.origin : p.next;
    p.claims = p.tries = 0;
    p.has_print = p.has_print && !loss && !rebuild;
    if (getrandom(&p.token, sizeof p.token, 0) != sizeof p.token)
        return refuse("no randomness");
    struct redis_ask *redis = redis_ask_open(&settings->daemon.redis);
    bool done = redis && slot_replace(redis, prefix, s, &p, &s->header);
    struct removal removal = {redis, prefix, s, false};
    if (done && rebuild)
        done = redis_scan(&settings->daemon.redis, remove_blob, &removal) == ERR_NONE && !removal.failed;
    done = done && slot_note(redis, prefix, verb, s, p.next);
    redis_ask_close(redis);
    if (!done)
        return refuse("somebody wrote the slot meanwhile, or Redis went away; look at `task status` and try again");
    printf("%s.%d goes on at %lld; restart the worker that halted\n", stage_names[s->stage], (int)s->partition, (long long)p.next);
    return 0;
}

static struct slot *find_slot(struct slots *s, const char *name)
{
    for (size_t i = 0; i < s->count; i++) {
        char text[32];
        snprintf(text, sizeof text, "%s.%d", stage_names[s->at[i].stage], (int)s->at[i].partition);
        if (strcmp(text, name) == 0)
            return &s->at[i];
    }
    return NULL;
}

int verb_task(int argc, char **argv)
{
    struct settings settings;
    struct slots slots = {0};
    if (!connect_options(&argc, argv, &settings))
        return EXIT_CONFIG;
    const char *from = take_option(&argc, argv, "--from"), *plan = take_option(&argc, argv, "--plan"), *verb = argc > 1 ? argv[1] : "";
    bool is_status = strcmp(verb, "status") == 0 && argc == 2, loss = strcmp(verb, "accept-loss") == 0;
    bool is_migration = strcmp(verb, "migrate") == 0 && argc == 2 && plan;
    bool is_change = argc == 3 && (loss || strcmp(verb, "restore") == 0 || strcmp(verb, "rebuild") == 0) && loss == (from != NULL);
    if (!is_status && !is_change && !is_migration) {
        fputs("sluice task: status | restore TASK | rebuild TASK | accept-loss TASK --from OFFSET | migrate --plan FILE\n", stderr);
        return EXIT_USAGE;
    }
    rd_kafka_t *client = open_client(&settings.daemon.kafka);
    int code = 1;
    if (client && redis_scan(&settings.daemon.redis, see, &slots) == ERR_NONE) {
        struct slot *s = is_change ? find_slot(&slots, argv[2]) : NULL;
        if (is_status)
            code = status(&settings, client, &slots);
        else if (is_migration)
            code = task_migrate(&settings, &slots, plan);
        else if (!s)
            code = refuse("there is no such task; `sluice task status` lists them");
        else
            code = change(&settings, client, s, verb, from ? strtoll(from, NULL, 10) : 0);
    }
    for (size_t i = 0; i < slots.count; i++)
        writer_fini(&slots.at[i].stored);
    free(slots.at);
    if (client)
        rd_kafka_destroy(client);
    settings_fini(&settings);
    return code;
}
