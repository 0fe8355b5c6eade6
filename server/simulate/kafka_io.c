#include "server/simulate/kafka_io.h"

#include "common/check.h"
#include "common/log.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>

#define BATCH 512
#define METADATA_WAIT_MS 10000
#define FLUSH_WAIT_MS 100

struct link {
    struct link_settings settings;
    rd_kafka_t *producer;
    rd_kafka_t *consumer;
    uint64_t lost;
};

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct link *l = opaque;
    l->lost += m->err != 0;
    if (l->settings.delivered && m->_private)
        l->settings.delivered(l->settings.self, m->partition, m->err ? -1 : m->offset, (int64_t)(intptr_t)m->_private);
}

static rd_kafka_t *make_handle(struct link *l, rd_kafka_type_t type, const char *const pairs[][2])
{
    char reason[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_opaque(conf, l);
    rd_kafka_conf_set(conf, "bootstrap.servers", l->settings.brokers, reason, sizeof reason);
    rd_kafka_conf_set(conf, "client.id", "sluice-simulate", reason, sizeof reason);
    for (int i = 0; pairs[i][0]; i++)
        if (rd_kafka_conf_set(conf, pairs[i][0], pairs[i][1], reason, sizeof reason) != RD_KAFKA_CONF_OK)
            log_warning("simulate_kafka_option", "%s; goes on without it", reason);
    if (type == RD_KAFKA_PRODUCER)
        rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_t *rk = rd_kafka_new(type, conf, reason, sizeof reason);
    if (!rk) {
        log_error("simulate_kafka", "%s", reason);
        rd_kafka_conf_destroy(conf);
    }
    return rk;
}

static int32_t partitions_of(rd_kafka_t *rk, const char *topic, int wait_ms)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(rk, topic, NULL);
    int32_t count = 0;
    if (rd_kafka_metadata(rk, 0, handle, &metadata, wait_ms) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (metadata->topic_cnt == 1 && metadata->topics[0].err == 0)
            count = metadata->topics[0].partition_cnt;
        rd_kafka_metadata_destroy(metadata);
    }
    rd_kafka_topic_destroy(handle);
    return count;
}

static bool start_reading(struct link *l)
{
    static const char *const options[][2] = {
        {"group.id", "sluice-simulate-no-group"}, /* assign() wants one; nothing is ever committed */
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
        {"auto.offset.reset", "latest"},
        {"fetch.wait.max.ms", "50"},
        {NULL, NULL},
    };
    l->consumer = make_handle(l, RD_KAFKA_CONSUMER, options);
    if (!l->consumer)
        return false;
    rd_kafka_poll_set_consumer(l->consumer);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);
    for (int t = 0; l->settings.read[t]; t++) {
        int32_t count = partitions_of(l->consumer, l->settings.read[t], METADATA_WAIT_MS);
        if (count == 0)
            log_warning("simulate_topic_missing", "topic %s is not there; its part of the loop stays open",
                        l->settings.read[t]);
        for (int32_t p = 0; p < count; p++) {
            /* A stated offset, so that nothing published from now on is missed. */
            int64_t low = 0, high = 0;
            bool known = !rd_kafka_query_watermark_offsets(l->consumer, l->settings.read[t], p, &low, &high, 5000);
            rd_kafka_topic_partition_list_add(list, l->settings.read[t], p)->offset =
                known ? high : RD_KAFKA_OFFSET_END;
        }
    }
    bool assigned = rd_kafka_assign(l->consumer, list) == RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_topic_partition_list_destroy(list);
    return assigned;
}

struct link *link_open(const struct link_settings *settings)
{
    static const char *const options[][2] = {
        {"enable.idempotence", "true"}, {"partitioner", "murmur2_random"}, {"linger.ms", "1"},
        {"compression.type", "lz4"},    {"queue.buffering.max.messages", "1000000"}, {NULL, NULL},
    };
    struct link *l = calloc(1, sizeof *l);
    ASSERT(l);
    l->settings = *settings;
    l->producer = make_handle(l, RD_KAFKA_PRODUCER, options);
    if (!l->producer || (settings->read && !start_reading(l))) {
        link_close(l, 0);
        return NULL;
    }
    return l;
}

void link_close(struct link *l, int timeout_ms)
{
    if (!l)
        return;
    if (l->producer) {
        rd_kafka_flush(l->producer, timeout_ms);
        rd_kafka_destroy(l->producer);
    }
    if (l->consumer) {
        rd_kafka_consumer_close(l->consumer);
        rd_kafka_destroy(l->consumer);
    }
    free(l);
}

enum err link_send(struct link *l, const char *topic, struct slice key, struct slice value, int64_t timestamp_ms,
                   int64_t sent_us)
{
    for (;;) {
        rd_kafka_resp_err_t err = rd_kafka_producev(
            l->producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_KEY(key.at, key.size),
            RD_KAFKA_V_VALUE((void *)(uintptr_t)(value.size ? value.at : NULL), value.size),
            RD_KAFKA_V_TIMESTAMP(timestamp_ms), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
            RD_KAFKA_V_OPAQUE((void *)(intptr_t)sent_us), RD_KAFKA_V_END);
        if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
            return ERR_NONE;
        if (err != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            log_error("simulate_produce", "%s: %s", topic, rd_kafka_err2str(err));
            return ERR_IO;
        }
        rd_kafka_poll(l->producer, FLUSH_WAIT_MS);
    }
}

static void hand_over(struct link *l, const rd_kafka_message_t *m)
{
    struct link_record record = {
        .topic = -1,
        .partition = m->partition,
        .offset = m->offset,
        .timestamp_ms = rd_kafka_message_timestamp(m, NULL),
        .key = {m->key, (uint32_t)m->key_len},
        .value = {m->payload, (uint32_t)m->len},
    };
    const char *topic = m->rkt ? rd_kafka_topic_name(m->rkt) : "";
    for (int t = 0; l->settings.read[t]; t++)
        if (strcmp(l->settings.read[t], topic) == 0)
            record.topic = t;
    if (m->err == 0 && record.topic >= 0)
        l->settings.received(l->settings.self, &record);
}

void link_poll(struct link *l, int wait_ms)
{
    rd_kafka_poll(l->producer, l->consumer ? 0 : wait_ms);
    if (!l->consumer)
        return;
    /* One by one: the library's batch call waits its whole time for a full batch. */
    for (int i = 0; i < BATCH; i++) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(l->consumer, i == 0 ? wait_ms : 0);
        if (!m)
            break;
        hand_over(l, m);
        rd_kafka_message_destroy(m);
    }
    rd_kafka_poll(l->producer, 0);
}

int32_t link_partitions(struct link *l, const char *topic)
{
    return partitions_of(l->producer, topic, METADATA_WAIT_MS);
}

uint64_t link_lost(const struct link *l)
{
    return l->lost;
}

int64_t link_unsent(const struct link *l)
{
    return rd_kafka_outq_len(l->producer);
}
