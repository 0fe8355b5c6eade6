#include "server/settings/settings.h"

#include "common/check.h"
#include "common/hash.h"
#include "common/mutant.h"
#include "common/text.h"
#include "server/settings/key_lines.h"
#include "server/settings/settings_internal.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>

struct text_list {
    struct text_list *next;
    char text[];
};

struct load {
    struct settings *s;
    const char *file;
    char *text; /* owned */
    FILE *report;
    int refused;
    bool is_before; /* whose own `before` says nothing new */
};

static bool load_file(struct settings *s, const char *file, bool is_before, FILE *report);

static void refuse(struct load *l, const char *path, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void refuse(struct load *l, const char *path, const char *format, ...)
{
    char what[400];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    fprintf(l->report, "%s:%d: %s\n", l->file, key_line(l->text, path), what);
    l->refused++;
}

char *settings_keep_text(struct settings *s, const char *text)
{
    size_t size = strlen(text) + 1;
    struct text_list *t = malloc(sizeof *t + size);
    ASSERT(t);
    memcpy(t->text, text, size);
    t->next = s->texts;
    s->texts = t;
    return t->text;
}

void settings_init(struct settings *s)
{
    *s = (struct settings){0};
    s->daemon = (struct daemon_settings){.kafka = kafka_log_settings_default(), .redis = redis_store_settings_default(),
                                         .http = "127.0.0.1:8099", .drain_ms = 10000};
    s->daemon.redis.connection.user = s->daemon.redis.connection.password = "";
    worker_settings_default(&s->daemon.worker);
}

void settings_fini(struct settings *s)
{
    while (s->texts) {
        struct text_list *t = s->texts;
        s->texts = t->next;
        free(t);
    }
    for (int i = 0; i < s->before_count; i++)
        settings_fini(&s->before[i]);
    free(s->before);
    json_decref(s->root);
    free(s->file);
    *s = (struct settings){0};
}

/* Edit distance, for "did you mean"; names are short. */
static int distance(const char *a, const char *b)
{
    int row[64], n = (int)strlen(b);
    if (n > 60 || strlen(a) > 60)
        return 99;
    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            best = row[j] + 1 < best ? row[j] + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
        }
    }
    return row[n];
}

struct nearest {
    char name[80];
    int distance;
};

static void try_name(struct nearest *best, const char *wrong, const char *name, size_t size)
{
    char copy[80];
    snprintf(copy, sizeof copy, "%.*s", (int)size, name);
    int d = distance(wrong, copy);
    if (d >= best->distance)
        return;
    best->distance = d;
    memcpy(best->name, copy, sizeof copy);
}

/* A wrong key at the top may be meant for a section; one within a section only for a setting. */
static void unknown_key(struct load *l, const char *path)
{
    static const char *const others[] = {"kafka.properties", "profile.currencies", "before", NULL};
    struct nearest best = {"", 100};
    for (const struct setting *r = settings_table; r->path; r++) {
        try_name(&best, path, r->path, strlen(r->path));
        if (!strchr(path, '.'))
            try_name(&best, path, r->path, strcspn(r->path, "."));
    }
    for (int i = 0; others[i]; i++)
        try_name(&best, path, others[i], strlen(others[i]));
    refuse(l, path, "\"%.80s\" is not a setting; the nearest name is \"%s\"", path, best.name);
}

static void store_number(enum setting_kind kind, void *to, double real, int64_t whole)
{
    switch (kind) {
    case SETTING_U8: *(uint8_t *)to = (uint8_t)whole; break;
    case SETTING_I32: case SETTING_U32: *(uint32_t *)to = (uint32_t)whole; break;
    case SETTING_I64: case SETTING_U64: *(int64_t *)to = whole; break;
    default: *(double *)to = real; break;
    }
}

/* One value to one place; `path` names it in a refusal. */
static void read_value(struct load *l, const struct setting *r, const char *path, const json_t *value, void *to)
{
    if (r->kind == SETTING_BOOL) {
        if (!json_is_boolean(value))
            refuse(l, path, "%s is true or false", path);
        else
            *(bool *)to = json_is_true(value);
    } else if (r->kind == SETTING_TEXT) {
        if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
            refuse(l, path, "%s is a text", path);
        else
            *(const char **)to = json_string_value(value);
    } else if (r->kind == SETTING_DOUBLE ? !json_is_number(value) : !json_is_integer(value)) {
        refuse(l, path, "%s is a %s%s%s", path, r->kind == SETTING_DOUBLE ? "number" : "whole number", *r->unit ? " of " : "", r->unit);
    } else if (json_number_value(value) < r->min || json_number_value(value) > FUZZ_MUTANT(range_ignored, 1e18, r->max)) {
        refuse(l, path, "%s is %.15g to %.15g%s%s, not %.15g", path, r->min, r->max, *r->unit ? " " : "", r->unit, json_number_value(value));
    } else {
        store_number(r->kind, to, json_number_value(value), json_integer_value(value));
    }
}

static void read_many(struct load *l, const struct setting *r, const json_t *value)
{
    char path[160];
    char *to = (char *)&l->s->daemon + r->offset;
    if (!r->name && (!json_is_array(value) || (int)json_array_size(value) != r->count)) {
        refuse(l, r->path, "%s is an array of %d", r->path, r->count);
        return;
    }
    for (int i = 0; !r->name && i < r->count; i++)
        read_value(l, r, r->path, json_array_get(value, (size_t)i), to + (size_t)i * setting_width(r->kind));
    if (!r->name)
        return;
    if (!json_is_object(value)) {
        refuse(l, r->path, "%s is an object", r->path);
        return;
    }
    const char *key;
    json_t *one;
    json_object_foreach((json_t *)value, key, one) {
        int i = 0;
        snprintf(path, sizeof path, "%s.%.60s", r->path, key);
        while (i < r->count && strcmp(r->name(i), key) != 0)
            i++;
        if (i == r->count)
            refuse(l, path, "%s has no \"%.60s\"; it knows \"%s\" and others", r->path, key, r->name(0));
        else
            read_value(l, r, path, one, to + (size_t)i * setting_width(r->kind));
    }
}

static void read_row(struct load *l, const struct setting *r, const json_t *value)
{
    const char *file = NULL;
    if (r->count) {
        read_many(l, r, value);
    } else if (r->flags & SETTING_FILE) {
        read_value(l, r, r->path, value, &file);
        if (strcmp(r->path, "user_key_file") == 0)
            l->s->user_key_file = file;
        else
            l->s->password_file = file;
    } else {
        read_value(l, r, r->path, value, (char *)&l->s->daemon + r->offset);
    }
}

/* {"CNY": {"amount_max": 10000000, "rate_num": 1, "rate_den": 1}}: replaces the default list as a whole. */
static void read_currencies(struct load *l, const json_t *value)
{
    struct currency_settings *list = l->s->daemon.worker.profile.currencies;
    const char *code;
    json_t *one;
    int n = 0;
    if (!json_is_object(value) || json_object_size(value) > CURRENCIES_MAX) {
        refuse(l, "profile.currencies", "profile.currencies is an object of at most %d currencies", CURRENCIES_MAX);
        return;
    }
    memset(list, 0, sizeof *list * CURRENCIES_MAX);
    json_object_foreach((json_t *)value, code, one) {
        char path[64];
        long long max = 0, num = 0, den = 0;
        snprintf(path, sizeof path, "profile.currencies.%.8s", code);
        bool letters = strlen(code) == 3 && strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 3;
        if (!letters || json_object_size(one) != 3 ||
            json_unpack(one, "{s:I,s:I,s:I}", "amount_max", &max, "rate_num", &num, "rate_den", &den) < 0 || max < 1 ||
            max > 1000000000000 || num < 1 || num > 1000000 || den < 1 || den > 1000000 || max * num / den > 1000000000000)
            refuse(l, path, "a currency is three capitals with amount_max (1 to 10^12 minor units, and settled too), rate_num and rate_den (1 to 10^6)");
        else
            list[n++] = (struct currency_settings){(uint32_t)code[0] << 16 | (uint32_t)code[1] << 8 | (uint32_t)code[2], max, num, den};
    }
}

static void read_properties(struct load *l, const json_t *value)
{
    const char *name;
    json_t *one;
    if (!json_is_object(value)) {
        refuse(l, "kafka.properties", "kafka.properties is an object");
        return;
    }
    json_object_foreach((json_t *)value, name, one) {
        char text[64], path[160];
        snprintf(path, sizeof path, "kafka.properties.%.100s", name);
        if (l->s->daemon.kafka.property_count >= FUZZ_MUTANT(properties_overflow, 10000, SETTINGS_PROPERTIES_MAX) || json_is_object(one) || json_is_array(one) || json_is_null(one)) {
            refuse(l, path, "%s is a text, a number or true or false, and there are at most %d", path, SETTINGS_PROPERTIES_MAX);
            continue;
        }
        if (json_is_integer(one))
            snprintf(text, sizeof text, "%lld", (long long)json_integer_value(one));
        else if (json_is_real(one))
            snprintf(text, sizeof text, "%g", json_real_value(one));
        const char *as_text = json_is_string(one) ? json_string_value(one) : json_is_boolean(one) ? json_is_true(one) ? "true" : "false"
                                                                                                  : settings_keep_text(l->s, text);
        l->s->properties[l->s->daemon.kafka.property_count++] = (struct kafka_property){name, as_text, NULL};
    }
}

/* Files of earlier configurations, as the daemon ran with them; only what changes the fold is taken from them. */
static void read_before(struct load *l, const json_t *value)
{
    size_t count = json_array_size(value);
    if (l->is_before)
        return;
    if (!json_is_array(value) || count >= FOLDS_MAX) {
        refuse(l, "before", "before is an array of at most %d file names", FOLDS_MAX - 1);
        return;
    }
    l->s->before = calloc(count + 1, sizeof *l->s->before);
    ASSERT(l->s->before);
    for (; l->s->before_count < (int)count; l->s->before_count++) {
        struct settings *b = &l->s->before[l->s->before_count];
        const char *file = json_string_value(json_array_get(value, (size_t)l->s->before_count));
        settings_init(b);
        if (!file || !load_file(b, file, true, l->report))
            refuse(l, "before", "before: %.200s is not a configuration", file ? file : "what is no text");
        b->daemon.worker.fold_hash = settings_fold_hash(&b->daemon);
        l->s->before_of[l->s->before_count] = &b->daemon.worker;
    }
}

static bool is_section(const char *name)
{
    size_t size = strlen(name);
    for (const struct setting *r = settings_table; r->path; r++)
        if (strncmp(r->path, name, size) == 0 && r->path[size] == '.')
            return true;
    return false;
}

static void read_key(struct load *l, const char *path, const json_t *value)
{
    const struct setting *r = settings_table;
    while (r->path && strcmp(r->path, path) != 0)
        r++;
    if (r->path)
        read_row(l, r, value);
    else if (strcmp(path, "kafka.properties") == 0)
        read_properties(l, value);
    else if (strcmp(path, "profile.currencies") == 0)
        read_currencies(l, value);
    else if (strcmp(path, "before") == 0)
        read_before(l, value);
    else
        unknown_key(l, path);
}

static void read_root(struct load *l, json_t *root)
{
    const char *name, *inner;
    json_t *value, *one;
    json_object_foreach(root, name, value) {
        if (!is_section(name)) {
            read_key(l, name, value);
            continue;
        }
        if (!json_is_object(value))
            refuse(l, name, "%s is an object", name);
        json_object_foreach(value, inner, one) {
            char path[160];
            snprintf(path, sizeof path, "%.60s.%.80s", name, inner);
            read_key(l, path, one);
        }
    }
}

/* What one value alone cannot tell. */
static void check_together(struct load *l)
{
    const struct daemon_settings *d = &l->s->daemon;
    const struct allocation_settings *a = &d->worker.allocation;
    const char *path, *place = settings_place_fault(d, &path);
    int64_t parts = 0, host_parts = 0;
    for (int i = 0; i < SCORE_PARTS; i++)
        parts += a->part_ppm[i];
    for (int i = 0; i < HOST_PARTS; i++)
        host_parts += a->host_part_ppm[i];
    if (place)
        refuse(l, path, "%s %s", path, place);
    if (d->kafka.heartbeat_ms * 3 > d->kafka.session_timeout_ms)
        refuse(l, "kafka.heartbeat_ms", "kafka.heartbeat_ms is at most a third of kafka.session_timeout_ms");
    if (parts != PPM)
        refuse(l, "allocation.part_ppm", "the shares of allocation.part_ppm sum to 1000000, not %lld", (long long)parts);
    if (host_parts != PPM)
        refuse(l, "allocation.host_part_ppm", "the shares of allocation.host_part_ppm sum to 1000000, not %lld", (long long)host_parts);
    if (a->floor_ppm > a->cap_ppm)
        refuse(l, "allocation.floor_ppm", "allocation.floor_ppm is at most allocation.cap_ppm");
    if (d->worker.profile.history + d->worker.profile.past + d->worker.profile.history_hosts + d->worker.profile.history_rooms > PROFILE_HISTORY_MAX)
        refuse(l, "profile.history", "profile.history, past, history_hosts and history_rooms are at most %d together", PROFILE_HISTORY_MAX);
    if (experiment_fault(&d->worker.experiment))
        refuse(l, "experiment.share", "experiment.share: %s", experiment_fault(&d->worker.experiment));
    if (d->redis.connection.backoff_min_ms > d->redis.connection.backoff_max_ms)
        refuse(l, "redis.backoff_min_ms", "redis.backoff_min_ms is at most redis.backoff_max_ms");
}

static bool load_file(struct settings *s, const char *file, bool is_before, FILE *report)
{
    struct load l = {.s = s, .file = file, .report = report, .is_before = is_before};
    json_error_t error;
    l.text = settings_read_file(file, SETTINGS_BYTES_MAX);
    if (!l.text) {
        fprintf(report, "%s: %s\n", file, strerror(errno));
        return false;
    }
    s->root = json_loads(l.text, JSON_REJECT_DUPLICATES, &error);
    if (!s->root) {
        fprintf(report, "%s:%d: %s\n", file, error.line, error.text);
        l.refused++;
    } else if (!json_is_object((json_t *)s->root)) {
        refuse(&l, "", "the configuration is one JSON object");
    } else {
        read_root(&l, s->root);
        s->daemon.worker.entity.day_offset_ms = s->daemon.worker.profile.day_offset_ms;
        check_together(&l);
    }
    free(l.text);
    free(s->file);
    s->file = strdup(file);
    ASSERT(s->file);
    return l.refused == 0;
}

bool settings_load(struct settings *s, const char *file, FILE *report)
{
    return load_file(s, file, false, report);
}
