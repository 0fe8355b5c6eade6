#pragma once

#include "server/io/daemon.h"

/* Users, counters and neighbours of all tasks, one JSON line each, on standard output. False: some were not readable. */
bool dump_state(const struct daemon_settings *settings);
