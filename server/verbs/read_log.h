/* A Kafka topic read whole, or its newest records, by a client of its own. Blocking; for verbs. */
#pragma once

#include "server/io/kafka_log.h"

#include <librdkafka/rdkafka.h>

/* NULL (said on standard error, in the name of `verb`) when the settings are refused. */
rd_kafka_t *read_log_open(const struct kafka_log_settings *settings, const char *verb);

struct read_log {
    const char *topic;
    int64_t newest; /* of each partition; 0: all that stand there */
    void (*each)(void *arg, const rd_kafka_message_t *m); /* partition by partition, in order of offsets */
    void *arg;
};

/* Up to the ends as they are now. False when the topic cannot be read, or not to its end. */
bool read_log(rd_kafka_t *client, const struct read_log *what);
