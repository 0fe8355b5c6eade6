/* Refused records leave for the dead-letter topic unchanged, with headers that say why and where they stood. */
#pragma once

#include "server/worker/task.h"

/* `reason` is a stable code; it is counted under that name. */
void dead_letter(struct task *t, const struct record *r, const char *reason, int64_t now_ms);
/* A refused record of a table: counted, and sent too when `send` (no state rests on it, so nothing waits for it). */
void dead_letter_table(struct worker *w, const struct record *r, const char *reason, bool send);
