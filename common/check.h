/*
 * What must hold for the process to go on: programmer errors, and memory that is there when it is asked for. Else it
 * writes one log line and aborts; the daemon is crash-only, and its state is exact after a restart. Never for input or peers.
 * Who asks for memory asserts in the next lines that it got some (tests/README.md says who refuses what, and what holds it).
 */
#pragma once

#include <stdlib.h>

#define ASSERT(condition)                                                                                     \
    do {                                                                                                      \
        if (__builtin_expect(!(condition), 0))                                                                \
            assert_failed(__FILE__, __LINE__, #condition);                                                    \
    } while (0)

void assert_failed(const char *file, int line, const char *condition) __attribute__((noreturn, cold));

/* malloc() and realloc() that answer memory or do not return; for libraries that go on without. */
void *memory_take(size_t size);
void *memory_more(void *old, size_t size);
