#include "server/worker/ports.h"

const char *const stage_names[STAGES] = {"profile", "entity", "allocation", "learner"};

const char *const topic_defaults[TOPICS] = {
    "live.events",   "sluice.effects", "sluice.rollups",        "sluice.samples", "live.catalog", "sluice.models", "live.control", "live.recommendations",
    "live.traffic",  "live.traffic.snapshot", "live.segments",  "live.hosts",     "live.alerts",  "live.deadletter",
};
