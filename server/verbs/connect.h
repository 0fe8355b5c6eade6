/* Where Kafka and Redis are: what the verbs that talk to them have in common. */
#pragma once

#include "server/settings/settings.h"

#define CONNECT_USAGE "[--config FILE] [--brokers LIST] [--redis LIST] [--prefix P] [--key-file FILE]"

/*
 * Defaults, then the file of --config, then the options of CONNECT_USAGE. What it does not know is left in
 * argv[1..*argc) for the caller. False when the configuration is refused (said on standard error); `out` is to be
 * finished with settings_fini() either way.
 */
bool connect_options(int *argc, char **argv, struct settings *out);
/* Answers the option's value and removes both, or NULL. What begins with "--" is no value. */
const char *take_option(int *argc, char **argv, const char *name);

struct number_option {
    const char *name;
    int64_t min, max;
};

/* The same for a whole number; *out is left alone without one. False when it is none or out of range (said on standard error). */
bool take_number(int *argc, char **argv, const struct number_option *o, int64_t *out);
bool take_flag(int *argc, char **argv, const char *name);
/* -o json; *out is left alone without it. False when -o asks for something else (said on standard error). */
bool take_json(int *argc, char **argv, bool *out);
/* True when nothing is left over but at most `operands` operands, the "--" before them removed; else says so. */
bool is_all_taken(int *argc, char **argv, int operands);
