/* A borrowed run of bytes: not owned, not terminated. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const char *at;
    uint32_t size;
};

static inline struct slice slice_of(const char *text)
{
    return (struct slice){text, (uint32_t)strlen(text)};
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.at, b.at, a.size) == 0);
}
