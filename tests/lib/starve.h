/*
 * An operation, once for every request for memory that it makes, with that one refused. Allowed is: it goes on, with
 * the right result and nothing leaked; or the process ends as check.h says, by SIGABRT with one line that names the cause.
 * A crash, another result, a leak, an end without that line: `bad`, and said on standard error.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct starved {
    uint64_t requests, ended, went_on, bad;
};

/* `operation` answers whether its result is right; it runs once unhindered before, for what is made only once. */
void starve(const char *name, bool (*operation)(void *arg), void *arg, struct starved *sum);
/* Prints the sums; the exit code. */
int starved_report(const char *name, const struct starved *sum);
