/* The whole test framework: a check prints where it failed and counts; main answers with the count. */
#pragma once

#include <stdio.h>
#include <string.h>

static int checks_failed;

#define CHECK(condition)                                                                                      \
    do {                                                                                                      \
        if (!(condition)) {                                                                                   \
            fprintf(stderr, "%s:%d: %s: not so: %s\n", __FILE__, __LINE__, __func__, #condition);             \
            checks_failed++;                                                                                  \
        }                                                                                                     \
    } while (0)

#define CHECK_INT(have, want)                                                                                 \
    do {                                                                                                      \
        long long have_ = (long long)(have), want_ = (long long)(want);                                       \
        if (have_ != want_) {                                                                                 \
            fprintf(stderr, "%s:%d: %s: %s is %lld, not %lld\n", __FILE__, __LINE__, __func__, #have, have_,  \
                    want_);                                                                                   \
            checks_failed++;                                                                                  \
        }                                                                                                     \
    } while (0)
