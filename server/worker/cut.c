#include "server/worker/cut.h"

#include "common/check.h"
#include "common/mutant.h"
#include "server/worker/worker_internal.h"

#include <stdlib.h>

struct cut *cut_open(struct task *t, int64_t now_ms)
{
    if (t->last_cut && !t->last_cut->closed)
        return t->last_cut;
    struct cut *cut = calloc(1, sizeof *cut);
    ASSERT(cut);
    cut->owed = (struct owed){t, true};
    cut->number = ++t->cuts;
    cut->opened_ms = now_ms;
    *(t->last_cut ? &t->last_cut->later : &t->first_cut) = cut;
    t->last_cut = cut;
    return cut;
}

static void blob_add(struct cut *cut, struct blob_key key, size_t from)
{
    struct blob *b = &cut->request.blobs[cut->request.blob_count++];
    b->key = key;
    b->value.size = (uint32_t)(cut->bytes.size - from);
    b->present = b->value.size > 0; /* an empty encoding removes the blob */
}

/* Only now is the buffer final: blobs were added in order, so each begins where the one before ends. */
static void resolve(struct cut *cut)
{
    const char *at = (const char *)cut->bytes.data;
    for (size_t i = 0; i < cut->request.blob_count; i++) {
        cut->request.blobs[i].value.at = at;
        at += cut->request.blobs[i].value.size;
    }
    cut->request.position.at = at;
}

/* Of the cells that are copied next, step by step (see task_turn.c). */
static void fetch_ahead(const struct task *t, size_t i)
{
    const struct cells *c = &t->cells;
    if (!t->ops->fetch)
        return;
    if (i + 12 < c->dirty_count)
        __builtin_prefetch(c->dirty[i + 12], 1);
    if (i + 8 < c->dirty_count && c->dirty[i + 8]->object)
        t->ops->fetch(c->dirty[i + 8], 0);
    if (i + 4 < c->dirty_count && c->dirty[i + 4]->object)
        t->ops->fetch(c->dirty[i + 4], 1);
}

/* The smallest that holds as much as the task's last cut, else the largest. */
static struct writer take_buffer(struct task *t)
{
    struct writer *best = &t->worker->spares[0];
    for (struct writer *w = best + 1; w < &t->worker->spares[SPARES]; w++)
        if (best->capacity < t->cut_bytes ? w->capacity > best->capacity : w->capacity >= t->cut_bytes && w->capacity < best->capacity)
            best = w;
    struct writer taken = *best;
    *best = (struct writer){0};
    return taken;
}

bool cut_is_copying(const struct task *t)
{
    return t->last_cut && t->last_cut->copying;
}

static struct cut *begin_copy(struct task *t, int64_t now_ms)
{
    struct cut *cut = cut_open(t, now_ms);
    if (cut->copying)
        return cut;
    t->ops->flush(t, now_ms, true);
    cut->bytes = take_buffer(t);
    cut->cells = t->cells.dirty_count;
    cut->request.blobs = calloc(cut->cells + 1, sizeof *cut->request.blobs);
    ASSERT(cut->request.blobs);
    cut->copying = true;
    return cut;
}

/* Chain and position are as they were when the copy began, for nothing was folded. */
static void end_copy(struct task *t, struct cut *cut)
{
    cells_clean(&t->cells, cut->copied);
    if (t->ops->chain) {
        size_t from = cut->bytes.size;
        t->ops->encode_chain(t, &cut->bytes);
        blob_add(cut, CHAIN_KEY, from);
    }
    size_t from = cut->bytes.size;
    struct position p = {
        .next = t->next, .token = t->token, .epoch = t->position.epoch, .has_print = t->has_print, .print = t->print,
        .claims = t->step_by_step && t->next == t->position.next ? t->position.claims : 0, .tries = t->tries,
    };
    position_encode(&p, &cut->bytes);
    cut->request.position.size = (uint32_t)(cut->bytes.size - from);
    resolve(cut);
    t->cut_bytes = cut->bytes.size;
    cut->next = t->next;
    cut->copying = false;
    cut->closed = true;
    t->cuts_in_flight++;
}

size_t cut_part(struct task *t, size_t bytes_max, int64_t now_ms)
{
    struct cut *cut = begin_copy(t, now_ms);
    const struct cells *c = &t->cells;
    size_t before = cut->bytes.size;
    for (; cut->copied < cut->cells && cut->bytes.size - before < bytes_max; cut->copied++) {
        struct cell *cell = c->dirty[cut->copied];
        fetch_ahead(t, cut->copied);
        size_t from = cut->bytes.size;
        if (cell->object)
            t->ops->encode(t, cell, &cut->bytes);
        blob_add(cut, cell->key, from);
        cell->dirty = false;
        cell->cut = cut->number;
    }
    if (cut->copied == cut->cells)
        end_copy(t, cut);
    return cut->bytes.size - before;
}

void cut_close(struct task *t, int64_t now_ms)
{
    cut_part(t, SIZE_MAX, now_ms);
}

void cuts_submit(struct task *t)
{
    if (t->state != TASK_RUN)
        return;
    for (struct cut *cut = t->first_cut; cut && cut->closed; cut = cut->later) {
        if (cut->submitted)
            continue;
        if ((cut->outstanding && MUTANT(commit_before_effects, false, true)) || cut->failed)
            return;
        MUTANT(serialised_at_commit, mutant_serialise(t, cut), (void)0);
        struct store_request *r = &cut->request;
        r->stage = t->ops->stage;
        r->partition = t->partition;
        r->commit = true;
        r->owner = cut;
        /* The expected bytes stand in the cut itself: `t->expected` moves on with the next submission. */
        r->expected.present = true;
        r->reply.size = 0;
        put_bytes(&r->reply, t->expected.data, t->expected.size);
        r->expected.value = (struct slice){(const char *)r->reply.data, (uint32_t)r->reply.size};
        t->expected.size = 0;
        put_bytes(&t->expected, r->position.at, r->position.size);
        enum err err = position_decode(r->position, &t->position);
        ASSERT(err == ERR_NONE);
        cut->submitted = true;
        t->worker->store->submit(t->worker->store->self, r);
    }
}

void cuts_look_at(struct task *t, int64_t now_ms)
{
    for (const struct cut *cut = t->first_cut; cut; cut = cut->later) {
        if (cut->refused) {
            task_halt(t, HALT_OUTPUT_REFUSED, "an output is larger than the broker takes");
            return;
        }
        if (cut->failed) {
            task_rewind(t, now_ms);
            return;
        }
    }
}

bool cut_is_marked(const struct task *t, const struct position *p)
{
    return p->tries > 0 && p->token == t->mark_token;
}

void cut_restate(struct task *t, const struct position *p)
{
    struct cut *cut = calloc(1, sizeof *cut); /* an orphan from the start: nobody waits for the answer */
    ASSERT(cut);
    cut->owed.is_cut = cut->submitted = true;
    position_encode(p, &cut->bytes);
    put_bytes(&cut->request.reply, t->expected.data, t->expected.size);
    cut->request.stage = t->ops->stage;
    cut->request.partition = t->partition;
    cut->request.commit = cut->request.expected.present = true;
    cut->request.owner = cut;
    cut->request.expected.value = (struct slice){(const char *)cut->request.reply.data, (uint32_t)cut->request.reply.size};
    cut->request.position = (struct slice){(const char *)cut->bytes.data, (uint32_t)cut->bytes.size};
    t->worker->store->submit(t->worker->store->self, &cut->request);
}

void cut_bury(struct cut *cut)
{
    if (cut->owed.task || cut->outstanding || cut->submitted)
        return;
    writer_fini(&cut->bytes);
    writer_fini(&cut->request.reply);
    free(cut->request.blobs);
    free(cut);
}

void cuts_abandon(struct task *t)
{
    if (cut_is_copying(t))
        cells_clean(&t->cells, t->last_cut->copied);
    for (struct cut *cut = t->first_cut, *later; cut; cut = later) {
        later = cut->later;
        MUTANT(stale_acks_counted, mutant_remember(t, cut), (void)0);
        cut->owed.task = NULL;
        cut->later = NULL;
        cut_bury(cut);
    }
    t->first_cut = t->last_cut = NULL;
    t->cuts_in_flight = 0;
}

/* The largest are kept. */
static void keep_buffer(struct worker *w, struct cut *cut)
{
    struct writer *least = &w->spares[0];
    for (int i = 1; i < SPARES; i++)
        if (w->spares[i].capacity < least->capacity)
            least = &w->spares[i];
    if (cut->bytes.capacity <= least->capacity)
        return;
    writer_fini(least);
    *least = (struct writer){.data = cut->bytes.data, .capacity = cut->bytes.capacity};
    cut->bytes = (struct writer){0};
}

void cut_committed(struct task *t, int64_t now_ms)
{
    struct cut *cut = t->first_cut;
    t->first_cut = cut->later;
    if (!t->first_cut)
        t->last_cut = NULL;
    t->cuts_in_flight--;
    t->committed = cut->next;
    t->committed_ms = now_ms;
    t->committed_cut = cut->number;
    if (t->worker->suspect == t && t->marked != t->next)
        t->worker->suspect = NULL;
    t->worker->log->commit_offset(t->worker->log->self, (enum topic)t->ops->stage, t->partition, cut->next);
    cut->owed.task = NULL;
    cut->submitted = false;
    keep_buffer(t->worker, cut);
    cut_bury(cut);
}

/* Only facts: the task looks at them in its turn. */
void cut_acknowledged(struct cut *cut, enum err err)
{
    ASSERT(cut->outstanding > 0);
    cut->outstanding--;
    cut->failed |= MUTANT(loss_forgiven, false, err != ERR_NONE);
    cut->refused |= err == ERR_TOO_LARGE;
    cut_bury(cut);
}

void task_produce(struct task *t, struct outgoing *out, int64_t now_ms)
{
    struct cut *cut = cut_open(t, now_ms);
    out->opaque = MUTANT(outputs_owed, out->topic == TOPIC_EFFECTS ? cut : NULL,
                         MUTANT(stale_acks_counted, mutant_is_covered(t) ? NULL : cut, cut));
    cut->outstanding += out->opaque != NULL;
    worker_produce(t->worker, out, out->opaque);
}

bool task_owes(const struct task *t)
{
    return t->state == TASK_RUN && (t->first_cut || t->next != t->committed || t->queue_count);
}
