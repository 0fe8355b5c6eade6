/*
 * Recommendations on their way out: when to rank for a user, with which lists, and what was sent last. All of it is
 * soft (rule 9): lost at a takeover, it only costs a list sent again.
 */
#pragma once

#include "server/engine/event.h"
#include "server/worker/task.h"

struct push;

/* An event of the cell's user was applied. */
void push_event(struct push *p, struct task *t, struct cell *cell, const struct event *event, const struct record *r,
                int64_t now_ms);
void push_turn(struct push *p, struct task *t, int64_t now_ms);
void push_forget(void *soft);
