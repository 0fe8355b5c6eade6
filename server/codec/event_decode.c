/*
 * The outermost object is taken member by member: a name of up to 16 bytes is found and looked up in one comparison, a
 * text of up to 16 bytes is found and judged as a name in one pass. Whatever is longer, escaped, not ASCII, nested or
 * at the very end of the record goes through json_scan.c. A field of ours that repeats is seen by its bit, any other
 * name by the stack of names.
 */
#include "server/codec/event_decode.h"

#include "server/codec/text16.h"

/* The first eight bytes of a name as a number, little-endian, and the rest likewise. */
struct word16 {
    uint64_t low, high;
};

static uint64_t load8(const char *at)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) /* one load on little-endian machines */
        value |= (uint64_t)(unsigned char)at[i] << (8 * i);
    return value;
}

#define WORD(a, b, c, d, e, f, g, h) \
    ((uint64_t)(a) | (uint64_t)(b) << 8 | (uint64_t)(c) << 16 | (uint64_t)(d) << 24 | (uint64_t)(e) << 32 | (uint64_t)(f) << 40 | \
     (uint64_t)(g) << 48 | (uint64_t)(h) << 56)
/* Without collisions over the names below (the compiler warns when a place is taken twice). */
#define PLACE(low) ((low) * HASH_FACTOR >> 58)
#define NAME(field, high, ...) [PLACE(WORD(__VA_ARGS__))] = {WORD(__VA_ARGS__), high, field}
#define HASH_FACTOR 0xe5446dd4552b82f7u

static const struct {
    uint64_t low;
    uint32_t high;
    enum event_field field;
} names[64] = {
    NAME(FIELD_V, 0, 'v', 0, 0, 0, 0, 0, 0, 0),
    NAME(FIELD_ID, 0, 'i', 'd', 0, 0, 0, 0, 0, 0),
    NAME(FIELD_TS, 0, 't', 's', 0, 0, 0, 0, 0, 0),
    NAME(FIELD_TYPE, 0, 't', 'y', 'p', 'e', 0, 0, 0, 0),
    NAME(FIELD_USER, 0, 'u', 's', 'e', 'r', 0, 0, 0, 0),
    NAME(FIELD_SCENE, 0, 's', 'c', 'e', 'n', 'e', 0, 0, 0),
    NAME(FIELD_ROOM, 0, 'r', 'o', 'o', 'm', 0, 0, 0, 0),
    NAME(FIELD_HOST, 0, 'h', 'o', 's', 't', 0, 0, 0, 0),
    NAME(FIELD_ITEM, 0, 'i', 't', 'e', 'm', 0, 0, 0, 0),
    NAME(FIELD_EXPLAINING, 'n' | 'g' << 8, 'e', 'x', 'p', 'l', 'a', 'i', 'n', 'i'),
    NAME(FIELD_REC, 0, 'r', 'e', 'c', 0, 0, 0, 0, 0),
    NAME(FIELD_ORDER, 0, 'o', 'r', 'd', 'e', 'r', 0, 0, 0),
    NAME(FIELD_OPTION, 0, 'o', 'p', 't', 'i', 'o', 'n', 0, 0),
    NAME(FIELD_CURRENCY, 0, 'c', 'u', 'r', 'r', 'e', 'n', 'c', 'y'),
    NAME(FIELD_SOURCE, 0, 's', 'o', 'u', 'r', 'c', 'e', 0, 0),
    NAME(FIELD_AMOUNT, 0, 'a', 'm', 'o', 'u', 'n', 't', 0, 0),
    NAME(FIELD_DWELL_MS, 0, 'd', 'w', 'e', 'l', 'l', '_', 'm', 's'),
    NAME(FIELD_QTY, 0, 'q', 't', 'y', 0, 0, 0, 0, 0),
    NAME(FIELD_VALUE, 0, 'v', 'a', 'l', 'u', 'e', 0, 0, 0),
    NAME(FIELD_PERCENT, 0, 'p', 'e', 'r', 'c', 'e', 'n', 't', 0),
    NAME(FIELD_POS, 0, 'p', 'o', 's', 0, 0, 0, 0, 0),
};

/* The field whose name is the first `size` of the 16 bytes at `at`; FIELDS when it is none of ours. */
static enum event_field field_of(const char *at, uint32_t size)
{
    if (size == 0 || size > 10)
        return FIELDS;
    uint64_t low = load8(at), high = size > 8 ? load8(at + 8) & (WORD(0xff, 0xff, 0, 0, 0, 0, 0, 0) >> (80 - 8 * size)) : 0;
    low = size < 8 ? low & (~0ull >> (64 - 8 * size)) : low;
    uint64_t place = PLACE(low);
    return names[place].low == low && names[place].high == high ? names[place].field : FIELDS;
}

/* A name of ours that stands there unescaped, quotes and all. */
static enum event_field plain_field(const struct json_scan *s, uint32_t *out_size)
{
    if (s->end - s->at <= 16 || *s->at != '"')
        return FIELDS;
    uint32_t stop = text16_of(s->at + 1).stop, size = stop ? (uint32_t)__builtin_ctz(stop) : 16;
    *out_size = size + 2;
    return stop && s->at[1 + size] == '"' ? field_of(s->at + 1, size) : FIELDS;
}

/* The name of a member; what is none of our fields is put on the stack. */
static bool take_name(struct json_scan *s, const struct event_fields *seen, enum event_field *out_field)
{
    struct slice name;
    uint32_t size;
    json_skip_space(s);
    *out_field = plain_field(s, &size);
    if (*out_field != FIELDS) {
        s->at += size;
    } else {
        char padded[16] = {0};
        if (!json_scan_name(s, &name))
            return false;
        memcpy(padded, name.at, name.size < 16 ? name.size : 16);
        *out_field = field_of(padded, name.size);
        if (*out_field == FIELDS)
            return json_push_name(s, 0, name);
    }
    return event_has(seen, *out_field) ? json_fail(s, EVENT_MALFORMED) : json_count_key(s);
}

static bool take_value(struct json_scan *s, struct event_fields *out, enum event_field field)
{
    struct json_value value;
    uint32_t bit = 1u << field;
    json_skip_space(s);
    if (s->end - s->at > 16 && *s->at == '"') {
        struct text16 t = text16_of(s->at + 1);
        uint32_t size = t.stop ? (uint32_t)__builtin_ctz(t.stop) : 16;
        if (t.stop && s->at[1 + size] == '"') {
            out->texts |= bit;
            out->names |= t.other & ((1u << size) - 1) ? 0 : bit;
            out->value[field].text = (struct slice){s->at + 1, size};
            s->at += size + 2;
            return true;
        }
    }
    if (!json_scan_value(s, &value))
        return false;
    if (value.kind == KIND_TEXT) {
        out->texts |= bit;
        out->value[field].text = value.text;
    } else if (value.kind == KIND_INTEGER) {
        out->integers |= bit;
        out->value[field].integer = value.integer;
    } else {
        out->others |= bit;
    }
    return true;
}

static bool scan_event(struct json_scan *s, struct event_fields *out)
{
    struct json_value ignored;
    enum event_field field;
    bool more = !json_scan_close(s, '}');
    while (more) {
        if (!take_name(s, out, &field) || !json_scan_colon(s))
            return false;
        if (!(field == FIELDS ? json_scan_value(s, &ignored) : take_value(s, out, field)) || !json_scan_next(s, '}', &more))
            return false;
    }
    return true;
}

enum event_refusal event_scan(struct slice value, struct event_scratch *scratch, struct event_fields *out)
{
    struct json_scan s;
    if (value.size > EVENT_BYTES_MAX)
        return EVENT_TOO_LARGE;
    s.at = value.at;
    s.end = value.at + value.size;
    s.arena = scratch->bytes;
    s.refusal = EVENT_ACCEPTED;
    s.depth = 1;
    s.keys_seen = s.keys = 0;
    *out = (struct event_fields){0};
    json_skip_space(&s);
    if (s.at == s.end || *s.at++ != '{')
        return EVENT_MALFORMED;
    if (!scan_event(&s, out))
        return s.refusal;
    json_skip_space(&s);
    return s.at == s.end ? EVENT_ACCEPTED : EVENT_MALFORMED;
}

enum event_refusal event_decode(const struct event_rules *rules, struct slice key, struct slice value,
                                struct event_scratch *scratch, struct event *out)
{
    struct event_fields fields;
    enum event_refusal refusal = event_scan(value, scratch, &fields);
    return refusal == EVENT_ACCEPTED ? event_schema_apply(rules, key, &fields, out) : refusal;
}
