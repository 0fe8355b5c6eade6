/*
 * Written through one pointer into room reserved for the worst case, for a list is encoded for nearly every event. Ids
 * need no escaping: the catalog takes only [A-Za-z0-9_.-]. Numbers are integers of ten-thousandths.
 */
#include "server/codec/recommendation_encode.h"

#include "common/check.h"
#include "common/text.h"
#include "server/engine/scene_entry.h"

#define ENTRY_BYTES (4 * SCENE_ID_BYTES + 128 + (REASONS + 2) * 48)
#define UNIT 10000 /* parts of one */
#define OPENING_BYTES 48
#define OTHER REASONS /* what is left over */

struct out {
    char *at;
};

/* The same for all entries of a list. */
struct form {
    uint32_t reasons_max;
    struct opening { /* of a reason: all before `of` or the part; copied whole, since that is a few moves */
        uint32_t size;
        char at[OPENING_BYTES];
    } openings[REASONS + 1];
};

#define PUT(out, literal) put(out, literal, sizeof literal - 1)

static inline void put(struct out *o, const char *bytes, size_t size)
{
    memcpy(o->at, bytes, size);
    o->at += size;
}

/* Short ones without a call: two copies of a fixed size that overlap. */
static inline void put_short(struct out *o, const char *bytes, size_t size)
{
    if (size >= 8 && size <= 16) {
        memcpy(o->at, bytes, 8);
        memcpy(o->at + size - 8, bytes + size - 8, 8);
    } else if (size >= 4 && size < 8) {
        memcpy(o->at, bytes, 4);
        memcpy(o->at + size - 4, bytes + size - 4, 4);
    } else {
        memcpy(o->at, bytes, size);
    }
    o->at += size;
}

static void put_id(struct out *o, struct slice id)
{
    ASSERT(id.size <= SCENE_ID_BYTES);
    *o->at++ = '"';
    if (id.size)
        put_short(o, id.at, id.size);
    *o->at++ = '"';
}

static const char pairs[] = "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849"
                            "5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

/* `value` ten-thousandths, not negative, without trailing zeros. */
static void put_fixed(struct out *o, uint32_t value)
{
    uint32_t whole = value / UNIT, rest = value % UNIT;
    char digits[12];
    int n = sizeof digits;
    for (; whole >= 10; whole /= 10)
        digits[--n] = (char)('0' + whole % 10);
    *o->at++ = (char)('0' + whole);
    if (n < (int)sizeof digits)
        put(o, digits + n, sizeof digits - (size_t)n);
    if (rest == 0)
        return;
    *o->at++ = '.';
    uint32_t high = rest / 100, low = rest % 100;
    memcpy(o->at, &pairs[2 * high], 2);
    memcpy(o->at + 2, &pairs[2 * low], 2);
    o->at += low ? (low % 10 ? 4 : 3) : (high % 10 ? 2 : 1);
}

static uint32_t fixed(double value)
{
    return value > 0 ? (uint32_t)(value * UNIT + 0.5) : 0;
}

static void put_reason(struct out *o, const struct opening *opening, struct slice of, uint32_t part)
{
    memcpy(o->at, opening->at, OPENING_BYTES);
    o->at += opening->size;
    if (of.size) {
        PUT(o, "\"of\":");
        put_id(o, of);
        *o->at++ = ',';
    }
    PUT(o, "\"part\":");
    put_fixed(o, part);
    *o->at++ = '}';
}

static void open_reason(struct opening *opening, const char *code)
{
    struct out o = {opening->at};
    size_t size = strlen(code);
    ASSERT(size + 16 <= OPENING_BYTES);
    PUT(&o, "{\"code\":\"");
    put(&o, code, size);
    PUT(&o, "\",");
    opening->size = (uint32_t)(o.at - opening->at);
}

/* The parts of an entry that are not nothing. */
struct present {
    uint32_t count, sum;
    uint8_t codes[REASONS];
    uint32_t parts[REASONS];
};

static struct present present_of(const double parts[REASONS])
{
    struct present p = {.count = 0};
    for (int i = 0; i < REASONS; i++) {
        if (!(parts[i] > 0))
            continue;
        p.codes[p.count] = (uint8_t)i;
        p.parts[p.count] = fixed(parts[i]);
        p.sum += p.parts[p.count];
        p.count += p.parts[p.count] > 0;
    }
    return p;
}

/* The strongest first; `other` for what is left over. */
static void put_reasons(struct out *o, const struct form *f, const struct recommended *r, struct present *p)
{
    uint32_t alone = p->count > f->reasons_max ? f->reasons_max - 1 : p->count, other = p->sum;
    for (uint32_t i = 0; i < alone; i++) {
        uint32_t best = 0;
        for (uint32_t k = 1; k < p->count; k++)
            best = p->parts[k] > p->parts[best] ? k : best;
        uint8_t code = p->codes[best];
        if (i)
            *o->at++ = ',';
        put_reason(o, &f->openings[code], code == REASON_SIMILAR_ITEM ? r->of : (struct slice){0}, p->parts[best]);
        other -= p->parts[best];
        p->parts[best] = 0;
    }
    if (alone == p->count)
        return;
    if (alone)
        *o->at++ = ',';
    put_reason(o, &f->openings[OTHER], (struct slice){0}, other);
}

static void put_entry(struct out *o, const struct form *f, const struct recommended *r, bool is_room)
{
    struct present p = present_of(r->parts);
    PUT(o, "{\"id\":");
    put_id(o, r->name);
    if (is_room) {
        PUT(o, ",\"host\":");
        put_id(o, r->host);
        if (r->item.size) {
            PUT(o, ",\"item\":");
            put_id(o, r->item);
        }
    }
    PUT(o, ",\"score\":");
    put_fixed(o, p.sum);
    if (is_room) {
        PUT(o, ",\"propensity\":");
        put_fixed(o, fixed(r->propensity));
    }
    PUT(o, ",\"reasons\":[");
    put_reasons(o, f, r, &p);
    PUT(o, "]}");
}

static void put_list(struct writer *out, const struct form *f, const struct recommended *list, uint32_t count, bool rooms)
{
    writer_reserve(out, (size_t)count * ENTRY_BYTES + 1);
    struct out o = {(char *)out->data + out->size};
    for (uint32_t i = 0; i < count; i++) {
        if (i)
            *o.at++ = ',';
        put_entry(&o, f, &list[i], rooms);
    }
    out->size = (size_t)(o.at - (char *)out->data);
}

static void put_head(const struct recommendation_head *h, struct recommendation_text *out)
{
    struct writer *w = &out->bytes;
    text_printf(w, "{\"v\":1,\"rec\":\"%d-%lld-%u-%u\",", (int)h->partition, (long long)h->offset, h->epoch, h->n);
    out->user_from = w->size;
    text_add(w, "\"user\":");
    text_add_json(w, h->user);
    text_add(w, ",");
    out->user_to = w->size;
    text_add(w, "\"scene\":");
    text_add_json(w, h->scene);
    text_printf(w, ",\"ts\":%lld,\"valid_until\":%lld,\"version\":[%lld,%u,%u],\"arm\":\"%s\"", (long long)h->now_ms,
                (long long)h->valid_until_ms, (long long)h->offset, h->epoch, h->n, h->arm);
}

void recommendation_encode(const struct recommendation_head *head, const struct recommendation *list, uint32_t reasons_max,
                           struct recommendation_text *out)
{
    struct writer *w = &out->bytes;
    struct form form;
    ASSERT(reasons_max > 0);
    form.reasons_max = reasons_max;
    for (int i = 0; i < REASONS; i++)
        open_reason(&form.openings[i], reason_names[i]);
    open_reason(&form.openings[OTHER], "other");
    w->size = 0;
    put_head(head, out);
    text_add(w, ",\"rooms\":[");
    put_list(w, &form, list->rooms, list->room_count, true);
    out->items_from = w->size;
    text_add(w, "],\"items\":[");
    put_list(w, &form, list->items, list->item_count, false);
    text_add(w, "],\"hosts\":[");
    put_list(w, &form, list->hosts, list->host_count, false);
    text_add(w, "]}");
}

bool recommendation_view(const struct recommendation_text *text, size_t bytes_max, struct writer *out)
{
    const struct writer *w = &text->bytes;
    size_t user = text->user_to - text->user_from;
    bool whole = w->size - user <= bytes_max;
    out->size = 0;
    put_bytes(out, w->data, text->user_from);
    put_bytes(out, w->data + text->user_to, (whole ? w->size : text->items_from) - text->user_to);
    if (!whole)
        text_add(out, "]}");
    if (out->size > bytes_max)
        out->size = 0;
    return out->size > 0;
}
