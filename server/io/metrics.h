/* What the daemon says of itself: metrics in Prometheus' text format, and whether it is ready. Pure but for RSS. */
#pragma once

#include "server/io/kafka_log.h"
#include "server/io/redis_store.h"

struct metrics_input {
    const struct worker *worker;
    struct kafka_log_stats kafka;
    struct redis_store_stats redis;
    int64_t now_ms;
    int64_t started_ms;
    uint64_t turns;
    bool draining;
};

void metrics_render(const struct metrics_input *in, struct writer *out);
/* The list that config/metrics.json holds. */
void metrics_catalogue(struct writer *out);
/* NULL when ready, else why not. Lag alone never makes it unready. */
const char *metrics_unready(const struct metrics_input *in);
