/* A Kafka client that asks and reads for a verb, outside the daemon: no callbacks, no group, nothing printed. */
#pragma once

#include "server/io/kafka_log.h"

#include <librdkafka/rdkafka.h>

/*
 * `options` are name and value in turn, NULL at the end; they come before the settings' kafka.properties. Owned by the
 * caller: rd_kafka_destroy(). NULL when an option or property is refused: the reason is in `why`.
 */
rd_kafka_t *kafka_client_open(const struct kafka_log_settings *settings, rd_kafka_type_t type, const char *const options[],
                              char why[static 256]);
