/*
 * The neighbours of one entity: at most 256 others with their pair counts in a ring of event-time buckets. They are kept
 * by column in one block, so that a search reads two bytes a neighbour and a table is as large as what is in it.
 *
 * When the table is full a newcomer is admitted by pressure, after Misra and Gries (1982): the deltas of everybody
 * refused add up, and once they exceed the weakest neighbour, whoever comes next takes its place and the pressure
 * starts again. A pair that keeps coming back therefore gets in, and what got in by chance leaves first.
 */
#include "server/engine/entity.h"
#include "server/engine/stored.h"

#include "common/check.h"
#include "common/fetch.h"

#include <stdlib.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define NEIGHBOURS_MAX 256 /* a place is a byte */
#define ROOM_MIN 16        /* what a search compares at once */
#define PAIR_BUCKETS_MAX 8
#define NEXT (1u << PAIR_BUCKETS_MAX) /* among the columns: transitions */

/* What an apply changes once the place is known. */
struct strength {
    uint32_t high; /* 32 bits of the id */
    int32_t total;
};

struct neighbours {
    uint16_t count, room;     /* places taken, places in a column */
    uint16_t columns;         /* which int32_t columns there are: bit b for bucket b, NEXT */
    bool used;
    int32_t floor;            /* at most the weakest total when full; a cache, not state */
    uint16_t *low;            /* owned: the low 16 bits of ids; behind them struct strength, then the columns */
    struct strength *strong;  /* in the block of `low` */
    int64_t pressure;
    int64_t newest;           /* bucket */
    int64_t next_sum;
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
    free(n->low);
    free(n);
}

static size_t block_bytes(uint32_t room, uint32_t columns)
{
    return room * (sizeof(uint16_t) + sizeof(struct strength) + (uint32_t)__builtin_popcount(columns) * sizeof(int32_t));
}

size_t neighbours_bytes(const struct neighbours *n)
{
    return sizeof *n + block_bytes(n->room, n->columns);
}

/* NULL when it is not there: a bucket that is empty, or one bucket for ever; no transitions. */
static int32_t *column_of(const struct neighbours *n, uint32_t column)
{
    if (!(n->columns & column))
        return NULL;
    return (int32_t *)(n->strong + n->room) + (size_t)n->room * (uint32_t)__builtin_popcount(n->columns & (column - 1));
}

/* Moves everything to a block of so much room and these columns; new ones are zero. */
static void rebuild(struct neighbours *n, uint32_t room, uint32_t columns)
{
    struct neighbours before = *n;
    n->low = calloc(1, block_bytes(room, columns));
    ASSERT(n->low);
    n->strong = (struct strength *)(n->low + room);
    n->room = (uint16_t)room;
    n->columns = (uint16_t)columns;
    if (n->count) {
        memcpy(n->low, before.low, n->count * sizeof *n->low);
        memcpy(n->strong, before.strong, n->count * sizeof *n->strong);
    }
    for (uint32_t kept = columns & before.columns; kept && n->count; kept &= kept - 1)
        memcpy(column_of(n, kept & -kept), column_of(&before, kept & -kept), n->count * sizeof(int32_t));
    free(before.low);
}

static int32_t *need_column(struct neighbours *n, uint32_t column)
{
    if (!(n->columns & column))
        rebuild(n, n->room ? n->room : ROOM_MIN, n->columns | column);
    return column_of(n, column);
}

/* One more place, whose columns hold anything. */
static uint32_t add_place(struct neighbours *n)
{
    if (n->count == n->room)
        rebuild(n, n->room ? 2u * n->room : ROOM_MIN, n->columns);
    return n->count++;
}

static entity_id id_at(const struct neighbours *n, uint32_t i)
{
    return (entity_id)n->strong[i].high << 16 | n->low[i];
}

static void set_id(struct neighbours *n, uint32_t i, entity_id id)
{
    n->low[i] = (uint16_t)id;
    n->strong[i].high = (uint32_t)(id >> 16);
}

void neighbours_fetch(const struct neighbours *n, bool whole)
{
    fetch_bytes(n->low, whole ? block_bytes(n->room, n->columns) : n->count * sizeof *n->low);
    if (!whole)
        fetch_bytes(n->strong, n->count * sizeof *n->strong);
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
            if (at < n->count && n->strong[at].high == (uint32_t)(id >> 16))
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
    const int32_t *row = column_of(n, 1u << slot);
    for (uint32_t i = 0; i < n->count; i++)
        n->strong[i].total -= row[i];
    rebuild(n, n->room, n->columns & ~(1u << slot));
    n->floor = INT32_MIN;
}

static void drop(struct neighbours *n, uint32_t i)
{
    uint32_t last = --n->count;
    n->low[i] = n->low[last];
    n->strong[i] = n->strong[last];
    for (uint32_t left = n->columns; left; left &= left - 1) {
        int32_t *column = column_of(n, left & -left);
        column[i] = column[last];
    }
}

/* The column of the event's bucket, which is there then; 0: none is kept, or, with *out_old, it is older than the window. */
static uint32_t row_of(struct neighbours *n, const struct entity_settings *s, int64_t event_ms, bool *out_old)
{
    *out_old = false;
    if (s->pair_bucket_ms == 0)
        return 0;
    int64_t at = bucket_of(s, event_ms), window = s->pair_buckets;
    if (!n->used || at > n->newest) {
        for (int b = 0; b < PAIR_BUCKETS_MAX; b++)
            if (n->columns >> b & 1 && n->bucket_at[b] <= at - window)
                clear_bucket(n, b);
        n->newest = at;
        n->used = true;
        for (uint32_t i = n->count; i-- > 0;)
            if (n->strong[i].total <= 0)
                drop(n, i);
    }
    if (at <= n->newest - window) {
        *out_old = true;
        return 0;
    }
    int slot = (int)((uint64_t)at % s->pair_buckets);
    if (!(n->columns >> slot & 1))
        n->bucket_at[slot] = at;
    need_column(n, 1u << slot);
    return 1u << slot;
}

static uint32_t weakest(const struct neighbours *n)
{
    int32_t least = n->strong[0].total;
    for (uint32_t i = 1; i < n->count; i++)
        least = n->strong[i].total < least ? n->strong[i].total : least;
    uint32_t at = 0;
    while (n->strong[at].total != least)
        at++;
    return at;
}

/* Where the newcomer goes, or NEIGHBOURS_MAX when it is refused. */
static uint32_t admit(struct neighbours *n, const struct entity_settings *s, int32_t delta)
{
    uint32_t limit = s->neighbours < NEIGHBOURS_MAX ? s->neighbours : NEIGHBOURS_MAX;
    if (n->count < limit) {
        n->floor = INT32_MIN;
        return add_place(n);
    }
    n->pressure += delta;
    if (n->pressure <= n->floor)
        return NEIGHBOURS_MAX;
    uint32_t at = weakest(n);
    n->floor = n->strong[at].total;
    if (n->pressure <= n->floor)
        return NEIGHBOURS_MAX;
    n->pressure = 0;
    n->floor = n->floor < delta ? n->floor : delta;
    return at;
}

static void follow(struct neighbours *n, uint32_t i, uint8_t step)
{
    int32_t *next = need_column(n, NEXT);
    if (i < n->count)
        next[i] += NEXT_UNIT / step;
    n->next_sum += NEXT_UNIT / step;
}

/* The place of somebody new, all zero; NEIGHBOURS_MAX when it is refused. */
static uint32_t welcome(struct neighbours *n, const struct entity_settings *s, const struct neighbour_change *c)
{
    uint32_t i = admit(n, s, c->delta);
    if (i == NEIGHBOURS_MAX)
        return i;
    set_id(n, i, c->other);
    n->strong[i].total = 0;
    for (uint32_t left = n->columns; left; left &= left - 1)
        column_of(n, left & -left)[i] = 0;
    return i;
}

void neighbours_apply(struct neighbours *n, const struct entity_settings *s, const struct neighbour_change *c, int64_t event_ms)
{
    bool old;
    uint32_t row = row_of(n, s, event_ms, &old);
    if (old)
        return;
    uint32_t i = find(n, c->other);
    if (i == n->count) {
        if (c->delta <= 0)
            return; /* it was not admitted, or left */
        i = welcome(n, s, c);
    }
    if (i < NEIGHBOURS_MAX) {
        n->strong[i].total += c->delta;
        if (c->delta < 0 && n->strong[i].total < n->floor)
            n->floor = n->strong[i].total;
        if (row)
            column_of(n, row)[i] += c->delta;
    }
    if (c->step)
        follow(n, i, c->step);
}

int64_t neighbours_next_sum(const struct neighbours *n)
{
    return n->next_sum;
}

#define NEIGHBOURS_VERSION 2
#define COUNT_MAX (INT32_MAX / 4) /* so that a total, less a bucket, with more to come, does not overflow */

/* The columns of the table in the order in which they are written. */
struct table {
    const int32_t *rows[PAIR_BUCKETS_MAX], *next;
    int row_count;
};

static struct table table_of(const struct neighbours *n)
{
    struct table t = {.next = column_of(n, NEXT)};
    for (int b = 0; b < PAIR_BUCKETS_MAX; b++)
        if (n->columns >> b & 1)
            t.rows[t.row_count++] = column_of(n, 1u << b);
    return t;
}

/* Room for all is reserved once: this is most of what a commit of an entity costs. */
static void encode_table(const struct neighbours *n, struct writer *out)
{
    const struct table t = table_of(n);
    writer_reserve(out, n->count * (8 + 5 * ((size_t)t.row_count + 2)));
    uint8_t *at = out->data + out->size;
    for (uint32_t i = 0; i < n->count; i++) {
        at = u48_at(at, id_at(n, i));
        if (t.row_count == 0)
            at = signed_at(at, n->strong[i].total);
        for (int r = 0; r < t.row_count; r++)
            at = signed_at(at, t.rows[r][i]);
        if (n->next_sum)
            at = varint_at(at, t.next ? (uint64_t)t.next[i] : 0);
    }
    out->size = (size_t)(at - out->data);
}

void neighbours_encode(const struct neighbours *n, struct writer *out)
{
    put_u8(out, NEIGHBOURS_VERSION);
    put_u8(out, n->used);
    put_signed(out, n->newest);
    put_varint(out, (uint64_t)n->pressure);
    put_varint(out, (uint64_t)n->next_sum);
    put_u8(out, (uint8_t)n->columns);
    for (int b = 0; b < PAIR_BUCKETS_MAX; b++)
        if (n->columns >> b & 1)
            put_signed(out, n->newest - n->bucket_at[b]);
    put_varint(out, n->count);
    if (n->count)
        encode_table(n, out);
}

static void decode_table(struct neighbours *n, struct reader *r)
{
    const struct table t = table_of(n);
    for (uint32_t i = 0; i < n->count; i++) {
        set_id(n, i, get_entity(r, ENTITY_NONE));
        int64_t total = t.row_count ? 0 : get_within(r, -COUNT_MAX, COUNT_MAX);
        for (int k = 0; k < t.row_count; k++) {
            int32_t value = (int32_t)get_within(r, -COUNT_MAX, COUNT_MAX);
            ((int32_t *)t.rows[k])[i] = value;
            total += value;
        }
        r->failed |= total > COUNT_MAX || total < -COUNT_MAX;
        n->strong[i].total = (int32_t)total;
        if (t.next)
            ((int32_t *)t.next)[i] = (int32_t)get_varint_max(r, COUNT_MAX);
    }
}

enum err neighbours_decode(struct slice bytes, struct neighbours **out_neighbours)
{
    struct reader r = reader_of(bytes.at, bytes.size);
    if (get_u8(&r) != NEIGHBOURS_VERSION)
        return ERR_VERSION;
    struct neighbours *n = neighbours_create();
    n->floor = INT32_MIN;
    n->used = get_flag(&r);
    n->newest = get_event_ms(&r); /* at least as many milliseconds */
    n->pressure = (int64_t)get_varint_max(&r, NUMBER_MAX);
    n->next_sum = (int64_t)get_varint_max(&r, NUMBER_MAX);
    uint32_t columns = get_u8(&r);
    r.failed |= n->used ? columns == 0 : columns || n->newest;
    for (int b = 0; b < PAIR_BUCKETS_MAX; b++)
        if (columns >> b & 1)
            n->bucket_at[b] = n->newest - get_within(&r, 0, PAIR_BUCKETS_MAX - 1);
    uint32_t count = get_count(&r, NEIGHBOURS_MAX, 7), room = ROOM_MIN;
    while (room < count)
        room *= 2;
    rebuild(n, room, columns | (n->next_sum ? NEXT : 0));
    n->count = (uint16_t)count;
    decode_table(n, &r);
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
    int32_t a = n->strong[i].total, b = n->strong[j].total;
    return a > b || (a == b && id_at(n, i) < id_at(n, j));
}

/* Sorts places, not neighbours; once `max` are found most of the others are told by the least of these. */
uint32_t neighbours_top(const struct neighbours *n, const struct entity_settings *s, uint32_t max,
                        struct neighbour *out)
{
    uint8_t places[NEIGHBOURS_MAX];
    uint32_t count = 0;
    int32_t least = 1;
    for (uint32_t i = 0; i < n->count; i++) {
        if (n->strong[i].total < least)
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
            least = n->strong[places[max - 1]].total;
    }
    const int32_t *next = column_of(n, NEXT);
    for (uint32_t k = 0; k < count; k++)
        out[k] = (struct neighbour){id_at(n, places[k]), n->strong[places[k]].total, next ? next[places[k]] : 0};
    return count;
}
