/*
 * task: what an operator does about a task that halted. Each change is one compare-and-set of the position blob with a
 * fresh owner token, so that whoever owns the task notices at its next commit, and a worker whose task halted goes on by
 * itself; and it is noted in the stream of decisions.
 *   restore      after state was restored from a copy: the task takes it as it stands; clears the marks of a poison record
 *   accept-loss  records before OFFSET are gone: go on from there, the state as it is; an entity task takes the next entry
 *                of each source whatever came before it
 *   rebuild      drop the state and fold the log again: from its origin, or from OFFSET where it no longer reaches back.
 *                --new-log: the log was made anew, so its offsets mean other records than those that were folded
 *   migrate      from where each log ends on fold with other settings (task_migrate.c)
 *
 * A rebuild has three steps, for the blobs of a large slot do not go in one: the header goes, so that nobody can claim
 * the slot; then the blobs; then header, chain and position are written in one step.
 */
#include "common/check.h"
#include "common/hash.h"
#include "common/text.h"
#include "server/io/kafka_client.h"
#include "server/io/redis_ask.h"
#include "server/io/redis_scan.h"
#include "server/verbs/connect.h"
#include "server/verbs/task_slots.h"
#include "server/verbs/verb.h"
#include "server/worker/chain.h"
#include "server/worker/position.h"

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
            ASSERT(s->at);
        }
        s->at[s->count++] = (struct slot){.stage = stage, .partition = partition};
    }
    struct slot *slot = &s->at[i];
    slot->blobs++;
    slot->bytes += value.size;
    if (key.class == HEADER_KEY.class)
        slot->has_header = slot_header_decode(value, &slot->header) == ERR_NONE;
    if (key.class == POSITION_KEY.class)
        slot->has_position = position_decode(value, &slot->position) == ERR_NONE;
    struct writer *kept = key.class == POSITION_KEY.class ? &slot->stored : key.class == CHAIN_KEY.class ? &slot->chain : NULL;
    if (kept) {
        kept->size = 0;
        put_bytes(kept, value.at, value.size);
    }
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

static bool ask_ends(rd_kafka_t *client, const struct kafka_log_settings *k, struct slots *slots)
{
    int64_t low;
    for (size_t i = 0; i < slots->count; i++)
        if (!log_ends(client, k, &slots->at[i], &low, &slots->at[i].end))
            return false;
    return true;
}

static rd_kafka_t *open_client(const struct kafka_log_settings *k)
{
    char why[256];
    rd_kafka_t *client = kafka_client_open(k, RD_KAFKA_CONSUMER, (const char *[]){NULL}, why);
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
        if (!slot->has_header)
            what = "no header: restore the state, or `sluice init`";
        else if (!slot->has_position)
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

bool slot_write(struct redis_ask *redis, const char *prefix, struct slot *s, const struct slot_change *c)
{
    static const char script[] = "if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end redis.call('SET', KEYS[1], ARGV[2]) "
                                 "for i = 2, #KEYS do if ARGV[i + 1] == '' then redis.call('DEL', KEYS[i]) "
                                 "else redis.call('SET', KEYS[i], ARGV[i + 1]) end end return 1";
    const struct blob_key keys[] = {POSITION_KEY, HEADER_KEY, CHAIN_KEY};
    const bool with[] = {true, c->with_header, c->with_chain};
    struct writer names[3] = {{0}}, bytes = {0};
    const struct writer *values[] = {&bytes, &c->header, &c->chain};
    char count[2] = {(char)('1' + c->with_header + c->with_chain), 0};
    const char *argv[10] = {"EVAL", script, count};
    size_t sizes[10] = {4, sizeof script - 1, 1}, argc = 3;
    position_encode(&c->position, &bytes);
    for (int i = 0; i < 3; i++)
        if (with[i]) {
            redis_blob_name(prefix, s->stage, s->partition, keys[i], &names[i]);
            argv[argc] = text_cstr(&names[i]);
            sizes[argc++] = names[i].size;
        }
    argv[argc] = s->stored.size ? (const char *)s->stored.data : "";
    sizes[argc++] = s->stored.size;
    for (int i = 0; i < 3; i++)
        if (with[i]) {
            argv[argc] = values[i]->size ? (const char *)values[i]->data : "";
            sizes[argc++] = values[i]->size;
        }
    redisReply *r = redis_ask(redis, (int)argc, argv, sizes);
    bool done = r && r->type == REDIS_REPLY_INTEGER && r->integer == 1;
    if (r)
        freeReplyObject(r);
    if (done) {
        s->stored.size = 0;
        put_bytes(&s->stored, bytes.data, bytes.size);
    }
    writer_fini(&bytes);
    for (int i = 0; i < 3; i++)
        writer_fini(&names[i]);
    return done;
}

struct request {
    const char *verb;
    bool loss, rebuild, new_log;
    int64_t from; /* -1: not said */
};

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

/* After accept-loss an entity task takes the next entry of each source; false: the stored chain does not decode. */
static bool open_chains(const struct slot *s, struct slot_change *c)
{
    int32_t count = s->header.partitions[TOPIC_EVENTS];
    struct chain *chains = calloc((size_t)count + 1, sizeof *chains);
    ASSERT(chains);
    bool good = chains_decode((struct slice){(const char *)s->chain.data, (uint32_t)s->chain.size}, false, chains, count) == ERR_NONE;
    for (int32_t i = 0; good && i < count; i++)
        chains[i].open = true;
    if (good)
        chains_encode(chains, count, &c->chain);
    c->with_chain = good;
    free(chains);
    return good;
}

/* The header of a state that begins at `origin`. */
static struct slot_header header_from(const struct slot *s, const struct request *r, int64_t origin)
{
    struct slot_header h = s->header;
    int64_t until;
    uint32_t first = r->new_log ? h.fold_count - 1 : (uint32_t)(slot_header_fold_at(&h, origin, &until) - h.folds);
    h.fold_count -= first;
    memmove(h.folds, h.folds + first, h.fold_count * sizeof *h.folds);
    h.folds[0].from = origin;
    h.chain_open = s->stage == STAGE_ENTITY && (r->new_log || h.chain_open || origin > h.origin);
    h.generation += r->new_log;
    h.origin = origin;
    return h;
}

static bool rebuild(const struct settings *settings, struct redis_ask *redis, struct slot *s, struct slot_change *c, const struct request *r)
{
    const char *prefix = settings->daemon.redis.prefix;
    struct removal removal = {redis, prefix, s, false};
    struct slot_header header = header_from(s, r, c->position.next);
    c->with_header = true;
    if (!slot_write(redis, prefix, s, c) || redis_scan(&settings->daemon.redis, remove_blob, &removal) != ERR_NONE || removal.failed)
        return false;
    slot_header_encode(&header, &c->header);
    return getrandom(&c->position.token, sizeof c->position.token, 0) == sizeof c->position.token && slot_write(redis, prefix, s, c);
}

static int refuse(const char *why)
{
    fprintf(stderr, "sluice task: %s\n", why);
    return 1;
}

/* Why it cannot be done; NULL when it can. */
static const char *objection(const struct slot *s, const struct request *r, int64_t low, int64_t high, int64_t next)
{
    if (!s->has_header)
        return "the slot has no header: restore it, or `sluice init`";
    if (!s->has_position && !r->rebuild)
        return "the slot has no position: restore it, or rebuild";
    if (r->loss && (next < low || next > high || next < s->position.next))
        return "--from is an offset of the log, and not before the position; a log that was made anew needs a rebuild with --new-log";
    if (r->rebuild && (next < low || next > high))
        return "the log no longer reaches back to the origin of the state: --from OFFSET folds what is left";
    if (!r->loss && !r->rebuild && (next < low || next > high))
        return "the position is outside the log: what was restored does not belong to it";
    return NULL;
}

static int change(const struct settings *settings, rd_kafka_t *client, struct slot *s, const struct request *r)
{
    int64_t low, high;
    const char *prefix = settings->daemon.redis.prefix;
    struct slot_change c = {.position = s->position};
    if (!log_ends(client, &settings->daemon.kafka, s, &low, &high))
        return refuse("the log cannot be reached");
    int64_t next = r->from >= 0 ? r->from : !r->rebuild ? s->position.next : r->new_log ? low : s->header.origin;
    const char *why = objection(s, r, low, high, next);
    if (why)
        return refuse(why);
    c.position.next = next;
    c.position.claims = c.position.tries = 0;
    c.position.has_print &= !r->loss && !r->rebuild;
    if (r->loss && s->stage == STAGE_ENTITY && !open_chains(s, &c))
        return refuse("the chain of the slot does not decode");
    if (getrandom(&c.position.token, sizeof c.position.token, 0) != sizeof c.position.token)
        return refuse("no randomness");
    struct redis_ask *redis = redis_ask_open(&settings->daemon.redis);
    bool done = redis && (r->rebuild ? rebuild(settings, redis, s, &c, r) : slot_write(redis, prefix, s, &c));
    done = done && slot_note(redis, prefix, r->verb, s, next);
    redis_ask_close(redis);
    writer_fini(&c.header);
    writer_fini(&c.chain);
    if (!done)
        return refuse("somebody wrote the slot meanwhile, or Redis went away; look at `task status` and try again");
    printf("%s.%d goes on at %lld\n", stage_names[s->stage], (int)s->partition, (long long)next);
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
    const struct number_option from_option = {"--from", 0, INT64_MAX};
    const char *plan = take_option(&argc, argv, "--plan");
    struct request r = {.from = -1};
    if (!take_number(&argc, argv, &from_option, &r.from))
        return EXIT_USAGE;
    r.new_log = take_flag(&argc, argv, "--new-log");
    if (!is_all_taken(&argc, argv, 2))
        return EXIT_USAGE;
    r.verb = argc > 1 ? argv[1] : "";
    r.loss = strcmp(r.verb, "accept-loss") == 0;
    r.rebuild = strcmp(r.verb, "rebuild") == 0;
    bool is_status = strcmp(r.verb, "status") == 0 && argc == 2;
    bool is_migration = strcmp(r.verb, "migrate") == 0 && argc == 2 && plan;
    bool is_change = argc == 3 && (r.loss ? r.from >= 0 : r.rebuild || (strcmp(r.verb, "restore") == 0 && r.from < 0)) && (r.rebuild || !r.new_log);
    if (!is_status && !is_change && !is_migration) {
        fputs("sluice task: status | restore TASK | rebuild TASK [--from OFFSET] [--new-log] | accept-loss TASK --from OFFSET | migrate --plan FILE\n", stderr);
        return EXIT_USAGE;
    }
    rd_kafka_t *client = open_client(&settings.daemon.kafka);
    int code = 1;
    if (client && redis_scan(&settings.daemon.redis, see, &slots) == ERR_NONE) {
        struct slot *s = is_change ? find_slot(&slots, argv[2]) : NULL;
        if (is_status)
            code = status(&settings, client, &slots);
        else if (is_migration)
            code = ask_ends(client, &settings.daemon.kafka, &slots) ? task_migrate(&settings, &slots, plan) : refuse("Kafka does not say where the logs end");
        else if (!s)
            code = refuse("there is no such task; `sluice task status` lists them");
        else
            code = change(&settings, client, s, &r);
    }
    for (size_t i = 0; i < slots.count; i++) {
        writer_fini(&slots.at[i].stored);
        writer_fini(&slots.at[i].chain);
    }
    free(slots.at);
    if (client)
        rd_kafka_destroy(client);
    settings_fini(&settings);
    return code;
}
