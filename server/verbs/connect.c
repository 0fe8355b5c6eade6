#include "server/verbs/connect.h"

#include <stdio.h>

static void remove_arguments(int *argc, char **argv, int at, int count)
{
    for (int i = at; i + count < *argc; i++)
        argv[i] = argv[i + count];
    *argc -= count;
}

const char *take_option(int *argc, char **argv, const char *name)
{
    for (int i = 1; i + 1 < *argc; i++)
        if (strcmp(argv[i], name) == 0) {
            const char *value = argv[i + 1];
            remove_arguments(argc, argv, i, 2);
            return value;
        }
    return NULL;
}

bool take_flag(int *argc, char **argv, const char *name)
{
    for (int i = 1; i < *argc; i++)
        if (strcmp(argv[i], name) == 0) {
            remove_arguments(argc, argv, i, 1);
            return true;
        }
    return false;
}

bool is_all_taken(int argc, char **argv, int operands)
{
    for (int i = 1; i < argc; i++)
        if (argv[i][0] == '-' && argv[i][1]) {
            fprintf(stderr, "sluice %s: %s is not known, or lacks its value\n", argv[0], argv[i]);
            return false;
        }
    if (argc - 1 > operands)
        fprintf(stderr, "sluice %s: too many arguments\n", argv[0]);
    return argc - 1 <= operands;
}

/* Without a file the key is the published one of the demo: user parts of keys can then be computed by anybody. */
static bool read_key(const char *path, struct worker_settings *out)
{
    static const char published[] = "sluice-demo-key!";
    if (!path) {
        out->user_key_size = sizeof published - 1;
        memcpy(out->user_key, published, out->user_key_size);
        return true;
    }
    FILE *file = fopen(path, "rb");
    size_t size = file ? fread(out->user_key, 1, sizeof out->user_key, file) : 0;
    if (file)
        fclose(file);
    while (size && (out->user_key[size - 1] == '\n' || out->user_key[size - 1] == '\r'))
        size--;
    out->user_key_size = (uint32_t)size;
    if (size < 16)
        fprintf(stderr, "sluice: %s: a key is 16 to 64 bytes\n", path);
    return size >= 16;
}

bool connect_options(int *argc, char **argv, struct daemon_settings *out)
{
    *out = (struct daemon_settings){.kafka = kafka_log_settings_default(), .redis = redis_store_settings_default(),
                                    .turn_records_max = 4096, .drain_ms = 10000};
    worker_settings_default(&out->worker);
    const char *brokers = take_option(argc, argv, "--brokers");
    const char *redis = take_option(argc, argv, "--redis");
    const char *prefix = take_option(argc, argv, "--prefix");
    out->kafka.brokers = brokers ? brokers : out->kafka.brokers;
    out->redis.addresses = redis ? redis : out->redis.addresses;
    out->redis.prefix = prefix ? prefix : out->redis.prefix;
    return read_key(take_option(argc, argv, "--key-file"), &out->worker);
}
