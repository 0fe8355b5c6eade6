#include "server/verbs/verb.h"

#include <stddef.h>

const struct verb verbs[] = {
    {"simulate", "write simulated events to Kafka or a file, and act on what comes back", simulate_usage, verb_simulate},
    {"version", "print the version", "sluice version\n\nPrints the version of this binary.\n\nExample:\n  sluice version\n", verb_version},
    {NULL, NULL, NULL, NULL},
};
