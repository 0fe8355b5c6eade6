/* Asking for memory before it is needed. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define CACHE_LINE 64

/* Every cache line that these bytes touch: where they begin in a line is not known. */
static inline void fetch_bytes(const void *at, size_t size)
{
    uintptr_t line = (uintptr_t)at / CACHE_LINE * CACHE_LINE, end = (uintptr_t)at + size;
    for (; line < end; line += CACHE_LINE)
        __builtin_prefetch((const void *)line);
}
