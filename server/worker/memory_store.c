#include "server/worker/memory_store.h"

#include "common/check.h"
#include "common/hash.h"
#include "common/map.h"

#include <stdlib.h>

struct stored {
    struct blob_key key;
    uint32_t size;
    char bytes[];
};

struct memory_redis {
    struct map slots;        /* (stage, partition) -> struct map of blobs; owned */
    struct map views;        /* hash of key -> struct stored; owned */
};

struct memory_store {
    bool views_late;
    struct memory_redis *redis; /* borrowed */
    struct store_port port;
    struct store_request **queue; /* owned; the requests are the worker's */
    size_t count, capacity;
    struct view_read **reads;
    size_t read_count, read_capacity;
    bool broken[STAGES][1024]; /* a commit failed: until reset, everything is answered unknown */
};

static uint64_t slot_key(enum stage stage, int32_t partition)
{
    return (uint64_t)stage << 32 | (uint32_t)(partition + 1);
}

static uint64_t blob_hash(struct blob_key key)
{
    return hash_mix(key.id + ((uint64_t)(uint8_t)key.class << 56) + 1);
}

static struct stored *stored_create(struct blob_key key, struct slice value)
{
    struct stored *s = malloc(sizeof *s + value.size);
    ASSERT(s);
    s->key = key;
    s->size = value.size;
    if (value.size)
        memcpy(s->bytes, value.at, value.size);
    return s;
}

static struct map *slot_get(struct memory_redis *r, enum stage stage, int32_t partition)
{
    struct map *slot = map_find(&r->slots, slot_key(stage, partition));
    if (!slot) {
        slot = calloc(1, sizeof *slot);
        ASSERT(slot);
        map_put(&r->slots, slot_key(stage, partition), slot);
    }
    return slot;
}

struct memory_redis *memory_redis_create(void)
{
    struct memory_redis *r = calloc(1, sizeof *r);
    ASSERT(r);
    return r;
}

void memory_redis_destroy(struct memory_redis *r)
{
    if (!r)
        return;
    size_t at = 0;
    struct map_slot entry;
    while (map_next(&r->slots, &at, &entry)) {
        map_free(entry.value);
        free(entry.value);
    }
    map_fini(&r->slots);
    map_free(&r->views);
    free(r);
}

/* Puts or removes. */
static void replace(struct map *slot, struct blob_key key, bool present, struct slice value)
{
    uint64_t h = blob_hash(key);
    free(map_remove(slot, h));
    if (present)
        map_put(slot, h, stored_create(key, value));
}

static void commit(struct memory_redis *r, const struct store_request *q)
{
    struct map *slot = slot_get(r, q->stage, q->partition);
    for (size_t i = 0; i < q->blob_count; i++)
        replace(slot, q->blobs[i].key, q->blobs[i].present, q->blobs[i].value);
    replace(slot, POSITION_KEY, true, q->position);
}

void memory_redis_put(struct memory_redis *r, enum stage stage, int32_t partition, struct blob_key key,
                      struct slice value)
{
    replace(slot_get(r, stage, partition), key, true, value);
}

struct slice memory_redis_find(const struct memory_redis *r, enum stage stage, int32_t partition, struct blob_key key)
{
    const struct map *slot = map_find(&r->slots, slot_key(stage, partition));
    const struct stored *s = slot ? map_find(slot, blob_hash(key)) : NULL;
    return s ? (struct slice){s->bytes, s->size} : (struct slice){0};
}

uint64_t memory_redis_digest(const struct memory_redis *r, enum stage stage, int32_t partition)
{
    const struct map *slot = map_find(&r->slots, slot_key(stage, partition));
    uint64_t sum = 0;
    size_t at = 0;
    struct map_slot entry;
    while (slot && map_next(slot, &at, &entry)) {
        const struct stored *s = entry.value;
        sum += blob_digest(s->key, (struct slice){s->bytes, s->size});
    }
    return sum;
}

struct slice memory_redis_view(const struct memory_redis *r, struct slice key)
{
    const struct stored *s = map_find(&r->views, hash64(key.at, key.size, 3));
    return s ? (struct slice){s->bytes, s->size} : (struct slice){0};
}

static void port_submit(void *self, struct store_request *request)
{
    struct memory_store *s = self;
    if (s->count == s->capacity) {
        s->capacity = s->capacity ? s->capacity * 2 : 64;
        s->queue = realloc(s->queue, s->capacity * sizeof(struct store_request *));
        ASSERT(s->queue);
    }
    s->queue[s->count++] = request;
}

/* What is queued stays queued: it is answered unknown, as a closed connection would. */
static void port_reset(void *self, enum stage stage, int32_t partition)
{
    struct memory_store *s = self;
    for (size_t i = 0; i < s->count; i++)
        if (s->queue[i]->stage == stage && s->queue[i]->partition == partition)
            s->queue[i]->status = STORE_UNKNOWN; /* marks it; see carry_out */
    s->broken[stage][partition] = false;
}

static void port_write_view(void *self, const struct view_write *v)
{
    struct memory_store *s = self;
    uint64_t h = hash64(v->key.at, v->key.size, 3);
    free(map_remove(&s->redis->views, h));
    if (!v->removed && v->field_count == 0)
        map_put(&s->redis->views, h, stored_create((struct blob_key){0}, v->value));
}

static bool port_views_are_late(void *self)
{
    return ((struct memory_store *)self)->views_late;
}

void memory_store_views_late(struct memory_store *s, bool late)
{
    s->views_late = late;
}

static void port_append_decision(void *self, const struct slice *fields, int count)
{
}

static void port_read_views(void *self, struct view_read *read)
{
    struct memory_store *s = self;
    if (s->read_count == s->read_capacity) {
        s->read_capacity = s->read_capacity ? s->read_capacity * 2 : 16;
        s->reads = realloc(s->reads, s->read_capacity * sizeof(struct view_read *));
        ASSERT(s->reads);
    }
    s->reads[s->read_count++] = read;
}

static size_t port_bytes_in_flight(void *self)
{
    return 0;
}

struct memory_store *memory_store_create(struct memory_redis *r)
{
    struct memory_store *s = calloc(1, sizeof *s);
    ASSERT(s);
    s->redis = r;
    s->port = (struct store_port){s,
                                  port_submit,
                                  port_reset,
                                  port_write_view,
                                  port_views_are_late,
                                  port_append_decision,
                                  port_read_views,
                                  port_bytes_in_flight};
    return s;
}

void memory_store_destroy(struct memory_store *s)
{
    if (!s)
        return;
    free(s->queue);
    free(s->reads);
    free(s);
}

const struct store_port *memory_store_port(struct memory_store *s)
{
    return &s->port;
}

static void load(struct memory_redis *r, struct store_request *q)
{
    const struct map *slot = slot_get(r, q->stage, q->partition);
    size_t size = 0;
    for (size_t i = 0; i <= q->blob_count; i++) {
        const struct stored *s = map_find(slot, blob_hash(i < q->blob_count ? q->blobs[i].key : POSITION_KEY));
        size += s ? s->size : 0;
    }
    q->reply.size = 0;
    writer_reserve(&q->reply, size + 1);
    for (size_t i = 0; i <= q->blob_count; i++) {
        struct blob *b = i < q->blob_count ? &q->blobs[i] : &q->current;
        const struct stored *s = map_find(slot, blob_hash(i < q->blob_count ? b->key : POSITION_KEY));
        b->present = s != NULL;
        b->value = (struct slice){(char *)q->reply.data + q->reply.size, s ? s->size : 0};
        if (s)
            put_bytes(&q->reply, s->bytes, s->size);
    }
}

static bool expectation_holds(const struct memory_redis *r, const struct store_request *q)
{
    struct slice have = memory_redis_find(r, q->stage, q->partition, POSITION_KEY);
    if (!q->expected.present)
        return have.at == NULL;
    return have.at && slice_equal(have, q->expected.value);
}

static void carry_out(struct memory_store *s, struct store_request *q)
{
    bool *broken = &s->broken[q->stage][q->partition];
    if (q->status == STORE_UNKNOWN || *broken)
        q->status = STORE_UNKNOWN;
    else if (!q->commit)
        load(s->redis, q);
    else if (expectation_holds(s->redis, q))
        commit(s->redis, q);
    else
        q->status = STORE_CONFLICT;
    *broken |= q->commit && q->status != STORE_OK;
}

static void answer_reads(struct memory_store *s, struct worker *w, int64_t now_ms)
{
    struct view_read **reads = s->reads;
    size_t count = s->read_count;
    s->reads = NULL;
    s->read_count = s->read_capacity = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < reads[i]->count; k++) {
            reads[i]->values[k].value = memory_redis_view(s->redis, reads[i]->keys[k]);
            reads[i]->values[k].present = reads[i]->values[k].value.at != NULL;
        }
        worker_views_read(w, reads[i], now_ms);
    }
    free(reads);
}

static struct store_request *take_oldest(struct memory_store *s)
{
    struct store_request *q = s->queue[0];
    memmove(s->queue, s->queue + 1, --s->count * sizeof(struct store_request *));
    return q;
}

size_t memory_store_deliver(struct memory_store *s, struct worker *w, size_t max, int64_t now_ms)
{
    size_t n = 0;
    for (; n < max && s->count; n++) {
        struct store_request *q = take_oldest(s);
        carry_out(s, q);
        worker_stored(w, q, now_ms);
    }
    answer_reads(s, w, now_ms);
    return n;
}

void memory_store_abandon(struct memory_store *s, struct worker *w, int64_t now_ms)
{
    while (s->count) {
        struct store_request *q = take_oldest(s);
        q->status = STORE_UNKNOWN;
        worker_stored(w, q, now_ms);
    }
    for (size_t i = 0; i < s->read_count; i++) {
        s->reads[i]->failed = true;
        worker_views_read(w, s->reads[i], now_ms);
    }
    s->read_count = 0;
}

void memory_redis_init(struct memory_redis *r, const struct worker_settings *settings, const struct log_port *log)
{
    struct writer bytes = {0};
    struct slot_header header = worker_header_of(settings, log);
    struct position position = {0};
    for (int s = 0; s < STAGES; s++)
        for (int32_t p = 0; p < header.partitions[s]; p++) {
            bytes.size = 0;
            slot_header_encode(&header, &bytes);
            memory_redis_put(r, (enum stage)s, p, HEADER_KEY,
                             (struct slice){(const char *)bytes.data, (uint32_t)bytes.size});
            bytes.size = 0;
            position_encode(&position, &bytes);
            memory_redis_put(r, (enum stage)s, p, POSITION_KEY,
                             (struct slice){(const char *)bytes.data, (uint32_t)bytes.size});
        }
    writer_fini(&bytes);
}
