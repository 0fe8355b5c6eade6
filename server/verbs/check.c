/* check: the configuration, through the code that starts the daemon. */
#include "server/settings/settings.h"
#include "server/verbs/connect.h"
#include "server/verbs/verb.h"

#include <event2/event.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* What the clients themselves refuse: properties of librdkafka, addresses. Connects to nothing. */
static bool clients_accept(const struct settings *s)
{
    struct kafka_log_settings quiet = s->daemon.kafka;
    struct kafka_property properties[SETTINGS_PROPERTIES_MAX + 1];
    memcpy(properties, s->properties, sizeof s->properties);
    properties[quiet.property_count++] = (struct kafka_property){"log_level", "0", NULL}; /* brokers need not be there */
    quiet.properties = properties;
    int wakeup = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct event_base *base = event_base_new();
    struct kafka_log *kafka = kafka_log_create(&quiet, wakeup);
    struct redis_store *redis = kafka ? redis_store_create(base, &s->daemon.redis) : NULL;
    bool ok = redis;
    static const struct redis_store_events nothing;
    if (redis)
        redis_store_destroy(redis, &nothing, NULL, 0);
    kafka_log_destroy(kafka, 5000);
    event_base_free(base);
    close(wakeup);
    return ok;
}

int verb_check(int argc, char **argv)
{
    bool print = take_flag(&argc, argv, "--print"), schema = take_flag(&argc, argv, "--schema"),
         reference = take_flag(&argc, argv, "--reference");
    if (!is_all_taken(&argc, argv, 1))
        return EXIT_USAGE;
    if (schema)
        settings_print_schema(stdout);
    if (reference)
        settings_print_reference(stdout);
    if (schema || reference)
        return 0;
    struct settings s;
    settings_init(&s);
    bool ok = (argc < 2 || settings_load(&s, argv[1], stderr)) && settings_finish(&s, stderr) && (print || clients_accept(&s));
    if (ok && print)
        settings_print(&s, stdout);
    else if (ok)
        printf("%s is right; fold %016llx; at most %llu MiB of memory\n", argc > 1 ? argv[1] : "the embedded configuration",
               (unsigned long long)s.daemon.worker.fold_hash, (unsigned long long)(settings_memory_bytes(&s) >> 20));
    settings_fini(&s);
    return ok ? 0 : EXIT_CONFIG;
}
