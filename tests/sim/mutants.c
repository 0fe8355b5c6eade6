/*
 * Does the simulation see what it should? (tests/run --suite mutants) Plants one bug after the other and runs seeds until
 * one fails. Ends with one line: K of N caught.
 *
 *   mutants [--seeds N] [--only NAME]
 */
#include "tests/sim/mutants.h"

#include "common/check.h"
#include "common/log.h"
#include "server/worker/cut.h"
#include "server/worker/worker_internal.h"
#include "tests/sim/sim.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum mutant mutant_planted;

static enum mutant planted; /* while the reference folds run */

void mutants_sleep(void)
{
    planted = mutant_planted;
    mutant_planted = MUTANT_none;
}

void mutants_wake(void)
{
    mutant_planted = planted;
}

static const struct {
    const char *name;
    int rule;
    const char *text;
} rows[MUTANT_COUNT] = {
#define MUTANT_ROW(name, rule, text) [MUTANT_##name] = {#name, rule, text},
    MUTANTS_EACH(MUTANT_ROW)
#undef MUTANT_ROW
};

/* The cut's blobs as its cells are now, which is later than where it was cut. */
void mutant_serialise(struct task *t, struct cut *cut)
{
    struct store_request *r = &cut->request;
    struct writer bytes = {0};
    size_t ends[1024], count = r->blob_count < 1024 ? r->blob_count : 1024;
    for (size_t i = 0; i < count; i++) {
        const struct blob *b = &r->blobs[i];
        size_t at = 0;
        struct map_slot slot;
        struct cell *cell = NULL;
        while (!cell && map_next(&t->cells.by_local, &at, &slot)) {
            struct cell *c = slot.value;
            cell = c->key.class == b->key.class && c->key.id == b->key.id && c->object ? c : NULL;
        }
        if (cell)
            t->ops->encode(t, cell, &bytes);
        else
            put_bytes(&bytes, b->value.at, b->value.size);
        ends[i] = bytes.size;
    }
    put_bytes(&bytes, r->position.at, r->position.size);
    for (size_t i = 0, from = 0; i < count; from = ends[i++])
        r->blobs[i].value = (struct slice){(const char *)bytes.data + from, (uint32_t)(ends[i] - from)};
    r->position.at = (const char *)bytes.data + (count ? ends[count - 1] : 0);
    writer_fini(&cut->bytes);
    cut->bytes = bytes;
}

/* Acknowledgements of abandoned attempts that are still to come, of tasks of workers. */
static struct {
    const struct worker *worker;
    enum stage stage;
    int32_t partition;
    uint32_t count;
} stale[64];

static uint32_t *stale_of(const struct task *t)
{
    size_t i = 0;
    while (i < sizeof stale / sizeof *stale - 1 && stale[i].worker &&
           !(stale[i].worker == t->worker && stale[i].stage == t->ops->stage && stale[i].partition == t->partition))
        i++;
    stale[i].worker = t->worker;
    stale[i].stage = t->ops->stage;
    stale[i].partition = t->partition;
    return &stale[i].count;
}

void mutant_remember(const struct task *t, const struct cut *cut)
{
    *stale_of(t) += cut->outstanding;
}

bool mutant_is_covered(const struct task *t)
{
    uint32_t *count = stale_of(t);
    bool covered = *count > 0;
    *count -= covered;
    return covered;
}

int64_t mutant_group_offset(const struct task *t)
{
    const struct client *client = t->worker->log->self;
    int64_t offset = client->kafka->group_offset[t->ops->stage][t->partition];
    return offset < 0 ? t->position.next : offset;
}

struct verdict {
    uint64_t seed; /* that caught it, or is under way */
    bool caught;
    char why[160];
};

static void try_seeds(struct verdict *v, uint64_t seeds)
{
    struct sim *s = calloc(1, sizeof *s);
    ASSERT(s);
    for (v->seed = 1; v->seed <= seeds && !v->caught; v->seed++) {
        struct schedule schedule;
        memset(stale, 0, sizeof stale);
        schedule_draw(&schedule, v->seed);
        v->caught = !sim_run(s, &schedule, NULL);
        snprintf(v->why, sizeof v->why, "%.150s", s->why);
    }
    v->seed -= v->caught;
    exit(0);
}

#define PROCESSES 2

/* A process of its own each, as a planted bug may well crash it; that is caught too. */
static void try_all(struct verdict *verdicts, uint64_t seeds, const char *only)
{
    pid_t children[MUTANT_COUNT] = {0};
    int running = 0;
    for (int m = 1; m < MUTANT_COUNT || running > 0;) {
        if (m < MUTANT_COUNT && only && strcmp(only, rows[m].name) != 0) {
            m++;
            continue;
        }
        if (m < MUTANT_COUNT && running < PROCESSES) {
            children[m] = fork();
            ASSERT(children[m] >= 0);
            if (children[m] == 0) {
                mutant_planted = (enum mutant)m;
                try_seeds(&verdicts[m], seeds);
            }
            running++;
            m++;
            continue;
        }
        int status;
        pid_t child = wait(&status);
        for (int k = 1; k < MUTANT_COUNT; k++)
            if (children[k] == child && !(WIFEXITED(status) && WEXITSTATUS(status) == 0)) {
                verdicts[k].caught = true;
                snprintf(verdicts[k].why, sizeof verdicts[k].why, "the process died");
            }
        running--;
    }
}

int main(int argc, char **argv)
{
    uint64_t seeds = 1000;
    const char *only = NULL;
    int caught = 0, tried = 0;
    struct verdict *verdicts = mmap(NULL, MUTANT_COUNT * sizeof *verdicts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT(verdicts != MAP_FAILED);
    log_set_level((enum log_level)(LOG_ERROR + 1));
    mallopt(M_MMAP_THRESHOLD, 1 << 28);
    mallopt(M_TRIM_THRESHOLD, 1 << 28);
    for (int i = 1; i + 1 < argc; i += 2)
        if (strcmp(argv[i], "--seeds") == 0)
            seeds = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--only") == 0)
            only = argv[i + 1];
    try_all(verdicts, seeds, only);
    printf("%-22s %4s %6s  %-62s %s\n", "mutant", "rule", "seed", "what is wrong", "what the simulation said");
    for (int m = 1; m < MUTANT_COUNT; m++) {
        if (only && strcmp(only, rows[m].name) != 0)
            continue;
        const struct verdict *v = &verdicts[m];
        printf("%-22s %4d ", rows[m].name, rows[m].rule);
        if (v->caught)
            printf("%6llu  %-62s %s\n", (unsigned long long)v->seed, rows[m].text, v->why);
        else
            printf("%6s  %s\n", "-", rows[m].text);
        caught += v->caught;
        tried++;
    }
    printf("%d of %d caught\n", caught, tried);
    return caught != tried;
}
