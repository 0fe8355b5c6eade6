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
/* Answers the option's value and removes both, or NULL. */
const char *take_option(int *argc, char **argv, const char *name);
bool take_flag(int *argc, char **argv, const char *name);
/* True when nothing is left over but at most `operands` operands; else says so. */
bool is_all_taken(int argc, char **argv, int operands);
