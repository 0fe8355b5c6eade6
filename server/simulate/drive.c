/*
 * The loop around the world. With Kafka: steps it to the present every millisecond or so, sends what happened, hands
 * back what sluice published. Latency runs from the acknowledgement of an event to the receipt of the first
 * recommendation whose version names its offset.
 */
#include "server/simulate/drive.h"

#include "common/check.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/text.h"
#include "server/simulate/line.h"
#include "server/simulate/listener.h"
#include "server/simulate/kafka_io.h"
#include "server/simulate/reference.h"
#include "server/simulate/report.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define FILE_STEP_MS 100
#define DRAIN_MS 2000
#define FLUSH_MS 30000
#define OFFSETS_KEPT 65536 /* a partition: those whose recommendation may still come */
#define PARTITIONS_MAX 1024


/* When an offset was acknowledged, or when its recommendation came if that was first; 0: unknown. */
struct stood {
    int64_t offset;
    int64_t acknowledged_us;
    int64_t answered_us;
};

struct drive {
    struct drive_settings settings;
    struct world *world;
    struct report *report;
    struct link *link; /* NULL: to a file */
    FILE *file;
    struct stood *stood[PARTITIONS_MAX]; /* OFFSETS_KEPT each, made when first needed */
    int32_t partitions;
    int64_t now_ms; /* virtual */
    bool failed;
};

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    stopped = 1;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int64_t clock_us(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static struct stood *stood_at(struct drive *d, int32_t partition, int64_t offset)
{
    if (partition < 0 || partition >= d->partitions || offset < 0)
        return NULL;
    if (!d->stood[partition])
        d->stood[partition] = calloc(OFFSETS_KEPT, sizeof **d->stood);
    ASSERT(d->stood[partition]);
    struct stood *s = &d->stood[partition][offset % OFFSETS_KEPT];
    if (s->offset != offset)
        *s = (struct stood){.offset = offset};
    return s;
}

static void on_delivered(void *self, int32_t partition, int64_t offset, int64_t sent_us)
{
    struct drive *d = self;
    struct stood *s = stood_at(d, partition, offset);
    if (!s)
        return;
    s->acknowledged_us = clock_us(CLOCK_MONOTONIC);
    if (s->answered_us) /* overtook the acknowledgement */
        report_latency(d->report, 0);
}

static void note_latency(struct drive *d, const struct advice *r)
{
    if (d->partitions == 0)
        return;
    struct stood *s = stood_at(d, kafka_partition(r->user.at, r->user.size, d->partitions), r->version[0]);
    if (!s || s->answered_us)
        return;
    s->answered_us = clock_us(CLOCK_MONOTONIC);
    if (s->acknowledged_us)
        report_latency(d->report, (double)(s->answered_us - s->acknowledged_us) / 1000);
}

static void on_received(void *self, const struct link_record *record)
{
    struct drive *d = self;
    struct feedback f;
    struct advice r;
    if (record->topic == HEARD_RECOMMENDATIONS) {
        if (feedback_recommendation(&f, record->value, &r)) {
            note_latency(d, &r);
            world_recommend(d->world, &r, d->now_ms);
        }
        feedback_done(&f);
        return;
    }
    listener_take(&(struct listener){d->world, d->report}, (enum heard)record->topic, record->key, record->value, d->now_ms);
}

static void write_line(struct drive *d, const struct world_record *r)
{
    if (!line_write(d->file, &(struct line){r->topic == WORLD_CATALOG ? "live.catalog" : NULL, -1, r}))
        d->failed = true;
}

static void on_emit(void *self, const struct world_record *r)
{
    struct drive *d = self;
    if (!d->link) {
        write_line(d, r);
        return;
    }
    bool event = r->topic == WORLD_EVENTS;
    /* In real time the record is stamped when it is sent, as a backend would; else with its simulated time. */
    int64_t timestamp_ms = d->settings.speed == 1 ? 0 : r->timestamp_ms;
    if (link_send(d->link, event ? "live.events" : "live.catalog", r->key, r->value, timestamp_ms, event) != ERR_NONE)
        d->failed = true;
}

static void run_live(struct drive *d, const struct world_sink *sink)
{
    int64_t began_us = clock_us(CLOCK_MONOTONIC), start_ms = d->settings.world.start_ms;
    int64_t end_ms = d->settings.seconds > 0 ? start_ms + (int64_t)(d->settings.seconds * 1000) : INT64_MAX;
    while (!stopped && !d->failed && d->now_ms < end_ms) {
        double real_ms = (double)(clock_us(CLOCK_MONOTONIC) - began_us) / 1000;
        int64_t now_ms = start_ms + (int64_t)(real_ms * d->settings.speed);
        d->now_ms = now_ms < end_ms ? now_ms : end_ms;
        world_step(d->world, d->now_ms, sink);
        link_poll(d->link, 1);
        report_tick(d->report, d->now_ms);
    }
    int64_t drained_us = clock_us(CLOCK_MONOTONIC) + DRAIN_MS * 1000;
    while (!stopped && clock_us(CLOCK_MONOTONIC) < drained_us)
        link_poll(d->link, 10);
}

static void run_to_file(struct drive *d, const struct world_sink *sink)
{
    int64_t end_ms = d->settings.world.start_ms + (int64_t)(d->settings.seconds * 1000);
    while (!stopped && !d->failed && d->now_ms < end_ms) {
        d->now_ms = d->now_ms + FILE_STEP_MS < end_ms ? d->now_ms + FILE_STEP_MS : end_ms;
        world_step(d->world, d->now_ms, sink);
    }
}

static bool open_output(struct drive *d)
{
    const struct drive_settings *s = &d->settings;
    if (s->brokers) {
        struct link_settings l = {s->brokers, s->reference ? NULL : heard_topics, d, on_received,
                                  s->reference ? NULL : on_delivered};
        d->link = link_open(&l);
        if (d->link && !s->reference)
            d->partitions = link_partitions(d->link, "live.events");
        d->partitions = d->partitions < PARTITIONS_MAX ? d->partitions : PARTITIONS_MAX;
        return d->link != NULL;
    }
    d->file = strcmp(s->file, "-") == 0 ? stdout : fopen(s->file, "w");
    if (!d->file)
        fprintf(stderr, "sluice simulate: cannot write %s: %s\n", s->file, strerror(errno));
    return d->file != NULL;
}

/* Answers false when not everything arrived. */
static bool close_output(struct drive *d)
{
    bool good = !d->failed;
    if (d->link) {
        for (int waited = 0; link_unsent(d->link) > 0 && waited < FLUSH_MS; waited += 10)
            link_poll(d->link, 10);
        good = good && link_unsent(d->link) == 0 && link_lost(d->link) == 0;
        if (!good)
            log_error("simulate_lost", "%llu records were lost, %lld not sent", (unsigned long long)link_lost(d->link),
                      (long long)link_unsent(d->link));
        link_close(d->link, 1000);
    }
    if (d->file && fflush(d->file) != 0)
        good = false;
    if (d->file && d->file != stdout && fclose(d->file) != 0)
        good = false;
    for (int32_t p = 0; p < d->partitions; p++)
        free(d->stood[p]);
    return good;
}

int drive_world(const struct drive_settings *settings)
{
    struct drive *d = calloc(1, sizeof *d);
    ASSERT(d);
    d->settings = *settings;
    if (d->settings.world.start_ms == 0) {
        d->settings.world.start_ms = SIMULATED_START_MS;
        if (settings->brokers) /* so that simulated time ends at the present, and is never ahead of it */
            d->settings.world.start_ms = clock_us(CLOCK_REALTIME) / 1000 -
                                         (int64_t)(1000 * settings->seconds * (1 - 1 / settings->speed));
    }
    d->now_ms = d->settings.world.start_ms;
    d->world = world_create(&d->settings.world);
    d->report = report_create(d->world, &settings->predictions);
    catch_signals();
    struct world_sink sink = {d, on_emit};
    bool good = open_output(d);
    if (good) {
        if (d->link)
            run_live(d, &sink);
        else
            run_to_file(d, &sink);
        good = close_output(d);
        if (settings->report) {
            struct findings f = report_findings(d->report, d->now_ms);
            report_print(&f, d->world, settings->json, d->file == stdout ? stderr : stdout);
        }
    }
    report_destroy(d->report);
    world_destroy(d->world);
    free(d);
    return good ? 0 : 1;
}

int drive_reference(const struct drive_settings *settings)
{
    struct drive *d = calloc(1, sizeof *d);
    struct reference r;
    ASSERT(d);
    d->settings = *settings;
    catch_signals();
    bool good = open_output(d);
    reference_init(&r);
    for (uint64_t n = 0; good && n < settings->reference && !stopped && !d->failed; n++) {
        reference_next(&r);
        struct slice key = {r.key, r.key_size}, value = {r.value, r.value_size};
        struct world_record record = {WORLD_EVENTS, r.ts, key, value, false};
        if (d->file)
            write_line(d, &record);
        else if (link_send(d->link, settings->topic, key, value, r.ts, 0) != ERR_NONE)
            d->failed = true;
        if (d->link && n % 4096 == 0)
            link_poll(d->link, 0);
    }
    if (good)
        good = close_output(d) && !stopped;
    free(d);
    return good ? 0 : 1;
}
