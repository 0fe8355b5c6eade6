#include "server/verbs/read_log.h"

#include "server/io/kafka_client.h"

#include <stdio.h>

#define ANSWER_MS 10000
#define SILENCE_MS 10000

rd_kafka_t *read_log_open(const struct kafka_log_settings *settings, const char *verb)
{
    char why[256];
    const char *options[] = {"enable.partition.eof", "true", "fetch.wait.max.ms", "10", NULL};
    rd_kafka_t *client = kafka_client_open(settings, RD_KAFKA_CONSUMER, options, why);
    if (!client)
        fprintf(stderr, "sluice %s: %s\n", verb, why);
    return client;
}

/* False: the broker fell silent before the end. */
static bool read_partition(rd_kafka_topic_t *t, int32_t p, int64_t from, int64_t end, const struct read_log *what)
{
    int silent_ms = 0;
    int64_t reached = from;
    if (rd_kafka_consume_start(t, p, from) != 0)
        return false;
    while (reached < end && silent_ms < SILENCE_MS) {
        rd_kafka_message_t *m = rd_kafka_consume(t, p, 100);
        silent_ms = m ? 0 : silent_ms + 100;
        if (m && !m->err) {
            what->each(what->arg, m);
            reached = m->offset + 1;
        } else if (m && m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            reached = end;
        }
        if (m)
            rd_kafka_message_destroy(m);
    }
    rd_kafka_consume_stop(t, p);
    return reached >= end;
}

bool read_log(rd_kafka_t *client, const struct read_log *what)
{
    const struct rd_kafka_metadata *meta;
    rd_kafka_topic_t *t = rd_kafka_topic_new(client, what->topic, NULL);
    int partitions = 0;
    if (rd_kafka_metadata(client, 0, t, &meta, ANSWER_MS) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        partitions = meta->topic_cnt ? meta->topics[0].partition_cnt : 0;
        rd_kafka_metadata_destroy(meta);
    }
    bool ok = partitions > 0;
    for (int32_t p = 0; ok && p < partitions; p++) {
        int64_t low, high;
        ok = rd_kafka_query_watermark_offsets(client, what->topic, p, &low, &high, ANSWER_MS) == RD_KAFKA_RESP_ERR_NO_ERROR;
        if (ok && low < high)
            ok = read_partition(t, p, what->newest && high - low > what->newest ? high - what->newest : low, high, what);
    }
    rd_kafka_topic_destroy(t);
    return ok;
}
