/* The settings loader over any file: it refuses with lines of text or accepts, and what it accepted loads again as printed. */
#include "common/text.h"
#include "server/settings/settings.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/heap.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Where refusals go, and what is printed. Both belong to the test: no request for memory of theirs is refused. */
static FILE *report, *printed;
static bool short_of_memory;

static void put_value(struct writer *w, const struct setting *row)
{
    static const char *const odd[] = {"null", "true", "\"x\"", "[]", "{}", "-1", "1e9", "1.5", "18446744073709551615", "[1,2,3]", "{\"a\":1}", "\"\""};
    if (fuzz_draw(12) == 0)
        text_add(w, odd[fuzz_draw(sizeof odd / sizeof *odd)]);
    else if (row->kind == SETTING_BOOL)
        text_add(w, fuzz_draw(2) ? "true" : "false");
    else if (row->kind == SETTING_TEXT)
        text_add(w, fuzz_draw(2) ? "\"127.0.0.1:9092\"" : "\"sluice\"");
    else if (fuzz_draw(2))
        text_add_int(w, (int64_t)(fuzz_draw(2) ? row->min : row->max) + (int64_t)fuzz_draw(3) - 1);
    else
        text_add_int(w, (int64_t)fuzz_draw(100000));
}

static void make(struct writer *w)
{
    size_t rows = 0;
    while (settings_table[rows].path)
        rows++;
    text_add(w, "{");
    for (uint64_t n = fuzz_draw(6), i = 0; i < n; i++) {
        const struct setting *row = &settings_table[fuzz_draw(rows)];
        const char *dot = strchr(row->path, '.');
        text_add(w, i ? ",\n  " : "\n  ");
        if (!dot || (row->flags & SETTING_FILE))
            continue;
        text_printf(w, "\"%.*s\": {\"%s\": ", (int)(dot - row->path), row->path, dot + 1);
        put_value(w, row);
        text_add(w, "}");
    }
    if (fuzz_draw(4)) {
        text_add(w, "\n}\n");
        return;
    }
    text_add(w, ",\"kafka\": {\"properties\": {\"linger.ms\": \"5\"");
    for (uint64_t n = fuzz_draw(fuzz_draw(2) ? 3 : 200); n > 0; n--)
        text_printf(w, ", \"p%d\": %d", (int)n, (int)fuzz_draw(9));
    text_add(w, "}}}");
}

static FILE *open_in_memory(void)
{
    heap_watch.paused = true;
    int fd = memfd_create("config", 0);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w+");
    FUZZ_CHECK(file && setvbuf(file, malloc(BUFSIZ), _IOFBF, BUFSIZ) == 0);
    heap_watch.paused = false;
    return file;
}

static void empty(FILE *file)
{
    rewind(file);
    FUZZ_CHECK(ftruncate(fileno(file), 0) == 0);
}

static bool load(struct settings *s, int fd)
{
    char path[32], text[4096];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    empty(report);
    settings_init(s);
    if (settings_load(s, path, report))
        return true;
    fflush(report);
    ssize_t size = pread(fileno(report), text, sizeof text - 1, 0);
    text[size > 0 ? size : 0] = 0;
    short_of_memory = strstr(text, strerror(ENOMEM)) != NULL;
    return false;
}

/* As jansson reads it: every number stands within the range of its row. */
static bool is_in_range(struct slice input)
{
    json_t *root = json_loadb(input.at, input.size, 0, NULL);
    bool good = true;
    for (const struct setting *row = settings_table; row->path; row++) {
        const char *dot = strchr(row->path, '.');
        char section[80];
        snprintf(section, sizeof section, "%.*s", dot ? (int)(dot - row->path) : 0, row->path);
        const json_t *value = json_object_get(dot ? json_object_get(root, section) : root, dot ? dot + 1 : row->path);
        if (json_is_number(value))
            good = good && json_number_value(value) >= row->min && json_number_value(value) <= row->max;
    }
    json_decref(root);
    return good;
}

static bool run(struct slice input)
{
    struct settings s, again;
    int fd = memfd_create("config", 0);
    report = report ? report : open_in_memory();
    printed = printed ? printed : open_in_memory();
    short_of_memory = false;
    FUZZ_CHECK(fd >= 0 && write(fd, input.at, input.size) == (ssize_t)input.size);
    bool accepted = load(&s, fd);
    FUZZ_CHECK(!accepted || is_in_range(input));
    if (accepted && s.before_count == 0) {
        settings_fold_hash(&s.daemon);
        empty(printed);
        settings_print(&s, printed);
        fflush(printed);
        FUZZ_CHECK(load(&again, fileno(printed)) || short_of_memory);
        FUZZ_CHECK(short_of_memory || settings_fold_hash(&again.daemon) == settings_fold_hash(&s.daemon));
        settings_fini(&again);
    }
    settings_fini(&s);
    close(fd);
    return accepted;
}

static bool lacked_memory(void)
{
    return short_of_memory;
}

const struct fuzz_target fuzz_target = {"config", 20000, 4 << 20, 256, make, run, lacked_memory};
