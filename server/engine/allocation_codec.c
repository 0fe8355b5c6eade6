/*
 * A scene as bytes: version, head, rooms, hosts, items, each ordered by id, so that equal state gives equal bytes.
 * Small numbers are varints; a sample stores which totals moved since the one before and by how much. Hash tags are
 * 4 bytes, ids 6. What is derived at a tick is not stored.
 */
#include "server/engine/allocation_state.h"
#include "server/engine/stored.h"

#include "common/check.h"
#include "common/mutant.h"

#include <stdlib.h>

#define SCENE_VERSION 5
#define ENTITIES_MAX 1000000

static void put_name(struct writer *w, const struct name *n)
{
    put_slice(w, name_slice(n));
}

static int64_t get_number(struct reader *r)
{
    return get_within(r, -SCENE_NUMBER_MAX, SCENE_NUMBER_MAX);
}

static int64_t get_money(struct reader *r)
{
    return get_within(r, 0, SCENE_MONEY_MAX);
}

static void put_tags(struct writer *w, const struct tags *t)
{
    put_u8(w, t->count);
    for (int i = 0; i < t->count; i++)
        put_u32(w, t->at[i]);
}

static struct tags get_tags(struct reader *r)
{
    struct tags t = {.count = (uint8_t)get_count(r, SCENE_TAGS_MAX, 4)};
    for (int i = 0; i < t.count; i++)
        t.at[i] = get_u32(r);
    return t;
}

static void put_tally(struct writer *w, const struct tally *t)
{
    put_signed(w, t->offset);
    for (int i = 0; i < COUNTERS; i++)
        put_signed(w, t->totals[i]);
}

static struct tally get_tally(struct reader *r)
{
    struct tally t = {.offset = get_offset(r)};
    for (int i = 0; i < COUNTERS; i++)
        t.totals[i] = get_number(r);
    return t;
}

static void put_held(struct writer *w, const struct held *h)
{
    put_u8(w, h->active);
    if (!h->active)
        return;
    put_signed(w, h->value);
    put_signed(w, h->until_ms);
}

static struct held get_held(struct reader *r, enum control_op op)
{
    struct held h = {.active = get_flag(r)};
    if (h.active) {
        h.value = get_number(r);
        h.until_ms = get_event_ms(r);
        r->failed |= !control_is_in_bounds(op, h.value, h.until_ms);
    }
    return h;
}

static void put_guarantee(struct writer *w, const struct guarantee *g)
{
    const int64_t numbers[] = {g->began_ms, g->exposure, g->given, g->measured_ms, g->error_ppm, g->integral_ppm, g->correction_ppm};
    put_u8(w, g->measured);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        put_signed(w, numbers[i]);
}

static struct guarantee get_guarantee(struct reader *r, const struct held *h)
{
    struct guarantee g = {.measured = get_flag(r)};
    int64_t *const numbers[] = {&g.began_ms, &g.exposure, &g.given, &g.measured_ms, &g.error_ppm, &g.integral_ppm, &g.correction_ppm};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        *numbers[i] = get_number(r);
    r->failed |= !guarantee_can_be(&g, h);
    return g;
}

static void put_samples(struct writer *w, const struct room *r)
{
    static const struct sample zero;
    put_u8(w, r->sample_count);
    for (int i = 0; i < r->sample_count; i++) {
        const struct sample *before = i ? &r->samples[i - 1] : &zero, *at = &r->samples[i];
        uint8_t moved = 0;
        for (int j = 0; j < SAMPLED; j++)
            moved |= (uint8_t)((at->totals[j] != before->totals[j]) << j);
        put_signed(w, at->minute - before->minute);
        put_u8(w, moved);
        for (int j = 0; j < SAMPLED; j++)
            if (moved >> j & 1)
                put_signed(w, at->totals[j] - before->totals[j]);
    }
}

/* A number, written as what it is more than another. */
static int64_t get_beyond(struct reader *in, int64_t other)
{
    int64_t more = get_within(in, -2 * SCENE_NUMBER_MAX, 2 * SCENE_NUMBER_MAX), value = other + more;
    in->failed |= value > SCENE_NUMBER_MAX || value < -SCENE_NUMBER_MAX;
    return in->failed ? 0 : value;
}

static void get_samples(struct reader *in, struct room *r)
{
    struct sample before = {0};
    r->sample_count = (uint8_t)get_count(in, SAMPLES_MAX, 2);
    for (int i = 0; i < r->sample_count; i++) {
        before.minute += get_within(in, i > 0, EVENT_MS_MAX / 60000); /* they ascend */
        uint8_t moved = get_u8(in);
        in->failed |= moved >> SAMPLED;
        for (int j = 0; j < SAMPLED; j++)
            if (moved >> j & 1) {
                int64_t total = get_beyond(in, before.totals[j]);
                in->failed |= total == before.totals[j];
                before.totals[j] = total;
            }
        r->samples[i] = before;
    }
}

static void put_room(struct writer *w, const struct room *r)
{
    put_name(w, &r->name);
    put_u48(w, r->host);
    put_u32(w, r->category);
    put_u8(w, r->item_count);
    for (int i = 0; i < r->item_count; i++)
        put_u48(w, r->items[i]);
    put_u48(w, r->explaining);
    put_signed(w, r->catalog_partition);
    put_signed(w, r->catalog_offset);
    put_u8(w, (uint8_t)(r->retired | r->dirty << 1));
    put_signed(w, r->opened_ms);
    put_signed(w, r->quiet_ms);
    put_signed(w, r->fixed);
    put_signed(w, r->traffic);
    put_tally(w, &r->tally);
    put_samples(w, r);
    put_signed(w, r->weight_ppm);
    put_signed(w, r->sent_ppm);
    put_signed(w, r->sent_ms);
    put_signed(w, r->drawn_ppm);
    put_u8(w, (uint8_t)r->tier);
    put_u8(w, (uint8_t)r->tier_streak);
    for (int op = 0; op < CONTROL_HELD; op++)
        put_held(w, &r->held[op]);
    put_guarantee(w, &r->guarantee);
    put_u8(w, r->alerts);
    put_bytes(w, r->alert_streak, FUNNEL_STEPS);
    put_signed(w, r->card_ms);
}

static int32_t get_weight(struct reader *r)
{
    return (int32_t)get_within(r, WEIGHTS_NONE, PPM);
}

static void get_room(struct reader *in, struct room *r)
{
    r->name = name_of(get_name(in));
    r->id = entity_id_of(ENTITY_ROOM, name_slice(&r->name));
    r->host = get_entity_or_none(in, ENTITY_HOST);
    r->category = get_u32(in);
    r->item_count = (uint8_t)get_count(in, SCENE_ITEMS_MAX, 6);
    for (int i = 0; i < r->item_count; i++)
        r->items[i] = get_entity(in, ENTITY_ITEM);
    r->explaining = get_entity_or_none(in, ENTITY_ITEM);
    r->catalog_partition = get_partition(in);
    r->catalog_offset = get_offset(in);
    uint8_t flags = get_u8(in);
    r->retired = flags & 1;
    r->dirty = flags >> 1 & 1;
    r->opened_ms = get_within(in, -1, EVENT_MS_MAX);
    r->quiet_ms = get_event_ms(in);
    r->fixed = get_number(in);
    r->traffic = get_number(in);
    r->tally = get_tally(in);
    get_samples(in, r);
    r->weight_ppm = get_weight(in);
    r->sent_ppm = get_weight(in);
    r->sent_ms = get_event_ms(in);
    r->drawn_ppm = get_weight(in);
    r->tier = (enum tier)get_u8(in);
    in->failed = in->failed || (unsigned)r->tier >= TIERS || flags > 3;
    r->tier_streak = (int8_t)get_u8(in);
    for (int op = 0; op < CONTROL_HELD; op++)
        r->held[op] = get_held(in, (enum control_op)op);
    r->guarantee = get_guarantee(in, &r->held[CONTROL_GUARANTEE]);
    r->alerts = get_u8(in);
    in->failed |= r->alerts >> FUNNEL_STEPS;
    for (int i = 0; i < FUNNEL_STEPS; i++)
        r->alert_streak[i] = get_u8(in);
    r->card_ms = get_event_ms(in);
}

static void put_host_results(struct writer *w, const struct host *h)
{
    for (int k = 0; k < HOST_COUNTS; k++)
        put_signed(w, h->recommended[k]);
    for (int i = 0; i < STRATA * HOST_COUNTS; i++)
        put_signed(w, h->results[i / HOST_COUNTS][i % HOST_COUNTS]);
}

static void get_host_results(struct reader *r, struct host *h)
{
    for (int k = 0; k < HOST_COUNTS; k++)
        h->recommended[k] = get_number(r);
    for (int i = 0; i < STRATA * HOST_COUNTS; i++)
        h->results[i / HOST_COUNTS][i % HOST_COUNTS] = get_number(r);
}

static void put_host(struct writer *w, const struct host *h)
{
    put_name(w, &h->name);
    put_tags(w, &h->domains);
    put_tags(w, &h->style);
    put_signed(w, h->fans);
    put_signed(w, h->commission_bp);
    put_signed(w, h->bonus);
    put_tally(w, &h->tally);
    put_host_results(w, h);
    put_signed(w, h->fixed);
    put_signed(w, h->traffic);
    put_signed(w, h->idle_ms);
    put_signed(w, h->card_ms);
    put_u8(w, (uint8_t)(h->dirty | h->afield << 1));
}

static int32_t get_commission(struct reader *r)
{
    return (int32_t)get_within(r, 0, 10000);
}

static void get_host(struct reader *r, struct host *h)
{
    h->name = name_of(get_name(r));
    h->id = entity_id_of(ENTITY_HOST, name_slice(&h->name));
    h->domains = get_tags(r);
    h->style = get_tags(r);
    h->fans = get_within(r, 0, SCENE_NUMBER_MAX);
    h->commission_bp = get_commission(r);
    h->bonus = get_money(r);
    h->tally = get_tally(r);
    get_host_results(r, h);
    h->fixed = get_number(r);
    h->traffic = get_number(r);
    h->idle_ms = get_event_ms(r);
    h->card_ms = get_event_ms(r);
    uint8_t flags = get_u8(r);
    r->failed = r->failed || flags > 3;
    h->dirty = flags & 1;
    h->afield = flags >> 1 & 1;
}

static void put_item(struct writer *w, const struct item *it)
{
    put_name(w, &it->name);
    put_u32(w, it->category);
    put_tags(w, &it->tags);
    put_signed(w, it->price);
    put_tally(w, &it->tally);
    put_signed(w, it->commission);
    put_signed(w, it->commission_bp);
    put_signed(w, it->fixed);
    put_signed(w, it->traffic);
    put_signed(w, it->idle_ms);
    put_u32(w, it->ranking);
    put_signed(w, it->ranked_ms);
    put_signed(w, it->card_ms);
    put_u8(w, it->dirty);
}

static void get_item(struct reader *r, struct item *it)
{
    it->name = name_of(get_name(r));
    it->id = entity_id_of(ENTITY_ITEM, name_slice(&it->name));
    it->category = get_u32(r);
    it->tags = get_tags(r);
    it->price = get_money(r);
    it->tally = get_tally(r);
    it->commission = get_number(r);
    it->commission_bp = get_commission(r);
    it->fixed = get_number(r);
    it->traffic = get_number(r);
    it->idle_ms = get_event_ms(r);
    it->ranking = get_u32(r);
    it->ranked_ms = get_event_ms(r);
    it->card_ms = get_event_ms(r);
    it->dirty = get_flag(r);
}

static void put_head(struct writer *w, const struct scene *c)
{
    put_u8(w, SCENE_VERSION);
    put_name(w, &c->name);
    put_signed(w, c->epoch);
    put_signed(w, c->tick_ms);
    put_signed(w, c->minute);
    put_signed(w, c->day);
    put_signed(w, c->order_worth);
    put_signed(w, c->alert_ms);
    put_signed(w, c->snapshot_ms);
    put_u48(w, c->rank_next);
    put_held(w, &c->freeze);
    put_varint(w, c->position_count);
    for (uint32_t i = 0; i < c->position_count; i++) {
        put_u8(w, c->positions[i].source);
        put_signed(w, c->positions[i].partition);
        put_signed(w, c->positions[i].offset);
    }
    put_varint(w, c->tag_count);
    for (uint32_t i = 0; i < c->tag_count; i++)
        put_u32(w, c->tags[i]);
}

static void get_head(struct reader *r, struct scene *c)
{
    c->name = name_of(get_name(r));
    c->epoch = get_within(r, 0, SCENE_NUMBER_MAX);
    c->tick_ms = get_event_ms(r);
    c->minute = get_event_ms(r);
    c->day = get_event_ms(r);
    c->order_worth = get_within(r, 0, ORDER_WORTH_MAX);
    c->alert_ms = get_event_ms(r);
    c->snapshot_ms = get_event_ms(r);
    c->rank_next = get_entity_or_none(r, ENTITY_ITEM);
    c->freeze = get_held(r, CONTROL_FREEZE);
    c->position_count = get_count(r, FUZZ_MUTANT(positions_overflow, 100000, POSITIONS_MAX), 3);
    for (uint32_t i = 0; i < c->position_count; i++) {
        c->positions[i].source = get_flag(r);
        c->positions[i].partition = get_partition(r);
        c->positions[i].offset = get_offset(r);
    }
    c->tag_count = get_count(r, CONTROL_TAGS, 4);
    for (uint32_t i = 0; i < c->tag_count; i++)
        c->tags[i] = get_u32(r);
}

void scene_encode(const struct scene *c, struct writer *out)
{
    put_head(out, c);
    put_varint(out, c->rooms.count);
    for (uint32_t i = 0; i < c->rooms.count; i++)
        put_room(out, c->rooms.at[i]);
    put_varint(out, c->hosts.count);
    for (uint32_t i = 0; i < c->hosts.count; i++)
        put_host(out, c->hosts.at[i]);
    put_varint(out, c->items.count);
    for (uint32_t i = 0; i < c->items.count; i++)
        put_item(out, c->items.at[i]);
}

/* Entities come in the order of their ids; anything else is not ours. */
static void get_table(struct reader *r, struct table *t, size_t size, void (*get)(struct reader *, void *))
{
    uint32_t count = get_count(r, ENTITIES_MAX, 30);
    for (uint32_t i = 0; i < count && !r->failed; i++) {
        void *at = calloc(1, size);
        ASSERT(at);
        get(r, at);
        entity_id id = *(entity_id *)at;
        if (r->failed || (t->count && t->ids[t->count - 1] >= id)) {
            r->failed = true;
            free(at);
            return;
        }
        table_add(t, id, at);
    }
}

static void get_any_room(struct reader *r, void *at)
{
    get_room(r, at);
}

static void get_any_host(struct reader *r, void *at)
{
    get_host(r, at);
}

static void get_any_item(struct reader *r, void *at)
{
    get_item(r, at);
}

enum err scene_decode(struct slice bytes, struct scene **out_scene)
{
    struct reader r = reader_of(bytes.at, bytes.size);
    uint8_t version = get_u8(&r);
    if (!r.failed && version != SCENE_VERSION)
        return ERR_VERSION;
    struct scene *c = scene_create((struct slice){"", 0});
    get_head(&r, c);
    get_table(&r, &c->rooms, sizeof(struct room), get_any_room);
    get_table(&r, &c->hosts, sizeof(struct host), get_any_host);
    get_table(&r, &c->items, sizeof(struct item), get_any_item);
    if (r.failed || reader_left(&r) || !rooms_link(c)) {
        scene_destroy(c);
        return ERR_INVALID;
    }
    *out_scene = c;
    return ERR_NONE;
}
