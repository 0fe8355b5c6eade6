/* The topics sluice needs: what each must look like, making them, checking them. Blocking; for verbs and start-up. */
#pragma once

#include "server/io/kafka_log.h"

#include <stdio.h>

struct topic_spec {
    enum topic topic;
    int32_t partitions;     /* as made; an existing topic may have another number, which the stored state then fixes */
    bool compacted;
    int64_t retention_ms;   /* -1: for ever */
};

extern const struct topic_spec topic_specs[TOPICS];

/*
 * Makes the topics that are missing; existing ones are left as they are. `replicas` 0: three where there are three brokers,
 * else one. From three replicas on min.insync.replicas is 2. Then waits until every broker knows them all. Prints one line
 * a topic to `report`, or why nothing was done. ERR_INVALID when a setting is refused, ERR_IO or ERR_TIMEOUT when brokers do
 * not answer, one still does not know them after half a minute, or some topic failed.
 */
MUST_CHECK enum err topics_create(const struct kafka_log_settings *settings, int replicas, FILE *report);
/*
 * Are they there, and do input logs and tables keep what recovery needs (rule 13): cleanup policy, no unclean election,
 * min.insync.replicas of 2 from three replicas on, retention of at least retention_ms_min and by time alone. Prints one
 * line per difference. ERR_INVALID when something is missing or must not be; ERR_IO when nobody answers in wait_ms.
 */
MUST_CHECK enum err topics_check(const struct kafka_log_settings *settings, int wait_ms, FILE *report);
