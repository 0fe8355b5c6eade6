/*
 * Opening and closing. Closing can hang inside the client, so a watchdog thread ends the process when it does; a
 * crash at that point costs nothing, for state and position are already where they belong.
 */
#include "server/io/kafka_parts.h"

#include "common/log.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define EXIT_WATCHDOG 70

struct watchdog {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct timespec until;
    bool done, running;
};

static void *guard(void *arg)
{
    struct watchdog *w = arg;
    pthread_mutex_lock(&w->lock);
    while (!w->done && pthread_cond_timedwait(&w->wake, &w->lock, &w->until) == 0) {
    }
    bool done = w->done;
    pthread_mutex_unlock(&w->lock);
    if (!done) {
        log_error("kafka_close_timeout", "the client did not close in time; exiting without it");
        _exit(EXIT_WATCHDOG);
    }
    return NULL;
}

static void watchdog_start(struct watchdog *w, int deadline_ms)
{
    *w = (struct watchdog){.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};
    clock_gettime(CLOCK_REALTIME, &w->until);
    w->until.tv_sec += deadline_ms / 1000 + 1;
    w->running = pthread_create(&w->thread, NULL, guard, w) == 0;
}

static void watchdog_stop(struct watchdog *w)
{
    pthread_mutex_lock(&w->lock);
    w->done = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    if (w->running)
        pthread_join(w->thread, NULL);
}

static bool open_producer(struct kafka_log *log)
{
    uint64_t one = 1;
    log->producer = kafka_client_create(log, KAFKA_PRODUCER);
    if (!log->producer)
        return false;
    log->producer_queue = rd_kafka_queue_get_main(log->producer);
    rd_kafka_set_log_queue(log->producer, NULL);
    rd_kafka_queue_io_event_enable(log->producer_queue, log->wakeup, &one, sizeof one);
    for (int t = 0; t < TOPICS; t++)
        log->producer_topics[t] = rd_kafka_topic_new(log->producer, log->settings.topics[t], NULL);
    return true;
}

static bool open_member(struct kafka_log *log)
{
    uint64_t one = 1;
    log->member = kafka_client_create(log, KAFKA_MEMBER);
    if (!log->member)
        return false;
    rd_kafka_poll_set_consumer(log->member);
    log->member_queue = rd_kafka_queue_get_consumer(log->member);
    rd_kafka_set_log_queue(log->member, NULL);
    rd_kafka_queue_io_event_enable(log->member_queue, log->wakeup, &one, sizeof one);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(TOPIC_INPUTS);
    for (int t = 0; t < TOPIC_INPUTS; t++)
        rd_kafka_topic_partition_list_add(list, log->settings.topics[t], RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t err = rd_kafka_subscribe(log->member, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (err)
        log_error("kafka_setting", "subscribe: %s; not started", rd_kafka_err2str(err));
    return !err;
}

static void open_inputs(struct kafka_log *log)
{
    uint64_t one = 1;
    log->input_queue = rd_kafka_queue_new(log->reader);
    rd_kafka_queue_io_event_enable(log->input_queue, log->wakeup, &one, sizeof one);
    for (int t = 0; t < TOPIC_INPUTS; t++) {
        struct input *in = &log->inputs[t];
        rd_kafka_topic_conf_t *conf = rd_kafka_default_topic_conf_dup(log->reader);
        rd_kafka_topic_conf_set_opaque(conf, in);
        in->topic = (enum topic)t;
        in->handle = rd_kafka_topic_new(log->reader, log->settings.topics[t], conf);
    }
}

static bool open_reader(struct kafka_log *log)
{
    log->reader = kafka_client_create(log, KAFKA_READER);
    if (!log->reader)
        return false;
    rd_kafka_set_log_queue(log->reader, NULL);
    if (log->settings.consume)
        open_inputs(log);
    if (log->settings.tables)
        tables_open(&log->tables, log);
    return true;
}

static void close_member(struct kafka_log *log)
{
    if (!log->member)
        return;
    rd_kafka_consumer_close(log->member);
    rd_kafka_queue_destroy(log->member_queue);
    rd_kafka_destroy(log->member);
}

static void close_reader(struct kafka_log *log)
{
    for (int t = 0; t < TOPIC_INPUTS; t++) {
        struct input *in = &log->inputs[t];
        for (int32_t p = 0; p < in->count; p++)
            if (in->partitions[p].fetching)
                rd_kafka_consume_stop(in->handle, p);
        if (in->handle)
            rd_kafka_topic_destroy(in->handle);
        free(in->partitions);
    }
    tables_close(&log->tables);
    if (log->input_queue)
        rd_kafka_queue_destroy(log->input_queue);
    if (log->reader)
        rd_kafka_destroy(log->reader);
}

static void close_producer(struct kafka_log *log, int deadline_ms)
{
    if (!log->producer)
        return;
    if (rd_kafka_flush(log->producer, deadline_ms) != RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_purge(log->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
    for (int t = 0; t < TOPICS; t++)
        rd_kafka_topic_destroy(log->producer_topics[t]);
    rd_kafka_queue_destroy(log->producer_queue);
    rd_kafka_destroy(log->producer);
}

/* The longest that closing may take for a half-built log. */
#define HALF_BUILT_MS 5000

struct kafka_log *kafka_log_create(const struct kafka_log_settings *settings, int wakeup)
{
    struct kafka_log *log = calloc(1, sizeof *log);
    if (!log)
        abort();
    log->settings = *settings;
    log->wakeup = wakeup;
    kafka_port_fill(log);
    bool reads = settings->consume || settings->tables;
    if (open_producer(log) && (!reads || open_reader(log)) && (!settings->consume || open_member(log)) &&
        monitor_start(&log->monitor, log))
        return log;
    kafka_log_destroy(log, HALF_BUILT_MS);
    return NULL;
}

void kafka_log_destroy(struct kafka_log *log, int deadline_ms)
{
    struct watchdog dog;
    if (!log)
        return;
    watchdog_start(&dog, deadline_ms);
    monitor_stop(&log->monitor);
    close_member(log);
    close_reader(log);
    close_producer(log, deadline_ms / 2);
    watchdog_stop(&dog);
    free(log->assignment);
    free(log->acknowledgements);
    free(log->out_of_range);
    free(log->messages);
    free(log->records);
    free(log);
}
