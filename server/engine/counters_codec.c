/* Bytes of counters: equal state, equal bytes, whatever order it came about in. */
#include "server/engine/counters_internal.h"

#include "common/check.h"
#include "common/mutant.h"

#include <stdlib.h>

#define COUNTERS_VERSION 1
#define BUCKET_AT_MAX (EVENT_MS_MAX / 60000)

static int compare_buckets(const void *a, const void *b)
{
    const struct bucket *x = a, *y = b;
    if (x->level != y->level)
        return x->level - y->level;
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return (x->scene << 16 | x->source << 8 | x->explained) - (y->scene << 16 | y->source << 8 | y->explained);
}

static void put_totals(struct writer *out, const int64_t totals[COUNTERS])
{
    uint32_t mask = 0;
    for (int i = 0; i < COUNTERS; i++)
        mask |= totals[i] ? 1u << FUZZ_MUTANT(shift_wide, i + 32, i) : 0;
    put_varint(out, mask);
    for (int i = 0; i < COUNTERS; i++)
        if (totals[i])
            put_signed(out, totals[i]);
}

static void get_totals(struct reader *r, int64_t totals[COUNTERS])
{
    uint64_t mask = get_varint_max(r, (1ull << COUNTERS) - 1);
    for (int i = 0; i < COUNTERS; i++) {
        totals[i] = mask >> i & 1 ? get_sum(r) : 0;
        r->failed |= mask >> i & 1 && totals[i] == 0;
    }
}

/* Only a new bucket breaks the order. */
static void sort_buckets(const struct counters *c)
{
    for (uint32_t i = 1; i < c->bucket_count; i++)
        if (compare_buckets(&c->buckets[i - 1], &c->buckets[i]) > 0) {
            qsort(c->buckets, c->bucket_count, sizeof *c->buckets, compare_buckets);
            return;
        }
}

static void put_buckets(const struct counters *c, struct writer *out)
{
    uint32_t values = 0;
    int64_t before = 0;
    for (uint32_t i = 0; i < c->bucket_count; i++)
        values += bucket_width(&c->buckets[i]);
    writer_reserve(out, 10 + c->bucket_count * (2 + 10 + 5) + values * (size_t)10);
    uint8_t *at = varint_at(out->data + out->size, c->bucket_count);
    for (uint32_t i = 0; i < c->bucket_count; i++) {
        const struct bucket *b = &c->buckets[i];
        *at++ = (uint8_t)(b->level | b->explained << 2 | b->scene << 4);
        *at++ = b->source;
        at = signed_at(at, b->at - before);
        before = b->at;
        at = varint_at(at, b->mask);
        for (uint32_t k = 0; k < bucket_width(b); k++)
            at = signed_at(at, c->values[b->first + k]);
    }
    out->size = (size_t)(at - out->data);
}

void counters_encode(const struct counters *c, struct writer *out)
{
    sort_buckets(c);
    put_u8(out, COUNTERS_VERSION);
    put_slice(out, (struct slice){c->name, c->name_size});
    put_varint(out, c->name_conflicts);
    put_signed(out, c->last_ms);
    put_varint(out, (uint64_t)c->scene_count);
    for (int i = 0; i < c->scene_count; i++) {
        put_slice(out, c->scenes[i].name);
        put_totals(out, c->scenes[i].totals);
    }
    put_totals(out, c->explained);
    put_varint(out, c->rating_count);
    for (uint32_t i = 0; i < c->rating_count; i++) {
        put_signed(out, c->ratings[i].at);
        put_signed(out, c->ratings[i].sum);
    }
    put_buckets(c, out);
}

/* What an entity of this greatest event time can have; days begin up to a day earlier or later than UTC's. */
static bool bucket_can_be(const struct counters *c, const struct bucket *b)
{
    if (FUZZ_MUTANT(bucket_level, false, b->level >= LEVELS) || b->scene >= c->scene_count || b->mask == 0 || b->mask >> COUNTERS)
        return false;
    if (b->level == MINUTES ? b->source != SOURCES : b->source >= SOURCES)
        return false;
    return b->at >= -1 && b->at <= c->last_ms / counter_level_ms[b->level] + 1 && (b->level == DAYS || !b->explained);
}

static void get_buckets(struct counters *c, struct reader *r)
{
    uint32_t count = get_count(r, 1u << 16, 4);
    int64_t before = 0;
    c->buckets = count ? calloc(count, sizeof *c->buckets) : NULL;
    ASSERT(c->buckets || count == 0);
    c->bucket_capacity = count;
    counters_reserve(c, 2 * count);
    for (; c->bucket_count < count && !r->failed; c->bucket_count++) {
        struct bucket *b = &c->buckets[c->bucket_count];
        uint8_t packed = get_u8(r);
        b->level = packed & 3;
        b->explained = packed >> 2 & 1;
        b->scene = packed >> 4;
        b->source = get_u8(r);
        b->at = before += FUZZ_MUTANT(bucket_unbounded, get_signed(r), get_within(r, -2 * BUCKET_AT_MAX, 2 * BUCKET_AT_MAX));
        b->mask = get_varint32(r);
        r->failed |= packed >> 3 & 1 || (c->bucket_count && compare_buckets(b - 1, b) >= 0) || !bucket_can_be(c, b);
        if (r->failed)
            b->mask = 0;
        counters_reserve(c, bucket_width(b));
        b->first = c->value_count;
        for (uint32_t k = bucket_width(b); k > 0; k--)
            c->values[c->value_count++] = get_sum(r);
    }
}

static void get_scenes(struct counters *c, struct reader *r)
{
    uint32_t count = get_count(r, FUZZ_MUTANT(scenes_overflow, 1000, SCENES_PER_ENTITY + 1), 2);
    while (c->scene_count < (int)count && !r->failed) {
        struct scene_totals *s = counters_add_scene(c);
        struct slice name = get_name_or_none(r);
        r->failed |= (name.size == 0) != (c->scene_count > SCENES_PER_ENTITY); /* those beyond the bound together have none */
        char *bytes = calloc(1, (size_t)name.size + 1);
        ASSERT(bytes);
        if (name.size)
            memcpy(bytes, name.at, name.size);
        s->name = (struct slice){bytes, name.size};
        get_totals(r, s->totals);
    }
}

enum err counters_decode(struct slice bytes, struct counters **out_counters)
{
    struct reader r = reader_of(bytes.at, bytes.size);
    if (get_u8(&r) != COUNTERS_VERSION)
        return ERR_VERSION;
    struct counters *c = counters_create();
    struct slice name = get_name_or_none(&r);
    if (name.size)
        memcpy(c->name, name.at, name.size);
    c->name_size = (uint8_t)name.size;
    c->name_conflicts = get_varint32(&r);
    c->last_ms = get_event_ms(&r);
    get_scenes(c, &r);
    get_totals(&r, c->explained);
    uint32_t count = get_count(&r, RATINGS_MAX, 2);
    for (; c->rating_count < count; c->rating_count++) {
        c->ratings[c->rating_count].at = get_event_ms(&r);
        c->ratings[c->rating_count].sum = get_sum(&r);
        r.failed |= c->rating_count && c->ratings[c->rating_count - 1].at >= c->ratings[c->rating_count].at;
    }
    get_buckets(c, &r);
    if (r.failed || reader_left(&r)) {
        counters_destroy(c);
        return ERR_INVALID;
    }
    *out_counters = c;
    return ERR_NONE;
}
