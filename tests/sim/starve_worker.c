/*
 * Whole workers of the simulation, each request for memory of theirs refused (lib/starve.h), and no other fault. A worker
 * ends in the middle of whatever it did: what it had sent arrives in part, it is never heard of again, and another
 * takes its place on the same logs and slots. Then, as in every run of the simulation, lag must reach zero and the
 * state of every task must be what straight folds of the logs give.
 *
 *   starve_worker [SPREAD]
 *
 * Calls into the worker and of its ports are wrapped by the linker (tests/meson.build): only what the worker itself asks
 * for is refused, what log and store in memory ask for belongs to other processes. Memory that passes from one side to
 * the other makes the count of leaks useless; the suite valgrind looks for them.
 */
#include "common/check.h"
#include "common/log.h"
#include "tests/lib/heap.h"
#include "tests/lib/starve.h"
#include "tests/sim/sim.h"

#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define SEEDS 4
#define STEPS 120

static struct {
    sigjmp_buf out;
    bool inside, died;
    struct worker *ended; /* its process has: nothing reaches it any more */
} process;

static void on_abort(int number)
{
    if (process.inside)
        siglongjmp(process.out, 1);
}

/* Runs the call as the process of worker `w`; that process may end in it. */
#define IN_PROCESS(w, call)                                                                                   \
    do {                                                                                                      \
        process.inside = true;                                                                                \
        if (sigsetjmp(process.out, 1) == 0) {                                                                 \
            heap_watch.paused = false;                                                                        \
            call;                                                                                             \
        } else {                                                                                              \
            process.died = true;                                                                              \
            process.ended = (w);                                                                              \
        }                                                                                                     \
        heap_watch.paused = true;                                                                             \
        process.inside = false;                                                                               \
    } while (0)

/* The same for a function of the worker that answers nothing: declares what the linker calls the real one and the wrapped. */
#define WRAP(name, parameters, arguments)                                                                     \
    void __real_##name parameters;                                                                            \
    void __wrap_##name parameters;                                                                            \
    void __wrap_##name parameters                                                                             \
    {                                                                                                         \
        if (w && w != process.ended)                                                                          \
            IN_PROCESS(w, __real_##name arguments);                                                           \
    }

WRAP(worker_destroy, (struct worker *w), (w))
WRAP(worker_assigned, (struct worker *w, const struct topic_partition *list, size_t count, int64_t now_ms), (w, list, count, now_ms))
WRAP(worker_records, (struct worker *w, struct record *records, size_t count, int64_t now_ms), (w, records, count, now_ms))
WRAP(worker_table_record, (struct worker *w, struct record *record, int64_t now_ms), (w, record, now_ms))
WRAP(worker_tables_ready, (struct worker *w), (w))
WRAP(worker_acknowledged, (struct worker *w, void *opaque, enum err err, int64_t offset), (w, opaque, err, offset))
WRAP(worker_stored, (struct worker *w, struct store_request *request, int64_t now_ms), (w, request, now_ms))
WRAP(worker_views_read, (struct worker *w, struct view_read *read, int64_t now_ms), (w, read, now_ms))
WRAP(worker_reload, (struct worker *w, const struct worker_settings *settings), (w, settings))

int64_t __real_worker_turn(struct worker *w, int64_t now_ms);
int64_t __wrap_worker_turn(struct worker *w, int64_t now_ms);
int64_t __wrap_worker_turn(struct worker *w, int64_t now_ms)
{
    if (w && w != process.ended)
        IN_PROCESS(w, __real_worker_turn(w, now_ms));
    return now_ms;
}

struct worker *__real_worker_create(const struct worker_settings *settings, const struct log_port *log, const struct store_port *store, uint64_t seed);
struct worker *__wrap_worker_create(const struct worker_settings *settings, const struct log_port *log, const struct store_port *store, uint64_t seed);
struct worker *__wrap_worker_create(const struct worker_settings *settings, const struct log_port *log, const struct store_port *store, uint64_t seed)
{
    struct worker *volatile w = NULL;
    IN_PROCESS(NULL, w = __real_worker_create(settings, log, store, seed));
    return w;
}

/* What a port asks for is not the worker's. */
static enum err (*produce)(void *self, const struct outgoing *out);
static void (*submit)(void *self, struct store_request *request);
static void (*write_view)(void *self, const struct view_write *write);

static enum err outside_produce(void *self, const struct outgoing *out)
{
    heap_watch.paused = true;
    enum err err = produce(self, out);
    heap_watch.paused = false;
    return err;
}

static void outside_submit(void *self, struct store_request *request)
{
    heap_watch.paused = true;
    submit(self, request);
    heap_watch.paused = false;
}

static void outside_write_view(void *self, const struct view_write *write)
{
    heap_watch.paused = true;
    write_view(self, write);
    heap_watch.paused = false;
}

void __real_client_begin(struct client *c, struct kafka *k, io_step *step, void *arg);
void __wrap_client_begin(struct client *c, struct kafka *k, io_step *step, void *arg);
void __wrap_client_begin(struct client *c, struct kafka *k, io_step *step, void *arg)
{
    __real_client_begin(c, k, step, arg);
    produce = c->port.produce;
    c->port.produce = outside_produce;
}

void __real_link_begin(struct link *l, struct redis *r, io_step *step, void *arg);
void __wrap_link_begin(struct link *l, struct redis *r, io_step *step, void *arg);
void __wrap_link_begin(struct link *l, struct redis *r, io_step *step, void *arg)
{
    __real_link_begin(l, r, step, arg);
    submit = l->port.submit;
    write_view = l->port.write_view;
    l->port.submit = outside_submit;
    l->port.write_view = outside_write_view;
}

/* Lists are pushed, whatever the seed drew. */
void __real_traffic_begin(struct sim *s);
void __wrap_traffic_begin(struct sim *s);
void __wrap_traffic_begin(struct sim *s)
{
    s->settings.push.enabled = true;
    s->settings.push.view_ms = 50;
    __real_traffic_begin(s);
}

static void bury(struct sim *s, struct member *m)
{
    if (!m->worker || m->worker != process.ended)
        return;
    member_crash(s, m, 2);
    group_rebalance(s);
}

void __real_member_drive(struct sim *s, struct member *m, size_t records, size_t answers);
void __wrap_member_drive(struct sim *s, struct member *m, size_t records, size_t answers);
void __wrap_member_drive(struct sim *s, struct member *m, size_t records, size_t answers)
{
    bury(s, m);
    __real_member_drive(s, m, records, answers);
    bury(s, m);
}

static struct sim sim;

static enum starve_result run(void *arg)
{
    int64_t pieces = heap_watch.pieces;
    process.died = false;
    process.ended = NULL;
    bool right = sim_run(&sim, arg, NULL);
    if (!right)
        dprintf(STDOUT_FILENO, "without request %llu: %s\n", (unsigned long long)heap_watch.refuse, sim.why);
    heap_watch.pieces = pieces;
    return !right || (process.died && !starve_line_stands()) ? STARVE_WRONG : process.died ? STARVE_ENDED : STARVE_RIGHT;
}

int main(int argc, char **argv)
{
    struct starved sum = {.spread = argc > 1 ? strtoull(argv[1], NULL, 10) : 0};
    heap_watch.paused = true;
    json_set_alloc_funcs(memory_take, free); /* as in main.c */
    log_set_level((enum log_level)(LOG_ERROR + 1)); /* nothing but the last line of a process */
    signal(SIGABRT, on_abort);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct schedule schedule = {.seed = seed, .steps = STEPS};
        char name[32];
        snprintf(name, sizeof name, "seed %llu", (unsigned long long)seed);
        starve(name, run, &schedule, &sum);
    }
    sim_fini(&sim);
    return starved_report("worker", &sum);
}
