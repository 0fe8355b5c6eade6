#include "server/simulate/feedback.h"

#define VALUE_BYTES_MAX (256 * 1024)

static json_t *load(struct feedback *f, struct slice value)
{
    f->document = NULL;
    if (value.size > 0 && value.size <= VALUE_BYTES_MAX)
        f->document = json_loadb(value.at, value.size, JSON_REJECT_DUPLICATES, NULL);
    return json_is_object(f->document) ? f->document : NULL;
}

void feedback_done(struct feedback *f)
{
    json_decref(f->document);
    f->document = NULL;
}

static struct slice text(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_string(value))
        return (struct slice){"", 0};
    return (struct slice){json_string_value(value), (uint32_t)json_string_length(value)};
}

static int64_t integer(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static double number(const json_t *object, const char *name, double absent)
{
    const json_t *value = json_object_get(object, name);
    return json_is_number(value) ? json_number_value(value) : absent;
}

static uint32_t recommended(const json_t *list, struct advised *out)
{
    uint32_t count = 0;
    size_t at;
    json_t *entry;
    json_array_foreach(list, at, entry)
    {
        if (count == RECOMMENDED_MAX)
            break;
        struct advised *r = &out[count];
        *r = (struct advised){.id = text(entry, "id"), .score = number(entry, "score", 0)};
        const json_t *reasons = json_object_get(entry, "reasons");
        for (size_t i = 0; i < RECOMMENDED_REASONS && i < json_array_size(reasons); i++)
            r->reasons[i] = text(json_array_get(reasons, i), "code");
        count += r->id.size > 0;
    }
    return count;
}

bool feedback_recommendation(struct feedback *f, struct slice value, struct advice *out_r)
{
    const json_t *d = load(f, value);
    const json_t *version = json_object_get(d, "version");
    if (!d || json_array_size(version) != 3)
        return false;
    *out_r = (struct advice){
        .rec = text(d, "rec"),
        .user = text(d, "user"),
        .scene = text(d, "scene"),
        .ts = integer(d, "ts"),
        .valid_until = integer(d, "valid_until"),
    };
    for (size_t i = 0; i < 3; i++)
        out_r->version[i] = json_integer_value(json_array_get(version, i));
    out_r->room_count = recommended(json_object_get(d, "rooms"), out_r->rooms);
    out_r->item_count = recommended(json_object_get(d, "items"), out_r->items);
    return out_r->rec.size > 0 && out_r->user.size > 0;
}

/* Splits "scene|rest". */
static bool split(struct slice key, struct slice *out_scene, struct slice *out_rest)
{
    const char *bar = key.size ? memchr(key.at, '|', key.size) : NULL;
    if (!bar)
        return false;
    uint32_t at = (uint32_t)(bar - key.at);
    *out_scene = (struct slice){key.at, at};
    *out_rest = (struct slice){bar + 1, key.size - at - 1};
    return true;
}

bool feedback_traffic(struct feedback *f, struct slice key, struct slice value, struct traffic *out_t)
{
    f->document = NULL;
    *out_t = (struct traffic){.weight = -1};
    if (!split(key, &out_t->scene, &out_t->room))
        return false;
    if (value.size == 0)
        return true; /* a tombstone: the room left the pool */
    const json_t *d = load(f, value);
    out_t->weight = number(d, "weight", -1);
    out_t->ts = integer(d, "ts");
    out_t->valid_until = integer(d, "valid_until");
    return out_t->weight >= 0;
}

bool feedback_segment(struct feedback *f, struct slice key, struct slice value, struct segment *out_s)
{
    const json_t *d = load(f, value);
    if (!d)
        return false;
    const json_t *id = json_object_get(d, "segment");
    *out_s = (struct segment){.user = key, .segment = text(d, "segment"), .ts = integer(d, "ts")};
    if (json_is_object(id))
        out_s->segment = text(id, "id");
    out_s->intent = number(d, "intent", number(d, "purchase_intent", -1));
    out_s->churn = number(d, "churn", number(d, "churn_risk", -1));
    return true;
}

bool feedback_ranking(struct feedback *f, struct slice key, struct slice value, struct ranking *out_r)
{
    const json_t *d = load(f, value);
    const json_t *hosts = json_object_get(d, "hosts");
    *out_r = (struct ranking){.valid_ms = integer(d, "valid_until") - integer(d, "ts")};
    if (!split(key, &out_r->scene, &out_r->item) || !json_is_array(hosts))
        return false;
    for (size_t i = 0; i < json_array_size(hosts) && out_r->count < RANKED_MAX; i++) {
        const json_t *host = json_array_get(hosts, i);
        struct slice id = text(host, "id");
        out_r->hosts[out_r->count++] = id.size ? id : text(host, "host");
    }
    return true;
}

bool feedback_alert(struct feedback *f, struct slice value, struct alert *out_a)
{
    const json_t *d = load(f, value);
    if (!d)
        return false;
    *out_a = (struct alert){.room = text(d, "room"), .kind = text(d, "kind"), .step = text(d, "step"), .ts = integer(d, "ts")};
    if (out_a->kind.size == 0)
        out_a->kind = text(d, "code");
    return true;
}
