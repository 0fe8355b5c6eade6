/* Runs a world in time: against Kafka at a given speed with what comes back, or into a file as fast as it goes. */
#pragma once

#include "server/simulate/report.h"

#define SIMULATED_START_MS 1732370000000 /* where time begins when nothing else says so */

struct drive_settings {
    struct world_settings world; /* start_ms 0: now for Kafka, a fixed day for a file */
    const char *brokers;         /* NULL: to a file */
    const char *file;            /* "-": standard output */
    double seconds;              /* simulated; 0: until a signal */
    double speed;                /* simulated seconds a real one; Kafka only */
    struct report_settings predictions;
    bool report;
    bool json;
    /* Reference stream instead of a world: */
    uint64_t reference; /* so many events */
    const char *topic;  /* for them */
};

/* Answer exit codes. */
int drive_world(const struct drive_settings *settings);
int drive_reference(const struct drive_settings *settings);
