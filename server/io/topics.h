/* The topics sluice needs: what each must look like, making them, checking them. Blocking; for verbs and start-up. */
#pragma once

#include "server/io/kafka_log.h"

struct topic_spec {
    enum topic topic;
    int32_t partitions;     /* as made; an existing topic may have another number, which the stored state then fixes */
    bool compacted;
    int64_t retention_ms;   /* -1: for ever */
};

extern const struct topic_spec topic_specs[TOPICS];

/*
 * Makes the topics that are missing. `replicas` 1 or more; min.insync.replicas is 2 from three replicas on. Existing
 * ones are left as they are. Prints one line a topic to `report` (a FILE *, may be NULL). ERR_IO when some failed.
 */
MUST_CHECK enum err topics_create(const struct kafka_log_settings *settings, int replicas, void *report);
/* Compares; prints one line per difference. ERR_INVALID when something is missing or must not be. */
MUST_CHECK enum err topics_check(const struct kafka_log_settings *settings, void *report);
