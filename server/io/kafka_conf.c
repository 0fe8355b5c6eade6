/*
 * Settings of the three clients. What is fixed here is what exactness or steadiness rests on: explicit offsets only,
 * an eager assignor, an idempotent producer, and a prefetch queue that is limited by bytes, for a queue that is full
 * by count stalls fetching for a whole second in the versions before fetch.queue.backoff.ms.
 */
#include "server/io/kafka_parts.h"

#include "common/log.h"

#include <stdio.h>

enum kafka_pace kafka_pace_of(enum topic topic)
{
    switch (topic) {
    case TOPIC_EFFECTS:
    case TOPIC_ROLLUPS:
    case TOPIC_SAMPLES:
    case TOPIC_MODELS:
    case TOPIC_SEGMENTS:
    case TOPIC_HOSTS: return KAFKA_BULK;
    default: return KAFKA_PROMPT;
    }
}

struct kafka_log_settings kafka_log_settings_default(void)
{
    struct kafka_log_settings s = {
        .brokers = "127.0.0.1:9092", .group = "sluice", .client_id = "sluice", .consume = true, .tables = true,
        .fetch_queue_kb = 32768, .fetch_wait_ms = 10, .bulk_fetch_wait_ms = 20, .bulk_fetch_bytes = 65536, .session_timeout_ms = 6000, .heartbeat_ms = 100,
        .linger_ms = 1, .bulk_linger_ms = 20, .produce_queue_messages = 500000, .produce_queue_kb = 65536, .message_bytes_max = 1000000,
        .metadata_refresh_ms = 5000, .watermark_refresh_ms = 1000, .effects_lag_ms_max = 43200000, .retention_ms_min = 86400000,
    };
    for (int t = 0; t < TOPICS; t++)
        s.topics[t] = topic_defaults[t];
    return s;
}

static void logged(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
    log_line(level <= 3 ? LOG_ERROR : level <= 4 ? LOG_WARNING : LOG_DEBUG, "kafka_client", "%s: %s: %s",
             client ? rd_kafka_name(client) : "kafka", facility, text);
}

static void failed(rd_kafka_t *client, int err, const char *reason, void *opaque)
{
    struct kafka_log *log = opaque;
    log->stats.errors++;
    if (err == RD_KAFKA_RESP_ERR__FATAL && !log->fatal[0]) {
        char text[200];
        rd_kafka_resp_err_t code = rd_kafka_fatal_error(client, text, sizeof text);
        snprintf(log->fatal, sizeof log->fatal, "%s: %s", rd_kafka_err2name(code), text);
    }
}

static bool set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char why[256];
    if (rd_kafka_conf_set(conf, name, value, why, sizeof why) == RD_KAFKA_CONF_OK)
        return true;
    log_error("kafka_setting", "%s: %s; not started", name, why);
    return false;
}

static bool set_int(rd_kafka_conf_t *conf, const char *name, long long value)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", value);
    return set(conf, name, text);
}

static bool set_common(rd_kafka_conf_t *conf, const struct kafka_log_settings *s)
{
    return set(conf, "bootstrap.servers", s->brokers) && set(conf, "client.id", s->client_id ? s->client_id : "sluice") &&
           set(conf, "log.queue", "true") && set(conf, "reconnect.backoff.ms", "50") &&
           set(conf, "reconnect.backoff.max.ms", "1000") && set(conf, "socket.nagle.disable", "true");
}

static bool set_producer(rd_kafka_conf_t *conf, const struct kafka_log_settings *s, enum kafka_pace pace)
{
    char linger[32];
    snprintf(linger, sizeof linger, "%g", pace == KAFKA_BULK ? s->bulk_linger_ms : s->linger_ms);
    return set(conf, "acks", "all") && set(conf, "enable.idempotence", "true") && set(conf, "linger.ms", linger) &&
           set(conf, "batch.num.messages", "100000") && set(conf, "partitioner", "murmur2_random") &&
           set(conf, "retry.backoff.ms", "50") &&
           set_int(conf, "queue.buffering.max.messages", s->produce_queue_messages) &&
           set_int(conf, "queue.buffering.max.kbytes", s->produce_queue_kb) &&
           /* Room for the frame around the record: our own limit refuses first. */
           set_int(conf, "message.max.bytes", (long long)s->message_bytes_max + 1024);
}

static bool set_fetch(rd_kafka_conf_t *conf, const struct kafka_log_settings *s)
{
    char why[256];
    rd_kafka_conf_set(conf, "fetch.queue.backoff.ms", "2", why, sizeof why); /* unknown before 2.2 */
    return set(conf, "queued.min.messages", "1000000") &&
           set_int(conf, "queued.max.messages.kbytes", s->fetch_queue_kb) && set(conf, "fetch.error.backoff.ms", "50");
}

/*
 * The client looks at the group when its thread wakes, which it does twice a second when nothing happens, whatever
 * heartbeat.interval.ms says. The timer of automatic commits wakes it in time; there is nothing to commit, for the member
 * never keeps an assignment.
 */
static bool set_member(rd_kafka_conf_t *conf, const struct kafka_log_settings *s)
{
    return set(conf, "group.id", s->group) && set(conf, "partition.assignment.strategy", "roundrobin") &&
           set(conf, "enable.auto.commit", "true") && set(conf, "enable.auto.offset.store", "false") &&
           set_int(conf, "auto.commit.interval.ms", s->heartbeat_ms / 2) &&
           set_int(conf, "session.timeout.ms", s->session_timeout_ms) &&
           set_int(conf, "heartbeat.interval.ms", s->heartbeat_ms);
}

/* Task inputs are never read from anywhere but where they were started; what is outside the log is an error. */
static bool set_reader(rd_kafka_conf_t *conf, const struct kafka_log_settings *s, enum kafka_pace pace)
{
    return set(conf, "enable.partition.eof", "true") && set(conf, "auto.offset.reset", "error") &&
           set(conf, "enable.auto.offset.store", "false") &&
           set_int(conf, "fetch.wait.max.ms", pace == KAFKA_BULK ? s->bulk_fetch_wait_ms : s->fetch_wait_ms) &&
           set_int(conf, "fetch.min.bytes", pace == KAFKA_BULK ? s->bulk_fetch_bytes : 1);
}

static bool set_role(rd_kafka_conf_t *conf, const struct kafka_log_settings *s, enum kafka_role role, enum kafka_pace pace)
{
    switch (role) {
    case KAFKA_PRODUCER:
        rd_kafka_conf_set_dr_msg_cb(conf, kafka_delivered);
        return set_producer(conf, s, pace);
    case KAFKA_MEMBER:
        rd_kafka_conf_set_rebalance_cb(conf, kafka_rebalanced);
        return set_member(conf, s);
    case KAFKA_READER:
        return set_fetch(conf, s) && set_reader(conf, s, pace);
    }
    return false;
}

rd_kafka_t *kafka_client_create(struct kafka_log *log, enum kafka_role role, enum kafka_pace pace)
{
    const struct kafka_log_settings *s = &log->settings;
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_opaque(conf, log);
    rd_kafka_conf_set_log_cb(conf, logged);
    rd_kafka_conf_set_error_cb(conf, failed);
    bool ok = set_common(conf, s) && set_role(conf, s, role, pace);
    for (int i = 0; ok && i < s->property_count; i++)
        ok = set(conf, s->properties[i].name, s->properties[i].value);
    if (!ok) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    rd_kafka_t *client = rd_kafka_new(role == KAFKA_PRODUCER ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (!client) {
        log_error("kafka_setting", "%s; not started", why);
        rd_kafka_conf_destroy(conf);
    }
    return client;
}
