/*
 * Opening and closing. Closing can hang inside the client, so a watchdog thread ends the process when it does; a
 * crash at that point costs nothing, for state and position are already where they belong.
 */
#include "server/io/kafka_parts.h"

#include "common/check.h"
#include "common/log.h"
#include "common/mutant.h"

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
    FUZZ_MUTANT(not_locked, 0, pthread_mutex_lock(&w->lock));
    w->done = true;
    pthread_cond_signal(&w->wake);
    FUZZ_MUTANT(not_locked, 0, pthread_mutex_unlock(&w->lock));
    if (w->running)
        pthread_join(w->thread, NULL);
}

/*
 * With each batch it sends the client looks at every partition it knows of, so the prompt handle knows only what it sends: a worker's
 * outputs, anybody else's anything prompt. The bulk handle knows all, for the monitor.
 */
static bool is_known_to(const struct kafka_log *log, enum kafka_pace pace, enum topic topic)
{
    bool sends = kafka_pace_of(topic) == pace && (!log->settings.consume || topic >= TOPIC_RECOMMENDATIONS);
    return pace == KAFKA_BULK || sends;
}

static bool open_producers(struct kafka_log *log)
{
    for (int i = 0; i < KAFKA_PACES; i++) {
        struct producer *p = &log->producers[i];
        p->client = kafka_client_create(log, KAFKA_PRODUCER, (enum kafka_pace)i);
        if (!p->client)
            return false;
        rd_kafka_set_log_queue(p->client, NULL); /* no wake-up: a commit can wait for the next turn to see acknowledgements */
        for (int t = 0; t < TOPICS; t++)
            p->topics[t] = is_known_to(log, (enum kafka_pace)i, (enum topic)t) ? rd_kafka_topic_new(p->client, log->settings.topics[t], NULL) : NULL;
    }
    return true;
}

static bool open_member(struct kafka_log *log)
{
    uint64_t one = 1;
    log->member = kafka_client_create(log, KAFKA_MEMBER, KAFKA_PROMPT);
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
    for (int t = 0; t < TOPIC_INPUTS; t++) {
        struct input *in = &log->inputs[t];
        in->topic = (enum topic)t;
        in->fetcher = &log->fetchers[kafka_pace_of(in->topic)];
        rd_kafka_topic_conf_t *conf = rd_kafka_default_topic_conf_dup(in->fetcher->client);
        rd_kafka_topic_conf_set_opaque(conf, in);
        in->handle = rd_kafka_topic_new(in->fetcher->client, log->settings.topics[t], conf);
    }
}

static bool open_fetchers(struct kafka_log *log)
{
    uint64_t one = 1;
    for (int i = 0; i < (log->settings.consume ? KAFKA_PACES : KAFKA_BULK); i++) {
        struct fetcher *f = &log->fetchers[i];
        f->client = kafka_client_create(log, KAFKA_READER, (enum kafka_pace)i);
        if (!f->client)
            return false;
        rd_kafka_set_log_queue(f->client, NULL);
        f->queue = rd_kafka_queue_new(f->client);
        if (i == KAFKA_PROMPT) /* the rest waits for the next turn, a few milliseconds */
            rd_kafka_queue_io_event_enable(f->queue, log->wakeup, &one, sizeof one);
    }
    if (log->settings.consume)
        open_inputs(log);
    if (log->settings.tables)
        kafka_tables_open(&log->tables, log);
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

static void close_fetchers(struct kafka_log *log)
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
    kafka_tables_close(&log->tables);
    for (int i = 0; i < KAFKA_PACES; i++) {
        if (log->fetchers[i].queue)
            rd_kafka_queue_destroy(log->fetchers[i].queue);
        if (log->fetchers[i].client)
            rd_kafka_destroy(log->fetchers[i].client);
    }
}

static void close_producers(struct kafka_log *log, int deadline_ms)
{
    for (int i = 0; i < KAFKA_PACES; i++) {
        rd_kafka_t *client = log->producers[i].client;
        if (client && rd_kafka_flush(client, deadline_ms / KAFKA_PACES) != RD_KAFKA_RESP_ERR_NO_ERROR)
            rd_kafka_purge(client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
    }
    for (int i = 0; i < KAFKA_PACES && log->producers[i].client; i++) {
        struct producer *p = &log->producers[i];
        for (int t = 0; t < TOPICS; t++)
            if (p->topics[t])
                rd_kafka_topic_destroy(p->topics[t]);
        rd_kafka_destroy(p->client);
    }
}

/* The longest that closing may take for a half-built log. */
#define HALF_BUILT_MS 5000

struct kafka_log *kafka_log_create(const struct kafka_log_settings *settings, int wakeup)
{
    struct kafka_log *log = calloc(1, sizeof *log);
    ASSERT(log);
    log->settings = *settings;
    log->wakeup = wakeup;
    kafka_port_fill(log);
    bool reads = settings->consume || settings->tables;
    if (open_producers(log) && (!reads || open_fetchers(log)) && (!settings->consume || open_member(log)) &&
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
    close_fetchers(log);
    close_producers(log, deadline_ms / 2);
    watchdog_stop(&dog);
    free(log->assignment);
    free(log->acknowledgements);
    free(log->out_of_range);
    free(log->messages);
    free(log->records);
    free(log);
}
