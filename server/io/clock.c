#include "server/io/clock.h"

#include <time.h>

static int64_t read_us(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t steady_clock_ms(struct steady_clock *c)
{
    int64_t wall = read_us(CLOCK_REALTIME), monotonic = read_us(CLOCK_MONOTONIC);
    int64_t slowed = c->now_us + (monotonic - c->monotonic_us) / 2;
    c->now_us = wall > slowed ? wall : slowed;
    c->monotonic_us = monotonic;
    return c->now_us / 1000;
}
