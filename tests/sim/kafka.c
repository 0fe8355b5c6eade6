#include "tests/sim/kafka.h"

#include "common/check.h"

#include <stdlib.h>

void kafka_begin(struct kafka *k, struct arena *arena, const int32_t partitions[TOPICS])
{
    k->arena = arena;
    k->now_ms = 0;
    k->lost = 0;
    memcpy(k->partitions, partitions, sizeof k->partitions);
    for (int t = 0; t < TOPICS; t++)
        for (int32_t p = 0; p < PARTITIONS; p++) {
            struct log_partition *log = &k->logs[t][p];
            *log = (struct log_partition){.records = log->records, .capacity = log->capacity, .never = -1};
            if (t < TOPIC_INPUTS)
                k->group_offset[t][p] = -1;
        }
}

void kafka_fini(struct kafka *k)
{
    for (int t = 0; t < TOPICS; t++)
        for (int32_t p = 0; p < PARTITIONS; p++)
            free(k->logs[t][p].records);
}

int64_t kafka_append(struct kafka *k, enum topic topic, int32_t partition, struct slice key, struct slice value, bool tombstone)
{
    if (partition < 0)
        partition = kafka_partition(key.at, key.size, k->partitions[topic]);
    struct log_partition *log = &k->logs[topic][partition];
    if (log->count == log->capacity) {
        log->capacity = log->capacity ? log->capacity * 2 : 64;
        log->records = realloc(log->records, (size_t)log->capacity * sizeof *log->records);
        ASSERT(log->records);
    }
    char *bytes = arena_take(k->arena, (size_t)key.size + value.size + 1);
    if (key.size)
        memcpy(bytes, key.at, key.size);
    if (value.size)
        memcpy(bytes + key.size, value.at, value.size);
    log->records[log->count] = (struct record){
        .topic = topic, .partition = partition, .offset = log->count, .timestamp_ms = k->now_ms,
        .key = {bytes, key.size}, .value = {bytes + key.size, value.size}, .tombstone = tombstone,
    };
    return log->count++;
}

int64_t kafka_truncate(struct kafka *k, enum topic topic, int32_t partition, int64_t count)
{
    struct log_partition *log = &k->logs[topic][partition];
    int64_t lost = count < log->count ? count : log->count;
    if (lost == 0)
        return 0;
    log->count -= lost;
    log->low = log->low < log->count ? log->low : log->count;
    log->rewritten = true;
    log->leader++;
    k->lost += (uint64_t)lost;
    return lost;
}

static void answer(struct client *c, void *opaque, enum err err, int64_t offset)
{
    if (c->answer_count == c->answer_capacity) {
        c->answer_capacity = c->answer_capacity ? c->answer_capacity * 2 : 64;
        c->answers = realloc(c->answers, c->answer_capacity * sizeof *c->answers);
        ASSERT(c->answers);
    }
    c->answers[c->answer_count++] = (struct answer){opaque, err, offset};
}

static bool strikes(struct client *c, size_t at)
{
    uint32_t *waiting = (uint32_t *)((char *)&c->faults + at), *struck = (uint32_t *)((char *)&c->struck + at);
    if (*waiting == 0)
        return false;
    --*waiting;
    ++*struck;
    return true;
}

#define STRIKES(c, name) strikes((c), offsetof(struct client_faults, name))

/* A dead letter is kept with what it is about: reason, partition and offset, in the place of headers. */
static struct slice letter_of(struct kafka *k, const struct outgoing *out)
{
    struct slice s[2] = {{0}};
    for (int i = 0; i < out->header_count; i++)
        for (int n = 0; n < 2; n++)
            if (strcmp(out->headers[i].name, n ? "__errors.offset" : "__errors.partition") == 0)
                s[n] = out->headers[i].value;
    char *text = arena_take(k->arena, (size_t)s[0].size + s[1].size + 1);
    memcpy(text, s[0].at, s[0].size);
    text[s[0].size] = ' ';
    memcpy(text + s[0].size + 1, s[1].at, s[1].size);
    return (struct slice){text, s[0].size + s[1].size + 1};
}

static int64_t append_out(struct client *c, const struct outgoing *out)
{
    if (STRIKES(c, sends_twice))
        kafka_append(c->kafka, out->topic, out->partition, out->key, out->value, out->tombstone);
    return kafka_append(c->kafka, out->topic, out->partition, out->key, out->value, out->tombstone);
}

static void carry_one(struct client *c, size_t i, bool heard)
{
    struct outgoing out = c->sends[i].out;
    memmove(c->sends + i, c->sends + i + 1, (--c->send_count - i) * sizeof *c->sends);
    if (STRIKES(c, sends_lost)) {
        answer(c, out.opaque, ERR_IO, -1);
        return;
    }
    int64_t offset = append_out(c, &out);
    answer(c, out.opaque, heard && !STRIKES(c, acks_lost) ? ERR_NONE : ERR_IO, offset);
}

static void give_up(struct client *c, size_t i)
{
    answer(c, c->sends[i].out.opaque, ERR_IO, -1);
    memmove(c->sends + i, c->sends + i + 1, (--c->send_count - i) * sizeof *c->sends);
}

static enum err port_produce(void *self, const struct outgoing *out)
{
    struct client *c = self;
    bool unheard = false;
    if (STRIKES(c, sends_refused))
        return ERR_MEMORY;
    if (c->send_count == c->send_capacity) {
        c->send_capacity = c->send_capacity ? c->send_capacity * 2 : 64;
        c->sends = realloc(c->sends, c->send_capacity * sizeof *c->sends);
        ASSERT(c->sends);
    }
    struct outgoing copy = *out;
    struct slice value = out->topic == TOPIC_DEADLETTER ? letter_of(c->kafka, out) : out->value;
    char *bytes = arena_take(c->kafka->arena, (size_t)out->key.size + value.size + 1);
    memcpy(bytes, out->key.size ? out->key.at : "", out->key.size);
    memcpy(bytes + out->key.size, value.size ? value.at : "", value.size);
    copy.key.at = bytes;
    copy.value = (struct slice){bytes + out->key.size, value.size};
    bool leaves = c->step(c->step_arg, &unheard);
    c->sends[c->send_count++] = (struct sending){copy};
    if (!leaves)
        give_up(c, c->send_count - 1); /* only so that the books are closed */
    while (unheard && c->send_count)
        carry_one(c, 0, c->send_count > 1);
    return ERR_NONE;
}

static void port_start(void *self, enum topic topic, int32_t partition, int64_t offset)
{
    struct client *c = self;
    struct reading *r = &c->reads[topic][partition];
    r->started = true;
    r->paused = false;
    r->next = offset;
}

static void port_stop(void *self, enum topic topic, int32_t partition)
{
    ((struct client *)self)->reads[topic][partition].started = false;
}

static void port_pause(void *self, enum topic topic, int32_t partition, bool paused)
{
    ((struct client *)self)->reads[topic][partition].paused = paused;
}

static bool port_ends(void *self, enum topic topic, int32_t partition, struct log_ends *out)
{
    *out = ((struct client *)self)->reads[topic][partition].ends;
    return out->asked > 0;
}

static uint64_t port_ask_ends(void *self)
{
    struct client *c = self;
    c->fenced.questions -= c->fenced.questions > 0;
    return c->asked + 1;
}

static void port_commit_offset(void *self, enum topic topic, int32_t partition, int64_t offset)
{
    ((struct client *)self)->kafka->group_offset[topic][partition] = offset;
}

static void port_release(void *self, struct record *record)
{
}

static int32_t port_partitions(void *self, enum topic topic)
{
    return ((struct client *)self)->kafka->partitions[topic];
}

static const char *port_topic_name(void *self, enum topic topic)
{
    return topic_defaults[topic];
}

void client_begin(struct client *c, struct kafka *k, io_step *step, void *arg)
{
    c->kafka = k;
    c->step = step;
    c->step_arg = arg;
    c->send_count = c->answer_count = 0;
    c->faults = c->struck = (struct client_faults){0};
    c->asked = 0;
    c->fenced.questions = 0;
    for (int t = 0; t < TOPIC_INPUTS; t++)
        for (int32_t p = 0; p < PARTITIONS; p++)
            c->reads[t][p] = (struct reading){.skipped = -1, .leader = k->logs[t][p].leader};
    c->port = (struct log_port){
        .self = c, .produce = port_produce, .start = port_start, .stop = port_stop, .pause = port_pause,
        .ends = port_ends, .ask_ends = port_ask_ends, .commit_offset = port_commit_offset, .release = port_release,
        .partitions = port_partitions, .topic_name = port_topic_name,
    };
}

void client_fini(struct client *c)
{
    free(c->sends);
    free(c->answers);
    c->sends = NULL;
    c->answers = NULL;
    c->send_capacity = c->answer_capacity = 0;
}

/* The first one of a partition drawn among those that have any. */
static size_t pick(const struct client *c, uint64_t reorder)
{
    if (reorder == 0)
        return 0;
    const struct outgoing *chosen = &c->sends[reorder % c->send_count].out;
    size_t i = 0;
    while (c->sends[i].out.topic != chosen->topic || c->sends[i].out.partition != chosen->partition)
        i++;
    return i;
}

void client_carry(struct client *c, size_t sends, uint64_t reorder)
{
    for (; sends > 0 && c->send_count; sends--)
        carry_one(c, pick(c, reorder), true);
}

void client_answer(struct client *c, struct worker *w, size_t answers)
{
    size_t n = answers < c->answer_count ? answers : c->answer_count;
    for (size_t i = 0; i < n; i++)
        worker_acknowledged(w, c->answers[i].opaque, c->answers[i].err, c->answers[i].offset);
    c->answer_count -= n;
    if (n)
        memmove(c->answers, c->answers + n, c->answer_count * sizeof *c->answers);
}

static bool is_fenced(const struct client *c, enum topic topic, int32_t partition)
{
    return c->fenced.questions && c->fenced.topic == topic && c->fenced.partition == partition;
}

/* As whom the client takes for the leader says. */
static int64_t end_of(const struct client *c, enum topic topic, int32_t partition)
{
    int64_t end = c->kafka->logs[topic][partition].count;
    return is_fenced(c, topic, partition) && c->fenced.end < end ? c->fenced.end : end;
}

static void deliver(struct client *c, struct worker *w, enum topic topic, int32_t partition, size_t max, int64_t now_ms)
{
    struct reading *at = &c->reads[topic][partition];
    const struct log_partition *log = &c->kafka->logs[topic][partition];
    int leader = is_fenced(c, topic, partition) && c->fenced.told ? -1 : log->leader;
    int64_t end = end_of(c, topic, partition);
    if (at->started && at->leader != leader) {
        at->leader = leader;
        worker_leader_changed(w, topic, partition, now_ms);
    }
    for (size_t n = 0; n < max && at->started && !at->paused; n++) {
        if (at->next < log->low || at->next > end) {
            at->started = false;
            worker_out_of_range(w, topic, partition);
            return;
        }
        if (at->next == end)
            return;
        struct record r = log->records[at->next++];
        if (r.offset == log->never)
            continue;
        if (r.offset > at->skipped && STRIKES(c, skips)) {
            at->skipped = r.offset;
            continue;
        }
        worker_records(w, &r, 1, now_ms);
        if (at->next == r.offset + 1 && STRIKES(c, repeats)) {
            r = log->records[r.offset];
            worker_records(w, &r, 1, now_ms);
        }
    }
}

void client_deliver(struct client *c, struct worker *w, size_t max, uint64_t order, int64_t now_ms)
{
    c->asked++;
    for (int t = 0; t < TOPIC_INPUTS; t++)
        for (int32_t p = 0; p < c->kafka->partitions[t]; p++)
            c->reads[t][p].ends = (struct log_ends){c->kafka->logs[t][p].low, end_of(c, (enum topic)t, p), c->asked, end_of(c, (enum topic)t, p)};
    for (uint64_t i = 0; i < TOPIC_INPUTS * PARTITIONS; i++) {
        uint64_t at = (i + order) % (TOPIC_INPUTS * PARTITIONS);
        enum topic topic = (enum topic)(at / PARTITIONS);
        int32_t partition = (int32_t)(at % PARTITIONS);
        if (c->reads[topic][partition].started && partition < c->kafka->partitions[topic])
            deliver(c, w, topic, partition, max, now_ms);
    }
}

void client_abandon(struct client *c, struct worker *w, size_t carried)
{
    for (; c->send_count; carried -= carried > 0)
        if (carried > 0)
            carry_one(c, 0, false);
        else
            give_up(c, 0);
    client_answer(c, w, c->answer_count);
}
