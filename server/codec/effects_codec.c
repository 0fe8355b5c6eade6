#include "server/codec/effects_codec.h"

#include "common/check.h"
#include "common/mutant.h"
#include "server/engine/stored.h"

#define HEAD_BYTES 23 /* version, source, generation, confirmed, prev */
#define EXPLAINED 0x80
#define RATING_MAX UINT8_MAX /* what one event moves */

static void put_head(struct writer *w, const struct run_head *head)
{
    put_u8(w, EFFECTS_VERSION);
    put_u16(w, (uint16_t)head->source);
    put_u32(w, head->generation);
    put_u64(w, (uint64_t)(head->confirmed + 1));
    put_u64(w, (uint64_t)(head->prev + 1));
}

void effects_run_begin_entry(struct effects_run *run, int64_t offset, int64_t prev, int64_t event_ms)
{
    struct writer *w = &run->bytes;
    if (w->size == 0)
        put_head(w, &(struct run_head){0}); /* its room: known when the run is closed */
    put_varint(w, (uint64_t)(offset - run->offset));
    put_varint(w, (uint64_t)(offset - prev));
    put_signed(w, event_ms - run->event_ms);
    run->offset = offset;
    run->event_ms = event_ms;
}

static void put_name(struct writer *w, struct slice name)
{
    ASSERT(name.size <= EVENT_ID_BYTES);
    put_u8(w, (uint8_t)name.size);
    put_bytes(w, name.at, name.size);
}

static void end_list(struct effects_run *run)
{
    if (run->list)
        put_u8(&run->bytes, 0);
    run->list = 0;
}

void effects_run_add_count(struct effects_run *run, const struct count_effect *e)
{
    struct writer *w = &run->bytes;
    end_list(run);
    put_u8(w, RUN_COUNT);
    put_u48(w, e->target);
    put_name(w, e->name);
    put_name(w, e->scene);
    put_u8(w, (uint8_t)(e->source | (e->explained ? EXPLAINED : 0)));
    put_u8(w, (uint8_t)e->counter_count);
    for (int i = 0; i < e->counter_count; i++) {
        put_u8(w, (uint8_t)e->counters[i].counter);
        put_signed(w, e->counters[i].delta);
    }
}

void effects_run_add_rating(struct effects_run *run, const struct rating_effect *e, const struct pair_effect *pairs)
{
    struct writer *w = &run->bytes;
    end_list(run);
    put_u8(w, RUN_RATING);
    put_u48(w, e->target);
    put_name(w, e->name);
    put_signed(w, e->delta);
    put_varint(w, e->pairs);
    for (uint32_t i = 0; i < e->pairs; i++) {
        put_u48(w, pairs[i].other);
        put_signed(w, pairs[i].delta);
    }
}

/* A delta is never 0, so that a 0 in its place ends the list. The step stands beside it, in one byte while it is small. */
void effects_run_add_mirror(struct effects_run *run, const struct pair_effect *e)
{
    struct writer *w = &run->bytes;
    if (run->list != e->target) {
        end_list(run);
        put_u8(w, RUN_PAIR);
        put_u48(w, e->target);
        run->list = e->target;
    }
    put_signed(w, (int64_t)e->delta * (PAIR_STEPS + 1) + e->step);
    put_u48(w, e->other);
}

void effects_run_end_entry(struct effects_run *run)
{
    end_list(run);
    put_u8(&run->bytes, RUN_END);
}

struct slice effects_run_close(struct effects_run *run, const struct run_head *head)
{
    size_t size = run->bytes.size ? run->bytes.size : HEAD_BYTES;
    run->bytes.size = 0;
    put_head(&run->bytes, head);
    effects_run_clear(run);
    return (struct slice){(const char *)run->bytes.data, (uint32_t)size};
}

void effects_run_clear(struct effects_run *run)
{
    run->bytes.size = 0;
    run->offset = run->event_ms = 0;
    run->list = 0;
}

enum err effects_run_open(struct slice value, struct run_reader *out)
{
    struct run_reader run = {.bytes = reader_of(value.at, value.size)};
    if (get_u8(&run.bytes) != EFFECTS_VERSION)
        return ERR_VERSION;
    run.head.source = get_u16(&run.bytes);
    run.head.generation = get_u32(&run.bytes);
    run.head.confirmed = (int64_t)(get_u64(&run.bytes) - 1);
    run.head.prev = (int64_t)(get_u64(&run.bytes) - 1);
    if (run.bytes.failed || run.head.confirmed < -1 || run.head.prev < -1 || run.head.confirmed > NUMBER_MAX || run.head.prev > NUMBER_MAX)
        return ERR_INVALID;
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
    if (r->failed || offset > NUMBER_MAX || event_ms > EVENT_MS_MAX || step == 0 || FUZZ_MUTANT(step_beyond, false, step > offset + 1)) {
        run->failed = true;
        return false;
    }
    run->offset = (int64_t)offset;
    run->event_ms = (int64_t)event_ms;
    *out = (struct run_entry){run->offset, (int64_t)(offset - step), run->event_ms};
    return true;
}

/* None where an effect takes back what is known by its id alone. */
static struct slice get_name_after_size(struct reader *r)
{
    uint8_t size = get_u8(r);
    if (size > EVENT_ID_BYTES || FUZZ_MUTANT(name_beyond, false, size > reader_left(r))) {
        r->failed = true;
        return (struct slice){0};
    }
    struct slice name = {(const char *)r->at, size};
    r->at += size;
    r->failed |= name.size && !event_is_id(name);
    return name;
}

static void read_count(struct reader *r, struct run_effect *out)
{
    struct count_effect *e = &out->count;
    e->target = out->target = get_entity(r, ENTITY_NONE);
    e->name = get_name_after_size(r);
    e->scene = get_name_after_size(r);
    r->failed |= e->scene.size == 0;
    uint8_t source = get_u8(r);
    e->source = (enum event_source)(source & ~EXPLAINED);
    e->explained = source & EXPLAINED;
    e->counter_count = get_u8(r);
    if (e->source >= SOURCES || e->counter_count == 0 || e->counter_count > FUZZ_MUTANT(counters_overflow, 255, COUNTERS)) {
        r->failed = true;
        return;
    }
    for (int i = 0; i < e->counter_count; i++) {
        uint8_t counter = get_u8(r);
        r->failed |= FUZZ_MUTANT(counter_unknown, false, counter >= COUNTERS);
        e->counters[i] = (struct counter_delta){(enum counter)counter, get_within(r, -DELTA_MAX, DELTA_MAX)};
    }
}

static int32_t get_rating(struct reader *r)
{
    int64_t delta = get_within(r, -RATING_MAX, RATING_MAX);
    r->failed |= delta == 0;
    return (int32_t)delta;
}

/* The next of a list: of the target of a rating, or of an other. False: the list ended. */
static bool read_pair(struct run_reader *run, struct run_effect *out)
{
    struct reader *r = &run->bytes;
    if (run->list == RUN_RATING) {
        if (run->left == 0)
            return false;
        run->left--;
        out->target = run->list_id;
        out->other = get_entity(r, ENTITY_NONE);
        out->delta = get_rating(r);
        out->step = 0;
    } else {
        int64_t packed = get_within(r, -RATING_MAX * (PAIR_STEPS + 1), (RATING_MAX + 1) * (PAIR_STEPS + 1) - 1);
        if (packed == 0)
            return false;
        out->step = (uint8_t)(packed & PAIR_STEPS);
        out->delta = (int32_t)((packed - out->step) / (PAIR_STEPS + 1));
        r->failed |= out->delta == 0;
        out->target = get_entity(r, ENTITY_NONE);
        out->other = run->list_id;
    }
    out->op = RUN_PAIR;
    return true;
}

bool effects_entry_next(struct run_reader *run, struct run_effect *out)
{
    struct reader *r = &run->bytes;
    if (run->list && read_pair(run, out))
        return !(run->failed |= r->failed);
    out->op = (enum run_op)get_u8(r);
    run->list = 0;
    if (out->op == RUN_COUNT) {
        read_count(r, out);
    } else if (out->op == RUN_RATING) {
        run->list_id = out->target = get_entity(r, ENTITY_NONE);
        out->name = get_name_after_size(r);
        out->delta = get_rating(r);
        run->left = get_varint(r);
        run->list = RUN_RATING;
    } else if (out->op == RUN_PAIR) {
        run->list_id = get_entity(r, ENTITY_NONE);
        run->list = RUN_PAIR;
        run->failed |= !read_pair(run, out); /* an empty list is never written */
    } else {
        run->failed |= out->op != RUN_END;
    }
    run->failed |= r->failed;
    return !run->failed && out->op != RUN_END;
}
