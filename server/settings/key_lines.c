#include "server/settings/key_lines.h"

#include <stdbool.h>
#include <string.h>

#define PATH_MAX_BYTES 512

struct scan {
    const char *at;
    int line;
    int found;
    const char *wanted;
    char path[PATH_MAX_BYTES];
};

static void skip_space(struct scan *s)
{
    for (; *s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'; s->at++)
        s->line += *s->at == '\n';
}

/* At an opening quote. Answers the text between the quotes, escapes left as they are. */
static size_t skip_text(struct scan *s, const char **out_begin)
{
    const char *begin = ++s->at;
    while (*s->at && *s->at != '"')
        s->at += s->at[0] == '\\' && s->at[1] ? 2 : 1;
    *out_begin = begin;
    size_t size = (size_t)(s->at - begin);
    s->at += *s->at == '"';
    return size;
}

static void skip_value(struct scan *s, size_t depth_bytes);

static void skip_object(struct scan *s, size_t path_size)
{
    for (s->at++, skip_space(s); *s->at == '"'; skip_space(s)) {
        const char *name;
        int line = s->line;
        size_t size = skip_text(s, &name), at = path_size;
        if (at + size + 2 < PATH_MAX_BYTES) {
            if (at)
                s->path[at++] = '.';
            memcpy(s->path + at, name, size);
            at += size;
            s->path[at] = 0;
            if (!s->found && strcmp(s->path, s->wanted) == 0)
                s->found = line;
        }
        skip_space(s);
        s->at += *s->at == ':';
        skip_value(s, at);
        skip_space(s);
        s->at += *s->at == ',';
        skip_space(s);
    }
    s->at += *s->at == '}';
}

/* The text is valid JSON, so that depth is what the parser allowed. */
static void skip_value(struct scan *s, size_t path_size)
{
    const char *ignored;
    skip_space(s);
    if (*s->at == '{') {
        skip_object(s, path_size);
    } else if (*s->at == '[') {
        for (s->at++, skip_space(s); *s->at && *s->at != ']'; skip_space(s)) {
            skip_value(s, PATH_MAX_BYTES); /* keys within arrays have no path */
            skip_space(s);
            s->at += *s->at == ',';
        }
        s->at += *s->at == ']';
    } else if (*s->at == '"') {
        skip_text(s, &ignored);
    } else {
        while (*s->at && !strchr(",]} \t\r\n", *s->at))
            s->at++;
    }
}

int key_line(const char *text, const char *path)
{
    struct scan s = {.at = text, .line = 1, .wanted = path};
    skip_space(&s);
    int first = s.line;
    skip_value(&s, 0);
    return *path ? s.found : first;
}
