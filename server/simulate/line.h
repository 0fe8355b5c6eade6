/* A record as one line of a file: what `sluice backtest` reads. */
#pragma once

#include "server/simulate/world.h"

#include <stdio.h>

struct line {
    const char *topic; /* NULL: live.events */
    int64_t offset;    /* -1: not said */
    const struct world_record *record;
};

/* A malformed value that is no JSON object stands as a string, a tombstone as null. False: not written. */
bool line_write(FILE *file, const struct line *l);
