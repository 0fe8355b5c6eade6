/*
 * The closed loop in one process and on virtual time: the simulated world, and a whole worker (every stage, the same
 * code as the daemon's) between a log and a store in memory. As fast as the processor allows; the same settings and
 * seed give the same findings.
 */
#pragma once

#include "server/simulate/report.h"
#include "server/worker/worker_settings.h"

#include <signal.h>
#include <stdio.h>

struct loop_settings {
    struct world_settings world;
    const struct worker_settings *worker; /* borrowed */
    struct report_settings predictions;
    double seconds;                       /* simulated */
    FILE *record;                         /* NULL, or where events, catalog, lists and weights are written, a line each */
    uint32_t step_ms;                     /* virtual time between two turns of the worker; 50 */
};

struct loop;

struct loop *loop_create(const struct loop_settings *settings);
void loop_destroy(struct loop *l);
/* Runs to the end, or until *stopped is set. False: the worker halted a task, or not everything could be recorded. */
bool loop_run(struct loop *l, const volatile sig_atomic_t *stopped);
const struct world *loop_world(const struct loop *l);
struct findings loop_findings(const struct loop *l);
