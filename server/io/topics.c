#include "server/io/topics.h"

#include "common/check.h"
#include "server/io/kafka_client.h"
#include "server/io/kafka_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ANSWER_MS 30000
#define LEARNING_MS 200 /* until a broker is asked again */
#define CONTROLLER_MS 1000 /* known with the metadata, or not at all */
#define DAY_MS 86400000ll

const struct topic_spec topic_specs[TOPICS] = {
    {TOPIC_EVENTS, 16, false, 7 * DAY_MS},          {TOPIC_EFFECTS, 16, false, 7 * DAY_MS},
    {TOPIC_ROLLUPS, 4, false, 7 * DAY_MS},          {TOPIC_SAMPLES, 1, false, 7 * DAY_MS},
    {TOPIC_CATALOG, 4, true, -1},                   {TOPIC_MODELS, 1, true, -1},
    {TOPIC_CONTROL, 1, false, 30 * DAY_MS},         {TOPIC_RECOMMENDATIONS, 16, false, DAY_MS},
    {TOPIC_TRAFFIC, 4, true, -1},                   {TOPIC_TRAFFIC_SNAPSHOT, 1, true, -1},
    {TOPIC_SEGMENTS, 4, true, -1},                  {TOPIC_HOSTS, 4, true, -1},
    {TOPIC_ALERTS, 1, false, 30 * DAY_MS},          {TOPIC_DEADLETTER, 4, false, 30 * DAY_MS},
};

static rd_kafka_t *admin_client(const struct kafka_log_settings *s, FILE *report)
{
    char why[256];
    rd_kafka_t *client = kafka_client_open(s, RD_KAFKA_PRODUCER, (const char *[]){NULL}, why);
    if (!client)
        fprintf(report, "%s\n", why);
    return client;
}

static rd_kafka_NewTopic_t *new_topic(const struct kafka_log_settings *s, const struct topic_spec *spec, int replicas)
{
    char text[256];
    rd_kafka_NewTopic_t *t = rd_kafka_NewTopic_new(s->topics[spec->topic], spec->partitions, replicas, text, sizeof text);
    ASSERT(t);
    snprintf(text, sizeof text, "%lld", (long long)spec->retention_ms);
    rd_kafka_NewTopic_set_config(t, "cleanup.policy", spec->compacted ? "compact" : "delete");
    if (!spec->compacted)
        rd_kafka_NewTopic_set_config(t, "retention.ms", text);
    rd_kafka_NewTopic_set_config(t, "unclean.leader.election.enable", "false");
    rd_kafka_NewTopic_set_config(t, "min.insync.replicas", replicas >= 3 ? "2" : "1");
    if (spec->topic == TOPIC_EFFECTS || spec->topic == TOPIC_ROLLUPS || spec->topic == TOPIC_SAMPLES)
        rd_kafka_NewTopic_set_config(t, "message.timestamp.type", "LogAppendTime");
    return t;
}

static enum err report_created(rd_kafka_event_t *event, FILE *report)
{
    size_t count;
    enum err result = ERR_NONE;
    const rd_kafka_CreateTopics_result_t *answer = rd_kafka_event_CreateTopics_result(event);
    if (!answer || rd_kafka_event_error(event)) {
        fprintf(report, "creating topics: %s\n", rd_kafka_event_error_string(event));
        return ERR_IO;
    }
    const rd_kafka_topic_result_t **topics = rd_kafka_CreateTopics_result_topics(answer, &count);
    for (size_t i = 0; i < count; i++) {
        rd_kafka_resp_err_t err = rd_kafka_topic_result_error(topics[i]);
        bool exists = err == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS;
        const char *text = !err ? "created" : exists ? "exists" : rd_kafka_topic_result_error_string(topics[i]);
        if (err && !exists)
            result = ERR_IO;
        fprintf(report, "%s: %s\n", rd_kafka_topic_result_name(topics[i]), text ? text : rd_kafka_err2str(err));
    }
    return result;
}

/* Three where there are three brokers, else one; 0: nobody answers. */
static int replicas_for(rd_kafka_t *client, const struct kafka_log_settings *s, FILE *report)
{
    const struct rd_kafka_metadata *known;
    rd_kafka_resp_err_t err = rd_kafka_metadata(client, 0, NULL, &known, ANSWER_MS);
    if (err) {
        fprintf(report, "%s: %s\n", s->brokers, rd_kafka_err2str(err));
        return 0;
    }
    int brokers = known->broker_cnt;
    rd_kafka_metadata_destroy(known);
    return brokers >= 3 ? 3 : 1;
}

/* NULL: the broker does not know it. */
static const rd_kafka_metadata_topic_t *find_topic(const struct rd_kafka_metadata *known, const char *name)
{
    for (int i = 0; i < known->topic_cnt; i++)
        if (strcmp(known->topics[i].topic, name) == 0 && !known->topics[i].err && known->topics[i].partition_cnt > 0)
            return &known->topics[i];
    return NULL;
}

/* Whether the broker at this address, which a client that knows no other asks first, can lead to every topic. */
static bool broker_knows(const struct kafka_log_settings *settings, const char *address, FILE *report)
{
    struct kafka_log_settings one = *settings;
    const struct rd_kafka_metadata *known;
    one.brokers = address;
    rd_kafka_t *client = admin_client(&one, report);
    if (!client)
        return false;
    int found = 0;
    if (!rd_kafka_metadata(client, 1, NULL, &known, ANSWER_MS / 6)) {
        for (int t = 0; t < TOPICS; t++)
            found += find_topic(known, settings->topics[t]) != NULL;
        rd_kafka_metadata_destroy(known);
    }
    rd_kafka_destroy(client);
    return found == TOPICS;
}

/* Each broker learns of new topics in its own time, and any of them may be asked next. */
static enum err wait_for_all(rd_kafka_t *client, const struct kafka_log_settings *settings, FILE *report)
{
    const struct rd_kafka_metadata *known;
    enum err result = ERR_NONE;
    if (rd_kafka_metadata(client, 0, NULL, &known, ANSWER_MS)) {
        fputs("the brokers do not answer whether they know all topics\n", report);
        return ERR_IO;
    }
    for (int i = 0; i < known->broker_cnt && result == ERR_NONE; i++) {
        char address[300];
        int64_t until_ms = kafka_clock_ms() + ANSWER_MS;
        bool knows;
        snprintf(address, sizeof address, strchr(known->brokers[i].host, ':') ? "[%s]:%d" : "%s:%d", known->brokers[i].host, known->brokers[i].port);
        while (!(knows = broker_knows(settings, address, report)) && kafka_clock_ms() < until_ms)
            usleep(LEARNING_MS * 1000);
        if (!knows) {
            fprintf(report, "%s does not know all topics yet\n", address);
            result = ERR_TIMEOUT;
        }
    }
    rd_kafka_metadata_destroy(known);
    return result;
}

static enum err create_all(rd_kafka_t *client, const struct kafka_log_settings *settings, int replicas, FILE *report)
{
    rd_kafka_NewTopic_t *list[TOPICS];
    for (int t = 0; t < TOPICS; t++)
        list[t] = new_topic(settings, &topic_specs[t], replicas);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(client, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    rd_kafka_AdminOptions_set_operation_timeout(options, ANSWER_MS / 2, NULL, 0);
    rd_kafka_AdminOptions_set_request_timeout(options, ANSWER_MS, NULL, 0);
    rd_kafka_CreateTopics(client, list, TOPICS, options, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, ANSWER_MS + 5000);
    enum err err = event ? report_created(event, report) : ERR_TIMEOUT;
    if (event)
        rd_kafka_event_destroy(event);
    else
        fputs("creating topics: no answer in time\n", report);
    rd_kafka_NewTopic_destroy_array(list, TOPICS);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    return err;
}

enum err topics_create(const struct kafka_log_settings *settings, int replicas, FILE *report)
{
    rd_kafka_t *client = admin_client(settings, report);
    if (!client)
        return ERR_INVALID;
    int usual = replicas_for(client, settings, report);
    enum err err = usual ? create_all(client, settings, replicas ? replicas : usual, report) : ERR_IO;
    if (err == ERR_NONE)
        err = wait_for_all(client, settings, report);
    rd_kafka_destroy(client);
    return err;
}

/* What a topic's setting must be: a text, or at least a number (-1, without limit, is more than any). */
struct demand {
    const char *name, *value; /* NULL: at_least counts */
    int64_t at_least;
};

#define DEMANDS_MAX 6

static int demands_of(const struct topic_spec *spec, int replicas, int64_t retention_ms, struct demand out[DEMANDS_MAX])
{
    int n = 0;
    out[n++] = (struct demand){"cleanup.policy", spec->compacted ? "compact" : "delete", 0};
    if (spec->topic >= TOPIC_INPUTS && !spec->compacted)
        return n;
    out[n++] = (struct demand){"unclean.leader.election.enable", "false", 0};
    if (replicas >= 3)
        out[n++] = (struct demand){"min.insync.replicas", NULL, 2};
    if (spec->topic >= TOPIC_INPUTS)
        return n;
    out[n++] = (struct demand){"retention.ms", NULL, retention_ms};
    out[n++] = (struct demand){"retention.bytes", NULL, INT64_MAX};
    if (spec->topic != TOPIC_EVENTS) /* an event brings the time of its producer; what follows is kept by when it was appended */
        out[n++] = (struct demand){"message.timestamp.type", "LogAppendTime", 0};
    return n;
}

static bool is_met(const struct demand *d, const char *value)
{
    return d->value ? strcmp(value, d->value) == 0 : atoll(value) < 0 || atoll(value) >= d->at_least;
}

static enum err check_topic(const struct demand *demands, int n, const rd_kafka_ConfigResource_t *resource, FILE *report)
{
    enum err result = ERR_NONE;
    size_t count;
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resource, &count);
    for (int d = 0; d < n; d++)
        for (size_t i = 0; i < count; i++) {
            const char *value = rd_kafka_ConfigEntry_value(entries[i]), *topic = rd_kafka_ConfigResource_name(resource);
            if (strcmp(rd_kafka_ConfigEntry_name(entries[i]), demands[d].name) != 0 || !value || is_met(&demands[d], value))
                continue;
            result = ERR_INVALID;
            if (demands[d].value)
                fprintf(report, "%s: %s is %s, must be %s\n", topic, demands[d].name, value, demands[d].value);
            else if (demands[d].at_least == INT64_MAX)
                fprintf(report, "%s: %s is %s, must be -1\n", topic, demands[d].name, value);
            else
                fprintf(report, "%s: %s is %s, must be at least %lld, or -1\n", topic, demands[d].name, value, (long long)demands[d].at_least);
        }
    return result;
}

static enum err check_settings(const struct kafka_log_settings *s, const int replicas[TOPICS], const rd_kafka_ConfigResource_t *resource, FILE *report)
{
    struct demand demands[DEMANDS_MAX];
    enum err result = ERR_NONE;
    for (int t = 0; t < TOPICS; t++)
        if (strcmp(s->topics[t], rd_kafka_ConfigResource_name(resource)) == 0 &&
            check_topic(demands, demands_of(&topic_specs[t], replicas[t], s->retention_ms_min, demands), resource, report) != ERR_NONE)
            result = ERR_INVALID;
    return result;
}

/* Partition counts, and which topics are missing. */
static enum err check_presence(rd_kafka_t *client, const struct kafka_log_settings *s, int wait_ms, int out_replicas[TOPICS], FILE *report)
{
    enum err result = ERR_NONE;
    const struct rd_kafka_metadata *known;
    rd_kafka_resp_err_t err = rd_kafka_metadata(client, 1, NULL, &known, wait_ms);
    if (err) {
        fprintf(report, "%s: %s\n", s->brokers, rd_kafka_err2str(err));
        return ERR_IO;
    }
    for (int t = 0; t < TOPICS; t++) {
        const rd_kafka_metadata_topic_t *topic = find_topic(known, s->topics[t]);
        int32_t partitions = topic ? topic->partition_cnt : 0;
        out_replicas[t] = topic ? topic->partitions[0].replica_cnt : 0;
        if (!topic)
            result = ERR_INVALID;
        if (!topic)
            fprintf(report, "%s: missing; `sluice topics create` makes it\n", s->topics[t]);
        else if (partitions != topic_specs[t].partitions)
            fprintf(report, "%s: %d partitions (made here it would have %d)\n", s->topics[t], (int)partitions,
                    (int)topic_specs[t].partitions);
    }
    rd_kafka_metadata_destroy(known);
    return result;
}

/* The settings of all topics; NULL: no answer. */
static rd_kafka_event_t *ask_settings(rd_kafka_t *client, const struct kafka_log_settings *s, int wait_ms)
{
    rd_kafka_ConfigResource_t *list[TOPICS];
    for (int t = 0; t < TOPICS; t++)
        list[t] = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, s->topics[t]);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_DescribeConfigs(client, list, TOPICS, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, wait_ms);
    rd_kafka_ConfigResource_destroy_array(list, TOPICS);
    rd_kafka_queue_destroy(queue);
    return event;
}

static const rd_kafka_ConfigResource_t **resources_of(rd_kafka_event_t *event, size_t *out_count)
{
    const rd_kafka_DescribeConfigs_result_t *answer = event && !rd_kafka_event_error(event) ? rd_kafka_event_DescribeConfigs_result(event) : NULL;
    *out_count = 0;
    return answer ? rd_kafka_DescribeConfigs_result_resources(answer, out_count) : NULL;
}

static bool all_told(rd_kafka_event_t *event)
{
    size_t count, told = 0;
    const rd_kafka_ConfigResource_t **resources = resources_of(event, &count);
    for (size_t i = 0; i < count; i++)
        told += !rd_kafka_ConfigResource_error(resources[i]);
    return told == TOPICS;
}

/* A broker that does not know a topic yet has no settings of it to tell: it is asked again. */
static enum err check_all_settings(rd_kafka_t *client, const struct kafka_log_settings *s, int wait_ms, const int replicas[TOPICS], FILE *report)
{
    enum err result = ERR_NONE;
    int64_t until_ms = kafka_clock_ms() + wait_ms;
    if (rd_kafka_controllerid(client, CONTROLLER_MS) < 0) {
        fputs("the brokers name no controller, which is asked for the settings of topics; those are not checked\n", report);
        return ERR_NONE;
    }
    rd_kafka_event_t *event = ask_settings(client, s, wait_ms);
    while (event && !all_told(event) && kafka_clock_ms() < until_ms) {
        rd_kafka_event_destroy(event);
        usleep(LEARNING_MS * 1000);
        event = ask_settings(client, s, wait_ms);
    }
    size_t count;
    const rd_kafka_ConfigResource_t **resources = resources_of(event, &count);
    if (count == 0)
        fputs("the brokers do not tell the settings of topics; those are not checked\n", report);
    for (size_t i = 0; i < count; i++)
        if (rd_kafka_ConfigResource_error(resources[i]))
            fprintf(report, "%s: its settings are not told (%s), and not checked\n", rd_kafka_ConfigResource_name(resources[i]),
                    rd_kafka_err2str(rd_kafka_ConfigResource_error(resources[i])));
        else if (check_settings(s, replicas, resources[i], report) != ERR_NONE)
            result = ERR_INVALID;
    if (event)
        rd_kafka_event_destroy(event);
    return result;
}

enum err topics_check(const struct kafka_log_settings *settings, int wait_ms, FILE *report)
{
    int replicas[TOPICS] = {0};
    rd_kafka_t *client = admin_client(settings, report);
    if (!client)
        return ERR_INVALID;
    enum err err = check_presence(client, settings, wait_ms, replicas, report);
    if (err == ERR_NONE)
        err = check_all_settings(client, settings, wait_ms, replicas, report);
    rd_kafka_destroy(client);
    return err;
}
