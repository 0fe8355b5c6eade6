/*
 * The consuming half, and the turn.
 *
 * The group member only says which partitions are ours: each rebalance is acknowledged with an empty assignment, so
 * the member fetches nothing. The fetchers fetch: every partition is started and stopped on its own, always with an
 * explicit offset, and the others keep what they have prefetched. Pausing is stopping, resuming is starting at the
 * expected offset.
 *
 * Every message is checked against the partition's state: not fetching or below `expected` -> dropped; above it ->
 * the partition is read once more from `expected`, and only when the same message stands there again is the gap real
 * and delivered, for the worker to judge. So whatever an older assignment left in the queue does no harm.
 */
#include "server/io/kafka_log.h"

#include "common/check.h"
#include "common/log.h"
#include "server/io/kafka_parts.h"

#include <stdlib.h>
#include <unistd.h>

#define COMMIT_INTERVAL_MS 1000
#define FINISH_PURGED_MS 500
#define MOVED_INTERVAL_MS 100
#define POLL_INTERVAL_MS 2 /* what only reports (acknowledgements, errors, rebalances) is not asked for in every turn: with few records a turn that would cost as much as they do */

void kafka_log_wake(const struct kafka_log *log)
{
    uint64_t one = 1;
    if (write(log->wakeup, &one, sizeof one) < 0) {
        /* The counter is at its limit, so it is readable already. */
    }
}

void kafka_record_of(rd_kafka_message_t *message, enum topic topic, struct record *out_record)
{
    rd_kafka_timestamp_type_t type;
    *out_record = (struct record){
        .topic = topic, .partition = message->partition, .offset = message->offset,
        .timestamp_ms = rd_kafka_message_timestamp(message, &type),
        .key = {message->key, (uint32_t)message->key_len}, .value = {message->payload, (uint32_t)message->len},
        .tombstone = !message->payload, .native = message,
    };
}

static struct input_partition *partition_of(struct input *in, int32_t partition)
{
    if (partition >= in->count) {
        in->partitions = realloc(in->partitions, (size_t)(partition + 1) * sizeof *in->partitions);
        ASSERT(in->partitions);
        for (int32_t p = in->count; p <= partition; p++)
            in->partitions[p] = (struct input_partition){.gap_offset = -1, .commit_offset = -1};
        in->count = partition + 1;
    }
    return &in->partitions[partition];
}

static void forget_assignment(struct kafka_log *log)
{
    for (int t = 0; t < TOPIC_INPUTS; t++)
        for (int32_t i = 0; i < log->inputs[t].count; i++) {
            struct input_partition *p = &log->inputs[t].partitions[i];
            bool fetching = p->fetching;
            *p = (struct input_partition){.fetching = fetching, .changed = fetching, .gap_offset = -1, .commit_offset = -1};
            log->changes |= fetching;
        }
    log->commits = false;
    log->assignment_count = 0;
}

static void record_assignment(struct kafka_log *log, const rd_kafka_topic_partition_list_t *list)
{
    log->assignment = realloc(log->assignment, ((size_t)list->cnt + 1) * sizeof *log->assignment);
    ASSERT(log->assignment);
    for (int i = 0; i < list->cnt; i++)
        for (int t = 0; t < TOPIC_INPUTS; t++)
            if (strcmp(list->elems[i].topic, log->settings.topics[t]) == 0) {
                partition_of(&log->inputs[t], list->elems[i].partition)->assigned = true;
                log->assignment[log->assignment_count++] = (struct topic_partition){t, list->elems[i].partition};
            }
}

void kafka_rebalanced(rd_kafka_t *client, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *list, void *opaque)
{
    struct kafka_log *log = opaque;
    forget_assignment(log);
    log->stats.rebalances++;
    if (err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        record_assignment(log, list);
        log->assigned = true;
        rd_kafka_topic_partition_list_t *none = rd_kafka_topic_partition_list_new(0);
        rd_kafka_assign(client, none);
        rd_kafka_topic_partition_list_destroy(none);
    } else {
        log->revoked = true;
        log->assigned = false;
        rd_kafka_assign(client, NULL);
    }
}

/* The partition when it is ours to start or stop, else NULL. */
static struct input_partition *find_assigned(struct kafka_log *log, enum topic topic, int32_t partition)
{
    if (topic >= TOPIC_INPUTS || partition >= log->inputs[topic].count)
        return NULL;
    struct input_partition *p = &log->inputs[topic].partitions[partition];
    return p->assigned ? p : NULL;
}

static void mark_changed(struct kafka_log *log, struct input_partition *p)
{
    p->changed = true;
    if (!log->changes)
        kafka_log_wake(log);
    log->changes = true;
}

static void port_start(void *self, enum topic topic, int32_t partition, int64_t offset)
{
    struct input_partition *p = find_assigned(self, topic, partition);
    if (!p)
        return;
    p->started = true;
    p->paused = false;
    p->expected = offset;
    p->gap_offset = -1;
    mark_changed(self, p);
}

static void port_stop(void *self, enum topic topic, int32_t partition)
{
    struct input_partition *p = find_assigned(self, topic, partition);
    if (!p || !p->started)
        return;
    p->started = false;
    mark_changed(self, p);
}

static void port_pause(void *self, enum topic topic, int32_t partition, bool paused)
{
    struct input_partition *p = find_assigned(self, topic, partition);
    if (!p || !p->started || p->paused == paused)
        return;
    p->paused = paused;
    mark_changed(self, p);
}

static bool port_ends(void *self, enum topic topic, int32_t partition, struct log_ends *out)
{
    struct kafka_log *log = self;
    int64_t low, high;
    if (!monitor_ends(&log->monitor, topic, partition, out))
        return false;
    const struct input_partition *p = find_assigned(log, topic, partition);
    if (p && p->fetching && !p->changed &&
        !rd_kafka_get_watermark_offsets(log->inputs[topic].fetcher->client, log->settings.topics[topic], partition, &low, &high) &&
        high > out->heard)
        out->heard = high;
    return true;
}

static uint64_t port_ask_ends(void *self)
{
    return monitor_ask(&((struct kafka_log *)self)->monitor);
}

static void port_commit_offset(void *self, enum topic topic, int32_t partition, int64_t offset)
{
    struct kafka_log *log = self;
    struct input_partition *p = find_assigned(log, topic, partition);
    if (p) {
        p->commit_offset = offset;
        log->commits = true;
    }
}

static void port_release(void *self, struct record *record)
{
    if (record->native)
        rd_kafka_message_destroy(record->native);
    record->native = NULL;
}

static const char *port_topic_name(void *self, enum topic topic)
{
    return ((struct kafka_log *)self)->settings.topics[topic];
}

static int32_t port_partitions(void *self, enum topic topic)
{
    struct kafka_log *log = self;
    return atomic_load_explicit(&log->counts[topic], memory_order_relaxed);
}

static void stop_or_start(struct kafka_log *log, struct input *in, int32_t partition)
{
    struct input_partition *p = &in->partitions[partition];
    p->changed = false;
    if (p->fetching)
        rd_kafka_consume_stop(in->handle, partition);
    p->fetching = p->started && !p->paused;
    if (!p->fetching || rd_kafka_consume_start_queue(in->handle, partition, p->expected, in->fetcher->queue) == 0)
        return;
    p->fetching = false;
    log->stats.errors++;
    log_warning("kafka_start", "%s.%d does not start at %lld: %s; tried again when its silence is noticed",
                log->settings.topics[in->topic], (int)partition, (long long)p->expected,
                rd_kafka_err2str(rd_kafka_last_error()));
}

/* Brings the reader in line with what start, stop and pause asked for since the last time. */
static void apply_changes(struct kafka_log *log)
{
    if (!log->changes)
        return;
    log->changes = false;
    for (int t = 0; t < TOPIC_INPUTS; t++)
        for (int32_t i = 0; i < log->inputs[t].count; i++)
            if (log->inputs[t].partitions[i].changed)
                stop_or_start(log, &log->inputs[t], i);
}

static void send_commits(struct kafka_log *log, int64_t now_ms)
{
    if (!log->commits || now_ms - log->committed_ms < COMMIT_INTERVAL_MS)
        return;
    log->commits = false;
    log->committed_ms = now_ms;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);
    for (int t = 0; t < TOPIC_INPUTS; t++)
        for (int32_t i = 0; i < log->inputs[t].count; i++) {
            struct input_partition *p = &log->inputs[t].partitions[i];
            if (p->commit_offset >= 0)
                rd_kafka_topic_partition_list_add(list, log->settings.topics[t], i)->offset = p->commit_offset;
            p->commit_offset = -1;
        }
    if (list->cnt && rd_kafka_commit(log->member, list, 1))
        log->stats.errors++;
    rd_kafka_topic_partition_list_destroy(list);
}

static void record_out_of_range(struct kafka_log *log, const rd_kafka_message_t *message)
{
    bool out = message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET || message->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE;
    if (!out || !message->rkt)
        return;
    struct input *in = rd_kafka_topic_opaque(message->rkt);
    struct input_partition *p = find_assigned(log, in->topic, message->partition);
    if (!p || !p->fetching || p->changed)
        return;
    if (log->out_of_range_count == log->out_of_range_capacity) {
        log->out_of_range_capacity = log->out_of_range_capacity ? 2 * log->out_of_range_capacity : 16;
        log->out_of_range = realloc(log->out_of_range, log->out_of_range_capacity * sizeof *log->out_of_range);
        ASSERT(log->out_of_range);
    }
    log->out_of_range[log->out_of_range_count++] = (struct place){in->topic, message->partition};
}

/* True when the message is the partition's next one. */
static bool take_next(struct kafka_log *log, struct input *in, const rd_kafka_message_t *message)
{
    struct input_partition *p = message->partition < in->count ? &in->partitions[message->partition] : NULL;
    if (!p || !p->fetching || p->changed || message->offset < p->expected) {
        log->stats.dropped++;
        return false;
    }
    if (message->offset > p->expected) {
        if (p->gap_offset != message->offset) {
            p->gap_offset = message->offset;
            log->stats.restarts++;
            mark_changed(log, p);
            return false;
        }
        log->stats.gaps++;
    }
    p->expected = message->offset + 1;
    return true;
}

/* Serves rebalances; what comes as a message is an error. */
static void poll_member(struct kafka_log *log)
{
    rd_kafka_message_t *message;
    while ((message = rd_kafka_consumer_poll(log->member, 0)) != NULL) {
        log->stats.errors += message->err != 0;
        rd_kafka_message_destroy(message);
    }
}

static size_t consume(struct kafka_log *log, rd_kafka_queue_t *queue, size_t records_max)
{
    if (log->capacity < records_max) {
        log->messages = realloc(log->messages, records_max * sizeof *log->messages);
        log->records = realloc(log->records, records_max * sizeof *log->records);
        ASSERT(log->messages);
        ASSERT(log->records);
        log->capacity = records_max;
    }
    ssize_t count = rd_kafka_consume_batch_queue(queue, 0, log->messages, records_max);
    size_t kept = 0;
    for (ssize_t i = 0; i < count; i++) {
        rd_kafka_message_t *message = log->messages[i];
        struct input *in = message->rkt ? rd_kafka_topic_opaque(message->rkt) : NULL;
        if (message->err && message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            log->stats.errors++;
            record_out_of_range(log, message);
        }
        if (message->err || !in || !take_next(log, in, message))
            rd_kafka_message_destroy(message);
        else
            kafka_record_of(message, in->topic, &log->records[kept++]);
    }
    if (count > 0 && (size_t)count == records_max)
        kafka_log_wake(log);
    return kept;
}

static void report_producers(struct kafka_log *log, const struct kafka_log_events *events, void *arg)
{
    for (size_t i = 0; i < log->acknowledgement_count; i++) {
        struct acknowledgement a = log->acknowledgements[i];
        if (events->acknowledged)
            events->acknowledged(arg, a.opaque, a.err, a.offset);
    }
    log->acknowledgement_count = 0;
    if (log->fatal[0] && !log->fatal_reported) {
        log->fatal_reported = true;
        if (events->fatal)
            events->fatal(arg, log->fatal);
    }
}

static void report_moved(struct kafka_log *log, const struct kafka_log_events *events, void *arg)
{
    struct place moved[MOVED_MAX];
    if (!events->leader_changed || log->turn_ms - log->moved_ms < MOVED_INTERVAL_MS)
        return;
    log->moved_ms = log->turn_ms;
    int32_t count = monitor_take_moved(&log->monitor, moved);
    for (int32_t i = 0; i < count; i++)
        events->leader_changed(arg, moved[i].topic, moved[i].partition);
}

/* An assignment is reported only when the partition counts of all topics are known: the stored headers hold them. */
static bool counts_known(const struct kafka_log *log)
{
    for (int t = 0; t < TOPICS; t++)
        if (atomic_load_explicit(&log->counts[t], memory_order_relaxed) == 0)
            return false;
    return true;
}

void kafka_log_turn(struct kafka_log *log, const struct kafka_log_events *events, void *arg, size_t records_max)
{
    ASSERT(records_max > 0);
    log->turn_ms = kafka_clock_ms();
    bool due = log->turn_ms - log->polled_ms >= POLL_INTERVAL_MS;
    log->polled_ms = due ? log->turn_ms : log->polled_ms;
    for (int i = 0; due && i < KAFKA_PACES; i++)
        if (log->fetchers[i].client)
            rd_kafka_poll(log->fetchers[i].client, 0);
    if (log->member) {
        if (due)
            poll_member(log);
        apply_changes(log);
        send_commits(log, log->turn_ms);
        if (log->revoked && events->assigned)
            events->assigned(arg, NULL, 0);
        log->revoked = false;
        if (log->assigned && counts_known(log)) {
            log->assigned = false;
            if (events->assigned)
                events->assigned(arg, log->assignment, log->assignment_count);
        }
        for (int i = 0; i < KAFKA_PACES; i++) {
            size_t kept = consume(log, log->fetchers[i].queue, records_max);
            if (kept)
                events->records(arg, log->records, kept);
        }
    }
    if (log->tables.wanted)
        kafka_tables_turn(log, events, arg, records_max);
    for (size_t i = 0; i < log->out_of_range_count; i++)
        events->out_of_range(arg, log->out_of_range[i].topic, log->out_of_range[i].partition);
    log->out_of_range_count = 0;
    report_moved(log, events, arg);
    for (int i = 0; due && i < KAFKA_PACES; i++)
        rd_kafka_poll(log->producers[i].client, 0);
    report_producers(log, events, arg);
    apply_changes(log);
}

void kafka_log_finish(struct kafka_log *log, const struct kafka_log_events *events, void *arg, int deadline_ms)
{
    for (int i = 0; i < KAFKA_PACES; i++) {
        rd_kafka_t *client = log->producers[i].client;
        if (rd_kafka_flush(client, deadline_ms / KAFKA_PACES) == RD_KAFKA_RESP_ERR_NO_ERROR)
            continue;
        rd_kafka_purge(client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        rd_kafka_flush(client, FINISH_PURGED_MS);
    }
    report_producers(log, events, arg);
}

void kafka_port_fill(struct kafka_log *log)
{
    log->port = (struct log_port){log,        kafka_produce,   port_start,         port_stop,    port_pause,
                                  port_ends, port_ask_ends, port_commit_offset, port_release, port_partitions, port_topic_name};
}

const struct log_port *kafka_log_port(struct kafka_log *log)
{
    return &log->port;
}

void kafka_log_stats_get(const struct kafka_log *log, struct kafka_log_stats *out_stats)
{
    struct monitor *m = (struct monitor *)(uintptr_t)&log->monitor;
    int64_t now_ms = kafka_clock_ms();
    *out_stats = log->stats;
    pthread_mutex_lock(&m->lock);
    out_stats->connected = m->connected;
    pthread_mutex_unlock(&m->lock);
    out_stats->turn_age_ms = log->turn_ms ? now_ms - log->turn_ms : -1;
    out_stats->tables_ready = log->tables.ready;
    for (int i = 0; i < KAFKA_PACES; i++)
        out_stats->produce_queue += rd_kafka_outq_len(log->producers[i].client);
}
