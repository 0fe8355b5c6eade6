/*
 * The planted bugs of common/mutant.h, each with the rule of the exactness protocol (tests/README.md) that it breaks.
 * At most one is planted at a time; the reference folds run with none. Those of the comparison itself and of expiry are
 * planted in the simulated Redis, the others in the program's own code.
 */
#pragma once

#ifdef SLUICE_MUTANTS

#include <stdbool.h>
#include <stdint.h>

#define MUTANTS_EACH(M) \
    M(no_compare, 1, "commits without compare-and-set") \
    M(compare_at_least, 1, "a commit passes when its position is at least the stored one") \
    M(serialised_at_commit, 1, "blobs are serialised at commit time instead of at the cut") \
    M(folds_while_copying, 1, "a task folds on while its cut is copied part by part") \
    M(evicts_uncommitted, 1, "a cell leaves the cache before its cut is stored") \
    M(claim_unconditional, 2, "position and state are read before the token is written, unguarded") \
    M(kafka_offset_trusted, 2, "the offset committed to Kafka decides where to go on") \
    M(miss_unfenced, 2, "state read on a cache miss is used without its fence") \
    M(cache_kept, 2, "the cache survives a rewind, as after a failover") \
    M(no_audit, 2, "an idle task never reads its slot again") \
    M(commit_before_effects, 3, "a cut is committed before its effects are acknowledged") \
    M(loss_forgiven, 3, "a lost output does not stop the commit") \
    M(stale_acks_counted, 3, "acknowledgements of an abandoned attempt count for its replay") \
    M(outputs_owed, 3, "all outputs but effects may still be owed at a commit") \
    M(full_queue_dropped, 3, "what finds the producer's queue full is dropped") \
    M(no_chain, 4, "every entry is applied") \
    M(newer_than, 4, "entries are applied when newer than the last, gaps or not") \
    M(run_summed, 4, "a run is one change with one offset") \
    M(confirmed_unchecked, 4, "a lost entry is taken for one that is still to come") \
    M(confirmed_early, 4, "the confirmed position runs ahead of the commit") \
    M(no_marks, 4, "partitions without entries get no marks") \
    M(chain_kept, 4, "the chain survives a rewind") \
    M(float_counter, 5, "counters are added up as floats") \
    M(wall_clock, 6, "lateness is judged by the wall clock") \
    M(judged_late_again, 6, "lateness is judged again in the entity stage") \
    M(state_expires, 6, "a state key expires before the fold has forgotten it") \
    M(print_ignored, 7, "the record before the position is not compared") \
    M(gap_ignored, 7, "a jump in offsets is followed") \
    M(tail_unheard, 7, "a silent lag is not read again") \
    M(ends_stale, 7, "the ends of a log are judged by what was last heard of them, however long ago") \
    M(ends_believed, 7, "one answer that a log ends before the position is believed") \
    M(leader_ignored, 7, "another leader of a partition is of no concern") \
    M(pushed_is_state, 9, "what was pushed is kept in folded state") \
    M(rollup_overwrites, 11, "an older rollup overwrites a newer one") \
    M(header_ignored, 12, "the fingerprint of the fold settings is not compared") \
    M(reload_changes_fold, 12, "a reload takes over settings that change the fold") \
    M(missing_is_fresh, 13, "a missing position is taken for a fresh start") \
    M(poison_unmarked, 14, "a record that kills its owner is tried for ever") \
    M(handover_counts, 14, "a takeover in order counts as a death of the record that comes next") \
    M(suspects_together, 14, "others fold while a suspect record is tried")

#define MUTANT_ENUM(name, rule, text) MUTANT_##name,
enum mutant { MUTANT_none, MUTANTS_EACH(MUTANT_ENUM) MUTANT_COUNT };
#undef MUTANT_ENUM

extern enum mutant mutant_planted;

/* What some of them need to do wrong. */
struct task;
struct cut;
void mutant_serialise(struct task *t, struct cut *cut);
void mutant_remember(const struct task *t, const struct cut *cut);
bool mutant_is_covered(const struct task *t);
int64_t mutant_group_offset(const struct task *t);

void mutants_sleep(void);
void mutants_wake(void);

#else
static inline void mutants_sleep(void) {}
static inline void mutants_wake(void) {}
#endif
