#include "server/worker/worker.h"

#include "common/check.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/mutant.h"
#include "server/worker/cut.h"
#include "server/worker/worker_internal.h"

#include <stddef.h>
#include <stdlib.h>

#define ITEM_COUNTS_MAX 200000
#define ITEM_COUNTS_AGE_MS 60000
#define TURN_MS 5 /* the longest between two turns */
#define LIST_LOOKS_A_TURN 512 /* eight a list that is written, so some 64 lists: a millisecond */
#define LIST_LOOKS_MIN 16     /* of a task, however many share it */
#define SHARE_MIN 8 /* records of a task in one turn, however many share it */

static const struct stage_ops *const stages[STAGES] = {&profile_stage, &entity_stage, &allocation_stage, &learner_stage};

struct worker *worker_create(const struct worker_settings *settings, const struct log_port *log,
                             const struct store_port *store, uint64_t seed)
{
    struct worker *w = calloc(1, sizeof *w);
    ASSERT(w);
    w->settings = *settings;
    w->log = log;
    w->store = store;
    w->random = seed;
    w->secret = worker_random(w);
    w->pace = settings->turn_records_max;
    tables_init(&w->tables, &settings->catalog);
    w->users_seed = hash64(settings->user_key, settings->user_key_size, 7);
    w->users = user_hmac_create((struct slice){(const char *)settings->user_key, settings->user_key_size});
    ASSERT(w->users);
    w->conversions = conversions_create(settings->segments.conversions_max);
    w->push = push_create(w);
    w->item_counts = item_counts_create(store, ITEM_COUNTS_MAX, ITEM_COUNTS_AGE_MS);
    return w;
}

static void held_destroy(struct worker *w, struct held *h)
{
    if (h->out.headers_of)
        w->log->release(w->log->self, &h->record);
    writer_fini(&h->bytes);
    free(h);
}

void worker_destroy(struct worker *w)
{
    if (!w)
        return;
    worker_assigned(w, NULL, 0, 0);
    for (struct held *h = w->first_held, *later; h; h = later) {
        later = h->later;
        if (h->cut)
            cut_acknowledged(h->cut, ERR_CONFLICT);
        held_destroy(w, h);
    }
    dead_letter_fini(w);
    push_destroy(w->push);
    conversions_destroy(w->conversions);
    item_counts_destroy(w->item_counts);
    tables_fini(&w->tables);
    user_hmac_destroy(w->users);
    for (int i = 0; i < SPARES; i++)
        writer_fini(&w->spares[i]);
    free(w);
}

uint64_t worker_random(struct worker *w)
{
    w->random += 0x9e3779b97f4a7c15u;
    uint64_t value = hash_mix(w->random);
    return value ? value : 1;
}

struct slot_header worker_header_of(const struct worker_settings *s, const struct log_port *log)
{
    struct slot_header h = {.format = FORMAT_VERSION, .fold_count = 1, .folds = {{0, s->fold_hash}}};
    h.hmac_check = hash64(s->user_key, s->user_key_size, 1);
    for (int i = 0; i < TOPIC_INPUTS; i++)
        h.partitions[i] = log->partitions(log->self, (enum topic)i);
    return h;
}

struct slot_header worker_header(const struct worker *w)
{
    return worker_header_of(&w->settings, w->log);
}

const struct worker_settings *worker_settings_of(const struct worker *w, uint64_t fold_hash)
{
    if (w->settings.fold_hash == fold_hash)
        return &w->settings;
    for (uint32_t i = 0; i < w->settings.before_count; i++)
        if (w->settings.before[i]->fold_hash == fold_hash)
            return w->settings.before[i];
    return NULL;
}

void worker_reload(struct worker *w, const struct worker_settings *settings)
{
    struct worker_settings *mine = &w->settings;
    size_t from = MUTANT(reload_changes_fold, 0, offsetof(struct worker_settings, profile_commit_ms));
    memcpy((char *)mine + from, (const char *)settings + from, sizeof *mine - from);
}

static void task_end(struct worker *w, int stage, int32_t partition)
{
    task_release(w->tasks[stage][partition]);
    w->tasks[stage][partition] = NULL;
    w->task_count--;
}

void worker_assigned(struct worker *w, const struct topic_partition *list, size_t count, int64_t now_ms)
{
    bool wanted[STAGES][PARTITIONS_MAX] = {{0}};
    for (size_t i = 0; i < count; i++) {
        const struct topic_partition *tp = &list[i];
        if (tp->topic >= TOPIC_INPUTS || tp->partition < 0 || tp->partition >= PARTITIONS_MAX)
            continue;
        wanted[tp->topic][tp->partition] = true;
        w->partitions_seen = tp->partition >= w->partitions_seen ? tp->partition + 1 : w->partitions_seen;
    }
    for (int s = 0; s < STAGES; s++)
        for (int32_t p = 0; p < w->partitions_seen; p++)
            if (w->tasks[s][p] && !wanted[s][p])
                task_end(w, s, p);
    for (int s = 0; s < STAGES && count > 0; s++)
        for (int32_t p = 0; p < w->partitions_seen; p++)
            if (!w->tasks[s][p] && wanted[s][p] && !w->draining) {
                w->tasks[s][p] = task_create(w, stages[s], p, now_ms);
                w->task_count++;
            }
}

static struct task *find_task(struct worker *w, enum topic topic, int32_t partition)
{
    return topic < TOPIC_INPUTS && partition >= 0 && partition < PARTITIONS_MAX ? w->tasks[topic][partition] : NULL;
}

void worker_records(struct worker *w, struct record *records, size_t count, int64_t now_ms)
{
    for (size_t i = 0; i < count; i++) {
        struct record *r = &records[i];
        struct task *t = find_task(w, r->topic, r->partition);
        w->counts.records[r->topic]++;
        if (t)
            task_record(t, r, now_ms);
        else
            w->log->release(w->log->self, r);
    }
}

void worker_out_of_range(struct worker *w, enum topic topic, int32_t partition)
{
    struct task *t = find_task(w, topic, partition);
    if (t)
        task_out_of_range(t);
}

void worker_leader_changed(struct worker *w, enum topic topic, int32_t partition, int64_t now_ms)
{
    struct task *t = find_task(w, topic, partition);
    if (t && (t->state == TASK_VERIFY || t->state == TASK_RUN) && MUTANT(leader_ignored, false, true))
        task_rewind(t, now_ms);
}

void worker_acknowledged(struct worker *w, void *opaque, enum err err, int64_t offset)
{
    if (opaque)
        cut_acknowledged(opaque, err);
}

void worker_stored(struct worker *w, struct store_request *request, int64_t now_ms)
{
    task_stored(request, now_ms);
}

/* Headers' names are literals; their values are copied behind key and value. The record of `headers_of` is kept. */
static void hold(struct worker *w, const struct outgoing *out, struct cut *cut)
{
    struct held *h = calloc(1, sizeof *h);
    ASSERT(h && out->header_count <= HELD_HEADERS_MAX);
    put_bytes(&h->bytes, out->key.at, out->key.size);
    put_bytes(&h->bytes, out->value.at, out->value.size);
    for (int i = 0; i < out->header_count; i++)
        put_bytes(&h->bytes, out->headers[i].value.at, out->headers[i].value.size);
    h->out = *out;
    const char *at = (const char *)h->bytes.data;
    h->out.key.at = at;
    h->out.value.at = at += out->key.size;
    at += out->value.size;
    for (int i = 0; i < out->header_count; i++) {
        h->headers[i] = (struct header){out->headers[i].name, {at, out->headers[i].value.size}};
        at += out->headers[i].value.size;
    }
    h->out.headers = h->headers;
    if (out->headers_of) {
        h->record = *out->headers_of;
        h->out.headers_of = &h->record;
        w->kept = h->record.native;
    }
    h->cut = cut;
    *(w->last_held ? &w->last_held->later : &w->first_held) = h;
    w->last_held = h;
}

void worker_produce(struct worker *w, const struct outgoing *out, struct cut *cut)
{
    w->counts.produced[out->topic]++;
    w->counts.produced_bytes[out->topic] += out->key.size + out->value.size;
    enum err err = w->first_held ? ERR_MEMORY : w->log->produce(w->log->self, out);
    if (err == ERR_TOO_LARGE)
        log_error("output_refused", "a record of %u bytes for %s is larger than may be sent", out->key.size + out->value.size, topic_defaults[out->topic]);
    if (err == ERR_MEMORY && MUTANT(full_queue_dropped, false, true))
        hold(w, out, cut);
    else if (err != ERR_NONE && cut)
        cut_acknowledged(cut, MUTANT(full_queue_dropped, ERR_NONE, err));
}

/* What an abandoned attempt still held back is not sent: its replay sends it again. */
static void send_held(struct worker *w)
{
    while (w->first_held) {
        struct held *h = w->first_held;
        bool orphan = h->cut && !h->cut->owed.task;
        enum err err = orphan ? ERR_CONFLICT : w->log->produce(w->log->self, &h->out);
        if (err == ERR_MEMORY)
            return;
        if (err != ERR_NONE && h->cut)
            cut_acknowledged(h->cut, err);
        w->first_held = h->later;
        if (!w->first_held)
            w->last_held = NULL;
        held_destroy(w, h);
    }
}

/* Some task stopped at its share of the turn, or with a part of its cut. */
static bool work_is_ready(const struct worker *w)
{
    for (int32_t p = 0; p < w->partitions_seen; p++)
        for (int s = 0; s < STAGES; s++) {
            const struct task *t = w->tasks[s][p];
            if (t && t->state == TASK_RUN && (cut_is_copying(t) || (t->queue_count && !t->load && !w->first_held && !t->draining)))
                return true;
        }
    return false;
}

uint32_t worker_pace(struct worker *w, uint32_t records)
{
    w->pace = records < w->settings.turn_records_max ? records : w->settings.turn_records_max;
    return w->pace;
}

static void share_turn(struct worker *w)
{
    uint32_t busy = 0, entities = 0;
    for (int s = 0; s < STAGES; s++)
        for (int32_t p = 0; p < w->partitions_seen; p++) {
            busy += w->tasks[s][p] && w->tasks[s][p]->queue_count;
            entities += s == STAGE_ENTITY && w->tasks[s][p];
        }
    uint32_t share = w->pace / (busy ? busy : 1), looks = LIST_LOOKS_A_TURN / (entities ? entities : 1);
    w->share = share > SHARE_MIN ? share : SHARE_MIN;
    w->list_looks = looks > LIST_LOOKS_MIN ? looks : LIST_LOOKS_MIN;
}

int64_t worker_turn(struct worker *w, int64_t now_ms)
{
    w->has_cut = w->has_flushed = false;
    w->copy_bytes_left = w->settings.cut_turn_bytes;
    send_held(w);
    share_turn(w);
    for (int s = 0; s < STAGES; s++)
        for (int32_t p = 0; p < w->partitions_seen; p++)
            if (w->tasks[s][p])
                task_turn(w->tasks[s][p], now_ms);
    dead_letter_turn(w, now_ms);
    item_counts_turn(w->item_counts);
    push_turn(w->push, now_ms);
    return work_is_ready(w) ? now_ms : now_ms + TURN_MS;
}

void worker_ask(struct worker *w, const struct question *q, struct recommendation *out)
{
    push_ask(w->push, q, out);
}

void worker_ask_items(struct worker *w, const struct question *q, float *out)
{
    push_ask_items(w->push, q, out);
}

uint32_t worker_ask_given(struct worker *w, const struct question *q, const struct given *given, struct list_place *out)
{
    return push_ask_given(w->push, q, given, out);
}

const struct catalog *worker_catalog(const struct worker *w)
{
    return w->tables.catalog;
}

const struct worker_counts *worker_get_counts(const struct worker *w)
{
    return &w->counts;
}

static struct task_report report_of(const struct task *t, int64_t now_ms)
{
    static const char *const states[TASK_STATES] = {"read", "claim", "verify", "run", "halted", "lost"};
    const struct log_port *log = t->worker->log;
    struct log_ends ends;
    bool known = log->ends(log->self, (enum topic)t->ops->stage, t->partition, &ends);
    return (struct task_report){
        .stage = t->ops->stage,
        .partition = t->partition,
        .state = states[t->state],
        .halt = t->halt ? halt_names[t->halt] : NULL,
        .halt_text = t->halt_text,
        .next = t->next,
        .committed = t->committed,
        .commit_age_ms = task_owes(t) ? now_ms - t->committed_ms : 0,
        .commit_every_ms = t->ops->commit_ms(t),
        .stopped_ms = t->state == TASK_RUN || t->state == TASK_HALTED ? 0 : now_ms - t->running_ms,
        .lag_records = known && ends.heard >= t->next ? ends.heard - t->next : -1,
        .record_ms = t->record_ms,
        .folded = t->folded,
        .replayed = t->replayed,
        .cells = t->cells.by_local.count,
        .cell_bytes = t->cells.bytes,
    };
}

size_t worker_report(const struct worker *w, int64_t now_ms, struct task_report *out, size_t max)
{
    size_t n = 0;
    for (int s = 0; s < STAGES; s++)
        for (int32_t p = 0; p < w->partitions_seen; p++)
            if (w->tasks[s][p]) {
                if (n < max)
                    out[n] = report_of(w->tasks[s][p], now_ms);
                n++;
            }
    return n;
}

bool worker_is_under_way(const struct worker *w)
{
    for (int32_t p = 0; p < w->partitions_seen; p++)
        for (int s = 0; s < STAGES; s++)
            if (w->tasks[s][p] && !task_is_under_way(w->tasks[s][p]))
                return false;
    return true;
}

void worker_effects_late(struct worker *w, bool late)
{
    if (w->effects_late == late)
        return;
    w->effects_late = late;
    if (late)
        log_warning("effects_late", "an entity task is so far behind that its effects may leave the log unread; profile tasks wait until it has "
                                    "caught up; next step: `sluice task status`");
    else
        log_info("effects_in_time", "entity tasks have caught up; profile tasks go on");
}

bool worker_is_waiting_for_entities(const struct worker *w)
{
    return w->effects_late;
}

void worker_drain(struct worker *w, int64_t now_ms)
{
    w->draining = true;
    push_drain(w->push, now_ms);
    for (int s = 0; s < STAGES; s++)
        for (int32_t p = 0; p < PARTITIONS_MAX; p++)
            if (w->tasks[s][p])
                task_drain(w->tasks[s][p], now_ms);
}

bool worker_is_drained(const struct worker *w)
{
    for (int s = 0; s < STAGES; s++)
        for (int32_t p = 0; p < PARTITIONS_MAX; p++)
            if (w->tasks[s][p] && task_owes(w->tasks[s][p]))
                return false;
    return true;
}

void worker_table_record(struct worker *w, struct record *record, int64_t now_ms)
{
    w->counts.records[record->topic]++;
    const char *refusal = tables_record(w, record);
    if (refusal)
        dead_letter_table(w, record, refusal);
    else
        w->log->release(w->log->self, record);
}

void worker_tables_ready(struct worker *w)
{
    w->tables_ready = true;
}

void worker_views_read(struct worker *w, struct view_read *read, int64_t now_ms)
{
    if (!item_counts_read(w->item_counts, read, now_ms))
        push_views_read(w->push, read, now_ms);
}
