/* Where a target stands by its score; candidates have scores from 0. */
#pragma once

#include <stdint.h>

/* Expected place from 0 of the target among the candidates, ties shared; and its part of being within the first k. */
double rank_of(const float *scores, uint32_t count, uint32_t target);
double hit_at(const float *scores, uint32_t count, uint32_t target, uint32_t k);
