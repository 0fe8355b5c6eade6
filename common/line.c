#include "common/line.h"

#include "common/check.h"

#include <errno.h>

ssize_t line_next(struct line_reader *r)
{
    errno = 0;
    ssize_t size = getline(&r->text, &r->capacity, r->file);
    if (size > 0)
        return size;
    ASSERT(errno != ENOMEM);
    return ferror(r->file) ? -1 : 0;
}

void line_fini(struct line_reader *r)
{
    free(r->text);
    *r = (struct line_reader){0};
}
