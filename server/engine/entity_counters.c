/*
 * Funnel counters of one entity: lifetime totals by scene, and buckets of event time by minute, hour and day. Minute
 * cells are by scene; hour cells also by source; day cells by source and by whether the item was being explained.
 *
 * A bucket that is older than the retention of its level, seen from the greatest event time of this entity, is not
 * kept, whichever came first: what is kept depends on the set of effects, not on their order.
 */
#include "server/engine/counters_internal.h"

#include "common/check.h"
#include "common/mutant.h"

#include <stdlib.h>

const int64_t counter_level_ms[LEVELS] = {60000, 3600000, 86400000};

/* How things stand between users and the entity, whatever scene an end of it came from. */
static const enum counter standing[] = {COUNTER_FOLLOW, COUNTER_RATING_COUNT, COUNTER_RATING_SUM};

#define VALUES_MIN 8

void entity_settings_default(struct entity_settings *s)
{
    *s = (struct entity_settings){
        .neighbours = 256, .pair_bucket_ms = 30u * 86400000, .pair_buckets = 8, .minutes = 60, .hours = 48, .days = 35,
        .day_offset_ms = 8 * 3600000,
    };
}

struct counters *counters_create(void)
{
    struct counters *c = FUZZ_MUTANT(uncleared, malloc(sizeof *c), calloc(1, sizeof *c));
    ASSERT(c);
    return c;
}

void counters_destroy(struct counters *c)
{
    if (!c)
        return;
    for (int i = 0; i < c->scene_count; i++)
        free((char *)c->scenes[i].name.at);
    free(c->scenes);
    free(c->buckets);
    free(c->values);
    free(c);
}

size_t counters_bytes(const struct counters *c)
{
    return sizeof *c + (size_t)c->scene_count * sizeof *c->scenes + c->bucket_capacity * sizeof *c->buckets +
           c->value_capacity * sizeof *c->values;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* Whole minutes, so that what lies in one minute lies in one day. */
static int64_t offset_ms(const struct entity_settings *s, int level)
{
    return level == DAYS ? s->day_offset_ms / counter_level_ms[MINUTES] * counter_level_ms[MINUTES] : 0;
}

static int64_t bucket_at(const struct entity_settings *s, int level, int64_t event_ms)
{
    return floor_div(event_ms + offset_ms(s, level), counter_level_ms[level]);
}

/* The newest that is not kept any more. */
static int64_t gone_at(const struct counters *c, const struct entity_settings *s, int level)
{
    return bucket_at(s, level, c->last_ms) - (level == MINUTES ? s->minutes : level == HOURS ? s->hours : s->days);
}

struct scene_totals *counters_add_scene(struct counters *c)
{
    c->scenes = realloc(c->scenes, ((size_t)c->scene_count + 1) * sizeof *c->scenes);
    ASSERT(c->scenes);
    struct scene_totals *s = &c->scenes[c->scene_count++];
    *s = (struct scene_totals){0};
    return s;
}

static uint8_t scene_index(struct counters *c, struct slice name)
{
    bool other = c->scene_count >= SCENES_PER_ENTITY;
    for (int i = 0; i < c->scene_count && i < SCENES_PER_ENTITY; i++)
        if (slice_equal(c->scenes[i].name, name))
            return (uint8_t)i;
    if (c->scene_count <= SCENES_PER_ENTITY) {
        struct scene_totals *s = counters_add_scene(c);
        char *bytes = malloc((size_t)name.size + 1);
        ASSERT(bytes);
        memcpy(bytes, name.at, name.size);
        s->name = (struct slice){bytes, other ? 0 : name.size};
        return (uint8_t)(c->scene_count - 1);
    }
    return SCENES_PER_ENTITY;
}

/* What no bucket refers to leaves. */
void counters_reserve(struct counters *c, uint32_t more)
{
    uint32_t capacity = c->value_capacity ? c->value_capacity : VALUES_MIN, used = 0;
    if (c->value_capacity - c->value_count >= more)
        return;
    for (uint32_t i = 0; i < c->bucket_count; i++)
        used += bucket_width(&c->buckets[i]);
    while (capacity - capacity / 4 < used + more)
        capacity *= 2;
    int64_t *values = malloc(capacity * sizeof *values), *at = values;
    ASSERT(values);
    for (uint32_t i = 0; i < c->bucket_count; at += bucket_width(&c->buckets[i++])) {
        if (bucket_width(&c->buckets[i]))
            memcpy(at, c->values + c->buckets[i].first, bucket_width(&c->buckets[i]) * sizeof *at);
        c->buckets[i].first = (uint32_t)(at - values);
    }
    free(c->values);
    c->values = values;
    c->value_count = used;
    c->value_capacity = capacity;
}

/* A counter that the bucket did not have: its values move to the end. */
static void widen(struct counters *c, struct bucket *b, uint32_t bit)
{
    uint32_t before = (uint32_t)__builtin_popcount(b->mask & (bit - 1)), count = bucket_width(b);
    counters_reserve(c, count + 1);
    int64_t *to = c->values + c->value_count;
    memcpy(to, c->values + b->first, before * sizeof *to);
    to[before] = 0;
    memcpy(to + before + 1, c->values + b->first + before, (count - before) * sizeof *to);
    b->first = c->value_count;
    b->mask |= bit;
    c->value_count += count + 1;
}

static void bucket_add(struct counters *c, struct bucket *b, enum counter counter, int64_t delta)
{
    uint32_t bit = 1u << counter;
    if (!(b->mask & bit))
        widen(c, b, bit);
    int64_t *value = &c->values[b->first + (uint32_t)__builtin_popcount(b->mask & (bit - 1))];
    *value = MUTANT(float_counter, (int64_t)((float)*value + (float)delta), *value + delta);
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
    c->buckets[c->bucket_count] = (struct bucket){p->at, p->level, p->scene, p->source, p->explained, 0, 0};
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
        const struct bucket *b = &c->buckets[i];
        if (b->at > gone_at(c, s, b->level))
            c->buckets[kept++] = *b;
    }
    c->bucket_count = kept;
}

static void advance(struct counters *c, const struct entity_settings *s, int64_t event_ms)
{
    if (event_ms <= c->last_ms)
        return;
    bool minute = floor_div(event_ms, counter_level_ms[MINUTES]) != floor_div(c->last_ms, counter_level_ms[MINUTES]);
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
        int64_t at = bucket_at(s, l, event_ms);
        if (at <= gone_at(c, s, l))
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
    for (size_t k = 0; k < sizeof standing / sizeof *standing; k++) {
        out_totals[standing[k]] = 0;
        for (int i = 0; i < c->scene_count; i++)
            out_totals[standing[k]] += c->scenes[i].totals[standing[k]];
    }
    return c->scenes[scene].name;
}

static void add_values(const struct counters *c, const struct bucket *b, int64_t sums[COUNTERS])
{
    const int64_t *value = c->values + b->first;
    for (int k = 0; k < COUNTERS; k++)
        if (b->mask >> k & 1)
            sums[k] += *value++;
}

void counters_from(const struct counters *c, int scene, enum event_source source, int64_t out_sums[COUNTERS])
{
    memset(out_sums, 0, COUNTERS * sizeof *out_sums);
    for (uint32_t i = 0; i < c->bucket_count; i++) {
        const struct bucket *b = &c->buckets[i];
        if (b->level == DAYS && b->scene == scene && b->source == source)
            add_values(c, b, out_sums);
    }
}

bool counters_bucket(const struct counters *c, uint32_t i, struct counter_bucket *out)
{
    if (i >= c->bucket_count)
        return false;
    const struct bucket *b = &c->buckets[i];
    *out = (struct counter_bucket){
        .level = (enum counter_level)b->level, .start_ms = b->at * counter_level_ms[b->level], .scene = b->scene,
        .source = (enum event_source)b->source, .explained = b->explained,
    };
    add_values(c, b, out->sums);
    return true;
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
        if (b->level == MINUTES && b->at == newest)
            add_values(c, b, out_sums);
    }
    return newest < 0 ? -1 : newest * counter_level_ms[MINUTES];
}
