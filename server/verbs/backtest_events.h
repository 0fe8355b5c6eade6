/* backtest --events: rank, then learn, over a user's own log; backtest --ope: what other settings would have earned. */
#pragma once

#include "server/settings/settings.h"

struct backtest_events {
    const char *path, *interest, *within; /* as given; NULL: the defaults */
    const char *compare;                  /* a second configuration; NULL: none */
    bool json;
};

struct backtest_ope {
    const char *path, *reward, *places, *clip, *within; /* likewise */
    bool traffic; /* its weights, not the lists */
    bool json;
};

int backtest_ope(const struct backtest_ope *b, const struct settings *settings);
int backtest_events(const struct backtest_events *b, const struct settings *settings);
