/*
 * The producing half. Partitions of keyed records are computed here, by the murmur2 that stored state also uses, so
 * that they do not depend on a client setting.
 */
#include "server/io/kafka_parts.h"

#include "common/check.h"
#include "common/hash.h"
#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>

void kafka_delivered(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
    struct kafka_log *log = opaque;
    if (log->acknowledgement_count == log->acknowledgement_capacity) {
        log->acknowledgement_capacity = log->acknowledgement_capacity ? 2 * log->acknowledgement_capacity : 1024;
        log->acknowledgements = realloc(log->acknowledgements, log->acknowledgement_capacity * sizeof *log->acknowledgements);
        ASSERT(log->acknowledgements);
    }
    enum err err = message->err == RD_KAFKA_RESP_ERR_NO_ERROR             ? ERR_NONE
                   : message->err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ? ERR_TOO_LARGE
                   : message->err == RD_KAFKA_RESP_ERR__MSG_TIMED_OUT     ? ERR_TIMEOUT
                                                                          : ERR_IO;
    log->stats.undelivered += err != ERR_NONE;
    bool given_up = message->err == RD_KAFKA_RESP_ERR__PURGE_QUEUE || message->err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT; /* by us, at the end */
    if (err != ERR_NONE && !given_up)
        log_warning("kafka_undelivered", "%s: %s; the commit that needs the record is given up, and what led to it is folded again",
                    rd_kafka_topic_name(message->rkt), rd_kafka_err2str(message->err));
    log->acknowledgements[log->acknowledgement_count++] =
        (struct acknowledgement){message->_private, err, err == ERR_NONE ? message->offset : -1};
}

static enum err err_of(rd_kafka_resp_err_t err)
{
    switch (err) {
    case RD_KAFKA_RESP_ERR_NO_ERROR: return ERR_NONE;
    case RD_KAFKA_RESP_ERR__QUEUE_FULL: return ERR_MEMORY;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE: return ERR_TOO_LARGE;
    case RD_KAFKA_RESP_ERR__FATAL: return ERR_FATAL;
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC: return ERR_NOT_FOUND;
    default: return ERR_IO;
    }
}

static rd_kafka_headers_t *original_headers(const struct outgoing *out)
{
    rd_kafka_headers_t *from = NULL;
    if (out->headers_of && out->headers_of->native && rd_kafka_message_headers(out->headers_of->native, &from))
        return NULL;
    return from;
}

static rd_kafka_headers_t *headers_of(const struct outgoing *out)
{
    rd_kafka_headers_t *headers = NULL, *from = original_headers(out);
    if (from)
        headers = rd_kafka_headers_copy(from);
    if (!headers && out->header_count > 0)
        headers = rd_kafka_headers_new((size_t)out->header_count);
    for (int i = 0; i < out->header_count; i++)
        rd_kafka_header_add(headers, out->headers[i].name, -1, out->headers[i].value.at, out->headers[i].value.size);
    return headers;
}

static size_t size_of(const struct outgoing *out)
{
    size_t size = (size_t)out->key.size + out->value.size;
    for (int i = 0; i < out->header_count; i++)
        size += strlen(out->headers[i].name) + out->headers[i].value.size;
    const rd_kafka_headers_t *from = original_headers(out);
    const char *name;
    const void *value;
    size_t length;
    for (size_t i = 0; from && rd_kafka_header_get_all(from, i, &name, &value, &length) == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
        size += strlen(name) + length;
    return size;
}

#define SHORT_KEY 1024
#define SHORT_HEADERS 16

/*
 * A dead letter adds headers to a record that may have been as large as the broker takes. One that is too large then goes
 * without the record's own headers and with what fits of its key and value; __errors.truncated says how large that was.
 */
static enum err produce_shortened(struct kafka_log *log, const struct outgoing *out)
{
    char size[24];
    struct header headers[SHORT_HEADERS];
    struct outgoing shorter = *out;
    int count = out->header_count < SHORT_HEADERS - 1 ? out->header_count : SHORT_HEADERS - 1;
    memcpy(headers, out->headers, (size_t)count * sizeof *headers);
    snprintf(size, sizeof size, "%u", out->value.size);
    headers[count] = (struct header){"__errors.truncated", slice_of(size)};
    shorter.headers = headers;
    shorter.header_count = count + 1;
    shorter.headers_of = NULL;
    uint32_t room = (uint32_t)log->settings.message_bytes_max - 16384; /* the least the setting allows is twice that */
    shorter.key.size = out->key.size < SHORT_KEY ? out->key.size : SHORT_KEY;
    shorter.value.size = out->value.size < room ? out->value.size : room;
    return kafka_produce(log, &shorter);
}

enum err kafka_produce(void *self, const struct outgoing *out)
{
    struct kafka_log *log = self;
    int32_t partition = out->partition;
    if (size_of(out) > (size_t)log->settings.message_bytes_max)
        return out->headers_of ? produce_shortened(log, out) : ERR_TOO_LARGE;
    if (partition < 0 && out->key.at) {
        int32_t count = atomic_load_explicit(&log->counts[out->topic], memory_order_relaxed);
        if (count == 0) {
            log->stats.queue_full++;
            return ERR_MEMORY; /* not known yet */
        }
        partition = kafka_partition(out->key.at, out->key.size, count);
    }
    struct producer *producer = &log->producers[kafka_pace_of(out->topic)];
    rd_kafka_topic_t *topic = producer->topics[out->topic];
    ASSERT(topic);
    void *value = out->tombstone ? NULL : (void *)(uintptr_t)(out->value.at ? out->value.at : "");
    rd_kafka_headers_t *headers = headers_of(out);
    rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR_NO_ERROR;
    if (headers) {
        err = rd_kafka_producev(producer->client, RD_KAFKA_V_RKT(topic), RD_KAFKA_V_PARTITION(partition),
                                RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_VALUE(value, out->value.size),
                                RD_KAFKA_V_KEY(out->key.at, out->key.size), RD_KAFKA_V_OPAQUE(out->opaque),
                                RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
        if (err)
            rd_kafka_headers_destroy(headers);
    } else if (rd_kafka_produce(topic, partition, RD_KAFKA_MSG_F_COPY, value, out->tombstone ? 0 : out->value.size,
                                out->key.at, out->key.size, out->opaque) != 0) {
        err = rd_kafka_last_error();
    }
    log->stats.queue_full += err == RD_KAFKA_RESP_ERR__QUEUE_FULL;
    return err_of(err);
}
