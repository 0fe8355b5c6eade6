#include "server/verbs/replay.h"

#include "server/rehearse/journal.h"

#include <stdio.h>
#include <stdlib.h>

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
        struct journal_line owner;
        struct journal_record r;
        number++;
        const char *wrong = journal_line_parse(&owner, line, &r);
        if (!wrong) {
            memory_append(c, r.topic, -1, r.key, r.value, r.timestamp_ms);
            appended++;
        } else if ((*out_bad)++ < 10) {
            fprintf(stderr, "%s:%lld: %s\n", path, (long long)number, wrong);
        }
        journal_line_done(&owner);
    }
    free(line);
    if (file != stdin)
        fclose(file);
    return appended;
}
