/* The first start: headers and positions for every task. Blocking; for verbs. */
#pragma once

#include "server/io/daemon.h"

/*
 * Writes header and position of each task that has none; the origin is the start of its log, or its end when
 * `from_end`. Slots that have one already are left alone and counted in *out_existing. Waits at most `wait_ms` for
 * Kafka and Redis. ERR_TIMEOUT, ERR_CONFLICT (somebody else writes there), ERR_MEMORY (Redis has none left) or ERR_INVALID
 * (a setting is refused), each logged.
 */
MUST_CHECK enum err slots_init(const struct daemon_settings *settings, bool from_end, int wait_ms, int *out_written,
                               int *out_existing);
