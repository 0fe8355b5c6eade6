/* Why a task halts, and what an operator does about it. */
#include "common/log.h"
#include "server/worker/worker_internal.h"

const char *const halt_names[HALTS] = {
    "none", "not_initialised", "position_missing", "header", "state_invalid", "log_rewritten", "log_truncated",
    "log_gap", "effects_lost", "record_version", "poison", "output_refused",
};

const char *const halt_steps[HALTS] = {
    "",
    "run `sluice init --start earliest|end` once for a new deployment",
    "the store lost this slot: restore a snapshot of the store, or `sluice task rebuild TASK`",
    "start with the settings, key and partition counts of the state; to change what the fold does, `sluice task migrate`",
    "restore a snapshot of the store, or `sluice task rebuild TASK`",
    "restore the log; when it was made anew, `sluice task rebuild TASK --new-log`",
    "restore the log; `sluice task accept-loss TASK --from OFFSET` goes on without what is gone, `rebuild --new-log` when it was made anew",
    "inspect the topic, then `sluice task accept-loss TASK --from OFFSET`",
    "Kafka lost acknowledged effects: `sluice task accept-loss TASK --from OFFSET` goes on without them",
    "run the binary that wrote the record, or a newer one; `sluice task accept-loss TASK --from OFFSET` skips it",
    "inspect the record, fix the fold, or skip it with `sluice task accept-loss TASK --from OFFSET`",
    "raise `kafka.message_bytes_max` and the topic's max.message.bytes; the log line output_refused says which topic",
};

/* Nothing is folded meanwhile: the slot cannot be claimed again before there is room. */
void task_no_memory(struct task *t, int64_t now_ms)
{
    t->worker->counts.memory_refusals++;
    t->worker->counts.memory_refused_ms = now_ms;
    log_error("redis_memory", "%s.%d: Redis is out of memory, the task waits; next step: raise maxmemory, or give it a larger machine",
              stage_names[t->ops->stage], (int)t->partition);
}
