/* SLUICE_PLANT=NAME plants that bug in a fuzz target; SLUICE_PLANT=? prints one line each, name, target and text, and ends. */
#include "tests/fuzz/mutants.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum fuzz_mutant fuzz_mutant;

static const struct {
    const char *name, *target, *text;
} rows[FUZZ_MUTANT_COUNT] = {
#define FUZZ_MUTANT_ROW(name, target, text) [FUZZ_MUTANT_##name] = {#name, #target, text},
    FUZZ_MUTANTS_EACH(FUZZ_MUTANT_ROW)
#undef FUZZ_MUTANT_ROW
};

__attribute__((constructor)) static void plant(void)
{
    const char *wanted = getenv("SLUICE_PLANT");
    bool lists = wanted && strcmp(wanted, "?") == 0;
    for (int i = 1; wanted && i < FUZZ_MUTANT_COUNT; i++)
        if (lists)
            printf("%s %s %s\n", rows[i].name, rows[i].target, rows[i].text);
        else if (strcmp(wanted, rows[i].name) == 0)
            fuzz_mutant = (enum fuzz_mutant)i;
    if (!wanted || fuzz_mutant)
        return;
    fflush(stdout);
    _Exit(lists ? 0 : 2);
}
