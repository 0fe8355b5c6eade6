/*
 * The neighbours of one entity: at most 256 others with their pair counts in a ring of event-time buckets, kept as
 * arrays by column so that a search reads two bytes a neighbour.
 *
 * When the table is full a newcomer is admitted by pressure, after Misra and Gries (1982): the deltas of everybody
 * refused add up, and once they exceed the weakest neighbour, whoever comes next takes its place and the pressure
 * starts again. A pair that keeps coming back therefore gets in, and what got in by chance leaves first.
 */
#include "server/engine/entity.h"

#include "common/check.h"

#include <stdlib.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define NEIGHBOURS_MAX 256 /* a place is a byte */
#define PAIR_BUCKETS_MAX 8

struct neighbours {
    uint32_t count;
    int32_t floor;                 /* at most the weakest total when full; a cache, not state */
    int64_t pressure;
    int64_t newest;                /* bucket */
    bool used;
    uint16_t low[NEIGHBOURS_MAX];  /* the low 16 bits of ids */
    uint32_t high[NEIGHBOURS_MAX]; /* and the high 32 */
    int32_t total[NEIGHBOURS_MAX];
    int32_t *next;                 /* owned; transitions by neighbour; NULL: none */
    int64_t next_sum;
    int32_t *buckets[PAIR_BUCKETS_MAX]; /* owned; counts by neighbour; NULL: one bucket for ever, or empty */
    int64_t bucket_at[PAIR_BUCKETS_MAX];
};

struct neighbours *neighbours_create(void)
{
    struct neighbours *n = calloc(1, sizeof *n);
    ASSERT(n);
    return n;
}

void neighbours_destroy(struct neighbours *n)
{
    if (!n)
        return;
    for (int b = 0; b < PAIR_BUCKETS_MAX; b++)
        free(n->buckets[b]);
    free(n->next);
    free(n);
}

size_t neighbours_bytes(const struct neighbours *n)
{
    size_t bytes = sizeof *n + (n->next ? NEIGHBOURS_MAX * sizeof *n->next : 0);
    for (int b = 0; b < PAIR_BUCKETS_MAX; b++)
        bytes += n->buckets[b] ? NEIGHBOURS_MAX * sizeof(int32_t) : 0;
    return bytes;
}

static entity_id id_at(const struct neighbours *n, uint32_t i)
{
    return (entity_id)n->high[i] << 16 | n->low[i];
}

static void set_id(struct neighbours *n, uint32_t i, entity_id id)
{
    n->low[i] = (uint16_t)id;
    n->high[i] = (uint32_t)(id >> 16);
}

void neighbours_fetch(const struct neighbours *n)
{
    for (uint32_t i = 0; i < n->count; i += 32)
        __builtin_prefetch(&n->low[i]);
}

/* Answers the place, or n->count. */
static uint32_t find(const struct neighbours *n, entity_id id)
{
#ifdef __SSE2__
    const __m128i want = _mm_set1_epi16((short)id);
    for (uint32_t i = 0; i < n->count; i += 16) {
        __m128i a = _mm_cmpeq_epi16(_mm_loadu_si128((const __m128i *)&n->low[i]), want);
        __m128i b = _mm_cmpeq_epi16(_mm_loadu_si128((const __m128i *)&n->low[i + 8]), want);
        uint32_t hits = (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(a, b));
        for (; hits; hits &= hits - 1) {
            uint32_t at = i + (uint32_t)__builtin_ctz(hits);
            if (at < n->count && n->high[at] == (uint32_t)(id >> 16))
                return at;
        }
    }
    return n->count;
#else
    uint32_t i = 0;
    while (i < n->count && id_at(n, i) != id)
        i++;
    return i;
#endif
}

static int64_t bucket_of(const struct entity_settings *s, int64_t event_ms)
{
    return event_ms / s->pair_bucket_ms - (event_ms % s->pair_bucket_ms < 0);
}

static void clear_bucket(struct neighbours *n, int slot)
{
    if (!n->buckets[slot])
        return;
    for (uint32_t i = 0; i < n->count; i++)
        n->total[i] -= n->buckets[slot][i];
    free(n->buckets[slot]);
    n->buckets[slot] = NULL;
    n->floor = INT32_MIN;
}

static void drop(struct neighbours *n, uint32_t i)
{
    uint32_t last = --n->count;
    n->low[i] = n->low[last];
    n->high[i] = n->high[last];
    n->total[i] = n->total[last];
    for (int b = 0; b < PAIR_BUCKETS_MAX; b++)
        if (n->buckets[b])
            n->buckets[b][i] = n->buckets[b][last];
}

/* Answers the row of the event's bucket, NULL with *out_old when it is older than the window. */
static int32_t *row_of(struct neighbours *n, const struct entity_settings *s, int64_t event_ms, bool *out_old)
{
    *out_old = false;
    if (s->pair_bucket_ms == 0)
        return NULL;
    int64_t at = bucket_of(s, event_ms), window = s->pair_buckets;
    if (!n->used || at > n->newest) {
        for (int b = 0; b < PAIR_BUCKETS_MAX; b++)
            if (n->buckets[b] && n->bucket_at[b] <= at - window)
                clear_bucket(n, b);
        n->newest = at;
        n->used = true;
        for (uint32_t i = n->count; i-- > 0;)
            if (n->total[i] <= 0)
                drop(n, i);
    }
    if (at <= n->newest - window) {
        *out_old = true;
        return NULL;
    }
    int slot = (int)((uint64_t)at % s->pair_buckets);
    if (!n->buckets[slot]) {
        n->buckets[slot] = calloc(NEIGHBOURS_MAX, sizeof(int32_t));
        ASSERT(n->buckets[slot]);
        n->bucket_at[slot] = at;
    }
    return n->buckets[slot];
}

static uint32_t weakest(const struct neighbours *n)
{
    int32_t least = n->total[0];
    for (uint32_t i = 1; i < n->count; i++)
        least = n->total[i] < least ? n->total[i] : least;
    uint32_t at = 0;
    while (n->total[at] != least)
        at++;
    return at;
}

/* Where the newcomer goes, or NEIGHBOURS_MAX when it is refused. */
static uint32_t admit(struct neighbours *n, const struct entity_settings *s, int32_t delta)
{
    uint32_t limit = s->neighbours < NEIGHBOURS_MAX ? s->neighbours : NEIGHBOURS_MAX;
    if (n->count < limit) {
        n->floor = INT32_MIN;
        return n->count++;
    }
    n->pressure += delta;
    if (n->pressure <= n->floor)
        return NEIGHBOURS_MAX;
    uint32_t at = weakest(n);
    n->floor = n->total[at];
    if (n->pressure <= n->floor)
        return NEIGHBOURS_MAX;
    n->pressure = 0;
    n->floor = n->floor < delta ? n->floor : delta;
    return at;
}

static void follow(struct neighbours *n, uint32_t i, uint8_t step)
{
    if (!n->next) {
        n->next = calloc(NEIGHBOURS_MAX, sizeof *n->next);
        ASSERT(n->next);
    }
    if (i < n->count)
        n->next[i] += NEXT_UNIT / step;
    n->next_sum += NEXT_UNIT / step;
}

void neighbours_apply(struct neighbours *n, const struct entity_settings *s, const struct neighbour_change *c, int64_t event_ms)
{
    entity_id other = c->other;
    int32_t delta = c->delta;
    bool old;
    int32_t *row = row_of(n, s, event_ms, &old);
    if (old)
        return;
    uint32_t i = find(n, other);
    if (i == n->count) {
        if (delta <= 0)
            return; /* it was not admitted, or left */
        i = admit(n, s, delta);
        if (i == NEIGHBOURS_MAX) {
            if (c->step)
                follow(n, i, c->step);
            return;
        }
        set_id(n, i, other);
        if (n->next)
            n->next[i] = 0;
        n->total[i] = 0;
        for (int b = 0; b < PAIR_BUCKETS_MAX; b++)
            if (n->buckets[b])
                n->buckets[b][i] = 0;
    }
    n->total[i] += delta;
    if (delta < 0 && n->total[i] < n->floor)
        n->floor = n->total[i];
    if (row)
        row[i] += delta;
    if (c->step)
        follow(n, i, c->step);
}

int64_t neighbours_next_sum(const struct neighbours *n)
{
    return n->next_sum;
}

#define NEIGHBOURS_VERSION 2

void neighbours_encode(const struct neighbours *n, struct writer *out)
{
    uint8_t rows = 0;
    put_u8(out, NEIGHBOURS_VERSION);
    put_u8(out, n->used);
    put_signed(out, n->newest);
    put_varint(out, (uint64_t)n->pressure);
    put_varint(out, (uint64_t)n->next_sum);
    for (int b = 0; b < PAIR_BUCKETS_MAX; b++)
        rows |= (uint8_t)(n->buckets[b] ? 1 << b : 0);
    put_u8(out, rows);
    for (int b = 0; b < PAIR_BUCKETS_MAX; b++)
        if (n->buckets[b])
            put_signed(out, n->newest - n->bucket_at[b]);
    put_varint(out, n->count);
    for (uint32_t i = 0; i < n->count; i++) {
        put_u48(out, id_at(n, i));
        if (!rows)
            put_signed(out, n->total[i]);
        for (int b = 0; b < PAIR_BUCKETS_MAX; b++)
            if (n->buckets[b])
                put_signed(out, n->buckets[b][i]);
        if (n->next_sum)
            put_varint(out, n->next ? (uint64_t)n->next[i] : 0);
    }
}

/* Half of what would overflow, as there is more to be added. */
static int32_t get_next(struct reader *r)
{
    uint64_t next = get_varint(r);
    r->failed |= next > INT32_MAX / 2;
    return (int32_t)next;
}

enum err neighbours_decode(struct slice bytes, struct neighbours **out_neighbours)
{
    struct reader r = reader_of(bytes.at, bytes.size);
    if (get_u8(&r) != NEIGHBOURS_VERSION)
        return ERR_VERSION;
    struct neighbours *n = neighbours_create();
    n->floor = INT32_MIN;
    n->used = get_u8(&r) != 0;
    n->newest = get_signed(&r);
    n->pressure = (int64_t)get_varint(&r);
    n->next_sum = (int64_t)get_varint(&r);
    r.failed |= n->next_sum < 0 || n->next_sum > INT64_MAX / 2;
    n->next = n->next_sum ? calloc(NEIGHBOURS_MAX, sizeof *n->next) : NULL;
    ASSERT(n->next || !n->next_sum);
    uint8_t rows = get_u8(&r);
    for (int b = 0; b < PAIR_BUCKETS_MAX; b++)
        if (rows >> b & 1) {
            n->buckets[b] = calloc(NEIGHBOURS_MAX, sizeof(int32_t));
            ASSERT(n->buckets[b]);
            n->bucket_at[b] = (int64_t)((uint64_t)n->newest - (uint64_t)get_signed(&r));
        }
    n->count = get_count(&r, NEIGHBOURS_MAX, 7);
    for (uint32_t i = 0; i < n->count; i++) {
        set_id(n, i, get_u48(&r));
        if (!rows)
            n->total[i] = (int32_t)get_signed(&r);
        for (int b = 0; b < PAIR_BUCKETS_MAX; b++)
            if (n->buckets[b]) {
                n->buckets[b][i] = (int32_t)get_signed(&r);
                n->total[i] = (int32_t)((uint32_t)n->total[i] + (uint32_t)n->buckets[b][i]);
            }
        if (n->next)
            n->next[i] = get_next(&r);
    }
    if (r.failed || reader_left(&r)) {
        neighbours_destroy(n);
        return ERR_INVALID;
    }
    *out_neighbours = n;
    return ERR_NONE;
}

/* Whether the neighbour at `i` stands before that at `j`. */
static bool is_stronger(const struct neighbours *n, uint32_t i, uint32_t j)
{
    return n->total[i] > n->total[j] || (n->total[i] == n->total[j] && id_at(n, i) < id_at(n, j));
}

/* Sorts places, not neighbours; once `max` are found most of the others are told by the least of these. */
uint32_t neighbours_top(const struct neighbours *n, const struct entity_settings *s, uint32_t max,
                        struct neighbour *out)
{
    uint8_t places[NEIGHBOURS_MAX];
    uint32_t count = 0;
    int32_t least = 1;
    for (uint32_t i = 0; i < n->count; i++) {
        if (n->total[i] < least)
            continue;
        uint32_t at = count;
        while (at > 0 && is_stronger(n, i, places[at - 1]))
            at--;
        if (at >= max)
            continue;
        uint32_t moved = (count < max ? count : max - 1) - at;
        memmove(&places[at + 1], &places[at], moved);
        places[at] = (uint8_t)i;
        count += count < max;
        if (count == max)
            least = n->total[places[max - 1]];
    }
    for (uint32_t k = 0; k < count; k++)
        out[k] = (struct neighbour){id_at(n, places[k]), n->total[places[k]], n->next ? n->next[places[k]] : 0};
    return count;
}
