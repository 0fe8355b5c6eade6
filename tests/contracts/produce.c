/*
 * produce BROKERS < records: a record a line, fields apart by tabs: topic, record timestamp (0: now), key, value (both in hex,
 * "-": none), then headers as name=value. Partitioned as the Java client does. Ends when all are acknowledged.
 */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

static void on_delivery(rd_kafka_t *client, const rd_kafka_message_t *m, void *opaque)
{
    if (m->err)
        fprintf(stderr, "produce: %s\n", rd_kafka_err2str(m->err));
    failures += m->err != 0;
}

static unsigned digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* In place; answers the bytes, or NULL and 0 for "-". */
static void *unhex(char *text, size_t *out_size)
{
    size_t n = strlen(text) / 2;
    *out_size = 0;
    if (strcmp(text, "-") == 0)
        return NULL;
    for (size_t i = 0; i < n; i++)
        text[i] = (char)(digit(text[2 * i]) << 4 | digit(text[2 * i + 1]));
    *out_size = n;
    return text;
}

static void send_line(rd_kafka_t *client, char *line)
{
    char *at = line, *topic = strsep(&at, "\t"), *timestamp = strsep(&at, "\t"), *key = strsep(&at, "\t"), *value = strsep(&at, "\t"), *pair;
    size_t key_size, value_size;
    if (!value)
        exit(2);
    void *key_bytes = unhex(key, &key_size), *value_bytes = unhex(value, &value_size);
    rd_kafka_headers_t *headers = rd_kafka_headers_new(4);
    while ((pair = strsep(&at, "\t"))) {
        char *content = strchr(pair, '=');
        if (content)
            rd_kafka_header_add(headers, pair, content - pair, content + 1, -1);
    }
    rd_kafka_resp_err_t err = rd_kafka_producev(client, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_KEY(key_bytes, key_size), RD_KAFKA_V_VALUE(value_bytes, value_size),
                                                RD_KAFKA_V_TIMESTAMP(atoll(timestamp)), RD_KAFKA_V_HEADERS(headers),
                                                RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY | RD_KAFKA_MSG_F_BLOCK), RD_KAFKA_V_END);
    if (err) {
        fprintf(stderr, "produce: %s\n", rd_kafka_err2str(err));
        failures++;
    }
    rd_kafka_poll(client, 0);
}

int main(int argc, char **argv)
{
    char why[256], *line = NULL;
    size_t room = 0;
    ssize_t size;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    if (argc != 2 || rd_kafka_conf_set(conf, "bootstrap.servers", argv[1], why, sizeof why) || rd_kafka_conf_set(conf, "partitioner", "murmur2_random", why, sizeof why) ||
        rd_kafka_conf_set(conf, "message.max.bytes", "2000000", why, sizeof why))
        return 2;
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    while (client && (size = getline(&line, &room, stdin)) > 0) {
        line[strcspn(line, "\n")] = 0;
        send_line(client, line);
    }
    if (client)
        rd_kafka_flush(client, 20000);
    failures += client ? rd_kafka_outq_len(client) : 1;
    free(line);
    if (client)
        rd_kafka_destroy(client);
    return failures != 0;
}
