/*
 * The tables every worker reads whole: catalog, models, control, all partitions from the beginning, outside the
 * group. Ready when each partition has been read to the end offset seen at start. A compacted log may end in offsets
 * that hold nothing, so "the client reached the end" counts like the record itself.
 */
#include "server/io/kafka_parts.h"

#include "common/check.h"

#include <stdlib.h>

void kafka_tables_open(struct kafka_tables *t, struct kafka_log *log)
{
    uint64_t one = 1;
    t->wanted = true;
    t->queue = rd_kafka_queue_new(log->fetchers[KAFKA_PROMPT].client);
    rd_kafka_queue_io_event_enable(t->queue, log->wakeup, &one, sizeof one);
    for (int i = 0; i < TABLE_TOPICS; i++) {
        rd_kafka_topic_conf_t *conf = rd_kafka_default_topic_conf_dup(log->fetchers[KAFKA_PROMPT].client);
        rd_kafka_topic_conf_set(conf, "auto.offset.reset", "earliest", NULL, 0);
        rd_kafka_topic_conf_set_opaque(conf, (void *)(intptr_t)(TOPIC_CATALOG + i));
        t->topics[i] = rd_kafka_topic_new(log->fetchers[KAFKA_PROMPT].client, log->settings.topics[TOPIC_CATALOG + i], conf);
    }
}

static void begin(struct kafka_log *log)
{
    struct kafka_tables *t = &log->tables;
    struct monitor *m = &log->monitor;
    pthread_mutex_lock(&m->lock);
    bool known = m->tables_known;
    pthread_mutex_unlock(&m->lock);
    if (!known)
        return;
    for (int i = 0; i < TABLE_TOPICS; i++)
        t->count += atomic_load(&log->counts[TOPIC_CATALOG + i]);
    t->partitions = calloc((size_t)t->count, sizeof *t->partitions);
    ASSERT(t->partitions);
    int32_t n = 0;
    for (int i = 0; i < TABLE_TOPICS; i++)
        for (int32_t p = 0; p < atomic_load(&log->counts[TOPIC_CATALOG + i]) && n < t->count; p++, n++) {
            struct log_ends ends = {0};
            monitor_ends(m, TOPIC_CATALOG + i, p, &ends);
            t->partitions[n] = (struct table_partition){TOPIC_CATALOG + i, p, ends.high, ends.high <= ends.low};
            t->left += ends.high > ends.low;
            rd_kafka_consume_start_queue(t->topics[i], p, RD_KAFKA_OFFSET_BEGINNING, t->queue);
        }
    t->count = n;
    t->started = true;
}

static void reached(struct kafka_tables *t, enum topic topic, int32_t partition, int64_t next)
{
    for (int32_t i = 0; i < t->count; i++) {
        struct table_partition *p = &t->partitions[i];
        if (p->topic == topic && p->partition == partition && !p->done && next >= p->end) {
            p->done = true;
            t->left--;
        }
    }
}

void kafka_tables_turn(struct kafka_log *log, const struct kafka_log_events *events, void *arg, size_t records_max)
{
    struct kafka_tables *t = &log->tables;
    if (!t->wanted)
        return;
    if (!t->started)
        begin(log);
    if (!t->started)
        return;
    if (t->capacity < records_max) {
        t->messages = realloc(t->messages, records_max * sizeof *t->messages);
        ASSERT(t->messages);
        t->capacity = records_max;
    }
    ssize_t count = rd_kafka_consume_batch_queue(t->queue, 0, t->messages, records_max);
    for (ssize_t i = 0; i < count; i++) {
        rd_kafka_message_t *message = t->messages[i];
        enum topic topic = message->rkt ? (enum topic)(intptr_t)rd_kafka_topic_opaque(message->rkt) : TOPIC_CATALOG;
        bool end = message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
        int64_t next = end ? message->offset : message->offset + 1;
        if (!message->err || end)
            reached(t, topic, message->partition, next);
        else
            log->stats.errors++;
        if (message->err) {
            rd_kafka_message_destroy(message);
            continue;
        }
        struct record record;
        kafka_record_of(message, topic, &record);
        events->table_record(arg, &record);
    }
    if (count > 0 && (size_t)count == records_max)
        kafka_log_wake(log);
    if (t->left == 0 && !t->ready_reported) {
        t->ready = t->ready_reported = true;
        if (events->tables_ready)
            events->tables_ready(arg);
    }
}

void kafka_tables_close(struct kafka_tables *t)
{
    for (int32_t i = 0; i < t->count; i++)
        rd_kafka_consume_stop(t->topics[t->partitions[i].topic - TOPIC_CATALOG], t->partitions[i].partition);
    for (int i = 0; i < TABLE_TOPICS; i++)
        if (t->topics[i])
            rd_kafka_topic_destroy(t->topics[i]);
    if (t->queue)
        rd_kafka_queue_destroy(t->queue);
    free(t->partitions);
    free(t->messages);
}
