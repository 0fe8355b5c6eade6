/* broker: Kafka's protocol in one small process, for the demo and for trying things: librdkafka's mock cluster. */
#include "server/io/topics.h"

#include "server/verbs/connect.h"
#include "server/verbs/verb.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static rd_kafka_t *make_client(void)
{
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "client.id", "sluice-broker", why, sizeof why);
    rd_kafka_conf_set(conf, "log_level", "3", why, sizeof why);
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (!client)
        fprintf(stderr, "sluice broker: %s\n", why);
    return client;
}

static bool make_topics(rd_kafka_mock_cluster_t *cluster)
{
    for (int t = 0; t < TOPICS; t++) {
        rd_kafka_resp_err_t err = rd_kafka_mock_topic_create(cluster, topic_defaults[t], topic_specs[t].partitions, 1);
        if (err) {
            fprintf(stderr, "sluice broker: %s: %s\n", topic_defaults[t], rd_kafka_err2str(err));
            return false;
        }
    }
    return true;
}

int verb_broker(int argc, char **argv)
{
    sigset_t stops;
    int number;
    if (!is_all_taken(&argc, argv, 0))
        return EXIT_USAGE;
    sigemptyset(&stops);
    sigaddset(&stops, SIGTERM);
    sigaddset(&stops, SIGINT);
    sigprocmask(SIG_BLOCK, &stops, NULL); /* before the client's threads start, which inherit it */
    rd_kafka_t *client = make_client();
    rd_kafka_mock_cluster_t *cluster = client ? rd_kafka_mock_cluster_new(client, 1) : NULL;
    bool ok = cluster && make_topics(cluster);
    if (ok) {
        puts(rd_kafka_mock_cluster_bootstraps(cluster));
        fflush(stdout);
        sigwait(&stops, &number);
    }
    if (cluster)
        rd_kafka_mock_cluster_destroy(cluster);
    if (client)
        rd_kafka_destroy(client);
    return ok ? 0 : 1;
}
