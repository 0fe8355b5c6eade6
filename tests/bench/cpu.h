/* The clock of the benchmarks. */
#pragma once

#include <time.h>

/* CPU of the process so far, all threads. */
static inline double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static inline double cpu_s(void)
{
    return cpu_ns() / 1e9;
}
