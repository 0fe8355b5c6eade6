/* Events from a file into logs in memory: what backtest and digest fold. */
#pragma once

#include "common/err.h"
#include "server/worker/memory_log.h"

/*
 * One JSON object a line: {"timestamp":MS,"key":"u_88","value":{…}}; lines of another topic carry "topic". A value that
 * is a string is appended as it is (how malformed events are kept in a file). Answers how many were appended, -1 with errno
 * when the file cannot be read to its end; a line that is not of this shape is reported on standard error and counted in *out_bad.
 */
int64_t replay_file(struct memory_cluster *c, const char *path, uint64_t *out_bad);
