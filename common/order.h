/* Sorting of a few: places by their keys. */
#pragma once

#include <stdint.h>

#define ORDER_MAX 64

/*
 * Places in descending order of their keys; equal ones stay in theirs. Each key is compared with all others, eight at a time and
 * without a branch: for so few that is faster than to move them about. `keys` has room for ORDER_MAX; what lies behind the
 * `count` is overwritten.
 */
static inline void order_of(int32_t keys[ORDER_MAX], uint32_t count, uint8_t *out)
{
    typedef int32_t four __attribute__((vector_size(16), aligned(4), may_alias));
    _Static_assert(ORDER_MAX % 8 == 0, "whole pairs of fours");
    uint64_t taken = 0;
    for (uint32_t i = count; i < ORDER_MAX && i % 8; i++)
        keys[i] = INT32_MIN;
    for (uint32_t i = 0; i < count; i++) {
        four sum = {0}, more = {0};
        for (uint32_t k = 0; k < count; k += 8) {
            sum -= *(const four *)&keys[k] > keys[i];
            more -= *(const four *)&keys[k + 4] > keys[i];
        }
        sum += more;
        uint32_t at = (uint32_t)(sum[0] + sum[1] + sum[2] + sum[3]);
        at += (uint32_t)__builtin_ctzll(~(taken >> at)); /* behind its equals */
        taken |= 1ull << at;
        out[at] = (uint8_t)i;
    }
}
