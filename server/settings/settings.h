/*
 * The configuration: one JSON file in which every key is optional, read through one table of rows (settings_table.c).
 * From a row come loading, the range check, the default, reloading, the hash of the settings that change the fold, the
 * schema and the reference page. The defaults are those of the modules themselves.
 */
#pragma once

#include "server/io/daemon.h"
#include "server/worker/position.h"

#include <stdio.h>

#define SETTINGS_PROPERTIES_MAX 64
#define SETTINGS_BYTES_MAX (1 << 20)

enum setting_kind { SETTING_BOOL, SETTING_I32, SETTING_U32, SETTING_I64, SETTING_U64, SETTING_U8, SETTING_DOUBLE, SETTING_TEXT };

enum setting_flag {
    SETTING_FOLD = 1,   /* changes the fold: its hash stands in every slot's header (rule 12, tests/README.md) */
    SETTING_SHAPE = 2,  /* and what stored bytes mean: cannot change without folding again from the origin */
    SETTING_RELOAD = 4, /* taken over on SIGHUP */
    SETTING_FILE = 8,   /* text that names a file */
};

struct setting {
    const char *path;    /* "section.name" */
    enum setting_kind kind;
    const char *unit;
    double min, max;     /* numbers */
    unsigned flags;
    size_t offset;       /* in struct daemon_settings; unused when SETTING_FILE */
    const char *sentence;
    int count;           /* 0: one value; else so many */
    const char *(*name)(int i); /* several values: an object with these keys; NULL: an array */
};

extern const struct setting settings_table[]; /* ends with path = NULL */
size_t setting_width(enum setting_kind kind); /* bytes of one value */

struct settings {
    struct daemon_settings daemon;
    char *file;                   /* owned; NULL: embedded defaults only */
    const char *user_key_file;    /* as configured; NULL: the published key of the demo */
    const char *password_file;
    char password[256];
    struct kafka_property properties[SETTINGS_PROPERTIES_MAX];
    struct settings *before;      /* owned: the files of `before`, whose fold settings folded earlier records */
    const struct worker_settings *before_of[FOLDS_MAX];
    int before_count;
    void *root;                   /* owned: the parsed file, to which texts point */
    struct text_list *texts;      /* owned: texts made while reading */
};

/* Embedded defaults. */
void settings_init(struct settings *s);
void settings_fini(struct settings *s);
/*
 * Reads a file over the defaults. False when anything is refused: one line each on `report`, "FILE:LINE: what is wrong and
 * what would be right".
 */
bool settings_load(struct settings *s, const char *file, FILE *report);
/*
 * Once file and options are in: checks where Kafka, Redis and HTTP are, reads the secrets, sets hash and pointers. False when
 * anything is refused: one line on `report`. `s` may not be moved afterwards.
 */
bool settings_finish(struct settings *s, FILE *report);
/*
 * Reads the file again for a running daemon. `read` is as settings_load() left it at the start, without the options. False
 * when the file is refused, or says something else that may not change while running (reported). Else `out` holds what
 * worker_reload() takes.
 */
bool settings_reload(const struct settings *read, struct worker_settings *out, FILE *report);
uint64_t settings_fold_hash(const struct daemon_settings *d);
/* Over everything but texts: two daemons with the same behave alike. */
uint64_t settings_hash(const struct daemon_settings *d);
/* The paths of what differs, each as "before" and "after" it; answers how many. Texts and secrets are not compared. */
int settings_differences(const struct daemon_settings *a, const struct daemon_settings *b, FILE *out, const char *before, const char *after);
/* Why state folded with `from` cannot go on with `to` but only be folded again from its origin; NULL when it can. */
const char *settings_fold_obstacle(const struct daemon_settings *from, const struct daemon_settings *to);
/* Most bytes the process holds by these settings: caches, tables, queues. */
uint64_t settings_memory_bytes(const struct settings *s);

/* All settings as the JSON of a file, the schema of such a file, and the reference page. */
void settings_print(const struct settings *s, FILE *out);
void settings_print_schema(FILE *out);
void settings_print_reference(FILE *out);
