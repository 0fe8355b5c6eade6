#include "server/verbs/replay.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define LINE_BYTES_MAX (128 * 1024)

static int find_topic(const char *name)
{
    int t = 0;
    while (t < TOPICS && strcmp(topic_defaults[t], name) != 0)
        t++;
    return t;
}

static bool append_line(struct memory_cluster *c, const char *line)
{
    bool good = false;
    json_t *root = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    const json_t *timestamp = json_object_get(root, "timestamp"), *value = json_object_get(root, "value");
    const char *key = json_string_value(json_object_get(root, "key"));
    const char *topic = json_string_value(json_object_get(root, "topic"));
    int t = topic ? find_topic(topic) : TOPIC_EVENTS;
    if (json_is_integer(timestamp) && key && t < TOPICS) {
        char *text = json_is_string(value) ? strdup(json_string_value(value)) : json_dumps(value, JSON_COMPACT);
        struct slice bytes = text && !json_is_null(value) ? slice_of(text) : (struct slice){0};
        memory_append(c, (enum topic)t, -1, slice_of(key), bytes, json_integer_value(timestamp));
        free(text);
        good = true;
    }
    json_decref(root);
    return good;
}

int64_t replay_file(struct memory_cluster *c, const char *path, uint64_t *out_bad)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    if (!file)
        return -1;
    char *line = NULL;
    size_t capacity = 0;
    int64_t appended = 0, number = 0;
    *out_bad = 0;
    while (getline(&line, &capacity, file) > 0) {
        number++;
        if (strlen(line) <= LINE_BYTES_MAX && append_line(c, line)) {
            appended++;
            continue;
        }
        if ((*out_bad)++ < 10)
            fprintf(stderr, "%s:%lld: not an event line\n", path, (long long)number);
    }
    free(line);
    if (file != stdin)
        fclose(file);
    return appended;
}
