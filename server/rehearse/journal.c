#include "server/rehearse/journal.h"

#include "common/check.h"
#include "common/line.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define LINE_BYTES_MAX (512 * 1024)
#define SAID_MAX 10

struct place {
    int64_t timestamp_ms;
    int64_t at; /* in the file */
    uint64_t line;
};

struct journal {
    FILE *file; /* owned */
    const char *path; /* borrowed */
    struct place *places; /* owned; in order of time */
    size_t count, capacity, next;
    int64_t at; /* where the file stands */
    uint64_t bad;
    bool items;
    struct line_reader line;
    struct journal_line owner;
};

static int find_topic(const char *name)
{
    int t = 0;
    while (t < TOPICS && strcmp(topic_defaults[t], name) != 0)
        t++;
    return t;
}

const char *journal_line_parse(struct journal_line *owner, const char *text, struct journal_record *out)
{
    *owner = (struct journal_line){NULL, NULL};
    if (strlen(text) > LINE_BYTES_MAX)
        return "longer than any record";
    json_t *root = owner->document = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(root))
        return "no JSON object";
    const json_t *timestamp = json_object_get(root, "timestamp"), *value = json_object_get(root, "value"), *key = json_object_get(root, "key");
    const json_t *topic = json_object_get(root, "topic");
    int t = topic ? find_topic(json_is_string(topic) ? json_string_value(topic) : "") : TOPIC_EVENTS;
    if (!json_is_integer(timestamp) || json_integer_value(timestamp) < 0)
        return "`timestamp` is no time in milliseconds";
    if (!json_is_string(key))
        return "`key` is no string";
    if (t == TOPICS)
        return "`topic` is none of sluice's";
    if (!value)
        return "there is no `value`";
    if (!json_is_null(value)) {
        owner->text = json_is_string(value) ? strdup(json_string_value(value)) : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        ASSERT(owner->text); /* without it the record would be a tombstone */
    }
    *out = (struct journal_record){
        .topic = (enum topic)t,
        .timestamp_ms = json_integer_value(timestamp),
        .key = {json_string_value(key), (uint32_t)json_string_length(key)},
        .offset = json_is_integer(json_object_get(root, "offset")) ? json_integer_value(json_object_get(root, "offset")) : -1,
        .value = owner->text ? slice_of(owner->text) : (struct slice){0},
    };
    return NULL;
}

void journal_line_done(struct journal_line *owner)
{
    json_decref(owner->document);
    free(owner->text);
    *owner = (struct journal_line){NULL, NULL};
}

static int by_time(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->timestamp_ms != y->timestamp_ms)
        return x->timestamp_ms < y->timestamp_ms ? -1 : 1;
    return x->line < y->line ? -1 : x->line > y->line;
}

static void add_place(struct journal *j, const struct place *p)
{
    if (j->count == j->capacity) {
        j->capacity = j->capacity ? j->capacity * 2 : 1024;
        j->places = realloc(j->places, j->capacity * sizeof *j->places);
        ASSERT(j->places);
    }
    j->places[j->count++] = *p;
}

/* False: the file cannot be read to its end. */
static bool look(struct journal *j)
{
    struct journal_record r;
    ssize_t size;
    for (uint64_t line = 1; (size = line_next(&j->line)) > 0; line++) {
        const char *wrong = journal_line_parse(&j->owner, j->line.text, &r);
        if (wrong && j->bad++ < SAID_MAX)
            fprintf(stderr, "%s:%llu: %s\n", j->path, (unsigned long long)line, wrong);
        if (!wrong) {
            add_place(j, &(struct place){r.timestamp_ms, j->at, line});
            j->items |= r.topic == TOPIC_CATALOG && r.key.size > 5 && memcmp(r.key.at, "item:", 5) == 0;
        }
        journal_line_done(&j->owner);
        j->at += size;
    }
    if (j->count)
        qsort(j->places, j->count, sizeof *j->places, by_time);
    return size == 0;
}

/* What comes through a pipe is kept in a file without a name, since it is read more than once. */
static FILE *keep(FILE *from)
{
    char bytes[65536];
    FILE *file = tmpfile();
    for (size_t n; file && (n = fread(bytes, 1, sizeof bytes, from)) > 0;)
        if (fwrite(bytes, 1, n, file) != n) {
            fclose(file);
            return NULL;
        }
    if (file && ferror(from)) {
        fclose(file);
        return NULL;
    }
    if (file)
        rewind(file);
    return file;
}

struct journal *journal_open(const char *path)
{
    FILE *file = strcmp(path, "-") == 0 ? keep(stdin) : fopen(path, "r");
    struct journal *j = calloc(1, sizeof *j);
    ASSERT(j);
    j->file = j->line.file = file;
    j->path = path;
    if (file && look(j))
        return j;
    fprintf(stderr, "%s cannot be read: %s\n", path, strerror(errno));
    journal_close(j);
    return NULL;
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    journal_line_done(&j->owner);
    if (j->file)
        fclose(j->file);
    free(j->places);
    line_fini(&j->line);
    free(j);
}

bool journal_next(struct journal *j, struct journal_record *out)
{
    journal_line_done(&j->owner);
    if (j->next == j->count)
        return false;
    const struct place *p = &j->places[j->next];
    bool there = j->at == p->at || fseeko(j->file, p->at, SEEK_SET) == 0;
    ssize_t size = there ? line_next(&j->line) : -1;
    if (size <= 0 || journal_line_parse(&j->owner, j->line.text, out)) {
        fprintf(stderr, "%s:%llu: changed while it was read; what follows is left out\n", j->path, (unsigned long long)p->line);
        j->bad++;
        return false;
    }
    j->next++;
    j->at = p->at + size;
    out->line = p->line;
    return true;
}

void journal_rewind(struct journal *j)
{
    j->next = 0;
}

uint64_t journal_bad(const struct journal *j)
{
    return j->bad;
}

bool journal_has_items(const struct journal *j)
{
    return j->items;
}

const char *journal_path(const struct journal *j)
{
    return j->path;
}
