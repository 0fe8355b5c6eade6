/*
 * The simulation (tests/run --suite sim): seeds side by side in two processes, a table of what struck, one line of
 * verdict. A seed that fails prints its schedule as it is and as small as it can be made while it still fails; put the
 * small one into tests/sim/regressions, which every run tries first.
 *
 *   sim [--seeds N] [--from S] [--regressions FILE] [--schedule LINE]
 */
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

static void remove_strike(struct schedule *s, int i)
{
    memmove(s->strikes + i, s->strikes + i + 1, (size_t)(--s->count - i) * sizeof *s->strikes);
}

/* Drops every fault, and cuts every tail, without which it still fails. */
static void shrink(struct sim *s, struct schedule *schedule)
{
    for (int steps = schedule->steps / 2; steps > 0; steps /= 2)
        while (schedule->steps > steps) {
            struct schedule less = *schedule;
            less.steps -= steps;
            if (sim_run(s, &less, NULL))
                break;
            *schedule = less;
        }
    for (int i = schedule->count - 1; i >= 0; i--) {
        struct schedule less = *schedule;
        remove_strike(&less, i);
        if (!sim_run(s, &less, NULL))
            *schedule = less;
    }
}

static void print_failure(struct sim *s, struct schedule *schedule)
{
    printf("seed %llu: %s\n  schedule: ", (unsigned long long)schedule->seed, s->why);
    schedule_print(schedule);
    shrink(s, schedule);
    sim_run(s, schedule, NULL);
    printf("  shrunk:   ");
    schedule_print(schedule);
    printf("            %s\n", s->why);
    fflush(stdout);
}

struct process {
    struct totals totals;
    uint64_t seed; /* under way: the one to look at when the process dies */
};

static void run_seeds(uint64_t from, uint64_t seeds, int number, struct process *process)
{
    struct totals *totals = &process->totals;
    struct sim *s = calloc(1, sizeof *s);
    for (uint64_t i = (uint64_t)number; i < seeds; i += PROCESSES) {
        struct schedule schedule;
        process->seed = from + i;
        schedule_draw(&schedule, from + i);
        if (!sim_run(s, &schedule, totals) && totals->diverged <= FAILURES_PRINTED)
            print_failure(s, &schedule);
    }
    sim_fini(s);
    free(s);
}

static uint64_t run_lines(FILE *file, uint64_t *out_lines)
{
    struct sim *s = calloc(1, sizeof *s);
    char line[8192];
    uint64_t failed = 0;
    while (fgets(line, sizeof line, file)) {
        struct schedule schedule;
        if (line[0] == '#' || line[0] == '\n')
            continue;
        ++*out_lines;
        if (schedule_parse(&schedule, line) && sim_run(s, &schedule, NULL))
            continue;
        failed++;
        printf("%s  %s\n", line, s->why);
    }
    sim_fini(s);
    free(s);
    return failed;
}

static void print_table(const struct totals *t)
{
    uint64_t struck = 0;
    double seeds = t->seeds ? (double)t->seeds : 1;
    printf("%-16s %10s %10s\n", "fault", "a seed", "in all");
    for (int f = 0; f < FAULTS; f++) {
        printf("%-16s %10.2f %10llu\n", fault_names[f], (double)t->struck[f] / seeds, (unsigned long long)t->struck[f]);
        struck += t->struck[f];
    }
    for (int i = 0; i < TOPIC_INPUTS; i++)
        printf("%-16s %10.2f %10llu\n", topic_defaults[i], (double)t->records[i] / seeds, (unsigned long long)t->records[i]);
    printf("%-16s %10.2f %10llu\n%-16s %10.2f %10llu\n%-16s %10.2f %10llu\n", "workers", (double)t->members / seeds,
           (unsigned long long)t->members, "rewinds", (double)t->rewinds / seeds, (unsigned long long)t->rewinds,
           "conflicts", (double)t->conflicts / seeds, (unsigned long long)t->conflicts);
    for (int h = 1; h < HALTS; h++)
        if (t->halts[h])
            printf("halt %-16s %5.3f %10llu\n", halt_names[h], (double)t->halts[h] / seeds, (unsigned long long)t->halts[h]);
    printf("means of a seed: %.1f faults, %.1f workers started, %.0f events; %llu seeds with fewer than %d events\n",
           (double)struck / seeds, (double)t->members / seeds, (double)t->records[TOPIC_EVENTS] / seeds, (unsigned long long)t->poor, EVENTS_LEAST);
    printf("%llu seeds, %llu faults, %llu diverged\n", (unsigned long long)t->seeds, (unsigned long long)struck,
           (unsigned long long)t->diverged);
}

static void add(struct totals *sum, const struct totals *t)
{
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)t;
    for (size_t i = 0; i < sizeof *sum / sizeof *to; i++)
        to[i] += from[i];
}

/* False: a process died, which no seed may bring about. */
static bool run_all(uint64_t from, uint64_t seeds, struct totals *sum)
{
    struct process *each = mmap(NULL, PROCESSES * sizeof *each, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t children[PROCESSES];
    bool well = each != MAP_FAILED;
    fflush(stdout);
    for (int i = 0; i < PROCESSES && well; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            run_seeds(from, seeds, i, &each[i]);
            exit(0);
        }
        well = children[i] > 0;
    }
    for (int i = 0, status; i < PROCESSES && each != MAP_FAILED && children[i] > 0; i++) {
        bool ended = waitpid(children[i], &status, 0) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
        if (!ended)
            printf("seed %llu: the process died\n", (unsigned long long)each[i].seed);
        well &= ended;
        add(sum, &each[i].totals);
    }
    return well;
}

int main(int argc, char **argv)
{
    uint64_t seeds = 200, from = 1, lines = 0, failed = 0;
    FILE *file = NULL;
    struct totals sum = {0};
    log_set_level((enum log_level)(LOG_ERROR + 1));
    mallopt(M_MMAP_THRESHOLD, 1 << 28);
    mallopt(M_TRIM_THRESHOLD, 1 << 28);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seeds") == 0)
            seeds = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--from") == 0)
            from = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--regressions") == 0)
            file = fopen(argv[i + 1], "r");
        else if (strcmp(argv[i], "--schedule") == 0)
            file = fmemopen(argv[i + 1], strlen(argv[i + 1]), "r"), seeds = 0;
    }
    if (file) {
        failed = run_lines(file, &lines);
        fclose(file);
        printf("%llu schedules of earlier failures, %llu fail\n", (unsigned long long)lines, (unsigned long long)failed);
    }
    bool well = seeds == 0 || run_all(from, seeds, &sum);
    print_table(&sum);
    return !well || failed || sum.diverged || sum.poor;
}
