#include "server/verbs/replay.h"

#include "common/line.h"
#include "server/rehearse/journal.h"

#include <errno.h>
#include <stdio.h>

int64_t replay_file(struct memory_cluster *c, const char *path, uint64_t *out_bad)
{
    struct line_reader line = {.file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r")};
    int64_t appended = 0, number = 0;
    ssize_t size;
    if (!line.file)
        return -1;
    *out_bad = 0;
    while ((size = line_next(&line)) > 0) {
        struct journal_line owner;
        struct journal_record r;
        number++;
        const char *wrong = journal_line_parse(&owner, line.text, &r);
        if (!wrong) {
            memory_append(c, r.topic, -1, r.key, r.value, r.timestamp_ms);
            appended++;
        } else if ((*out_bad)++ < 10) {
            fprintf(stderr, "%s:%lld: %s\n", path, (long long)number, wrong);
        }
        journal_line_done(&owner);
    }
    int failed = errno;
    if (line.file != stdin)
        fclose(line.file);
    line_fini(&line);
    errno = failed;
    return size < 0 ? -1 : appended;
}
