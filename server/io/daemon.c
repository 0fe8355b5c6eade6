/*
 * A turn: take what Kafka and Redis brought, let the worker fold and emit, send. Signals and the timer only record
 * facts; the turn acts on them.
 */
#include "server/io/daemon.h"

#include "common/check.h"
#include "common/log.h"
#include "server/io/clock.h"
#include "server/io/http.h"
#include "server/io/metrics.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define SIGNALS 4
#define PACE_RECORDS_MIN 32
#define FINISH_MS 2000 /* for what the drain left unacknowledged */

struct daemon {
    const struct daemon_settings *settings;
    struct event_base *base;
    int wakeup;
    struct event *wake, *timer, *signals[SIGNALS];
    struct kafka_log *kafka;
    struct redis_store *redis;
    struct worker *worker;
    struct http *http;
    struct steady_clock clock;
    int64_t started_ms;
    uint64_t turns;
    double record_us;    /* what a record takes, of late; 0: not known */
    uint32_t pace;       /* records a turn */
    int64_t now_ms;
    int64_t assigned_ms; /* 0: all that was assigned is under way */
    bool hangup;         /* SIGHUP came */
    int stops;           /* SIGTERM or SIGINT so far */
    int64_t drain_by_ms; /* 0: not draining */
    int exit_code;
    bool done;
};

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    uint64_t count;
    if (read(fd, &count, sizeof count) < 0 && errno != EAGAIN)
        log_warning("eventfd", "reading the wakeup failed; the timer goes on");
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
}

static void on_stop(evutil_socket_t number, short what, void *arg)
{
    struct daemon *d = arg;
    if (++d->stops > 1)
        _exit(75);
}

static void on_hangup(evutil_socket_t number, short what, void *arg)
{
    ((struct daemon *)arg)->hangup = true;
}

static void on_assigned(void *arg, const struct topic_partition *list, size_t count)
{
    struct daemon *d = arg;
    if (count)
        log_info("assigned", "%zu tasks are assigned here", count);
    else
        log_info("revoked", "the group assigns its tasks anew: none is run until it has");
    d->assigned_ms = count ? d->now_ms : 0;
    worker_assigned(d->worker, list, count, d->now_ms);
}

static void on_records(void *arg, struct record *records, size_t count)
{
    struct daemon *d = arg;
    worker_records(d->worker, records, count, d->now_ms);
}

static void on_table_record(void *arg, struct record *record)
{
    struct daemon *d = arg;
    worker_table_record(d->worker, record, d->now_ms);
}

static void on_tables_ready(void *arg)
{
    struct daemon *d = arg;
    log_info("tables_ready", "catalog, models and control are read");
    worker_tables_ready(d->worker);
}

static void on_out_of_range(void *arg, enum topic topic, int32_t partition)
{
    struct daemon *d = arg;
    worker_out_of_range(d->worker, topic, partition);
}

static void on_leader_changed(void *arg, enum topic topic, int32_t partition)
{
    struct daemon *d = arg;
    log_info("leader_changed", "another broker leads %s %d: the log is verified again", topic_defaults[topic], (int)partition);
    worker_leader_changed(d->worker, topic, partition, d->now_ms);
}

static void on_acknowledged(void *arg, void *opaque, enum err err, int64_t offset)
{
    struct daemon *d = arg;
    worker_acknowledged(d->worker, opaque, err, offset);
}

static void on_fatal(void *arg, const char *reason)
{
    struct daemon *d = arg;
    log_error("kafka_fatal", "%s; exiting so that a fresh process takes over", reason);
    d->exit_code = 1;
    d->done = true;
}

static void on_stored(void *arg, struct store_request *request, int64_t now_ms)
{
    worker_stored(((struct daemon *)arg)->worker, request, now_ms);
}

static void on_views_read(void *arg, struct view_read *read, int64_t now_ms)
{
    worker_views_read(((struct daemon *)arg)->worker, read, now_ms);
}

static const struct kafka_log_events kafka_events = {on_assigned,     on_records,      on_table_record, on_tables_ready,
                                                     on_out_of_range, on_leader_changed, on_acknowledged, on_fatal};
static const struct redis_store_events redis_events = {on_stored, on_views_read};

static struct metrics_input metrics_of(struct daemon *d)
{
    struct metrics_input in = {.worker = d->worker, .now_ms = steady_clock_ms(&d->clock), .started_ms = d->started_ms,
                               .turns = d->turns, .draining = d->drain_by_ms != 0};
    kafka_log_stats_get(d->kafka, &in.kafka);
    redis_store_stats_get(d->redis, &in.redis);
    return in;
}

static void on_metrics(void *self, struct writer *out)
{
    struct metrics_input in = metrics_of(self);
    metrics_render(&in, out);
}

static const char *on_readiness(void *self)
{
    struct metrics_input in = metrics_of(self);
    return metrics_unready(&in);
}

static void reload_if_told(struct daemon *d)
{
    struct worker_settings fresh;
    if (!d->hangup)
        return;
    d->hangup = false;
    if (d->settings->reload && d->settings->reload(d->settings->reload_arg, &fresh))
        worker_reload(d->worker, &fresh);
}

static void drain_if_told(struct daemon *d)
{
    if (d->stops && !d->drain_by_ms) {
        log_info("draining", "committing what is folded, at most %d ms", d->settings->drain_ms);
        d->drain_by_ms = d->now_ms + d->settings->drain_ms;
        worker_drain(d->worker, d->now_ms);
    }
    if (!d->drain_by_ms || d->done)
        return;
    if (worker_is_drained(d->worker)) {
        d->done = true;
    } else if (d->now_ms >= d->drain_by_ms) {
        log_warning("drain_late", "not all was committed in time; it is folded again by the next owner");
        d->exit_code = 75;
        d->done = true;
    }
}

static void tell_when_under_way(struct daemon *d)
{
    if (!d->assigned_ms || !worker_is_under_way(d->worker))
        return;
    log_info("under_way", "all tasks fold, %lld ms after they were assigned", (long long)(d->now_ms - d->assigned_ms));
    d->assigned_ms = 0;
}

static int64_t monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/*
 * A turn is as long as its records; what they take depends on the load, so it is measured. Too few tell nothing. The
 * most is the worker's to say: it has the settings that a SIGHUP brought.
 */
static void set_pace(struct daemon *d, int64_t began_us, uint64_t folded)
{
    if (folded < PACE_RECORDS_MIN)
        return;
    double took_us = (double)(monotonic_us() - began_us) / (double)folded;
    d->record_us = d->record_us > 0 ? d->record_us + (took_us - d->record_us) / 8 : took_us;
    double records = 1000.0 * d->settings->worker.turn_ms / (d->record_us > 0.1 ? d->record_us : 0.1);
    d->pace = worker_pace(d->worker, records < PACE_RECORDS_MIN ? PACE_RECORDS_MIN : (uint32_t)records);
}

static void turn(struct daemon *d)
{
    int64_t began_us = monotonic_us();
    uint64_t folded = worker_get_counts(d->worker)->folded;
    d->now_ms = steady_clock_ms(&d->clock);
    d->turns++;
    kafka_log_turn(d->kafka, &kafka_events, d, d->pace);
    redis_store_turn(d->redis, &redis_events, d, d->now_ms);
    reload_if_told(d);
    drain_if_told(d);
    worker_effects_late(d->worker, kafka_log_effects_late(d->kafka));
    int64_t due_ms = worker_turn(d->worker, d->now_ms);
    redis_store_flush(d->redis);
    tell_when_under_way(d);
    set_pace(d, began_us, worker_get_counts(d->worker)->folded - folded);
    int64_t wait_ms = due_ms > d->now_ms ? due_ms - d->now_ms : 0;
    struct timeval wait = {wait_ms / 1000, wait_ms % 1000 * 1000};
    evtimer_add(d->timer, &wait);
}

static bool open_loop(struct daemon *d)
{
    static const int numbers[SIGNALS] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP};
    signal(SIGPIPE, SIG_IGN);
    d->base = event_base_new();
    d->wakeup = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (!d->base || d->wakeup < 0)
        return false;
    d->wake = event_new(d->base, d->wakeup, EV_READ | EV_PERSIST, on_wake, d);
    d->timer = evtimer_new(d->base, on_timer, d);
    event_add(d->wake, NULL);
    for (int i = 0; i < SIGNALS; i++) {
        d->signals[i] = evsignal_new(d->base, numbers[i], numbers[i] == SIGHUP ? on_hangup : on_stop, d);
        event_add(d->signals[i], NULL);
    }
    return true;
}

static bool open_all(struct daemon *d)
{
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed || !open_loop(d))
        return false;
    d->kafka = kafka_log_create(&d->settings->kafka, d->wakeup);
    if (!d->kafka)
        return false;
    d->redis = redis_store_create(d->base, &d->settings->redis);
    d->worker = worker_create(&d->settings->worker, kafka_log_port(d->kafka), redis_store_port(d->redis), seed);
    d->started_ms = steady_clock_ms(&d->clock);
    d->pace = d->settings->worker.turn_records_max;
    struct http_source source = {d, on_metrics, on_readiness};
    if (d->settings->http && *d->settings->http)
        d->http = http_create(d->base, d->settings->http, &source);
    return !d->settings->http || !*d->settings->http || d->http;
}

static void close_all(struct daemon *d)
{
    http_destroy(d->http);
    if (d->worker) {
        worker_assigned(d->worker, NULL, 0, d->now_ms);
        redis_store_destroy(d->redis, &redis_events, d, d->now_ms);
        kafka_log_finish(d->kafka, &kafka_events, d, FINISH_MS);
        worker_destroy(d->worker);
    } else if (d->redis) {
        redis_store_destroy(d->redis, &redis_events, d, d->now_ms);
    }
    kafka_log_destroy(d->kafka, d->settings->drain_ms);
    for (int i = 0; i < SIGNALS && d->signals[i]; i++)
        event_free(d->signals[i]);
    if (d->timer)
        event_free(d->timer);
    if (d->wake)
        event_free(d->wake);
    if (d->base)
        event_base_free(d->base);
    if (d->wakeup >= 0)
        close(d->wakeup);
}

int daemon_run(const struct daemon_settings *settings)
{
    struct daemon d = {.settings = settings, .wakeup = -1};
    if (!open_all(&d)) {
        close_all(&d);
        return 78;
    }
    log_info("started", "Kafka at %s, Redis at %s", settings->kafka.brokers, settings->redis.addresses);
    while (!d.done) {
        turn(&d);
        if (!d.done)
            event_base_loop(d.base, EVLOOP_ONCE);
    }
    close_all(&d);
    log_info("stopped", "exit code %d", d.exit_code);
    return d.exit_code;
}
