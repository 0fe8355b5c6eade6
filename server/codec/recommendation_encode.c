/*
 * Written through one pointer into room reserved for the worst case, for a list is encoded for nearly every event. Ids
 * need no escaping: the catalog takes only [A-Za-z0-9_.-]. Numbers are integers of ten-thousandths.
 */
#include "server/codec/recommendation_encode.h"

#include "common/check.h"
#include "common/text.h"
#include "server/engine/scene_entry.h"

#define ENTRY_BYTES (4 * SCENE_ID_BYTES + 128 + (REASONS + 1) * 48)
#define UNIT 10000 /* parts of one */

struct out {
    char *at;
};

#define PUT(out, literal) put(out, literal, sizeof literal - 1)

static inline void put(struct out *o, const char *bytes, size_t size)
{
    memcpy(o->at, bytes, size);
    o->at += size;
}

static void put_id(struct out *o, struct slice id)
{
    ASSERT(id.size <= SCENE_ID_BYTES);
    *o->at++ = '"';
    if (id.size)
        put(o, id.at, id.size);
    *o->at++ = '"';
}

/* `value` ten-thousandths, not negative, without trailing zeros. */
static void put_fixed(struct out *o, uint32_t value)
{
    char digits[12];
    int n = sizeof digits;
    uint32_t whole = value / UNIT, rest = value % UNIT;
    do {
        digits[--n] = (char)('0' + whole % 10);
        whole /= 10;
    } while (whole);
    put(o, digits + n, sizeof digits - (size_t)n);
    if (rest == 0)
        return;
    *o->at++ = '.';
    for (uint32_t unit = UNIT / 10; rest; rest %= unit, unit /= 10)
        *o->at++ = (char)('0' + rest / unit);
}

static uint32_t fixed(double value)
{
    return value > 0 ? (uint32_t)(value * UNIT + 0.5) : 0;
}

static void put_reason(struct out *o, const char *code, size_t size, struct slice of, uint32_t part)
{
    PUT(o, "{\"code\":\"");
    put(o, code, size);
    if (of.size) {
        PUT(o, "\",\"of\":");
        put_id(o, of);
        PUT(o, ",\"part\":");
    } else {
        PUT(o, "\",\"part\":");
    }
    put_fixed(o, part);
    *o->at++ = '}';
}

/* The strongest reason not yet written, taken out of `parts`. */
static enum reason take_strongest(uint32_t parts[REASONS], uint32_t *out_part)
{
    enum reason best = 0;
    for (int i = 1; i < REASONS; i++)
        best = parts[i] > parts[best] ? (enum reason)i : best;
    *out_part = parts[best];
    parts[best] = 0;
    return best;
}

static void put_reasons(struct out *o, const struct recommended *r, uint32_t parts[REASONS], uint32_t count, uint32_t max)
{
    uint32_t alone = count > max ? max - 1 : count, part, other = 0;
    for (uint32_t i = 0; i < alone; i++) {
        enum reason code = take_strongest(parts, &part);
        if (i)
            *o->at++ = ',';
        put_reason(o, reason_names[code], strlen(reason_names[code]), code == REASON_SIMILAR_ITEM ? r->of : (struct slice){0}, part);
    }
    for (int i = 0; i < REASONS; i++)
        other += parts[i];
    if (alone == count)
        return;
    if (alone)
        *o->at++ = ',';
    put_reason(o, "other", 5, (struct slice){0}, other);
}

static void put_entry(struct out *o, const struct recommended *r, bool is_room, uint32_t reasons_max)
{
    uint32_t parts[REASONS], score = 0, count = 0;
    for (int i = 0; i < REASONS; i++) {
        parts[i] = fixed(r->parts[i]);
        score += parts[i];
        count += parts[i] > 0;
    }
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
    put_fixed(o, score);
    if (is_room) {
        PUT(o, ",\"propensity\":");
        put_fixed(o, fixed(r->propensity));
    }
    PUT(o, ",\"reasons\":[");
    put_reasons(o, r, parts, count, reasons_max);
    PUT(o, "]}");
}

static void put_list(struct writer *out, const struct recommended *list, uint32_t count, bool rooms, uint32_t reasons_max)
{
    writer_reserve(out, (size_t)count * ENTRY_BYTES + 1);
    struct out o = {(char *)out->data + out->size};
    for (uint32_t i = 0; i < count; i++) {
        if (i)
            *o.at++ = ',';
        put_entry(&o, &list[i], rooms, reasons_max);
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
    text_printf(w, ",\"ts\":%lld,\"valid_until\":%lld,\"version\":[%lld,%u,%u],\"arm\":\"a\"", (long long)h->now_ms,
                (long long)h->valid_until_ms, (long long)h->offset, h->epoch, h->n);
}

void recommendation_encode(const struct recommendation_head *head, const struct recommendation *list, uint32_t reasons_max,
                           struct recommendation_text *out)
{
    struct writer *w = &out->bytes;
    ASSERT(reasons_max > 0);
    w->size = 0;
    put_head(head, out);
    text_add(w, ",\"rooms\":[");
    put_list(w, list->rooms, list->room_count, true, reasons_max);
    out->items_from = w->size;
    text_add(w, "],\"items\":[");
    put_list(w, list->items, list->item_count, false, reasons_max);
    text_add(w, "],\"hosts\":[");
    put_list(w, list->hosts, list->host_count, false, reasons_max);
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
