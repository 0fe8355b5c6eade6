/*
 * Planted bugs, for tests only: `tests/run --suite mutants` proves that the simulation catches each of them. In the
 * program MUTANT(name, wrong, right) is `right` and nothing else; `wrong` is not even compiled. FUZZ_MUTANT is the same for
 * what a fuzz target must catch (suite fuzz-mutants), or a sanitizer or valgrind (suites sanitize, valgrind).
 */
#pragma once

#ifdef SLUICE_MUTANTS
#include SLUICE_MUTANTS /* the header that lists them */
#define MUTANT(name, wrong, right) (mutant_planted == MUTANT_##name ? (wrong) : (right))
#else
#define MUTANT(name, wrong, right) (right)
#endif

#ifdef SLUICE_MUTANTS_FUZZ
#include SLUICE_MUTANTS_FUZZ
#define FUZZ_MUTANT(name, wrong, right) (fuzz_mutant == FUZZ_MUTANT_##name ? (wrong) : (right))
#else
#define FUZZ_MUTANT(name, wrong, right) (right)
#endif
