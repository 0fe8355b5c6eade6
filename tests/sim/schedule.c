/* Drawing, printing and reading schedules. */
#include "common/hash.h"
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

static uint64_t next(uint64_t *random, uint64_t below)
{
    *random = hash_mix(*random + 0x9e3779b97f4a7c15u);
    return *random % below;
}

/*
 * Swarm testing (Groce et al., ISSTA 2012): each seed has a subset of the faults only, at rates of its own, so that one
 * kind does not always hide what another would show. Faults after which a task must halt are rare: at most one or two.
 */
void schedule_draw(struct schedule *s, uint64_t seed)
{
    uint64_t random = hash_mix(seed * 2 + 1);
    uint32_t weights[FAULTS] = {0}, sum = 0;
    *s = (struct schedule){.seed = seed, .steps = 260};
    for (int f = 0; f < FAULTS_THAT_HEAL; f++)
        sum += weights[f] = next(&random, 2) ? 1 + (uint32_t)next(&random, 4) : 0;
    int count = 12 + (int)next(&random, 40);
    for (int i = 0; i < count && sum; i++) {
        uint32_t at = (uint32_t)next(&random, sum);
        int f = 0;
        while (at >= weights[f])
            at -= weights[f++];
        s->strikes[s->count++] = (struct strike){(enum fault)f};
    }
    for (uint64_t halting = next(&random, 3); halting > 0; halting--)
        s->strikes[s->count++] = (struct strike){(enum fault)(FAULTS_THAT_HEAL + next(&random, FAULTS - FAULTS_THAT_HEAL))};
    for (int i = 0; i < s->count; i++) {
        struct strike k = s->strikes[i];
        k.step = (int)next(&random, (uint64_t)s->steps);
        if (k.fault == FAULT_EFFECTS_LOST && next(&random, 2))
            k.step = s->steps - 1; /* nothing follows that would show the hole, but marks */
        k.a = (uint32_t)next(&random, 1000);
        k.b = (uint32_t)next(&random, 100000);
        int at = i;
        for (; at > 0 && s->strikes[at - 1].step > k.step; at--)
            s->strikes[at] = s->strikes[at - 1];
        s->strikes[at] = k;
    }
}

void schedule_print(const struct schedule *s)
{
    printf("%llu %d", (unsigned long long)s->seed, s->steps);
    for (int i = 0; i < s->count; i++)
        printf(" %s@%d/%u/%u", fault_names[s->strikes[i].fault], s->strikes[i].step, s->strikes[i].a, s->strikes[i].b);
    printf("\n");
}

static bool parse_strike(const char *text, struct strike *out)
{
    char name[32];
    if (sscanf(text, "%31[a-z_]@%d/%u/%u", name, &out->step, &out->a, &out->b) != 4)
        return false;
    for (int f = 0; f < FAULTS; f++)
        if (strcmp(fault_names[f], name) == 0) {
            out->fault = (enum fault)f;
            return true;
        }
    return false;
}

bool schedule_parse(struct schedule *s, const char *line)
{
    int used = 0;
    unsigned long long seed;
    *s = (struct schedule){0};
    if (sscanf(line, "%llu %d%n", &seed, &s->steps, &used) != 2)
        return false;
    s->seed = seed;
    for (const char *at = line + used; *at == ' '; at += 1 + strcspn(at + 1, " \n"))
        if (s->count == STRIKES_MAX || !parse_strike(at + 1, &s->strikes[s->count++]))
            return false;
    return true;
}
