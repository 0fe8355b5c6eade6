/*
 * Planted bugs, for tests only: `tests/run --suite mutants` proves that the simulation catches each of them. In the
 * program MUTANT(name, wrong, right) is `right` and nothing else; `wrong` is not even compiled.
 */
#pragma once

#ifdef SLUICE_MUTANTS
#include SLUICE_MUTANTS /* the header that lists them */
#define MUTANT(name, wrong, right) (mutant_planted == MUTANT_##name ? (wrong) : (right))
#else
#define MUTANT(name, wrong, right) (right)
#endif
