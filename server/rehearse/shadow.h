/*
 * The daemon without Kafka and Redis: a whole worker between a log and a store in memory, fed one record at a time on
 * the records' own time, so that it can be asked for a user's list at any moment. What it publishes is handed over.
 */
#pragma once

#include "server/rehearse/journal.h"
#include "server/worker/worker.h"

struct shadow;

struct shadow_hears {
    void *arg;
    void (*take)(void *arg, const struct record *r); /* an output, in the order they were sent; may be NULL */
    bool allocation; /* it runs too; else its log is dropped */
};

enum shadow_answer {
    SHADOW_APPLIED,   /* also an entry of the catalog, a control */
    SHADOW_DUPLICATE,
    SHADOW_REFUSED,   /* a dead letter: shadow_reason() */
    SHADOW_PASSED,    /* of a topic that is no input */
    SHADOW_STUCK,     /* the task halted: shadow_reason() */
};

struct shadow *shadow_create(const struct worker_settings *settings, const struct shadow_hears *hears);
void shadow_destroy(struct shadow *s);
/* Lets time pass up to the record's, and folds it. Records come in order of time; earlier ones are taken as of now. */
enum shadow_answer shadow_record(struct shadow *s, const struct journal_record *r);
/* An event is left to be folded as time passes, with what else comes in meanwhile, as the daemon does. */
void shadow_append(struct shadow *s, const struct journal_record *r);
/* Lets time pass up to a moment. */
void shadow_advance(struct shadow *s, int64_t now_ms);
const char *shadow_reason(const struct shadow *s);
struct worker *shadow_worker(struct shadow *s);
int64_t shadow_now_ms(const struct shadow *s);
/* Nanoseconds of CPU spent in the worker on records and time passing; asking is not in it. */
double shadow_cpu_ns(const struct shadow *s);
double process_cpu_ns(void); /* of all threads, since it began */
