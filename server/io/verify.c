#include "server/io/verify.h"

#include "common/check.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/map.h"
#include "server/io/kafka_client.h"
#include "server/io/redis_scan.h"
#include "server/worker/memory_worker.h"

#include <stdio.h>
#include <stdlib.h>

#define SLOTS_MAX 1024
#define BATCH 4096
#define SILENCE_MS 10000 /* of the log while records are still missing */
#define STILL_TURNS 1000 /* without progress: the fold has halted or hangs */

const char *const verdict_names[] = {"unverified", "same", "DIFFERS", "log unreadable", "halted", "no position"};

struct slot {
    struct map blobs; /* hash of key -> digest */
    struct writer header, position; /* owned */
};

struct verification {
    const struct daemon_settings *settings;
    struct slot *slots[STAGE_LEARNER][SLOTS_MAX]; /* owned; the learner, the last stage, is outside the digest */
    rd_kafka_t *client;
};

static void keep_blob(void *arg, enum stage stage, int32_t partition, struct blob_key key, struct slice value)
{
    struct verification *v = arg;
    if (stage >= STAGE_LEARNER || partition < 0 || partition >= SLOTS_MAX)
        return;
    struct slot **slot = &v->slots[stage][partition];
    if (!*slot)
        *slot = calloc(1, sizeof **slot);
    ASSERT(*slot);
    struct writer *whole = key.class == HEADER_KEY.class ? &(*slot)->header : key.class == POSITION_KEY.class ? &(*slot)->position : NULL;
    if (whole) {
        whole->size = 0;
        put_bytes(whole, value.at, value.size);
        return;
    }
    map_put(&(*slot)->blobs, hash_mix(key.id + ((uint64_t)(uint8_t)key.class << 56) + 1),
            (void *)(uintptr_t)blob_digest(key, value));
}

static uint64_t digest_of(const struct slot *s)
{
    uint64_t sum = 0;
    size_t at = 0;
    struct map_slot entry;
    while (map_next(&s->blobs, &at, &entry))
        sum += (uint64_t)(uintptr_t)entry.value;
    return sum;
}

static bool open_client(struct verification *v)
{
    char why[256];
    v->client = kafka_client_open(&v->settings->kafka, RD_KAFKA_CONSUMER, (const char *[]){"auto.offset.reset", "error", NULL}, why);
    if (!v->client)
        log_error("verify_kafka", "%s", why);
    return v->client != NULL;
}

/* Appends records up to `next`; answers the offset reached. */
static int64_t take(struct memory_cluster *c, enum topic topic, int32_t partition, rd_kafka_message_t **messages, ssize_t count,
                    int64_t reached, int64_t next)
{
    for (ssize_t i = 0; i < count; i++) {
        const rd_kafka_message_t *m = messages[i];
        rd_kafka_timestamp_type_t type;
        if (!m->err && m->offset == reached && reached < next) {
            memory_append(c, topic, partition, (struct slice){m->key, (uint32_t)m->key_len},
                          (struct slice){m->payload, (uint32_t)m->len}, rd_kafka_message_timestamp(m, &type));
            reached++;
        }
        rd_kafka_message_destroy(messages[i]);
    }
    return reached;
}

/* [origin, next) of a partition into memory. */
static bool read_log(struct verification *v, struct memory_cluster *c, enum stage stage, int32_t partition, int64_t origin, int64_t next)
{
    static rd_kafka_message_t *messages[BATCH];
    int64_t reached = origin;
    memory_begin(c, (enum topic)stage, partition, origin);
    if (origin == next)
        return true;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(v->client, v->settings->kafka.topics[stage], NULL);
    if (rd_kafka_consume_start(topic, partition, origin) == 0) {
        int silent_ms = 0;
        while (reached < next && silent_ms < SILENCE_MS) {
            ssize_t count = rd_kafka_consume_batch(topic, partition, 100, messages, BATCH);
            int64_t before = reached;
            reached = take(c, (enum topic)stage, partition, messages, count, reached, next);
            silent_ms = reached > before ? 0 : silent_ms + 100;
        }
        rd_kafka_consume_stop(topic, partition);
    }
    rd_kafka_topic_destroy(topic);
    return reached == next;
}

static void seed_slot(struct memory_redis *r, const struct slot_verdict *out, const struct slot *slot)
{
    struct writer bytes = {0};
    struct position start = {.next = out->origin};
    position_encode(&start, &bytes);
    memory_redis_put(r, out->stage, out->partition, HEADER_KEY,
                     (struct slice){(const char *)slot->header.data, (uint32_t)slot->header.size});
    memory_redis_put(r, out->stage, out->partition, POSITION_KEY, (struct slice){(const char *)bytes.data, (uint32_t)bytes.size});
    writer_fini(&bytes);
}

/* Folds what is in the cluster's log of this one task. */
static void fold_log(struct verification *v, struct memory_worker *m, struct slot_verdict *out)
{
    struct topic_partition one = {(enum topic)out->stage, out->partition};
    struct task_report task = {.committed = -1};
    int64_t now_ms = 1, last = -1;
    memory_worker_start(m, &v->settings->worker, 1);
    memory_log_discard_outputs(m->log);
    worker_assigned(m->worker, &one, 1, now_ms);
    for (int still = 0; task.committed < out->next && !task.halt && still < STILL_TURNS; still++) {
        now_ms += 50;
        memory_log_set_now(m->log, now_ms);
        memory_log_deliver(m->log, m->worker, BATCH, now_ms);
        memory_store_deliver(m->store, m->worker, 10000, now_ms);
        worker_turn(m->worker, now_ms);
        worker_report(m->worker, now_ms, &task, 1);
        if (task.next != last)
            still = 0;
        last = task.next;
    }
    out->replayed = memory_redis_digest(m->redis, out->stage, out->partition);
    out->verdict = task.committed != out->next ? VERDICT_HALTED
                   : out->replayed == out->digest ? VERDICT_SAME
                                                  : VERDICT_DIFFERS;
    out->text = task.halt_text;
    memory_worker_stop(m, now_ms);
}

static void fold_again(struct verification *v, const struct slot_header *header, const struct slot *slot, struct slot_verdict *out)
{
    struct memory_worker m;
    memory_worker_open(&m, header->partitions);
    seed_slot(m.redis, out, slot);
    if (out->partition < m.partitions[out->stage] && read_log(v, m.cluster, out->stage, out->partition, out->origin, out->next))
        fold_log(v, &m, out);
    else
        out->verdict = VERDICT_NO_LOG;
    memory_worker_close(&m, 0);
}

static struct slot_verdict judge(struct verification *v, enum stage stage, int32_t partition, bool fold)
{
    const struct slot *slot = v->slots[stage][partition];
    struct slot_header header;
    struct position position;
    struct slot_verdict out = {.stage = stage, .partition = partition, .blobs = slot->blobs.count, .digest = digest_of(slot)};
    if (slot_header_decode((struct slice){(const char *)slot->header.data, (uint32_t)slot->header.size}, &header) != ERR_NONE ||
        position_decode((struct slice){(const char *)slot->position.data, (uint32_t)slot->position.size}, &position) != ERR_NONE) {
        out.verdict = VERDICT_NO_POSITION;
        return out;
    }
    out.origin = header.origin;
    out.next = position.next;
    if (fold && out.next == out.origin) /* nothing was folded, so there must be nothing */
        out.verdict = out.blobs == 0 ? VERDICT_SAME : VERDICT_DIFFERS;
    else if (fold)
        fold_again(v, &header, slot, &out);
    return out;
}

static void slot_free(struct slot *s)
{
    map_fini(&s->blobs);
    writer_fini(&s->header);
    writer_fini(&s->position);
    free(s);
}

enum err verify_state(const struct daemon_settings *settings, bool fold,
                      void (*each)(void *arg, const struct slot_verdict *verdict), void *arg)
{
    struct verification *v = calloc(1, sizeof *v);
    ASSERT(v);
    v->settings = settings;
    enum err err = redis_scan(&settings->redis, keep_blob, v);
    if (err == ERR_NONE && fold && !open_client(v))
        err = ERR_IO;
    for (int s = 0; s < STAGE_LEARNER; s++)
        for (int32_t p = 0; p < SLOTS_MAX; p++) {
            if (!v->slots[s][p])
                continue;
            if (err != ERR_IO) {
                struct slot_verdict verdict = judge(v, (enum stage)s, p, fold);
                if (verdict.verdict > VERDICT_SAME)
                    err = ERR_INVALID;
                each(arg, &verdict);
            }
            slot_free(v->slots[s][p]);
        }
    if (v->client)
        rd_kafka_destroy(v->client);
    free(v);
    return err;
}
