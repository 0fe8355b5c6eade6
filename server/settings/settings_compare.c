/* Two configurations held against each other: what a reload and what a change of the fold may do. */
#include "server/settings/settings.h"

#include "common/hash.h"

#include <string.h>

size_t setting_width(enum setting_kind kind)
{
    switch (kind) {
    case SETTING_BOOL: return sizeof(bool);
    case SETTING_U8: return 1;
    case SETTING_I32: case SETTING_U32: return 4;
    case SETTING_I64: case SETTING_U64: case SETTING_DOUBLE: return 8;
    case SETTING_TEXT: return sizeof(char *);
    }
    return 0;
}

static size_t row_size(const struct setting *r)
{
    return setting_width(r->kind) * (size_t)(r->count ? r->count : 1);
}

static bool row_equal(const struct setting *r, const struct daemon_settings *a, const struct daemon_settings *b)
{
    const char *x = (const char *)a + r->offset, *y = (const char *)b + r->offset;
    if (r->kind != SETTING_TEXT)
        return memcmp(x, y, row_size(r)) == 0;
    for (int i = 0; i < (r->count ? r->count : 1); i++)
        if (strcmp(((const char *const *)x)[i], ((const char *const *)y)[i]) != 0)
            return false;
    return true;
}

static bool currencies_equal(const struct daemon_settings *a, const struct daemon_settings *b)
{
    return memcmp(a->worker.profile.currencies, b->worker.profile.currencies, sizeof a->worker.profile.currencies) == 0;
}

static bool texts_equal(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

/* Of what a file says outside the table. What stands in the files that it names is not looked at. */
static const char *other_difference(const struct settings *a, const struct settings *b)
{
    bool properties = a->daemon.kafka.property_count == b->daemon.kafka.property_count, before = a->before_count == b->before_count;
    for (int i = 0; properties && i < a->daemon.kafka.property_count; i++)
        properties = texts_equal(a->properties[i].name, b->properties[i].name) && texts_equal(a->properties[i].value, b->properties[i].value);
    for (int i = 0; before && i < a->before_count; i++)
        before = a->before_of[i]->fold_hash == b->before_of[i]->fold_hash;
    return !properties                                              ? "kafka.properties"
           : !currencies_equal(&a->daemon, &b->daemon)              ? "profile.currencies"
           : !before                                                ? "before"
           : !texts_equal(a->user_key_file, b->user_key_file)       ? "user_key_file"
           : !texts_equal(a->password_file, b->password_file)       ? "redis.password_file"
                                                                    : NULL;
}

bool settings_reload(const struct settings *read, struct worker_settings *out, FILE *report)
{
    struct settings fresh;
    if (!read->file) {
        fprintf(report, "there is no configuration file to read again\n");
        return false;
    }
    settings_init(&fresh);
    bool ok = settings_load(&fresh, read->file, report);
    const char *other = ok ? other_difference(read, &fresh) : NULL;
    for (const struct setting *r = settings_table; ok && !other && r->path; r++)
        if (!(r->flags & (SETTING_RELOAD | SETTING_FILE)) && !row_equal(r, &read->daemon, &fresh.daemon))
            other = r->path;
    if (other)
        fprintf(report, "%s: %s cannot change while running\n", read->file, other);
    ok = ok && !other;
    if (ok) {
        *out = fresh.daemon.worker;
        out->before = NULL; /* they end with `fresh` */
        out->before_count = 0;
    }
    settings_fini(&fresh);
    return ok;
}

/* Over path and value of the rows with one of the flags, and the currencies. */
static uint64_t hash_rows(const struct daemon_settings *d, unsigned flags)
{
    uint64_t hash = 1;
    for (const struct setting *r = settings_table; r->path; r++)
        if (r->kind != SETTING_TEXT && (r->flags & flags || flags == ~0u)) {
            hash = hash64(r->path, strlen(r->path), hash);
            hash = hash64((const char *)d + r->offset, row_size(r), hash);
        }
    for (int i = 0; i < CURRENCIES_MAX; i++) {
        const struct currency_settings *c = &d->worker.profile.currencies[i];
        int64_t values[4] = {c->currency, c->amount_max, c->rate_num, c->rate_den};
        hash = hash64(values, sizeof values, hash);
    }
    return hash;
}

/* A new row at its default changes it too, deliberately. */
uint64_t settings_fold_hash(const struct daemon_settings *d)
{
    return hash_rows(d, SETTING_FOLD);
}

uint64_t settings_hash(const struct daemon_settings *d)
{
    return hash_rows(d, ~0u);
}

int settings_differences(const struct daemon_settings *a, const struct daemon_settings *b, FILE *out, const char *before, const char *after)
{
    int count = 0;
    bool currencies = !currencies_equal(a, b);
    for (const struct setting *r = settings_table; r->path; r++)
        if (r->kind != SETTING_TEXT && !row_equal(r, a, b)) {
            fprintf(out, "%s%s%s", before, r->path, after);
            count++;
        }
    if (currencies)
        fprintf(out, "%sprofile.currencies%s", before, after);
    return count + currencies;
}

const char *settings_fold_obstacle(const struct daemon_settings *from, const struct daemon_settings *to)
{
    for (const struct setting *r = settings_table; r->path; r++)
        if (r->flags & SETTING_SHAPE && !row_equal(r, from, to))
            return r->path;
    for (int i = 0; i < CURRENCIES_MAX; i++) { /* stored amounts name their currency by its place */
        uint32_t had = from->worker.profile.currencies[i].currency;
        if (had && had != to->worker.profile.currencies[i].currency)
            return "profile.currencies";
    }
    return NULL;
}
