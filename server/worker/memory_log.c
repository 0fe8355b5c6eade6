#include "server/worker/memory_log.h"

#include "common/check.h"
#include "common/hash.h"

#include <stdlib.h>

struct partition {
    struct record *records; /* owned, with their bytes; offset = index + start */
    size_t count, capacity;
    int64_t start;          /* of the array: records below were never kept */
    int64_t low;
};

struct memory_cluster {
    int32_t partitions[TOPICS];
    struct partition *logs[TOPICS]; /* owned */
};

struct ack {
    void *opaque;
    int64_t offset;
};

struct position_of {
    bool started, paused;
    int64_t next;
};

struct memory_log {
    struct memory_cluster *cluster; /* borrowed */
    struct log_port port;
    int64_t now_ms;
    bool discards;
    struct position_of *read[TOPIC_INPUTS]; /* owned */
    struct ack *acks; /* owned */
    size_t ack_count, ack_capacity;
};

struct memory_cluster *memory_cluster_create(const int32_t partitions[TOPICS])
{
    struct memory_cluster *c = calloc(1, sizeof *c);
    ASSERT(c);
    for (int t = 0; t < TOPICS; t++) {
        c->partitions[t] = partitions[t];
        c->logs[t] = calloc((size_t)partitions[t], sizeof *c->logs[t]);
        ASSERT(c->logs[t]);
    }
    return c;
}

static void forget(struct partition *p, size_t i)
{
    free((char *)p->records[i].key.at);
    p->records[i].key.at = NULL;
}

void memory_cluster_destroy(struct memory_cluster *c)
{
    if (!c)
        return;
    for (int t = 0; t < TOPICS; t++) {
        for (int32_t p = 0; p < c->partitions[t]; p++) {
            for (size_t i = 0; i < c->logs[t][p].count; i++)
                forget(&c->logs[t][p], i);
            free(c->logs[t][p].records);
        }
        free(c->logs[t]);
    }
    free(c);
}

void memory_begin(struct memory_cluster *c, enum topic topic, int32_t partition, int64_t offset)
{
    struct partition *p = &c->logs[topic][partition];
    ASSERT(p->count == 0);
    p->start = p->low = offset;
}

int64_t memory_append(struct memory_cluster *c, enum topic topic, int32_t partition, struct slice key,
                      struct slice value, int64_t timestamp_ms)
{
    if (partition < 0)
        partition = kafka_partition(key.at, key.size, c->partitions[topic]);
    struct partition *p = &c->logs[topic][partition];
    if (p->count == p->capacity) {
        p->capacity = p->capacity ? p->capacity * 2 : 64;
        p->records = realloc(p->records, p->capacity * sizeof *p->records);
        ASSERT(p->records);
    }
    char *bytes = malloc((size_t)key.size + value.size + 1);
    ASSERT(bytes);
    if (key.size)
        memcpy(bytes, key.at, key.size);
    if (value.size)
        memcpy(bytes + key.size, value.at, value.size);
    p->records[p->count] = (struct record){
        topic, partition, p->start + (int64_t)p->count, timestamp_ms, {bytes, key.size}, {bytes + key.size, value.size},
        value.at == NULL, NULL,
    };
    return p->start + (int64_t)p->count++;
}

int64_t memory_end(const struct memory_cluster *c, enum topic topic, int32_t partition)
{
    const struct partition *p = &c->logs[topic][partition];
    return p->start + (int64_t)p->count;
}

const struct record *memory_find(const struct memory_cluster *c, enum topic topic, int32_t partition, int64_t offset)
{
    const struct partition *p = &c->logs[topic][partition];
    if (offset < p->low || offset < p->start || offset >= p->start + (int64_t)p->count)
        return NULL;
    const struct record *r = &p->records[offset - p->start];
    return r->key.at ? r : NULL;
}

void memory_truncate(struct memory_cluster *c, enum topic topic, int32_t partition, int64_t count)
{
    struct partition *p = &c->logs[topic][partition];
    for (; count > 0 && p->count; count--)
        forget(p, --p->count);
}

void memory_trim(struct memory_cluster *c, enum topic topic, int32_t partition, int64_t offset)
{
    struct partition *p = &c->logs[topic][partition];
    int64_t end = p->start + (int64_t)p->count;
    offset = offset < end ? offset : end;
    for (int64_t o = p->low > p->start ? p->low : p->start; o < offset; o++)
        forget(p, (size_t)(o - p->start));
    p->low = offset > p->low ? offset : p->low;
    size_t gone = p->low > p->start ? (size_t)(p->low - p->start) : 0;
    if (gone < 64 || gone < p->count / 2)
        return;
    p->count -= gone;
    p->start += (int64_t)gone;
    memmove(p->records, p->records + gone, p->count * sizeof *p->records);
}

static enum err port_produce(void *self, const struct outgoing *out)
{
    struct memory_log *l = self;
    struct slice value = out->value;
    if (out->tombstone)
        value = (struct slice){0};
    else if (!value.at)
        value.at = "";
    int64_t offset = -1;
    if (!l->discards)
        offset = memory_append(l->cluster, out->topic, out->partition, out->key, value, l->now_ms);
    if (l->ack_count == l->ack_capacity) {
        l->ack_capacity = l->ack_capacity ? l->ack_capacity * 2 : 64;
        l->acks = realloc(l->acks, l->ack_capacity * sizeof *l->acks);
        ASSERT(l->acks);
    }
    l->acks[l->ack_count++] = (struct ack){out->opaque, offset};
    return ERR_NONE;
}

static void port_start(void *self, enum topic topic, int32_t partition, int64_t offset)
{
    struct memory_log *l = self;
    struct position_of *at = &l->read[topic][partition];
    *at = (struct position_of){.started = true, .next = offset};
}

static void port_stop(void *self, enum topic topic, int32_t partition)
{
    struct memory_log *l = self;
    l->read[topic][partition].started = false;
}

static void port_pause(void *self, enum topic topic, int32_t partition, bool paused)
{
    struct memory_log *l = self;
    l->read[topic][partition].paused = paused;
}

static bool port_ends(void *self, enum topic topic, int32_t partition, struct log_ends *out)
{
    struct memory_log *l = self;
    const struct partition *p = &l->cluster->logs[topic][partition];
    int64_t end = p->start + (int64_t)p->count;
    *out = (struct log_ends){.low = p->low > p->start ? p->low : p->start, .high = end, .heard = end};
    return true;
}

static uint64_t port_ask_ends(void *self)
{
    return 0; /* what is told is always so */
}

static void port_commit_offset(void *self, enum topic topic, int32_t partition, int64_t offset)
{
}

static void port_release(void *self, struct record *record)
{
    free(record->native);
    record->native = NULL;
}

static const char *port_topic_name(void *self, enum topic topic)
{
    return topic_defaults[topic];
}

static int32_t port_partitions(void *self, enum topic topic)
{
    return ((struct memory_log *)self)->cluster->partitions[topic];
}

struct memory_log *memory_log_create(struct memory_cluster *c)
{
    struct memory_log *l = calloc(1, sizeof *l);
    ASSERT(l);
    l->cluster = c;
    for (int t = 0; t < TOPIC_INPUTS; t++) {
        l->read[t] = calloc((size_t)c->partitions[t], sizeof *l->read[t]);
        ASSERT(l->read[t]);
    }
    l->port = (struct log_port){l,            port_produce,       port_start,   port_stop,      port_pause,
                                port_ends,    port_ask_ends, port_commit_offset, port_release, port_partitions, port_topic_name};
    return l;
}

void memory_log_destroy(struct memory_log *l)
{
    if (!l)
        return;
    for (int t = 0; t < TOPIC_INPUTS; t++)
        free(l->read[t]);
    free(l->acks);
    free(l);
}

const struct log_port *memory_log_port(struct memory_log *l)
{
    return &l->port;
}

void memory_log_set_now(struct memory_log *l, int64_t now_ms)
{
    l->now_ms = now_ms;
}

void memory_log_discard_outputs(struct memory_log *l)
{
    l->discards = true;
}

static void deliver_acks(struct memory_log *l, struct worker *w)
{
    struct ack *acks = l->acks;
    size_t count = l->ack_count;
    l->acks = NULL;
    l->ack_count = l->ack_capacity = 0;
    for (size_t i = 0; i < count; i++)
        worker_acknowledged(w, acks[i].opaque, ERR_NONE, acks[i].offset);
    free(acks);
}

/* The worker owns what it is given: the bytes are copied so that a truncation does not pull them away. */
static struct record copy_of(const struct record *r)
{
    struct record copy = *r;
    size_t size = (size_t)r->key.size + r->value.size;
    copy.native = malloc(size + 1);
    ASSERT(copy.native);
    memcpy(copy.native, r->key.at, size);
    copy.key.at = copy.native;
    copy.value.at = (char *)copy.native + r->key.size;
    return copy;
}

static size_t deliver_partition(struct memory_log *l, struct worker *w, enum topic topic, int32_t partition, size_t max, int64_t now_ms)
{
    struct position_of *at = &l->read[topic][partition];
    size_t n = 0;
    while (n < max && at->started && !at->paused) {
        struct log_ends ends;
        port_ends(l, topic, partition, &ends);
        if (at->next < ends.low || at->next > ends.high) {
            at->started = false;
            worker_out_of_range(w, topic, partition);
            break;
        }
        if (at->next == ends.high)
            break;
        const struct record *r = memory_find(l->cluster, topic, partition, at->next++);
        if (!r)
            continue;
        struct record copy = copy_of(r);
        worker_records(w, &copy, 1, now_ms);
        n++;
    }
    return n;
}

size_t memory_log_deliver(struct memory_log *l, struct worker *w, size_t max, int64_t now_ms)
{
    size_t n = 0;
    deliver_acks(l, w);
    for (int t = 0; t < TOPIC_INPUTS; t++)
        for (int32_t p = 0; p < l->cluster->partitions[t]; p++)
            n += deliver_partition(l, w, (enum topic)t, p, max, now_ms);
    return n;
}

bool memory_log_is_idle(const struct memory_log *l)
{
    for (int t = 0; t < TOPIC_INPUTS; t++)
        for (int32_t p = 0; p < l->cluster->partitions[t]; p++) {
            const struct position_of *at = &l->read[t][p];
            if (at->started && at->next < memory_end(l->cluster, (enum topic)t, p))
                return false;
        }
    return l->ack_count == 0;
}
