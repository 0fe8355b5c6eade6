/*
 * Funnel counters of one entity: lifetime totals by scene, and buckets of event time by minute, hour and day. Minute
 * cells are by scene; hour cells also by source; day cells by source and by whether the item was being explained.
 *
 * A bucket that is older than the retention of its level, seen from the greatest event time of this entity, is not
 * kept, whichever came first: what is kept depends on the set of effects, not on their order.
 */
#include "server/engine/entity.h"

#include "common/check.h"
#include "common/mutant.h"

#include <stdlib.h>

enum level { MINUTES, HOURS, DAYS, LEVELS };

static const int64_t level_ms[LEVELS] = {60000, 3600000, 86400000};

struct bucket {
    int64_t at; /* event time divided by the level's length */
    uint8_t level, scene, source, explained;
    uint32_t mask;   /* counters ever moved */
    int64_t *values; /* owned; one a bit of mask, in order */
};

struct scene_totals {
    struct slice name; /* owned bytes; size 0: every scene beyond the limit */
    int64_t totals[COUNTERS];
};

struct rating_bucket {
    int64_t at;
    int64_t sum;
};

#define RATINGS_MAX 8 /* buckets of the pair window */

/* What every effect and every list looks at stands first. */
struct counters {
    int64_t last_ms;
    uint32_t rating_count;
    uint32_t name_conflicts;
    struct rating_bucket ratings[RATINGS_MAX]; /* ascending */
    char name[EVENT_ID_BYTES];
    uint8_t name_size;
    int scene_count;
    struct scene_totals scenes[SCENES_PER_ENTITY + 1];
    int64_t explained[COUNTERS];
    struct bucket *buckets; /* owned */
    uint32_t bucket_count, bucket_capacity;
    uint16_t recent[LEVELS][SOURCES + 1]; /* where the bucket was that was found last: a hint, not state */
    size_t value_bytes;
};

void entity_settings_default(struct entity_settings *s)
{
    *s = (struct entity_settings){
        .neighbours = 256, .pair_bucket_ms = 30u * 86400000, .pair_buckets = 8, .minutes = 60, .hours = 48, .days = 35,
    };
}

struct counters *counters_create(void)
{
    struct counters *c = calloc(1, sizeof *c);
    ASSERT(c);
    return c;
}

void counters_destroy(struct counters *c)
{
    if (!c)
        return;
    for (uint32_t i = 0; i < c->bucket_count; i++)
        free(c->buckets[i].values);
    for (int i = 0; i < c->scene_count; i++)
        free((char *)c->scenes[i].name.at);
    free(c->buckets);
    free(c);
}

size_t counters_bytes(const struct counters *c)
{
    return sizeof *c + c->bucket_capacity * sizeof *c->buckets + c->value_bytes;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t retention(const struct entity_settings *s, int level)
{
    return level == MINUTES ? s->minutes : level == HOURS ? s->hours : s->days;
}

static uint8_t scene_index(struct counters *c, struct slice name)
{
    for (int i = 0; i < c->scene_count; i++)
        if (c->scenes[i].name.size && slice_equal(c->scenes[i].name, name))
            return (uint8_t)i;
    if (c->scene_count <= SCENES_PER_ENTITY) {
        struct scene_totals *s = &c->scenes[c->scene_count];
        bool other = c->scene_count == SCENES_PER_ENTITY;
        char *bytes = malloc((size_t)name.size + 1);
        ASSERT(bytes);
        memcpy(bytes, name.at, name.size);
        s->name = (struct slice){bytes, other ? 0 : name.size};
        return (uint8_t)c->scene_count++;
    }
    return SCENES_PER_ENTITY;
}

static void bucket_add(struct counters *c, struct bucket *b, enum counter counter, int64_t delta)
{
    uint32_t bit = 1u << counter;
    int at = __builtin_popcount(b->mask & (bit - 1));
    if (!(b->mask & bit)) {
        int count = __builtin_popcount(b->mask);
        b->values = realloc(b->values, (size_t)(count + 1) * sizeof *b->values);
        ASSERT(b->values);
        memmove(b->values + at + 1, b->values + at, (size_t)(count - at) * sizeof *b->values);
        b->values[at] = 0;
        b->mask |= bit;
        c->value_bytes += sizeof *b->values;
    }
    b->values[at] = MUTANT(float_counter, (int64_t)((float)b->values[at] + (float)delta), b->values[at] + delta);
}

/* One bucket's key. */
struct place {
    int64_t at;
    uint8_t level, scene, source, explained;
};

static bool is_at(const struct bucket *b, const struct place *p)
{
    return b->at == p->at && b->level == p->level && b->scene == p->scene && b->source == p->source && b->explained == p->explained;
}

static uint32_t add_bucket(struct counters *c, const struct place *p)
{
    if (c->bucket_count == c->bucket_capacity) {
        c->bucket_capacity = c->bucket_capacity ? c->bucket_capacity * 2 : 4;
        c->buckets = realloc(c->buckets, c->bucket_capacity * sizeof *c->buckets);
        ASSERT(c->buckets);
    }
    c->buckets[c->bucket_count] = (struct bucket){p->at, p->level, p->scene, p->source, p->explained, 0, NULL};
    return c->bucket_count++;
}

/* A live room has hundreds of buckets and moves the same few all the time. */
static struct bucket *bucket_of(struct counters *c, int level, int64_t at, uint8_t scene, const struct count_effect *e)
{
    const struct place p = {at, (uint8_t)level, scene, level == MINUTES ? SOURCES : (uint8_t)e->source, level == DAYS && e->explained};
    uint16_t *recent = &c->recent[level][p.source];
    if (*recent < c->bucket_count && is_at(&c->buckets[*recent], &p))
        return &c->buckets[*recent];
    uint32_t i = c->bucket_count;
    while (i > 0 && !is_at(&c->buckets[i - 1], &p))
        i--;
    i = i > 0 ? i - 1 : add_bucket(c, &p);
    *recent = (uint16_t)i;
    return &c->buckets[i];
}

/* Time moved on: what is now older than its retention goes. */
static void expire(struct counters *c, const struct entity_settings *s)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->bucket_count; i++) {
        struct bucket *b = &c->buckets[i];
        if (b->at > floor_div(c->last_ms, level_ms[b->level]) - retention(s, b->level)) {
            c->buckets[kept++] = *b;
            continue;
        }
        c->value_bytes -= (size_t)__builtin_popcount(b->mask) * sizeof *b->values;
        free(b->values);
    }
    c->bucket_count = kept;
}

static void advance(struct counters *c, const struct entity_settings *s, int64_t event_ms)
{
    if (event_ms <= c->last_ms)
        return;
    bool minute = floor_div(event_ms, level_ms[MINUTES]) != floor_div(c->last_ms, level_ms[MINUTES]);
    c->last_ms = event_ms;
    if (minute)
        expire(c, s);
}

static int64_t pair_bucket(const struct entity_settings *s, int64_t event_ms)
{
    return s->pair_bucket_ms ? floor_div(event_ms, s->pair_bucket_ms) : 0;
}

static void drop_ratings(struct counters *c, uint32_t count)
{
    c->rating_count -= count;
    memmove(c->ratings, c->ratings + count, c->rating_count * sizeof *c->ratings);
}

static void apply_rating(struct counters *c, const struct entity_settings *s, int32_t delta, int64_t event_ms)
{
    int64_t at = pair_bucket(s, event_ms), oldest = pair_bucket(s, c->last_ms) - (int64_t)s->pair_buckets;
    uint32_t i = c->rating_count, gone = 0;
    while (i > 0 && c->ratings[i - 1].at > at)
        i--;
    if (i > 0 && c->ratings[i - 1].at == at) {
        c->ratings[i - 1].sum += delta;
        return;
    }
    if (s->pair_bucket_ms && at <= oldest)
        return;
    while (s->pair_bucket_ms && gone < i && c->ratings[gone].at <= oldest)
        gone++;
    if (c->rating_count - gone == RATINGS_MAX)
        gone++; /* only where an earlier window was longer */
    i -= gone < i ? gone : i;
    drop_ratings(c, gone);
    memmove(c->ratings + i + 1, c->ratings + i, (c->rating_count - i) * sizeof *c->ratings);
    c->ratings[i] = (struct rating_bucket){at, delta};
    c->rating_count++;
}

static void take_name(struct counters *c, struct slice name)
{
    if (name.size == 0)
        return;
    if (c->name_size == 0) {
        memcpy(c->name, name.at, name.size);
        c->name_size = (uint8_t)name.size;
    } else if (c->name_size != name.size || memcmp(c->name, name.at, name.size) != 0) {
        c->name_conflicts++;
    }
}

void counters_add_rating(struct counters *c, const struct entity_settings *s, struct slice name, int32_t delta, int64_t event_ms)
{
    take_name(c, name);
    advance(c, s, event_ms);
    apply_rating(c, s, delta, event_ms);
}

void counters_add_count(struct counters *c, const struct entity_settings *s, const struct count_effect *e, int64_t event_ms)
{
    take_name(c, e->name);
    advance(c, s, event_ms);
    uint8_t scene = scene_index(c, e->scene);
    for (int l = 0; l < LEVELS; l++) {
        int64_t at = floor_div(event_ms, level_ms[l]);
        if (at <= floor_div(c->last_ms, level_ms[l]) - retention(s, l))
            continue;
        struct bucket *b = bucket_of(c, l, at, scene, e);
        for (int i = 0; i < e->counter_count; i++)
            bucket_add(c, b, e->counters[i].counter, e->counters[i].delta);
    }
    for (int i = 0; i < e->counter_count; i++) {
        c->scenes[scene].totals[e->counters[i].counter] += e->counters[i].delta;
        if (e->explained)
            c->explained[e->counters[i].counter] += e->counters[i].delta;
    }
}

static int compare_buckets(const void *a, const void *b)
{
    const struct bucket *x = a, *y = b;
    if (x->level != y->level)
        return x->level - y->level;
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    if (x->scene != y->scene)
        return x->scene - y->scene;
    if (x->source != y->source)
        return x->source - y->source;
    return x->explained - y->explained;
}

static void put_totals(struct writer *out, const int64_t totals[COUNTERS])
{
    uint32_t mask = 0;
    for (int i = 0; i < COUNTERS; i++)
        mask |= totals[i] ? 1u << i : 0;
    put_varint(out, mask);
    for (int i = 0; i < COUNTERS; i++)
        if (totals[i])
            put_signed(out, totals[i]);
}

static void get_totals(struct reader *r, int64_t totals[COUNTERS])
{
    uint64_t mask = get_varint(r);
    for (int i = 0; i < COUNTERS; i++)
        totals[i] = mask >> i & 1 ? get_bounded(r, NUMBER_MAX) : 0;
}

#define COUNTERS_VERSION 1

void counters_encode(const struct counters *c, struct writer *out)
{
    if (c->bucket_count)
        qsort(c->buckets, c->bucket_count, sizeof *c->buckets, compare_buckets);
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
    put_varint(out, c->bucket_count);
    int64_t before = 0;
    for (uint32_t i = 0; i < c->bucket_count; i++) {
        const struct bucket *b = &c->buckets[i];
        put_u8(out, (uint8_t)(b->level | b->explained << 2 | b->scene << 4));
        put_u8(out, b->source);
        put_signed(out, b->at - before);
        before = b->at;
        put_varint(out, b->mask);
        for (int k = 0; k < __builtin_popcount(b->mask); k++)
            put_signed(out, b->values[k]);
    }
}

#define BUCKET_AT_MAX (1ll << 40) /* in minutes: any time there is */

static void get_buckets(struct counters *c, struct reader *r)
{
    uint32_t count = get_count(r, 1u << 16, 4);
    int64_t before = 0;
    c->buckets = count ? calloc(count, sizeof *c->buckets) : NULL;
    c->bucket_capacity = count;
    for (; c->bucket_count < count && !r->failed; c->bucket_count++) {
        struct bucket *b = &c->buckets[c->bucket_count];
        uint8_t packed = get_u8(r);
        b->level = packed & 3;
        b->explained = packed >> 2 & 1;
        b->scene = packed >> 4;
        b->source = get_u8(r);
        b->at = before += get_bounded(r, 2 * BUCKET_AT_MAX);
        b->mask = (uint32_t)get_varint(r);
        r->failed |= b->at > BUCKET_AT_MAX || b->at < -BUCKET_AT_MAX || b->level >= LEVELS || b->source > SOURCES || b->scene > SCENES_PER_ENTITY || b->mask >> COUNTERS;
        if (r->failed)
            b->mask = 0;
        int n = __builtin_popcount(b->mask);
        b->values = n ? calloc((size_t)n, sizeof *b->values) : NULL;
        c->value_bytes += (size_t)n * sizeof *b->values;
        for (int k = 0; k < n; k++)
            b->values[k] = get_bounded(r, NUMBER_MAX);
    }
}

static void get_scenes(struct counters *c, struct reader *r)
{
    uint32_t count = get_count(r, SCENES_PER_ENTITY + 1, 2);
    for (; c->scene_count < (int)count && !r->failed; c->scene_count++) {
        struct scene_totals *s = &c->scenes[c->scene_count];
        struct slice name = get_slice(r, EVENT_ID_BYTES);
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
    struct slice name = get_slice(&r, EVENT_ID_BYTES);
    if (name.size)
        memcpy(c->name, name.at, name.size);
    c->name_size = (uint8_t)name.size;
    c->name_conflicts = (uint32_t)get_varint(&r);
    c->last_ms = get_bounded(&r, NUMBER_MAX);
    get_scenes(c, &r);
    get_totals(&r, c->explained);
    uint32_t count = get_count(&r, RATINGS_MAX, 2);
    for (; c->rating_count < count; c->rating_count++) {
        c->ratings[c->rating_count].at = get_bounded(&r, NUMBER_MAX);
        c->ratings[c->rating_count].sum = get_bounded(&r, NUMBER_MAX);
    }
    get_buckets(c, &r);
    if (r.failed || reader_left(&r)) {
        counters_destroy(c);
        return ERR_INVALID;
    }
    *out_counters = c;
    return ERR_NONE;
}

struct slice counters_name(const struct counters *c)
{
    return (struct slice){c->name, c->name_size};
}

int64_t counters_last_ms(const struct counters *c)
{
    return c->last_ms;
}

int64_t counters_rating(const struct counters *c)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < c->rating_count; i++)
        sum += c->ratings[i].sum;
    return sum > 0 ? sum : 0;
}

int counters_scenes(const struct counters *c)
{
    return c->scene_count;
}

struct slice counters_scene(const struct counters *c, int scene, int64_t out_totals[COUNTERS])
{
    memcpy(out_totals, c->scenes[scene].totals, sizeof c->scenes[scene].totals);
    return c->scenes[scene].name;
}

void counters_total(const struct counters *c, bool explained, int64_t out_totals[COUNTERS])
{
    memcpy(out_totals, c->explained, sizeof c->explained);
    if (explained)
        return;
    memset(out_totals, 0, sizeof c->explained);
    for (int i = 0; i < c->scene_count; i++)
        for (int k = 0; k < COUNTERS; k++)
            out_totals[k] += c->scenes[i].totals[k];
}

int64_t counters_newest_minute(const struct counters *c, int64_t out_sums[COUNTERS])
{
    int64_t newest = -1;
    for (uint32_t i = 0; i < c->bucket_count; i++)
        if (c->buckets[i].level == MINUTES && c->buckets[i].at > newest)
            newest = c->buckets[i].at;
    memset(out_sums, 0, COUNTERS * sizeof *out_sums);
    for (uint32_t i = 0; i < c->bucket_count; i++) {
        const struct bucket *b = &c->buckets[i];
        if (b->level != MINUTES || b->at != newest)
            continue;
        const int64_t *value = b->values;
        for (int k = 0; k < COUNTERS; k++)
            if (b->mask >> k & 1)
                out_sums[k] += *value++;
    }
    return newest < 0 ? -1 : newest * level_ms[MINUTES];
}
