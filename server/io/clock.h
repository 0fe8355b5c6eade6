/* The daemon's time: UTC milliseconds that never run backwards. */
#pragma once

#include <stdint.h>

/*
 * Follows the wall clock forwards at once. When the wall clock is set back, runs at half speed until it has caught up,
 * so that nothing in the worker ever sees time stand still or turn.
 */
struct steady_clock {
    int64_t now_us;
    int64_t monotonic_us;
};

int64_t steady_clock_ms(struct steady_clock *c);
