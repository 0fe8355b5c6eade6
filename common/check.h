/*
 * ASSERT stays on in release builds. It is for programmer errors only, one condition each: never for input,
 * peers or memory.
 */
#pragma once

#include <stdlib.h>

#define ASSERT(condition)                                                                                     \
    do {                                                                                                      \
        if (__builtin_expect(!(condition), 0))                                                                \
            abort();                                                                                          \
    } while (0)
