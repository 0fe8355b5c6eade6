/* Lines of a file. Memory that is missing ends the process (check.h); getline() alone would let it pass for the end. */
#pragma once

#include <stdio.h>
#include <sys/types.h>

struct line_reader {
    FILE *file; /* borrowed */
    char *text; /* owned; the line with its newline, terminated */
    size_t capacity;
};

/* How many bytes the next line has; 0 at the end, -1 with errno when the file cannot be read. */
ssize_t line_next(struct line_reader *r);
void line_fini(struct line_reader *r);
