#include "server/verbs/connect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void remove_arguments(int *argc, char **argv, int at, int count)
{
    for (int i = at; i + count < *argc; i++)
        argv[i] = argv[i + count];
    *argc -= count;
}

/* What stands behind "--" is operands, whatever it begins with: an id may begin with '-'. */
static bool ends_options(const char *argument) { return strcmp(argument, "--") == 0; }

const char *take_option(int *argc, char **argv, const char *name)
{
    for (int i = 1; i + 1 < *argc && !ends_options(argv[i]); i++)
        if (strcmp(argv[i], name) == 0 && strncmp(argv[i + 1], "--", 2) != 0) {
            const char *value = argv[i + 1];
            remove_arguments(argc, argv, i, 2);
            return value;
        }
    return NULL;
}

bool take_number(int *argc, char **argv, const struct number_option *o, int64_t *out)
{
    const char *text = take_option(argc, argv, o->name);
    char *end;
    if (!text)
        return true;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (*text && !*end && !errno && value >= o->min && value <= o->max) {
        *out = value;
        return true;
    }
    fprintf(stderr, "sluice %s: %s is %lld to %lld, not %s\n", argv[0], o->name, (long long)o->min, (long long)o->max, text);
    return false;
}

bool take_flag(int *argc, char **argv, const char *name)
{
    for (int i = 1; i < *argc && !ends_options(argv[i]); i++)
        if (strcmp(argv[i], name) == 0) {
            remove_arguments(argc, argv, i, 1);
            return true;
        }
    return false;
}

bool take_json(int *argc, char **argv, bool *out)
{
    const char *format = take_option(argc, argv, "-o");
    if (!format)
        return true;
    *out = strcmp(format, "json") == 0;
    if (!*out)
        fprintf(stderr, "sluice %s: -o is json, not %s\n", argv[0], format);
    return *out;
}

bool is_all_taken(int *argc, char **argv, int operands)
{
    for (int i = 1; i < *argc; i++) {
        if (ends_options(argv[i])) {
            remove_arguments(argc, argv, i, 1);
            break;
        }
        if (argv[i][0] == '-' && argv[i][1]) {
            bool may_lack = i + 1 == *argc || strncmp(argv[i + 1], "--", 2) == 0;
            fprintf(stderr, "sluice %s: %s is not known%s; sluice %s --help\n", argv[0], argv[i], may_lack ? ", or lacks its value" : "", argv[0]);
            return false;
        }
    }
    if (*argc - 1 > operands)
        fprintf(stderr, "sluice %s: too many arguments\n", argv[0]);
    return *argc - 1 <= operands;
}

bool connect_options(int *argc, char **argv, struct settings *out)
{
    settings_init(out);
    const char *config = take_option(argc, argv, "--config");
    const char *brokers = take_option(argc, argv, "--brokers");
    const char *redis = take_option(argc, argv, "--redis");
    const char *prefix = take_option(argc, argv, "--prefix");
    const char *key_file = take_option(argc, argv, "--key-file");
    if (config && !settings_load(out, config, stderr))
        return false;
    out->daemon.kafka.brokers = brokers ? brokers : out->daemon.kafka.brokers;
    out->daemon.redis.addresses = redis ? redis : out->daemon.redis.addresses;
    out->daemon.redis.prefix = prefix ? prefix : out->daemon.redis.prefix;
    out->user_key_file = key_file ? key_file : out->user_key_file;
    return settings_finish(out, stderr);
}
