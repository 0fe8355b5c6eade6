/* backtest --events: rank, then learn, over a user's own log. */
#pragma once

#include "server/settings/settings.h"

struct backtest_events {
    const char *path, *interest, *within; /* as given; NULL: the defaults */
    const char *compare;                  /* a second configuration; NULL: none */
    bool json;
};

int backtest_events(const struct backtest_events *b, const struct settings *settings);
