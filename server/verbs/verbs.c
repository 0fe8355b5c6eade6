#include "server/verbs/verb.h"

#include <stddef.h>

const struct verb verbs[] = {
    {"simulate", "write simulated events to Kafka or a file, and act on what comes back", simulate_usage, verb_simulate},
    {"version", "print the version", "sluice version\n\nPrints the version of this binary.\n\nExample:\n  sluice version\n", verb_version},
    {"backtest", "fold a file of events in memory and print what came out",
     "sluice backtest FILE [--digest]\n\nFolds a file of events (one JSON object a line: timestamp, key, value) through all stages, without\n"
     "Kafka or Redis. Prints the counters; with --digest also the digest of every task's state.\n\nExample:\n"
     "  sluice backtest events.jsonl --digest\n",
     verb_backtest},
    {NULL, NULL, NULL, NULL},
};
