#include "tests/sim/redis.h"

#include "common/check.h"
#include "common/hash.h"
#include "common/mutant.h"

#include <stdlib.h>

#define FORGOTTEN_MS 4000 /* of a planted bug: keys that live shorter than what they hold matters */

static uint64_t hash_of(struct blob_key key)
{
    return hash_mix(key.id + ((uint64_t)(uint8_t)key.class << 56) + 1);
}

static void map_clear(struct map *m)
{
    if (m->capacity)
        memset(m->slots, 0, m->capacity * sizeof *m->slots);
    m->count = 0;
}

void redis_begin(struct redis *r, struct arena *arena)
{
    r->arena = arena;
    for (int s = 0; s < STAGES; s++)
        for (int p = 0; p < PARTITIONS; p++) {
            struct slot *slot = &r->slots[s][p];
            map_clear(&slot->blobs);
            slot->moving = slot->full = false;
            slot->refused = 0;
        }
    for (int i = 0; i < SHARDS; i++)
        r->shards[i].count = 0;
    map_clear(&r->views);
}

void redis_fini(struct redis *r)
{
    for (int s = 0; s < STAGES; s++)
        for (int p = 0; p < PARTITIONS; p++)
            map_fini(&r->slots[s][p].blobs);
    for (int i = 0; i < SHARDS; i++)
        free(r->shards[i].journal);
    map_fini(&r->views);
}

int shard_of(enum stage stage, int32_t partition)
{
    return (int)(partition * STAGES + (int)stage) % SHARDS;
}

static struct stored *stored_of(struct redis *r, struct blob_key key, struct slice value)
{
    struct stored *s = arena_take(r->arena, sizeof *s + value.size);
    char *bytes = (char *)(s + 1);
    if (value.size)
        memcpy(bytes, value.at, value.size);
    *s = (struct stored){key, {bytes, value.size}, r->now_ms};
    return s;
}

static void write_blob(struct redis *r, struct shard *shard, struct slot *slot, const struct blob *b, bool first)
{
    uint64_t h = hash_of(b->key);
    struct undo u = {slot, h, map_remove(&slot->blobs, h), first};
    if (b->present)
        map_put(&slot->blobs, h, stored_of(r, b->key, b->value));
    if (shard->count == shard->capacity) {
        shard->capacity = shard->capacity ? shard->capacity * 2 : 1024;
        shard->journal = realloc(shard->journal, shard->capacity * sizeof *shard->journal);
        ASSERT(shard->journal);
    }
    shard->journal[shard->count++] = u;
}

void redis_commit(struct redis *r, const struct store_request *q)
{
    struct shard *shard = &r->shards[shard_of(q->stage, q->partition)];
    struct slot *slot = &r->slots[q->stage][q->partition];
    struct blob position = {POSITION_KEY, q->position, true};
    write_blob(r, shard, slot, &position, true);
    for (size_t i = 0; i < q->blob_count; i++)
        write_blob(r, shard, slot, &q->blobs[i], false);
}

size_t redis_lose(struct redis *r, int shard, size_t commits)
{
    struct shard *s = &r->shards[shard];
    size_t lost = 0;
    while (lost < commits && s->count) {
        struct undo *u = &s->journal[--s->count];
        map_remove(&u->slot->blobs, u->hash);
        if (u->before)
            map_put(&u->slot->blobs, u->hash, u->before);
        lost += u->first;
    }
    return lost;
}

void redis_empty(struct redis *r, int shard)
{
    r->shards[shard].count = 0;
    for (int s = 0; s < STAGES; s++)
        for (int p = 0; p < PARTITIONS; p++)
            if (shard_of((enum stage)s, p) == shard)
                map_clear(&r->slots[s][p].blobs);
}

void redis_put(struct redis *r, enum stage stage, int32_t partition, struct blob_key key, struct slice value)
{
    map_put(&r->slots[stage][partition].blobs, hash_of(key), stored_of(r, key, value));
}

bool redis_remove(struct redis *r, enum stage stage, int32_t partition, struct blob_key key)
{
    return map_remove(&r->slots[stage][partition].blobs, hash_of(key)) != NULL;
}

const struct stored *redis_find(const struct redis *r, enum stage stage, int32_t partition, struct blob_key key)
{
    const struct stored *s = map_find(&r->slots[stage][partition].blobs, hash_of(key));
    return s && MUTANT(state_expires, key.class == 'u' && r->now_ms - s->written_ms > FORGOTTEN_MS, false) ? NULL : s;
}

uint64_t redis_digest(const struct redis *r, enum stage stage, int32_t partition)
{
    uint64_t sum = 0;
    size_t at = 0;
    struct map_slot entry;
    while (map_next(&r->slots[stage][partition].blobs, &at, &entry)) {
        const struct stored *s = entry.value;
        sum += blob_digest(s->key, s->value);
    }
    return sum;
}

static void port_submit(void *self, struct store_request *q)
{
    struct link *l = self;
    bool unheard = false;
    q->status = STORE_OK;
    if (!l->step(l->step_arg, &unheard))
        q->status = STORE_UNKNOWN;
    if (l->count == l->capacity) {
        l->capacity = l->capacity ? l->capacity * 2 : 16;
        l->queue = realloc(l->queue, l->capacity * sizeof *l->queue);
        ASSERT(l->queue);
    }
    l->queue[l->count++] = (struct request){q, q->status != STORE_OK};
    if (unheard) {
        link_carry(l, l->count, 0);
        l->broken[q->stage][q->partition] = true;
        q->status = STORE_UNKNOWN;
    }
}

/* What waits for its answer is answered unknown, carried out or not, as after a closed connection. */
static void cut(struct link *l, enum stage stage, int32_t partition)
{
    for (size_t i = 0; i < l->count; i++) {
        struct request *q = &l->queue[i];
        if (q->asked->stage == stage && q->asked->partition == partition) {
            q->asked->status = STORE_UNKNOWN;
            q->done = true;
        }
    }
}

static void port_reset(void *self, enum stage stage, int32_t partition)
{
    struct link *l = self;
    cut(l, stage, partition);
    l->broken[stage][partition] = false;
}

static void port_write_view(void *self, const struct view_write *v)
{
    struct link *l = self;
    uint64_t h = hash64(v->key.at, v->key.size, 3);
    map_remove(&l->redis->views, h);
    if (!v->removed && v->field_count == 0)
        map_put(&l->redis->views, h, stored_of(l->redis, (struct blob_key){0}, v->value));
}

static bool port_views_are_late(void *self)
{
    return false;
}

static void port_append_decision(void *self, const struct slice *fields, int count)
{
}

static void port_read_views(void *self, struct view_read *read)
{
    struct link *l = self;
    ASSERT(l->read_count < sizeof l->reads / sizeof *l->reads);
    l->reads[l->read_count++] = read;
}

static size_t port_bytes_in_flight(void *self)
{
    return 0;
}

void link_begin(struct link *l, struct redis *r, io_step *step, void *arg)
{
    struct request *queue = l->queue;
    size_t capacity = l->capacity;
    *l = (struct link){.redis = r, .queue = queue, .capacity = capacity, .step = step, .step_arg = arg};
    l->port = (struct store_port){
        .self = l, .submit = port_submit, .reset = port_reset, .write_view = port_write_view, .views_are_late = port_views_are_late,
        .append_decision = port_append_decision, .read_views = port_read_views, .bytes_in_flight = port_bytes_in_flight,
    };
}

void link_fini(struct link *l)
{
    free(l->queue);
    *l = (struct link){0};
}

/* The stored values are in the arena and never change, so the answer may point to them. */
static void load(struct redis *r, struct store_request *q)
{
    for (size_t i = 0; i <= q->blob_count; i++) {
        struct blob *b = i < q->blob_count ? &q->blobs[i] : &q->current;
        const struct stored *s = redis_find(r, q->stage, q->partition, i < q->blob_count ? b->key : POSITION_KEY);
        b->present = s != NULL;
        b->value = s ? s->value : (struct slice){0};
    }
}

/* What only planted bugs look at. */
struct compared {
    struct position have, expected;
    bool claims; /* the request writes a token and nothing else */
};

static inline struct compared compare(struct slice have, const struct store_request *q)
{
    struct compared c = {.claims = q->blob_count == 0};
    if (position_decode(have, &c.have) != ERR_NONE || position_decode(q->expected.value, &c.expected) != ERR_NONE)
        c.claims = false;
    return c;
}

static bool expectation_holds(const struct redis *r, const struct store_request *q)
{
    const struct stored *s = redis_find(r, q->stage, q->partition, POSITION_KEY);
    if (!q->expected.present || !s)
        return !q->expected.present && !s;
    if (slice_equal(s->value, q->expected.value))
        return true;
    return MUTANT(no_compare, true, false) || MUTANT(claim_unconditional, compare(s->value, q).claims, false) ||
           MUTANT(compare_at_least, compare(s->value, q).expected.next >= compare(s->value, q).have.next, false);
}

static void carry_out(struct link *l, struct request *at)
{
    struct store_request *q = at->asked;
    struct slot *slot = &l->redis->slots[q->stage][q->partition];
    bool *broken = &l->broken[q->stage][q->partition];
    at->done = true;
    bool before = !*broken && l->breaks > 0, after = !*broken && !before && l->breaks_unheard > 0;
    l->breaks -= before;
    l->breaks_unheard -= after;
    l->struck += before || after;
    if (*broken || slot->moving || before) {
        *broken = true;
        q->status = STORE_UNKNOWN;
        return;
    }
    if (!q->commit) {
        load(l->redis, q);
        q->status = STORE_OK;
    } else if (slot->full) {
        slot->refused++;
        q->status = STORE_MEMORY;
    } else if (expectation_holds(l->redis, q)) {
        redis_commit(l->redis, q);
        q->status = STORE_OK;
    } else {
        q->status = STORE_CONFLICT;
    }
    if (after)
        q->status = STORE_UNKNOWN;
    *broken = q->status == STORE_UNKNOWN || (q->commit && q->status != STORE_OK);
}

static bool same_slot(const struct request *a, const struct request *b)
{
    return a->asked->stage == b->asked->stage && a->asked->partition == b->asked->partition;
}

void link_carry(struct link *l, size_t requests, uint64_t reorder)
{
    for (; requests > 0; requests--) {
        size_t i = 0;
        while (i < l->count && l->queue[i].done)
            i++;
        if (i == l->count)
            return;
        if (reorder) {
            const struct request *drawn = &l->queue[reorder % l->count];
            size_t k = 0;
            while (!same_slot(&l->queue[k], drawn) || l->queue[k].done)
                if (++k == l->count)
                    break;
            i = k < l->count ? k : i;
        }
        carry_out(l, &l->queue[i]);
    }
}

static void answer_reads(struct link *l, struct worker *w, bool failed, int64_t now_ms)
{
    size_t count = l->read_count;
    struct view_read *reads[sizeof l->reads / sizeof *l->reads];
    memcpy(reads, l->reads, sizeof reads);
    l->read_count = 0;
    for (size_t i = 0; i < count; i++) {
        reads[i]->failed = failed;
        for (size_t k = 0; k < reads[i]->count && !failed; k++) {
            const struct stored *s = map_find(&l->redis->views, hash64(reads[i]->keys[k].at, reads[i]->keys[k].size, 3));
            reads[i]->values[k].value = s ? s->value : (struct slice){0};
            reads[i]->values[k].present = s != NULL;
        }
        worker_views_read(w, reads[i], now_ms);
    }
}

/* The first that is done and has none of its slot before it. */
static size_t answerable(const struct link *l)
{
    for (size_t i = 0; i < l->count; i++) {
        bool first = l->queue[i].done;
        for (size_t k = 0; k < i && first; k++)
            first = !same_slot(&l->queue[k], &l->queue[i]);
        if (first)
            return i;
    }
    return l->count;
}

void link_answer(struct link *l, struct worker *w, size_t answers, int64_t now_ms)
{
    for (; answers > 0; answers--) {
        size_t i = answerable(l);
        if (i == l->count)
            break;
        struct store_request *q = l->queue[i].asked;
        memmove(l->queue + i, l->queue + i + 1, (--l->count - i) * sizeof *l->queue);
        worker_stored(w, q, now_ms);
    }
    answer_reads(l, w, false, now_ms);
}

bool link_is_busy(const struct link *l, enum stage stage, int32_t partition)
{
    for (size_t i = 0; i < l->count; i++)
        if (!l->queue[i].done && l->queue[i].asked->stage == stage && l->queue[i].asked->partition == partition)
            return true;
    return false;
}

void link_cut(struct link *l, int shard)
{
    for (int s = 0; s < STAGES; s++)
        for (int32_t p = 0; p < PARTITIONS; p++)
            if (shard < 0 || shard_of((enum stage)s, p) == shard) {
                cut(l, (enum stage)s, p);
                l->broken[s][p] = true;
            }
}

void link_abandon(struct link *l, struct worker *w, int64_t now_ms)
{
    while (l->count) {
        struct store_request *q = l->queue[0].asked;
        q->status = STORE_UNKNOWN;
        memmove(l->queue, l->queue + 1, --l->count * sizeof *l->queue);
        worker_stored(w, q, now_ms);
    }
    answer_reads(l, w, true, now_ms);
}
