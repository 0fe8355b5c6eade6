/*
 * Layout: u8 version, slice scene, then entries until the end: u8 type and the fields in the order of the structs.
 * Counters of a rollup: u32 of which are not zero, then those; for a host, twice. All numbers are zigzag varints unless said otherwise.
 */
#include "server/codec/scene_codec.h"

#include "common/mutant.h"
#include "server/engine/stored.h"

#define SCENE_RECORD_VERSION 2

void scene_record_begin(struct writer *w, struct slice scene)
{
    put_u8(w, SCENE_RECORD_VERSION);
    put_slice(w, scene);
}

static void put_position(struct writer *w, const struct source_position *p)
{
    put_signed(w, p->epoch);
    put_signed(w, p->partition);
    put_signed(w, p->offset);
}

static void put_tag_list(struct writer *w, const struct tag_list *list)
{
    put_varint(w, list->count);
    for (uint32_t i = 0; i < list->count; i++)
        put_slice(w, list->at[i]);
}

static void put_counters(struct writer *w, const int64_t counters[COUNTERS])
{
    uint32_t present = 0;
    for (int i = 0; i < COUNTERS; i++)
        present |= (uint32_t)(counters[i] != 0) << i;
    put_u32(w, present);
    for (int i = 0; i < COUNTERS; i++)
        if (present >> i & 1)
            put_signed(w, counters[i]);
}

static void put_rollup(struct writer *w, const struct rollup *u)
{
    put_slice(w, u->name);
    put_u48(w, u->id);
    put_signed(w, u->partition);
    put_signed(w, u->offset);
    put_signed(w, u->last_ms);
    put_counters(w, u->totals);
    if (entity_kind_of(u->id) == ENTITY_HOST)
        put_counters(w, u->recommended);
}

static void put_room(struct writer *w, const struct room_entry *e)
{
    put_position(w, &e->position);
    put_u8(w, e->open);
    put_signed(w, e->record_ms);
    put_slice(w, e->room);
    if (!e->open)
        return;
    put_slice(w, e->host);
    put_slice(w, e->category);
    put_tag_list(w, &e->tags);
    put_varint(w, e->item_count);
    for (uint32_t i = 0; i < e->item_count; i++) {
        put_slice(w, e->items[i].name);
        put_slice(w, e->items[i].category);
        put_tag_list(w, &e->items[i].tags);
        put_signed(w, e->items[i].price);
    }
    put_slice(w, e->explaining);
    put_signed(w, e->slot_cost);
    put_tag_list(w, &e->domains);
    put_tag_list(w, &e->style);
    put_signed(w, e->fans);
    put_signed(w, e->commission_bp);
    put_signed(w, e->bonus);
}

static void put_control(struct writer *w, const struct control_entry *e)
{
    put_position(w, &e->position);
    put_slice(w, e->id);
    put_u8(w, (uint8_t)e->op);
    put_slice(w, e->room);
    put_signed(w, e->value);
    put_signed(w, e->until_ms);
    put_slice(w, e->by);
    put_slice(w, e->why);
}

void scene_record_add(struct writer *w, const struct scene_entry *e)
{
    put_u8(w, (uint8_t)e->type);
    switch (e->type) {
    case SCENE_ROLLUP:
        put_rollup(w, &e->rollup);
        break;
    case SCENE_ROOM:
        put_room(w, &e->room);
        break;
    case SCENE_CONTROL:
        put_control(w, &e->control);
        break;
    case SCENE_TICK:
        put_signed(w, e->tick.epoch);
        put_signed(w, e->tick.tick_ms);
        break;
    }
}

static int64_t get_number(struct reader *r)
{
    return get_within(r, -SCENE_NUMBER_MAX, SCENE_NUMBER_MAX);
}

static void get_position(struct reader *r, struct source_position *out)
{
    out->epoch = get_within(r, 0, SCENE_NUMBER_MAX);
    out->partition = get_partition(r);
    out->offset = get_within(r, 0, NUMBER_MAX);
}

static void get_tag_list(struct reader *r, struct tag_list *out)
{
    out->count = get_count(r, SCENE_TAGS_MAX, 1);
    for (uint32_t i = 0; i < out->count; i++)
        out->at[i] = get_slice(r, SCENE_TAG_BYTES);
}

static void get_counters(struct reader *r, int64_t out[COUNTERS])
{
    uint32_t present = get_u32(r);
    r->failed = r->failed || present >> COUNTERS;
    for (int i = 0; i < COUNTERS; i++)
        if (present >> i & 1)
            out[i] = get_number(r);
}

static void get_rollup(struct reader *r, struct slice scene, struct rollup *out)
{
    *out = (struct rollup){.scene = scene};
    out->name = get_name(r);
    out->id = get_entity(r, ENTITY_NONE);
    out->partition = get_partition(r);
    out->offset = get_within(r, 0, NUMBER_MAX);
    out->last_ms = get_event_ms(r);
    enum entity_kind kind = entity_kind_of(out->id);
    r->failed = r->failed || out->id != entity_id_of(kind, out->name);
    get_counters(r, out->totals);
    if (kind == ENTITY_HOST)
        get_counters(r, out->recommended);
}

static void get_room(struct reader *r, struct room_entry *out)
{
    memset(out, 0, sizeof *out);
    get_position(r, &out->position);
    out->open = get_flag(r);
    out->record_ms = get_within(r, -1, EVENT_MS_MAX); /* -1: Kafka has no time of it */
    out->room = get_name(r);
    if (!out->open)
        return;
    out->host = get_name(r);
    out->category = get_slice(r, SCENE_TAG_BYTES);
    get_tag_list(r, &out->tags);
    out->item_count = get_count(r, FUZZ_MUTANT(items_overflow, 1000, SCENE_ITEMS_MAX), 4);
    for (uint32_t i = 0; i < out->item_count; i++) {
        out->items[i].name = get_name(r);
        out->items[i].category = get_slice(r, SCENE_TAG_BYTES);
        get_tag_list(r, &out->items[i].tags);
        out->items[i].price = get_within(r, 0, SCENE_MONEY_MAX);
    }
    out->explaining = get_name_or_none(r);
    out->slot_cost = get_within(r, 0, SCENE_MONEY_MAX);
    get_tag_list(r, &out->domains);
    get_tag_list(r, &out->style);
    out->fans = get_within(r, 0, SCENE_NUMBER_MAX);
    out->commission_bp = (int32_t)get_within(r, 0, 10000);
    out->bonus = get_within(r, 0, SCENE_MONEY_MAX);
}

static void get_control(struct reader *r, struct slice scene, struct control_entry *out)
{
    memset(out, 0, sizeof *out);
    get_position(r, &out->position);
    out->id = get_name(r);
    out->scene = scene;
    uint8_t op = get_u8(r);
    r->failed = r->failed || op >= CONTROL_OPS;
    out->op = (enum control_op)op;
    out->room = get_name_or_none(r);
    out->value = get_number(r);
    out->until_ms = get_event_ms(r);
    out->by = get_slice(r, SCENE_TEXT_BYTES);
    out->why = get_slice(r, SCENE_TEXT_BYTES);
}

enum err scene_record_open(struct slice bytes, struct scene_record *out)
{
    struct scene_record record = {.left = reader_of(bytes.at, bytes.size)};
    uint8_t version = get_u8(&record.left);
    if (record.left.failed)
        return ERR_INVALID;
    if (version != SCENE_RECORD_VERSION)
        return ERR_VERSION;
    record.scene = get_name(&record.left);
    if (record.left.failed)
        return ERR_INVALID;
    *out = record;
    return ERR_NONE;
}

enum err scene_record_next(struct scene_record *record, struct scene_entry *out)
{
    struct reader *r = &record->left;
    if (r->failed)
        return ERR_INVALID;
    if (reader_left(r) == 0)
        return ERR_NOT_FOUND;
    out->type = (enum scene_entry_type)get_u8(r);
    switch (out->type) {
    case SCENE_ROLLUP:
        get_rollup(r, record->scene, &out->rollup);
        break;
    case SCENE_ROOM:
        get_room(r, &out->room);
        break;
    case SCENE_CONTROL:
        get_control(r, record->scene, &out->control);
        break;
    case SCENE_TICK:
        out->tick.epoch = get_within(r, 0, SCENE_NUMBER_MAX);
        out->tick.tick_ms = get_within(r, 1, EVENT_MS_MAX);
        break;
    default:
        r->failed = true;
        return ERR_VERSION;
    }
    return r->failed ? ERR_INVALID : ERR_NONE;
}
