/* The daemon: one libevent loop that feeds one worker from Kafka and Redis until it is told to stop. */
#pragma once

#include "server/io/kafka_log.h"
#include "server/io/redis_store.h"

struct daemon_settings {
    struct worker_settings worker;
    struct kafka_log_settings kafka;
    struct redis_store_settings redis;
    const char *http;     /* HOST:PORT to listen on; NULL or "": no HTTP */
    /* SIGHUP: fills what worker_reload() takes, or says why not and answers false; NULL: SIGHUP does nothing. */
    bool (*reload)(void *arg, struct worker_settings *out);
    void *reload_arg;
    int drain_ms;         /* SIGTERM: the longest that finishing may take */
};

/*
 * Runs until SIGTERM or SIGINT, then commits what is folded and leaves the group; a second signal exits at once.
 * Answers the exit code: 0 drained, 1 the Kafka client cannot go on, 75 the drain deadline passed, 78 a setting was refused.
 */
int daemon_run(const struct daemon_settings *settings);
