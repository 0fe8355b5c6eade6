/* topics create|check */
#include "server/io/topics.h"

#include "server/verbs/connect.h"
#include "server/verbs/verb.h"

#include <stdio.h>

int verb_topics(int argc, char **argv)
{
    struct settings settings;
    if (!connect_options(&argc, argv, &settings))
        return EXIT_CONFIG;
    const struct number_option replicas_option = {"--replicas", 1, 100};
    int64_t replicas = 0; /* as many as there are brokers, at most three */
    if (!take_number(&argc, argv, &replicas_option, &replicas) || !is_all_taken(&argc, argv, 1))
        return EXIT_USAGE;
    if (argc == 2 && strcmp(argv[1], "create") == 0)
        return topics_create(&settings.daemon.kafka, (int)replicas, stdout) == ERR_NONE ? 0 : 1;
    if (argc == 2 && strcmp(argv[1], "check") == 0)
        return topics_check(&settings.daemon.kafka, 30000, stdout) == ERR_NONE ? 0 : 1;
    fputs("sluice topics: create or check?\n", stderr);
    return EXIT_USAGE;
}
