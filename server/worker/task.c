/*
 * The protocol of a task: claim, verify, fold, commit, rewind. The rule numbers are those of the exactness protocol
 * as listed in tests/README.md.
 */
#include "server/worker/task.h"

#include "common/check.h"
#include "common/log.h"
#include "common/mutant.h"
#include "server/worker/cut.h"
#include "server/worker/worker_internal.h"

#include <stdlib.h>

struct load {
    struct owed owed; /* first: what request.owner points to */
    struct store_request request;
    struct writer expected; /* owned; what the position blob must be */
    struct cell **cells;    /* owned; in step with request.blobs; NULL: the reads of a claim, an audit */
};

static void load_destroy(struct load *l)
{
    writer_fini(&l->request.reply);
    writer_fini(&l->expected);
    free(l->request.blobs);
    free(l->cells);
    free(l);
}

static struct load *load_create(struct task *t, size_t blobs)
{
    struct load *l = calloc(1, sizeof *l);
    ASSERT(l);
    l->owed.task = t;
    l->request.stage = t->ops->stage;
    l->request.partition = t->partition;
    l->request.blobs = calloc(blobs + 1, sizeof *l->request.blobs);
    ASSERT(l->request.blobs);
    l->request.blob_count = blobs;
    l->request.owner = l;
    t->load = l;
    return l;
}

static void submit(struct task *t, struct store_request *r)
{
    t->worker->store->submit(t->worker->store->self, r);
}

/* Reads everything a claim needs in one command. */
static void read_slot(struct task *t, int64_t now_ms)
{
    t->state = TASK_READ;
    t->asked_ms = now_ms;
    struct load *l = load_create(t, 2);
    l->request.blobs[0].key = HEADER_KEY;
    l->request.blobs[1].key = CHAIN_KEY;
    submit(t, &l->request);
}

struct task *task_create(struct worker *w, const struct stage_ops *ops, int32_t partition, int64_t now_ms)
{
    struct task *t = calloc(1, sizeof *t);
    ASSERT(t);
    t->worker = w;
    t->fold = &w->settings;
    t->ops = ops;
    t->partition = partition;
    t->committed_ms = t->running_ms = now_ms;
    t->stage_state = ops->create(t);
    read_slot(t, now_ms);
    return t;
}

/* Ends the attempt: nothing that is in flight counts any more. */
static void abandon(struct task *t)
{
    const struct log_port *log = t->worker->log;
    log->stop(log->self, (enum topic)t->ops->stage, t->partition);
    task_release_queue(t);
    cuts_abandon(t);
    if (MUTANT(cache_kept, t->load || t->wanted_count, true))
        cells_fini(&t->cells, t->ops->destroy_cell);
    t->wanted_count = 0;
    if (t->load) {
        t->load->owed.task = NULL;
        t->load = NULL;
    }
    t->paused = false;
    if (t->worker->suspect == t)
        t->worker->suspect = NULL;
}

/*
 * A takeover in order is no crash: the claim and the try that it made are taken back, behind what is on its way; and the
 * commit after a try goes its way (rule 14).
 */
static void leave_slot(struct task *t)
{
    struct position p = t->position;
    bool ours = MUTANT(handover_counts, false, t->has_token);
    p.claims -= ours && t->claim_counted && p.claims > 0;
    p.tries -= ours && cut_is_marked(t, &p);
    if (p.claims != t->position.claims || p.tries != t->position.tries)
        cut_restate(t, &p);
    else if (!ours || t->mark_token != t->token)
        t->worker->store->reset(t->worker->store->self, t->ops->stage, t->partition);
}

void task_release(struct task *t)
{
    abandon(t);
    leave_slot(t);
    t->ops->destroy(t);
    writer_fini(&t->expected);
    free(t->queue);
    free(t->wanted);
    free(t);
}

void task_rewind(struct task *t, int64_t now_ms)
{
    if (t->state == TASK_HALTED)
        return;
    abandon(t);
    t->worker->counts.rewinds++;
    t->replay_until = t->next > t->replay_until ? t->next : t->replay_until;
    t->worker->store->reset(t->worker->store->self, t->ops->stage, t->partition);
    read_slot(t, now_ms);
}

void task_halt(struct task *t, enum halt why, const char *text)
{
    if (t->state == TASK_HALTED)
        return;
    abandon(t);
    if (why != HALT_POISON && cut_is_marked(t, &t->position)) {
        struct position untried = t->position;
        untried.tries = 0;
        cut_restate(t, &untried);
    }
    t->has_token = false; /* `expected` is what stands there from now on, and no longer what `position` says */
    t->state = TASK_HALTED;
    t->halt_seen = false;
    t->halt = why;
    t->halt_text = text;
    t->worker->counts.halts[why]++;
    log_error("task_halted", "%s.%d halted at offset %lld: %s: %s; next step: %s", stage_names[t->ops->stage],
              (int)t->partition, (long long)t->next, halt_names[why], text, halt_steps[why]);
}

static void lose(struct task *t, int64_t now_ms)
{
    abandon(t);
    t->state = TASK_LOST;
    t->has_token = false;
    t->lost_ms = now_ms;
    t->worker->counts.lost++;
    log_warning("task_lost", "%s.%d has another owner; it is claimed again in %d ms if it is still assigned here",
                stage_names[t->ops->stage], (int)t->partition, (int)t->worker->settings.reclaim_ms);
}

/* What the verb is to change is what was read, not what stands there at the next look: it may have written already. */
static bool refuse_slot(struct task *t, const struct load *l, enum halt why, const char *text)
{
    task_halt(t, why, text);
    t->halt_seen = true;
    t->expected.size = 0;
    if (l->request.current.present)
        put_bytes(&t->expected, l->request.current.value.at, l->request.current.value.size);
    return false;
}

static bool is_same(const struct blob *stored, const struct writer *expected)
{
    return stored->present == (expected->size > 0) && stored->value.size == expected->size &&
           (expected->size == 0 || memcmp(stored->value.at, expected->data, expected->size) == 0);
}

/* A halted task goes on when the position is no longer what it was: an operator's verb wrote it (server/verbs/task.c). */
static void look_at_halted(struct task *t, struct load *l, int64_t now_ms)
{
    const struct blob *p = &l->request.current;
    t->asked_ms = now_ms;
    if (!t->halt_seen || is_same(p, &t->expected)) {
        t->halt_seen = true;
        t->expected.size = 0;
        if (p->present)
            put_bytes(&t->expected, p->value.at, p->value.size);
        return;
    }
    log_info("task_resumed", "%s.%d goes on: its slot was written since it halted", stage_names[t->ops->stage], (int)t->partition);
    t->halt = HALT_NONE;
    t->halt_text = NULL;
    t->has_token = false;
    read_slot(t, now_ms);
}

/* The slot as read: header, chain and position. Answers false when the task went elsewhere. */
static bool slot_accept(struct task *t, struct load *l, int64_t now_ms)
{
    struct slot_header header, want = worker_header(t->worker);
    struct store_request *r = &l->request;
    if (!r->blobs[0].present)
        return refuse_slot(t, l, r->current.present ? HALT_STATE_INVALID : HALT_NOT_INITIALISED, "the slot has no header");
    if (slot_header_decode(r->blobs[0].value, &header) != ERR_NONE)
        return refuse_slot(t, l, HALT_STATE_INVALID, "the header does not decode");
    const char *difference = MUTANT(header_ignored, NULL, slot_header_difference(&header, &want));
    if (difference)
        return refuse_slot(t, l, HALT_HEADER, difference);
    struct position p = {.next = header.origin};
    if (r->current.present && position_decode(r->current.value, &p) != ERR_NONE)
        return refuse_slot(t, l, HALT_STATE_INVALID, "the position does not decode");
    if (MUTANT(missing_is_fresh, false, !r->current.present))
        return refuse_slot(t, l, HALT_POSITION_MISSING, "the slot has a header and no position");
    uint64_t hash = slot_header_fold_at(&header, p.next, &t->fold_until)->hash;
    t->fold = worker_settings_of(t->worker, MUTANT(header_ignored, want.folds[0].hash, hash));
    if (!t->fold)
        return refuse_slot(t, l, HALT_HEADER, "records from the position on are folded with settings that no file of `before` holds");
    if (t->has_token && p.token != t->token && p.epoch >= t->position.epoch) {
        lose(t, now_ms);
        return false;
    }
    t->generation = header.generation;
    t->chain_open = header.chain_open;
    if (t->ops->open(t, r->blobs[1].present ? r->blobs[1].value : (struct slice){0}) != ERR_NONE)
        return refuse_slot(t, l, HALT_STATE_INVALID, "the chain does not decode");
    t->position = p;
    t->expected.size = 0;
    put_bytes(&t->expected, r->current.value.at, r->current.value.size);
    return true;
}

static bool has_records(const struct task *t, int64_t from)
{
    struct log_ends ends;
    const struct log_port *log = t->worker->log;
    return !log->ends(log->self, (enum topic)t->ops->stage, t->partition, &ends) || ends.heard > from;
}

/* Writes a fresh token over exactly what was read (rule 2). */
static void claim(struct task *t, int64_t now_ms)
{
    t->state = TASK_CLAIM;
    t->asked_ms = now_ms;
    struct load *l = load_create(t, 0);
    struct position p = t->position;
    p.token = worker_random(t->worker);
    p.epoch++;
    if (!t->has_token) { /* a rewind is no crash, and nothing crashes its owner when there is nothing to fold */
        t->claim_counted = has_records(t, p.next);
        p.claims += t->claim_counted;
    }
    p.tries -= cut_is_marked(t, &t->position);
    t->token = p.token;
    t->has_token = true;
    put_bytes(&l->expected, t->expected.data, t->expected.size);
    l->request.commit = true;
    l->request.expected.present = MUTANT(missing_is_fresh, t->expected.size > 0, true);
    l->request.expected.value = (struct slice){(const char *)l->expected.data, (uint32_t)l->expected.size};
    t->expected.size = 0;
    position_encode(&p, &t->expected);
    t->position = p;
    put_bytes(&l->request.reply, t->expected.data, t->expected.size);
    l->request.position = (struct slice){(const char *)l->request.reply.data, (uint32_t)l->request.reply.size};
    submit(t, &l->request);
}

bool task_is_under_way(const struct task *t)
{
    if (t->state != TASK_RUN)
        return t->state == TASK_HALTED || t->state == TASK_LOST;
    return t->next > t->began || !has_records(t, t->next);
}

struct cell *task_need(struct task *t, uint64_t local, struct blob_key key, bool *missing)
{
    struct cell *cell = cells_find(&t->cells, local);
    if (cell && !cell->loading)
        return cell;
    *missing = true;
    if (cell)
        return cell;
    cell = cells_add(&t->cells, local, key);
    cell->loading = true;
    if (t->wanted_count == t->wanted_capacity) {
        t->wanted_capacity = t->wanted_capacity ? t->wanted_capacity * 2 : 64;
        t->wanted = realloc(t->wanted, t->wanted_capacity * sizeof(struct cell *));
        ASSERT(t->wanted);
    }
    t->wanted[t->wanted_count++] = cell;
    return cell;
}

/* One command for everything that is wanted, fenced by the position blob as it stands after what is submitted. */
static void load_wanted(struct task *t)
{
    if (t->load || t->wanted_count == 0)
        return;
    size_t n = t->wanted_count < t->worker->settings.load_keys_max ? t->wanted_count
                                                                   : t->worker->settings.load_keys_max;
    struct load *l = load_create(t, n);
    l->cells = calloc(n, sizeof(struct cell *));
    ASSERT(l->cells);
    for (size_t i = 0; i < n; i++) {
        l->cells[i] = t->wanted[i];
        l->request.blobs[i].key = t->wanted[i]->key;
    }
    t->wanted_count -= n;
    memmove(t->wanted, t->wanted + n, t->wanted_count * sizeof(struct cell *));
    put_bytes(&l->expected, t->expected.data, t->expected.size);
    t->worker->counts.loads++;
    t->worker->counts.load_keys += n;
    submit(t, &l->request);
}

static bool fence_holds(const struct load *l)
{
    return MUTANT(miss_unfenced, l->cells != NULL, false) || is_same(&l->request.current, &l->expected);
}

static void cells_loaded(struct task *t, struct load *l)
{
    for (size_t i = 0; i < l->request.blob_count; i++) {
        struct cell *cell = l->cells[i];
        const struct blob *b = &l->request.blobs[i];
        cell->loading = false;
        if (b->present && t->ops->decode(t, cell, b->value) != ERR_NONE) {
            task_halt(t, HALT_STATE_INVALID, "a state blob does not decode");
            return;
        }
    }
}

static void load_stored(struct task *t, struct load *l, int64_t now_ms)
{
    t->load = NULL;
    enum store_status status = l->request.status;
    if (status == STORE_MEMORY)
        task_no_memory(t, now_ms);
    if (t->state == TASK_HALTED) {
        if (status == STORE_OK)
            look_at_halted(t, l, now_ms);
        else
            t->worker->store->reset(t->worker->store->self, t->ops->stage, t->partition); /* it is asked again */
    } else if (status != STORE_OK) {
        bool moved = t->state == TASK_CLAIM && status == STORE_CONFLICT; /* somebody between read and claim, often with his last commit */
        t->has_token &= !moved;
        t->worker->counts.rewinds++;
        abandon(t);
        t->worker->store->reset(t->worker->store->self, t->ops->stage, t->partition);
        t->state = TASK_READ;
        t->asked_ms = now_ms;
        if (moved)
            read_slot(t, now_ms); /* else task_turn reads again after a pause */
    } else if (t->state == TASK_READ) {
        if (slot_accept(t, l, now_ms))
            claim(t, now_ms);
    } else if (t->state == TASK_CLAIM) {
        task_verify(t, now_ms);
    } else if (!fence_holds(l)) {
        task_rewind(t, now_ms);
    } else if (l->cells) {
        cells_loaded(t, l);
    }
}

static void cut_stored(struct task *t, struct cut *cut, int64_t now_ms)
{
    ASSERT(cut == t->first_cut);
    enum store_status status = cut->request.status;
    cut->submitted = false;
    if (status == STORE_OK) {
        t->worker->counts.commits++;
        t->worker->counts.commit_bytes += cut->bytes.size;
        t->worker->counts.commit_keys += cut->request.blob_count;
        cut_committed(t, now_ms);
        return;
    }
    t->worker->counts.conflicts += status == STORE_CONFLICT;
    if (status == STORE_MEMORY)
        task_no_memory(t, now_ms);
    task_rewind(t, now_ms);
}

void task_stored(struct store_request *request, int64_t now_ms)
{
    struct owed *owed = request->owner;
    if (owed->is_cut) {
        struct cut *cut = (struct cut *)owed;
        if (owed->task) {
            cut_stored(owed->task, cut, now_ms);
        } else {
            cut->submitted = false;
            cut_bury(cut);
        }
        return;
    }
    struct load *l = (struct load *)owed;
    if (owed->task)
        load_stored(owed->task, l, now_ms);
    load_destroy(l);
}

void task_drain(struct task *t, int64_t now_ms)
{
    t->draining = true;
    task_release_queue(t);
    if (t->state != TASK_RUN || t->marked != t->next || t->tries == 0)
        return;
    t->tries--; /* committed before the process ends: nobody waits for what a release submits then */
    t->marked = -1;
    cut_close(t, now_ms);
}

/* Reads the slot again when that failed, was lost long enough ago, or is due as an audit of an idle or halted task (rule 2). */
static void look_again(struct task *t, int64_t now_ms)
{
    const struct worker_settings *s = &t->worker->settings;
    if (t->load || t->draining)
        return;
    if (t->state == TASK_READ && now_ms - t->asked_ms >= s->retry_ms)
        read_slot(t, now_ms);
    if (t->state == TASK_LOST && now_ms - t->lost_ms >= s->reclaim_ms)
        read_slot(t, now_ms);
    task_listen(t, now_ms);
    if (t->state == TASK_HALTED && (!t->halt_seen || now_ms - t->asked_ms >= s->audit_ms)) {
        t->asked_ms = now_ms;
        load_create(t, 0);
        submit(t, &t->load->request);
    }
    if (t->state == TASK_RUN && MUTANT(no_audit, false, now_ms - t->asked_ms >= s->audit_ms)) {
        t->asked_ms = now_ms;
        struct load *l = load_create(t, 0);
        put_bytes(&l->expected, t->expected.data, t->expected.size);
        submit(t, &l->request);
    }
}

void task_turn(struct task *t, int64_t now_ms)
{
    if (t->state == TASK_RUN || t->state == TASK_HALTED)
        t->running_ms = now_ms;
    cuts_look_at(t, now_ms);
    look_again(t, now_ms);
    if (t->state == TASK_RUN)
        task_fold(t, now_ms);
    if (t->state != TASK_RUN)
        return;
    load_wanted(t);
    cuts_submit(t);
    task_pause_or_resume(t);
    size_t share = t->worker->settings.cache_bytes / (t->worker->task_count ? t->worker->task_count : 1);
    if (t->cells.bytes <= share || t->folded == t->evicted_at)
        return; /* what was loaded stays until something was folded with it, however small the budget */
    t->evicted_at = t->folded;
    t->worker->counts.evictions += cells_evict(&t->cells, share, t->committed_cut, t->ops->destroy_cell);
}
