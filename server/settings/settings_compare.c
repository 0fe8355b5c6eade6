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

bool settings_reload(const struct settings *running, struct worker_settings *out, FILE *report)
{
    struct settings fresh;
    if (!running->file) {
        fprintf(report, "there is no configuration file to read again\n");
        return false;
    }
    settings_init(&fresh);
    bool ok = settings_load(&fresh, running->file, report) && settings_finish(&fresh, report);
    for (const struct setting *r = settings_table; ok && r->path; r++)
        if (!(r->flags & (SETTING_RELOAD | SETTING_FILE)) && !row_equal(r, &running->daemon, &fresh.daemon) && r->kind != SETTING_TEXT) {
            fprintf(report, "%s: %s cannot change while running\n", running->file, r->path);
            ok = false;
        }
    if (ok)
        *out = fresh.daemon.worker;
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
    bool currencies = memcmp(a->worker.profile.currencies, b->worker.profile.currencies, sizeof a->worker.profile.currencies) != 0;
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
