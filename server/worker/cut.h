/* Cuts: what one commit writes, copied at its offset, and what it waits for. */
#pragma once

#include "server/worker/task.h"

/* The open cut of a task, made when there is none. */
struct cut *cut_open(struct task *t, int64_t now_ms);
/* Flushes the stage, copies every dirty blob and closes the cut at t->next; also one that cut_part() began. */
void cut_close(struct task *t, int64_t now_ms);
/* The same in parts of some `bytes_max`, between which nothing may be folded. Answers what was copied. */
size_t cut_part(struct task *t, size_t bytes_max, int64_t now_ms);
bool cut_is_copying(const struct task *t);
/* Submits every closed cut in order whose outputs are acknowledged. */
void cuts_submit(struct task *t);
/* All cuts become orphans: no commit, freed when nothing is outstanding. */
void cuts_abandon(struct task *t);
/* The first cut is stored. */
void cut_committed(struct task *t, int64_t now_ms);
/* What went wrong since the last turn with what this attempt owes. */
void cuts_look_at(struct task *t, int64_t now_ms);
/* The record at the position is marked by an attempt of this very task (rule 14). */
bool cut_is_marked(const struct task *t, const struct position *p);
/*
 * The slot says `p` from now on, which differs in claims and tries only, unless it changed meanwhile: who halts or hands over
 * in order has not crashed of the record that comes next, else every takeover would count as a crash.
 */
void cut_restate(struct task *t, const struct position *p);
void cut_bury(struct cut *cut); /* an orphan: frees it if nothing is outstanding */
