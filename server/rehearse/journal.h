/*
 * A file of records, one JSON object a line: {"timestamp":MS,"key":"u_88","value":{…}}, for another topic than
 * live.events with "topic". A value that is a string is taken as it is (how malformed events are kept in a file), null is
 * a tombstone. "offset" may say where it stood in its partition.
 */
#pragma once

#include "server/worker/ports.h"

struct journal_record {
    enum topic topic;
    int64_t timestamp_ms;
    struct slice key, value; /* borrowed until the next line; value.at NULL: a tombstone */
    uint64_t line;           /* from 1 */
    int64_t offset;          /* -1: not said */
};

/* One line. `owner` holds what the record borrows, until journal_line_done(). */
struct journal_line {
    void *document, *text;
};

/* NULL, or what is wrong with the line. */
const char *journal_line_parse(struct journal_line *owner, const char *text, struct journal_record *out);
void journal_line_done(struct journal_line *owner);

/* A file read in the order of timestamps, lines of the same time in their own. */
struct journal;

/* Reads it once: what is no such line is reported as "FILE:LINE: why", the first ten of them. NULL: said. "-": standard input. */
struct journal *journal_open(const char *path);
void journal_close(struct journal *j);
bool journal_next(struct journal *j, struct journal_record *out);
void journal_rewind(struct journal *j);
uint64_t journal_bad(const struct journal *j); /* lines refused */
bool journal_has_items(const struct journal *j); /* there is a catalog entry of an item */
const char *journal_path(const struct journal *j);
