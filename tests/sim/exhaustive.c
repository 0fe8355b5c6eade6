/*
 * Every I/O operation of a reference run (a record sent, a request to a slot) is the place of a fault, one after the
 * other: the process dies before it, dies when it is carried out, lives and is told that it failed, or sleeps while
 * others take over. Then every pair of such places on a short run. After each, lag must reach zero and the state must be
 * what the logs give (tests/run --suite exhaustive). Ends with one line: N operations, M runs, K diverged.
 *
 *   exhaustive [--runs N] [--steps N] [--pair-steps N]
 */
#include "common/check.h"
#include "common/log.h"
#include "tests/sim/sim.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES 2
#define FAILURES_PRINTED 5

static const char *const mode_names[CRASH_MODES] = {"never", "crash before", "crash after", "acknowledgement lost", "sleep after"};

struct count {
    uint64_t operations, runs, diverged;
};

static void run(struct sim *s, const struct schedule *schedule, const struct crash_point *points, int n, struct count *count)
{
    count->runs++;
    if (sim_run_points(s, schedule, points, n) || count->diverged++ >= FAILURES_PRINTED)
        return;
    printf("seed %llu, %d steps:", (unsigned long long)schedule->seed, schedule->steps);
    for (int i = 0; i < n; i++)
        printf(" %s operation %llu%s", mode_names[points[i].mode], (unsigned long long)points[i].operation, i + 1 < n ? "," : "");
    printf(": %s\n", s->why);
}

/* How many operations the run has when nothing goes wrong. */
static uint64_t operations_of(struct sim *s, const struct schedule *schedule, struct count *count)
{
    const struct crash_point none = {.mode = CRASH_NEVER};
    run(s, schedule, &none, 1, count);
    return s->operations;
}

static void each_place(struct sim *s, const struct schedule *schedule, int process, struct count *count)
{
    uint64_t operations = operations_of(s, schedule, count);
    count->operations += process == 0 ? operations : 0;
    for (uint64_t o = 1 + (uint64_t)process; o <= operations; o += PROCESSES)
        for (int mode = CRASH_BEFORE; mode < CRASH_MODES; mode++)
            run(s, schedule, &(struct crash_point){o, (enum crash_mode)mode}, 1, count);
}

static void each_pair(struct sim *s, const struct schedule *schedule, int process, struct count *count)
{
    uint64_t operations = operations_of(s, schedule, count);
    count->operations += process == 0 ? operations : 0;
    for (uint64_t a = 1 + (uint64_t)process; a < operations; a += PROCESSES)
        for (uint64_t b = a + 1; b <= operations; b++)
            for (int mode = 0; mode < (CRASH_MODES - 1) * (CRASH_MODES - 1); mode++) {
                const struct crash_point points[2] = {{a, (enum crash_mode)(1 + mode % (CRASH_MODES - 1))},
                                                      {b, (enum crash_mode)(1 + mode / (CRASH_MODES - 1))}};
                run(s, schedule, points, 2, count);
            }
}

struct plan {
    uint64_t runs;
    int steps, pair_steps;
};

static void work(const struct plan *plan, int process, struct count *singles, struct count *pairs)
{
    struct sim *s = calloc(1, sizeof *s);
    ASSERT(s);
    for (uint64_t i = 0; i < plan->runs; i++)
        each_place(s, &(struct schedule){.seed = 1 + i, .steps = plan->steps}, process, singles);
    each_pair(s, &(struct schedule){.seed = 1, .steps = plan->pair_steps, .small = true}, process, pairs);
    sim_fini(s);
    free(s);
    exit(0);
}

static void add(struct count *sum, const struct count *c)
{
    sum->operations += c->operations;
    sum->runs += c->runs;
    sum->diverged += c->diverged;
}

int main(int argc, char **argv)
{
    struct plan plan = {.runs = 8, .steps = 60, .pair_steps = 8};
    struct count (*counts)[2] = mmap(NULL, PROCESSES * sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct count sums[2] = {{0}};
    int died = 0;
    ASSERT(counts != MAP_FAILED);
    log_set_level((enum log_level)(LOG_ERROR + 1));
    mallopt(M_MMAP_THRESHOLD, 1 << 28);
    mallopt(M_TRIM_THRESHOLD, 1 << 28);
    for (int i = 1; i + 1 < argc; i += 2)
        if (strcmp(argv[i], "--runs") == 0)
            plan.runs = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--steps") == 0)
            plan.steps = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--pair-steps") == 0)
            plan.pair_steps = atoi(argv[i + 1]);
    for (int i = 0; i < PROCESSES; i++) {
        pid_t child = fork();
        ASSERT(child >= 0);
        if (child == 0)
            work(&plan, i, &counts[i][0], &counts[i][1]);
    }
    for (int i = 0, status; i < PROCESSES; i++)
        died += wait(&status) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    for (int i = 0; i < PROCESSES; i++)
        for (int k = 0; k < 2; k++)
            add(&sums[k], &counts[i][k]);
    if (died)
        printf("a process died\n");
    for (int k = 0; k < 2; k++)
        printf("%-7s %6llu operations, %8llu runs, %llu diverged\n", k ? "pairs" : "singles", (unsigned long long)sums[k].operations,
               (unsigned long long)sums[k].runs, (unsigned long long)sums[k].diverged);
    add(&sums[0], &sums[1]);
    printf("%llu operations, %llu runs, %llu diverged\n", (unsigned long long)sums[0].operations, (unsigned long long)sums[0].runs,
           (unsigned long long)sums[0].diverged);
    return died || sums[0].diverged || sums[0].operations == 0;
}
