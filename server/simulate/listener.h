/* Hands what sluice publishes to those who act on it: the world's users, and the report. */
#pragma once

#include "server/simulate/report.h"

enum heard { HEARD_RECOMMENDATIONS, HEARD_TRAFFIC, HEARD_SEGMENTS, HEARD_HOSTS, HEARD_ALERTS, HEARDS };

extern const char *const heard_topics[HEARDS + 1]; /* NULL-terminated */

struct listener {
    struct world *world;   /* borrowed, as is the report */
    struct report *report;
};

/* One record of that topic, received at virtual time `now_ms`; what does not look like one is passed over. */
void listener_take(const struct listener *l, enum heard topic, struct slice key, struct slice value, int64_t now_ms);
