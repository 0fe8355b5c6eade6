#include "server/codec/effects_codec.h"

#include "common/check.h"

#define HEAD_BYTES 19 /* version, source, confirmed, prev */
#define NAME_MAX_BYTES 64

/*
 * While a run is open, bytes 3-18 hold the offset and time of its last entry, against which the next one is coded;
 * closing it replaces them by `confirmed` and `prev`.
 */
static void patch(struct writer *w, uint64_t a, uint64_t b)
{
    for (int i = 0; i < 8; i++) {
        w->data[3 + i] = (uint8_t)(a >> 8 * i);
        w->data[11 + i] = (uint8_t)(b >> 8 * i);
    }
}

void effects_run_begin(struct writer *w, int32_t source)
{
    w->size = 0;
    put_u8(w, EFFECTS_VERSION);
    put_u16(w, (uint16_t)source);
    put_u64(w, 0);
    put_u64(w, 0);
}

void effects_run_close(struct writer *w, int64_t confirmed, int64_t prev)
{
    patch(w, (uint64_t)(confirmed + 1), (uint64_t)(prev + 1));
}

static void put_name(struct writer *w, struct slice name)
{
    ASSERT(name.size <= NAME_MAX_BYTES);
    put_u8(w, (uint8_t)name.size);
    put_bytes(w, name.at, name.size);
}

/* A pair with the target of the effect before it: its id is left out. */
#define PAIR_AGAIN 4

static void put_effect(struct writer *w, const struct effect *e, const struct effect *before)
{
    if (e->op == EFFECT_PAIR && before && before->op == EFFECT_PAIR && before->target == e->target) {
        put_u8(w, PAIR_AGAIN);
        put_u48(w, e->other);
        put_signed(w, e->delta);
        return;
    }
    put_u8(w, (uint8_t)e->op);
    put_u48(w, e->target);
    if (e->op == EFFECT_PAIR) {
        put_u48(w, e->other);
        put_signed(w, e->delta);
        return;
    }
    put_name(w, e->name);
    if (e->op == EFFECT_RATING) {
        put_signed(w, e->delta);
        return;
    }
    put_name(w, e->scene);
    put_u8(w, (uint8_t)(e->source | (e->explained ? 0x80 : 0)));
    put_u8(w, (uint8_t)e->counter_count);
    for (int i = 0; i < e->counter_count; i++) {
        put_u8(w, (uint8_t)e->counters[i].counter);
        put_signed(w, e->counters[i].delta);
    }
}

static uint64_t word_at(const struct writer *w, size_t at)
{
    struct reader r = reader_of(w->data + at, 8);
    return get_u64(&r);
}

void effects_run_add(struct writer *w, int64_t offset, int64_t prev, int64_t event_ms, const struct effect_list *list,
                     int32_t partition)
{
    put_varint(w, (uint64_t)offset - word_at(w, 3));
    put_varint(w, (uint64_t)(offset - prev));
    put_signed(w, event_ms - (int64_t)word_at(w, 11));
    patch(w, (uint64_t)offset, (uint64_t)event_ms);
    size_t size_at = w->size;
    put_u32(w, 0);
    const struct effect *before = NULL;
    for (size_t i = 0; i < list->count; i++)
        if (list->at[i].partition == partition) {
            put_effect(w, &list->at[i], before);
            before = &list->at[i];
        }
    size_t size = w->size - size_at - 4;
    ASSERT(size <= UINT32_MAX);
    for (int i = 0; i < 4; i++)
        w->data[size_at + (size_t)i] = (uint8_t)(size >> 8 * i);
}

enum err effects_run_open(struct slice value, struct run_reader *out)
{
    struct reader r = reader_of(value.at, value.size);
    struct run_reader run = {0};
    if (get_u8(&r) != EFFECTS_VERSION)
        return ERR_VERSION;
    run.source = get_u16(&r);
    run.confirmed = (int64_t)get_u64(&r) - 1;
    run.prev = (int64_t)get_u64(&r) - 1;
    if (r.failed || run.confirmed < -1 || run.prev < -1)
        return ERR_INVALID;
    run.bytes = r;
    *out = run;
    return ERR_NONE;
}

bool effects_run_next(struct run_reader *run, struct run_entry *out)
{
    struct reader *r = &run->bytes;
    if (run->failed || reader_left(r) == 0)
        return false;
    uint64_t offset = (uint64_t)run->offset + get_varint(r);
    uint64_t step = get_varint(r);
    uint64_t event_ms = (uint64_t)run->event_ms + (uint64_t)get_signed(r);
    uint32_t size = get_u32(r);
    if (r->failed || size > reader_left(r) || offset > INT64_MAX || step == 0 || step > offset + 1) {
        run->failed = true;
        return false;
    }
    run->offset = (int64_t)offset;
    run->event_ms = (int64_t)event_ms;
    *out = (struct run_entry){run->offset, (int64_t)(offset - step), run->event_ms, reader_of(r->at, size), 0};
    r->at += size;
    return true;
}

static struct slice get_name(struct reader *r)
{
    uint8_t size = get_u8(r);
    if (size > NAME_MAX_BYTES || size > reader_left(r)) {
        r->failed = true;
        return (struct slice){0};
    }
    struct slice name = {(const char *)r->at, size};
    r->at += size;
    return name;
}

static void get_counters(struct reader *r, struct effect *e)
{
    uint8_t source = get_u8(r);
    e->source = (enum event_source)(source & 0x7f);
    e->explained = source >> 7;
    e->counter_count = get_u8(r);
    if (e->source >= SOURCES || e->counter_count > EFFECT_COUNTERS_MAX) {
        r->failed = true;
        return;
    }
    for (int i = 0; i < e->counter_count; i++) {
        uint8_t counter = get_u8(r);
        r->failed |= counter >= COUNTERS;
        e->counters[i] = (struct counter_delta){(enum counter)counter, get_signed(r)};
    }
}

bool effects_entry_next(struct run_entry *entry, struct effect *out)
{
    struct reader *r = &entry->body;
    if (reader_left(r) == 0)
        return false;
    uint8_t op = get_u8(r);
    if (op == PAIR_AGAIN && entry->pair) {
        out->op = EFFECT_PAIR;
        out->target = entry->pair;
        out->other = get_u48(r);
        out->delta = (int32_t)get_signed(r);
        return !r->failed;
    }
    out->op = (enum effect_op)op;
    out->target = get_u48(r);
    entry->pair = op == EFFECT_PAIR ? out->target : 0;
    if (out->op == EFFECT_PAIR) {
        out->other = get_u48(r);
        out->delta = (int32_t)get_signed(r);
    } else if (out->op == EFFECT_RATING) {
        out->name = get_name(r);
        out->delta = (int32_t)get_signed(r);
    } else if (out->op == EFFECT_COUNT) {
        out->name = get_name(r);
        out->scene = get_name(r);
        get_counters(r, out);
    } else {
        r->failed = true;
    }
    return !r->failed;
}
