#include "server/io/kafka_client.h"

#define WHY 256

rd_kafka_t *kafka_client_open(const struct kafka_log_settings *s, rd_kafka_type_t type, const char *const options[],
                              char why[static WHY])
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, NULL); /* what matters is answered */
    bool ok = rd_kafka_conf_set(conf, "bootstrap.servers", s->brokers, why, WHY) == RD_KAFKA_CONF_OK;
    for (int i = 0; ok && options[i]; i += 2)
        ok = rd_kafka_conf_set(conf, options[i], options[i + 1], why, WHY) == RD_KAFKA_CONF_OK;
    for (int i = 0; ok && i < s->property_count; i++)
        ok = rd_kafka_conf_set(conf, s->properties[i].name, s->properties[i].value, why, WHY) == RD_KAFKA_CONF_OK;
    rd_kafka_t *client = ok ? rd_kafka_new(type, conf, why, WHY) : NULL;
    if (!client)
        rd_kafka_conf_destroy(conf); /* else it is the client's */
    return client;
}
