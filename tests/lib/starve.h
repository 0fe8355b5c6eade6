/*
 * An operation, once for every request for memory that it makes, with that one refused. Allowed is: it goes on, with
 * the right result and nothing leaked; it refuses, names the cause and leaks nothing; or the process ends as check.h
 * says, by SIGABRT with one line that names the cause. A crash, another result, a leak, an end without that line:
 * `bad`, and said on standard error.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum starve_result {
    STARVE_WRONG,
    STARVE_RIGHT,
    STARVE_REFUSED, /* what was asked for was not done, and the caller told that memory is missing */
    STARVE_ENDED    /* a process that the operation plays has ended with its line, and the result is right all the same */
};

/*
 * A place is a chain of calls that ends in a request for memory. With `spread` (0: no choice, every request is refused)
 * an operation is tried without the first request of each place that no operation before it had, and without
 * that many others, evenly spread over it.
 */
struct starved {
    uint64_t spread;
    uint64_t requests, places, tried, ended, went_on, refused, bad;
    uint64_t missed; /* this time there was no request of that number, so nothing was refused: only where timing decides */
};

/* It runs twice unhindered before: for what is made only once, and to count. */
void starve(const char *name, enum starve_result (*operation)(void *arg), void *arg, struct starved *sum);
/* Within an operation: the line of the end is written. */
bool starve_line_stands(void);
/* Within an operation: standard error has these words. */
bool starve_said(const char *what);
/* Prints the sums; the exit code. */
int starved_report(const char *name, const struct starved *sum);
