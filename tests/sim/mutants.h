/*
 * The planted bugs of common/mutant.h: at most one is planted at a time. The reference folds run with none.
 */
#pragma once

#ifdef SLUICE_MUTANTS
void mutants_sleep(void);
void mutants_wake(void);
#else
static inline void mutants_sleep(void) {}
static inline void mutants_wake(void) {}
#endif
