/* What is decided once file and options are in: addresses, secrets, the hash of the fold, and how much memory it all takes. */
#include "server/settings/settings_internal.h"

#include "common/check.h"
#include "server/io/http.h"

#include <errno.h>
#include <stdlib.h>

#define SECRET_BYTES_MAX 4096

char *settings_read_file(const char *path, size_t max)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    char *text = calloc(1, max + 2);
    ASSERT(text);
    size_t size = fread(text, 1, max + 1, file);
    int failed = ferror(file) ? errno : size > max ? EFBIG : memchr(text, 0, size) ? EILSEQ : 0;
    fclose(file);
    if (failed) {
        free(text);
        errno = failed;
        return NULL;
    }
    return text;
}

const char *settings_place_fault(const struct daemon_settings *d, const char **out_path)
{
    *out_path = "kafka.brokers";
    if (!*d->kafka.brokers)
        return "is HOST:PORT[,HOST:PORT…], not empty";
    *out_path = "redis.addresses";
    if (!redis_addresses_are_valid(d->redis.addresses))
        return "is HOST:PORT[,HOST:PORT…], at most 16 of them";
    *out_path = "redis.prefix";
    if (!*d->redis.prefix || strpbrk(d->redis.prefix, "{}: \r\n*?[]\\"))
        return "is not empty and has no brace, bracket, colon, space, star, question mark or backslash";
    *out_path = "http";
    return !*d->http || http_address_is_valid(d->http) ? NULL : "is HOST:PORT, port 0 for any, or empty";
}

/* Without a file the key is the published one of the demo: user parts of keys can then be computed by anybody. */
static bool read_user_key(struct settings *s, FILE *report)
{
    static const char published[] = "sluice-demo-key!";
    struct worker_settings *w = &s->daemon.worker;
    if (!s->user_key_file || !*s->user_key_file) {
        w->user_key_size = sizeof published - 1;
        memcpy(w->user_key, published, w->user_key_size);
        return true;
    }
    char key[sizeof w->user_key + 3]; /* with the end of its line, and one byte too many */
    FILE *file = fopen(s->user_key_file, "rb");
    size_t size = file ? fread(key, 1, sizeof key, file) : 0;
    int failed = !file || ferror(file) ? errno : 0;
    if (file)
        fclose(file);
    while (size && (key[size - 1] == '\n' || key[size - 1] == '\r'))
        size--;
    bool fits = !failed && size >= 16 && size <= sizeof w->user_key;
    if (!fits)
        fprintf(report, "user_key_file: %s: %s\n", s->user_key_file, failed ? strerror(failed) : "a key is 16 to 64 bytes");
    w->user_key_size = fits ? (uint32_t)size : 0;
    memcpy(w->user_key, key, w->user_key_size);
    return fits;
}

static bool read_password(struct settings *s, FILE *report)
{
    if (!s->password_file || !*s->password_file)
        return true;
    char *text = settings_read_file(s->password_file, sizeof s->password - 1);
    if (!text) {
        fprintf(report, "redis.password_file: %s: %s\n", s->password_file, strerror(errno));
        return false;
    }
    snprintf(s->password, sizeof s->password, "%s", text);
    s->password[strcspn(s->password, "\r\n")] = 0;
    free(text);
    s->daemon.redis.connection.password = s->password;
    return true;
}

/* A property NAME.file is NAME with what stands in that file: secrets stay out of the configuration. */
static bool read_secrets(struct settings *s, FILE *report)
{
    static const char suffix[] = ".file";
    for (int i = 0; i < s->daemon.kafka.property_count; i++) {
        struct kafka_property *p = &s->properties[i];
        size_t size = strlen(p->name), end = sizeof suffix - 1;
        if (p->file || size <= end || strcmp(p->name + size - end, suffix) != 0)
            continue;
        char *text = settings_read_file(p->value, SECRET_BYTES_MAX), name[160];
        if (!text) {
            fprintf(report, "kafka.properties.%s: %s: %s\n", p->name, p->value, strerror(errno));
            return false;
        }
        text[strcspn(text, "\r\n")] = 0;
        snprintf(name, sizeof name, "%.*s", (int)(size - end), p->name);
        *p = (struct kafka_property){settings_keep_text(s, name), settings_keep_text(s, text), p->value};
        free(text);
    }
    return true;
}

bool settings_finish(struct settings *s, FILE *report)
{
    const char *path, *fault = settings_place_fault(&s->daemon, &path);
    s->daemon.kafka.properties = s->properties;
    s->daemon.worker.fold_hash = settings_fold_hash(&s->daemon);
    s->daemon.worker.before = s->before_of;
    s->daemon.worker.before_count = (uint32_t)s->before_count;
    if (fault)
        fprintf(report, "%s %s\n", path, fault);
    return !fault && read_user_key(s, report) && read_password(s, report) && read_secrets(s, report);
}

#define EXAMPLE_BYTES 240 /* and its place in the index of users */

uint64_t settings_memory_bytes(const struct settings *s)
{
    const struct daemon_settings *d = &s->daemon;
    const struct worker_settings *w = &d->worker;
    uint64_t arms = 0;
    for (int arm = 0; arm < ARMS; arm++)
        arms += experiment_uses(&w->experiment, arm);
    return w->cache_bytes + 3 * w->store_bytes_max + d->redis.view_bytes_max +
           ((uint64_t)d->kafka.fetch_queue_kb + (uint64_t)d->kafka.produce_queue_kb) * 1024 +
           (uint64_t)w->catalog.items_max * 250 + (uint64_t)(w->catalog.rooms_max + w->catalog.hosts_max) * 800 +
           (uint64_t)w->catalog.names_max * 64 + (uint64_t)w->push.list_max * 300 + (uint64_t)w->push.pending_max * 150 +
           arms * w->recommend.funnel_max * 96 + (uint64_t)w->segments.conversions_max * 112 +
           (uint64_t)w->learner.examples_max * 2 * EXAMPLE_BYTES;
}
