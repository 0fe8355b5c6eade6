/*
 * What every fuzz target shares: inputs are made by the target, taken from its corpus (tests/fuzz/corpus/NAME), and
 * damaged. Input i of a seed is always the same. A target fails by crashing, by FUZZ_CHECK, by taking more than
 * ten seconds of CPU with 99 others, or by asking for more memory for one input than it may; the input is then in $TMPDIR or /tmp, in
 * sluice-fuzz-NAME.
 */
#pragma once

#include "common/bytes.h"

struct fuzz_target {
    const char *name;
    size_t size_max;     /* of an input */
    size_t memory_base;  /* bytes that one input may ask for, and as many times its size */
    size_t memory_factor;
    void (*make)(struct writer *out);       /* a good input; NULL: the corpus alone */
    bool (*run)(struct slice input);        /* whether it was accepted */
    bool (*lacked_memory)(void);            /* whether the last was refused for want of memory, and so by name; NULL: never */
    bool timed;                             /* the verdict also depends on when bytes arrive */
};

extern const struct fuzz_target fuzz_target;

uint64_t fuzz_draw(uint64_t below); /* 0 when below is 0 */
void fuzz_fail(const char *file, int line, const char *what) __attribute__((noreturn));

#define FUZZ_CHECK(condition) ((condition) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #condition))

/* Of any number of bits, or beside a power of two. */
static inline uint64_t fuzz_draw_odd(void)
{
    uint64_t bits = fuzz_draw(65), any = fuzz_draw(UINT64_MAX) >> fuzz_draw(64);
    return fuzz_draw(2) ? any : (bits < 64 ? 1ull << bits : 0) - fuzz_draw(3);
}
