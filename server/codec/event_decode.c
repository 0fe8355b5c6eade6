#include "server/codec/event_decode.h"

#include <jansson.h>

const char *const event_refusal_names[EVENT_REFUSALS] = {
    "accepted", "too_large", "malformed", "bad_version", "missing_field", "bad_id", "bad_type", "bad_value", "key_mismatch",
};

static bool take(json_t *root, const char *name, char **at, struct slice *out)
{
    const json_t *v = json_object_get(root, name);
    if (!v)
        return true;
    size_t size = json_string_length(v);
    if (!json_is_string(v) || size == 0 || size > EVENT_ID_BYTES)
        return false;
    memcpy(*at, json_string_value(v), size);
    *out = (struct slice){*at, (uint32_t)size};
    *at += size;
    return true;
}

static int64_t number(json_t *root, const char *name, int64_t absent)
{
    const json_t *v = json_object_get(root, name);
    return v ? (json_is_integer(v) ? json_integer_value(v) : -1) : absent;
}

static enum event_refusal fill(const struct event_rules *rules, json_t *root, char *at, struct event *e)
{
    static const char *const sources[SOURCES] = {"organic", "recommendation", "feed", "follow", "search", "ad", "other"};
    struct slice type = {0}, currency = {0}, source = {0};
    if (!take(root, "id", &at, &e->id) || !take(root, "user", &at, &e->user) || !take(root, "scene", &at, &e->scene) ||
        !take(root, "room", &at, &e->room) || !take(root, "host", &at, &e->host) || !take(root, "item", &at, &e->item) ||
        !take(root, "explaining", &at, &e->explaining) || !take(root, "rec", &at, &e->rec) ||
        !take(root, "order", &at, &e->order) || !take(root, "type", &at, &type) ||
        !take(root, "currency", &at, &currency) || !take(root, "source", &at, &source))
        return EVENT_BAD_ID;
    if (!e->id.size || !e->user.size || !type.size || (!rules->reference && !e->scene.size))
        return EVENT_MISSING_FIELD;
    int t = 0;
    while (t < EVENT_TYPES && !slice_equal(type, slice_of(event_type_name((enum event_type)t))))
        t++;
    if (t == EVENT_TYPES)
        return EVENT_BAD_TYPE;
    e->type = (enum event_type)t;
    e->source = e->rec.size ? SOURCE_RECOMMENDATION : SOURCE_ORGANIC;
    if (source.size)
        for (e->source = 0; e->source < SOURCE_OTHER && !slice_equal(source, slice_of(sources[e->source]));)
            e->source++;
    e->event_ms = number(root, "ts", -1);
    e->amount = number(root, "amount", 0);
    e->dwell_ms = (uint32_t)number(root, "dwell_ms", 0);
    e->qty = (uint32_t)number(root, "qty", 1);
    e->value = (uint8_t)number(root, "value", 0);
    e->percent = (uint8_t)number(root, "percent", 0);
    e->pos = (uint16_t)number(root, "pos", 0);
    if (currency.size == 3)
        e->currency = (uint32_t)currency.at[0] << 16 | (uint32_t)currency.at[1] << 8 | (uint32_t)currency.at[2];
    return e->event_ms < 0 || e->amount < 0 ? EVENT_BAD_VALUE : EVENT_ACCEPTED;
}

enum event_refusal event_decode(const struct event_rules *rules, struct slice key, struct slice value,
                                struct event_scratch *scratch, struct event *out)
{
    struct event e = {0};
    if (value.size > EVENT_BYTES_MAX)
        return EVENT_TOO_LARGE;
    json_t *root = json_loadb(value.at, value.size, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(root)) {
        json_decref(root);
        return EVENT_MALFORMED;
    }
    enum event_refusal refusal = fill(rules, root, scratch->bytes, &e);
    json_decref(root);
    if (refusal != EVENT_ACCEPTED)
        return refusal;
    if (!slice_equal(key, e.user))
        return EVENT_KEY_MISMATCH;
    *out = e;
    return EVENT_ACCEPTED;
}
