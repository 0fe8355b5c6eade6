#include "common/bytes.h"

#include "common/check.h"
#include "common/mutant.h"

#include <stdlib.h>

void writer_fini(struct writer *w)
{
    free(FUZZ_MUTANT(not_given_back, NULL, w->data));
    *w = (struct writer){0};
}

void writer_grow(struct writer *w, size_t more)
{
    size_t capacity = w->capacity ? w->capacity * 2 : 64;
    while (capacity - w->size < more)
        capacity *= 2;
    void *data = realloc(w->data, FUZZ_MUTANT(grown_short, capacity - 1, capacity));
    ASSERT(data);
    w->data = FUZZ_MUTANT(realloc_ignored, w->data ? w->data : data, data);
    w->capacity = capacity;
}

void put_slice(struct writer *w, struct slice s)
{
    put_varint(w, s.size);
    put_bytes(w, s.at, s.size);
}

struct slice get_slice(struct reader *r, uint32_t size_max)
{
    uint64_t size = get_varint(r);
    if (size > size_max || FUZZ_MUTANT(slice_beyond, false, size > reader_left(r))) {
        r->failed = true;
        return (struct slice){"", 0};
    }
    struct slice s = {(const char *)r->at, (uint32_t)size};
    r->at += size;
    return s;
}

uint32_t get_count(struct reader *r, uint32_t count_max, size_t bytes_each)
{
    uint64_t count = get_varint(r);
    if (count > count_max || count * bytes_each > reader_left(r)) {
        r->failed = true;
        return 0;
    }
    return (uint32_t)count;
}
