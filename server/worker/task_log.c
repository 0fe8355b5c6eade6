/* The part of a task that faces the log: what is read again to be sure of it (rule 7), the queue, when to pause. */
#include "common/check.h"
#include "common/log.h"
#include "common/mutant.h"
#include "server/worker/worker_internal.h"

#include <stdlib.h>

void task_release_queue(struct task *t)
{
    const struct log_port *log = t->worker->log;
    for (; t->queue_count; t->queue_count--) {
        log->release(log->self, &t->queue[t->queue_at]);
        t->queue_at = (t->queue_at + 1) % t->queue_capacity;
    }
}

static void start_log(struct task *t, int64_t offset)
{
    t->worker->log->start(t->worker->log->self, (enum topic)t->ops->stage, t->partition, offset);
}

void task_verify(struct task *t, int64_t now_ms)
{
    t->state = TASK_VERIFY;
    t->heard_ms = now_ms;
    t->began = t->next = t->committed = MUTANT(kafka_offset_trusted, mutant_group_offset(t), t->position.next);
    t->committed_ms = now_ms;
    t->has_print = t->position.has_print;
    t->print = t->position.print;
    t->gap_seen = t->in_doubt = false;
    t->step_by_step = MUTANT(poison_unmarked, false, t->position.claims > t->worker->settings.claims_max);
    t->steps_left = t->worker->settings.steps;
    t->marked = -1;
    t->tries = t->position.tries;
    if (t->has_print) {
        start_log(t, t->next - 1);
        return;
    }
    t->state = TASK_RUN;
    start_log(t, t->next);
}

/*
 * What is known of the log's ends may be older than the position: they are asked for again before anything is concluded.
 * That is no proof either: a broker that is leader no more, and does not know it, answers with where the log ended for it. So
 * an end before the position counts only when it is told `beyond_max` times, `audit_ms` apart, and whatever comes after
 * is compared with the fingerprint again.
 */
static void doubt(struct task *t)
{
    if (t->in_doubt)
        return;
    t->in_doubt = true;
    t->doubt = t->worker->log->ask_ends(t->worker->log->self);
}

void task_out_of_range(struct task *t)
{
    if ((t->state == TASK_VERIFY || t->state == TASK_RUN) && !t->beyond)
        doubt(t); /* else in its time, by task_listen() */
}

static void end_before_position(struct task *t, int64_t end, int64_t now_ms)
{
    if (++t->beyond >= MUTANT(ends_believed, 1, t->worker->settings.beyond_max)) {
        task_halt(t, HALT_LOG_TRUNCATED, "the position is beyond the end of the log");
        return;
    }
    if (t->beyond == 1)
        log_warning("log_short", "%s.%d: Kafka says that the log ends at %lld, before the position %lld; asked again every %u ms, %u times in all, before the task halts",
                    stage_names[t->ops->stage], (int)t->partition, (long long)end, (long long)t->next, t->worker->settings.audit_ms, t->worker->settings.beyond_max);
    t->heard_ms = now_ms;
    if (t->state == TASK_RUN)
        task_rewind(t, now_ms);
}

static void judge_ends(struct task *t, int64_t from, int64_t now_ms)
{
    struct log_ends ends;
    const struct log_port *log = t->worker->log;
    if (t->queue_count || t->paused || !log->ends(log->self, (enum topic)t->ops->stage, t->partition, &ends) ||
        MUTANT(ends_stale, false, ends.asked < t->doubt))
        return;
    t->in_doubt = false;
    if (t->next > ends.high) {
        end_before_position(t, ends.high, now_ms);
        return;
    }
    t->beyond = 0;
    if (t->state == TASK_VERIFY && ends.low == t->next) {
        t->state = TASK_RUN; /* the log begins at the position: nothing is left to compare, and that is legal */
        start_log(t, t->next);
    } else if (from < ends.low) {
        task_halt(t, HALT_LOG_TRUNCATED, "the position is before the start of the log");
    } else {
        start_log(t, from);
    }
}

void task_record(struct task *t, struct record *r, int64_t now_ms)
{
    const struct log_port *log = t->worker->log;
    t->heard_ms = now_ms;
    if (t->state == TASK_VERIFY && r->offset == t->next - 1) {
        bool same = MUTANT(print_ignored, true, record_print(r) == t->print);
        log->release(log->self, r);
        t->beyond = 0;
        t->gap_seen = false;
        if (same)
            t->state = TASK_RUN;
        else
            task_halt(t, HALT_LOG_REWRITTEN, "the record before the position is not the one that was folded");
        return;
    }
    if (t->state == TASK_VERIFY && r->offset > t->next - 1) {
        log->release(log->self, r);
        if (t->gap_seen) {
            task_halt(t, HALT_LOG_GAP, "the record before the position is missing from the log");
            return;
        }
        t->gap_seen = true;
        start_log(t, t->next - 1);
        return;
    }
    if (t->state != TASK_RUN || t->draining) { /* the next owner's: a drain that kept it would wait for it */
        log->release(log->self, r);
        return;
    }
    if (t->queue_count == t->queue_capacity) {
        size_t capacity = t->queue_capacity ? t->queue_capacity * 2 : 64;
        struct record *queue = malloc(capacity * sizeof *queue);
        ASSERT(queue);
        for (size_t i = 0; i < t->queue_count; i++)
            queue[i] = t->queue[(t->queue_at + i) % t->queue_capacity];
        free(t->queue);
        t->queue = queue;
        t->queue_at = 0;
        t->queue_capacity = capacity;
    }
    t->queue[(t->queue_at + t->queue_count++) % t->queue_capacity] = *r;
}

void task_listen(struct task *t, int64_t now_ms)
{
    struct log_ends ends;
    int64_t from = t->state == TASK_VERIFY ? t->next - 1 : t->next;
    const struct log_port *log = t->worker->log;
    if (t->state != TASK_RUN && t->state != TASK_VERIFY)
        return;
    if (t->in_doubt) {
        judge_ends(t, from, now_ms);
        return;
    }
    if (MUTANT(tail_unheard, true, false) || t->queue_count || t->paused || now_ms - t->heard_ms < t->worker->settings.audit_ms)
        return;
    t->heard_ms = now_ms;
    if (!log->ends(log->self, (enum topic)t->ops->stage, t->partition, &ends))
        return;
    if (ends.heard > from && !t->beyond)
        start_log(t, from);
    else if (t->beyond || t->state == TASK_VERIFY || ends.heard < from) /* Kafka takes it for the end of the log and waits */
        doubt(t);
}

void task_pause_or_resume(struct task *t)
{
    size_t max = t->worker->settings.queue_records_max;
    bool paused = t->paused ? t->queue_count > max / 2 : t->queue_count > max;
    if (paused == t->paused)
        return;
    t->paused = paused;
    t->worker->log->pause(t->worker->log->self, (enum topic)t->ops->stage, t->partition, paused);
}
