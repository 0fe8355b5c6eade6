/* The part of a task that folds: one straight loop over its queue, and when to cut. */
#include "common/check.h"
#include "common/log.h"
#include "common/mutant.h"
#include "server/worker/cut.h"
#include "server/worker/worker_internal.h"

#define FETCH_BYTES_MAX 512 /* of a record, asked for before it is read */
#define HASTE_MAX 5
#define AHEAD_MAX 2048 /* records looked at ahead of one that waits for state */

static void queue_pop(struct task *t)
{
    const struct log_port *log = t->worker->log;
    struct record *r = &t->queue[t->queue_at];
    if (t->worker->kept && t->worker->kept == r->native)
        t->worker->kept = NULL;
    else
        log->release(log->self, r);
    t->queue_at = (t->queue_at + 1) % t->queue_capacity;
    t->queue_count--;
}

/* False: the head is not the record that comes next, and it was dealt with. */
static bool head_is_next(struct task *t)
{
    const struct record *r = &t->queue[t->queue_at];
    if (r->offset == t->next || MUTANT(gap_ignored, r->offset > t->next, false))
        return true;
    if (r->offset < t->next) {
        t->worker->counts.unexpected++;
        queue_pop(t);
        return false;
    }
    if (t->gap_seen) {
        task_halt(t, HALT_LOG_GAP, "an offset is missing from the log");
        return false;
    }
    t->gap_seen = true;
    while (t->queue_count)
        queue_pop(t);
    t->worker->log->start(t->worker->log->self, (enum topic)t->ops->stage, t->partition, t->next);
    return false;
}

/* The head waits for state: ask for what the records behind it need in the same round trip. */
static void look_ahead(struct task *t)
{
    for (size_t i = 1; i < t->queue_count && i < AHEAD_MAX; i++) {
        if (t->wanted_count >= t->worker->settings.load_keys_max)
            return;
        const struct record *r = &t->queue[(t->queue_at + i) % t->queue_capacity];
        if (r->offset != t->next + (int64_t)i)
            return;
        t->ops->prepare(t, r);
    }
}

static void advance(struct task *t, const struct record *r, int64_t now_ms)
{
    cut_open(t, now_ms);
    t->print = record_print(r);
    t->has_print = true;
    t->next = r->offset + 1;
    t->record_ms = r->timestamp_ms;
    t->gap_seen = false;
    t->folded++;
    t->worker->counts.folded++;
    t->replayed += r->offset < t->replay_until;
    queue_pop(t);
}

static size_t keys_max(const struct task *t)
{
    const struct worker_settings *s = &t->worker->settings;
    return t->ops->stage == STAGE_ENTITY ? s->entity_cut_keys_max : s->cut_keys_max;
}

/* Half of the bytes are left to what else goes to the store, so that the cuts of many tasks come one after the other and folding goes on. */
static bool may_cut(const struct task *t)
{
    const struct worker *w = t->worker;
    return t->cuts_in_flight < (int)w->settings.cuts_in_flight_max && w->store->bytes_in_flight(w->store->self) < w->settings.store_bytes_max / 2;
}

static bool may_fold(const struct task *t)
{
    const struct worker_settings *s = &t->worker->settings;
    if (t->worker->effects_late && t->ops->stage == STAGE_PROFILE)
        return false;
    if (t->worker->first_held || !t->queue_count || t->state != TASK_RUN || t->next >= t->fold_until)
        return false;
    if (MUTANT(folds_while_copying, false, cut_is_copying(t)))
        return false;
    if (MUTANT(suspects_together, NULL, t->worker->suspect) && t->worker->suspect != t)
        return false;
    if (t->cells.dirty_count >= keys_max(t) && !may_cut(t))
        return false;
    return t->worker->store->bytes_in_flight(t->worker->store->self) < s->store_bytes_max;
}

/* Sooner where owners came and died without a commit between: else a worker that dies again and again holds everybody up. */
static int64_t commit_ms(const struct task *t)
{
    return t->ops->commit_ms(t) >> (t->position.claims < HASTE_MAX ? t->position.claims : HASTE_MAX);
}

/*
 * Tasks that began together would all be due in one turn, and events would wait for all their cuts. So one a turn, and the
 * others in the next ones; who has waited for another interval is not put off again.
 */
static bool has_waited(const struct task *t, int64_t waited_ms)
{
    int64_t every_ms = commit_ms(t);
    return waited_ms >= every_ms && (!t->worker->has_cut || waited_ms >= 2 * every_ms);
}

static bool cut_is_due(const struct task *t, int64_t now_ms)
{
    const struct cut *cut = t->last_cut;
    if (!cut || cut->closed || t->cuts_in_flight >= (int)t->worker->settings.cuts_in_flight_max)
        return false;
    if (t->draining || t->step_by_step || t->next >= t->fold_until)
        return true;
    return may_cut(t) && (t->cells.dirty_count >= keys_max(t) || has_waited(t, now_ms - cut->opened_ms));
}

static void cut_if_due(struct task *t, int64_t now_ms)
{
    struct worker *w = t->worker;
    bool copying = cut_is_copying(t);
    if (t->state != TASK_RUN || (t->ops->patient && !w->copy_bytes_left) || !(copying || cut_is_due(t, now_ms)))
        return;
    if (t->ops->patient) {
        size_t copied = cut_part(t, w->copy_bytes_left, now_ms);
        w->copy_bytes_left -= copied < w->copy_bytes_left ? copied : w->copy_bytes_left;
    } else {
        cut_close(t, now_ms);
    }
    w->has_cut |= !copying;
    cuts_submit(t);
}

/*
 * Rule 14: before a suspect record is folded, that it is about to be is committed; when its owner dies of it, the next
 * one finds the mark. Nobody else folds meanwhile: a crash would be held against the wrong record. Answers whether the
 * record may be folded now.
 */
static bool suspect_may_fold(struct task *t, int64_t now_ms)
{
    if (t->first_cut)
        return false; /* one commit at a time */
    if (t->marked == t->next)
        return true;
    if (t->tries >= t->worker->settings.tries_max) {
        task_halt(t, HALT_POISON, "folding this record ended its owner several times");
        return false;
    }
    t->worker->suspect = t;
    t->tries++;
    t->marked = t->next;
    t->mark_token = t->token;
    cut_close(t, now_ms);
    cuts_submit(t);
    return false;
}

/*
 * Most of what a record costs is waiting for memory that nobody touched lately. So what the records behind the head need
 * is asked for meanwhile, one step of the way from their bytes to the cell's object at a time.
 */
static void fetch_ahead(struct task *t)
{
    enum { BYTES, SLOT, CELL, OBJECT, PARTS, STEPS };
    static const size_t distance[STEPS] = {20, 16, 12, 8, 4};
    for (int step = BYTES; step < STEPS; step++) {
        if (distance[step] >= t->queue_count)
            continue;
        struct record *r = &t->queue[(t->queue_at + distance[step]) % t->queue_capacity];
        if (step == BYTES) {
            __builtin_prefetch(r->key.at);
            for (uint32_t i = 0; i < r->value.size && i < FETCH_BYTES_MAX; i += 64)
                __builtin_prefetch(r->value.at + i);
        } else if (step == SLOT) {
            r->local = t->ops->local(t, r);
            map_fetch(&t->cells.by_local, r->local);
        } else {
            const struct cell *cell = map_find(&t->cells.by_local, r->local);
            if (step == CELL)
                __builtin_prefetch(cell, 1);
            else if (cell && cell->object)
                t->ops->fetch(cell, step - OBJECT);
        }
    }
}

static void fold_queue(struct task *t, int64_t now_ms)
{
    uint32_t budget = t->worker->share;
    while (budget-- && may_fold(t)) {
        if (!head_is_next(t))
            continue;
        if (t->ops->local)
            fetch_ahead(t);
        const struct record *r = &t->queue[t->queue_at];
        if (!t->ops->prepare(t, r)) {
            look_ahead(t);
            return;
        }
        if (t->step_by_step && !suspect_may_fold(t, now_ms))
            return;
        t->ops->fold(t, r, now_ms);
        if (t->state != TASK_RUN)
            return;
        t->tries = 0;
        advance(t, r, now_ms);
        if (t->step_by_step && --t->steps_left == 0)
            t->step_by_step = false;
        cut_if_due(t, now_ms);
    }
}

/* Everything below the boundary is committed under the settings before it: the next read of the slot takes those after. */
static void change_fold(struct task *t, int64_t now_ms)
{
    if (t->next < t->fold_until || t->first_cut || t->committed != t->next || t->draining)
        return;
    log_info("task_fold_changed", "%s.%d folds with the settings that follow from offset %lld on", stage_names[t->ops->stage],
             (int)t->partition, (long long)t->next);
    task_rewind(t, now_ms);
}

void task_fold(struct task *t, int64_t now_ms)
{
    change_fold(t, now_ms);
    if (t->state != TASK_RUN)
        return;
    t->ops->flush(t, now_ms, false);
    if (!t->draining)
        fold_queue(t, now_ms);
    if (t->state == TASK_RUN && t->ops->turn)
        t->ops->turn(t, now_ms);
    cut_if_due(t, now_ms);
}
