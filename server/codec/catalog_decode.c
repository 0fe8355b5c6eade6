#include "server/codec/catalog_decode.h"

#include "common/mutant.h"
#include "server/engine/event.h"

#include <jansson.h>

const char *const catalog_refusal_names[CATALOG_REFUSALS] = {
    "accepted",      "catalog_too_large", "catalog_malformed",  "catalog_bad_version", "catalog_bad_key",
    "catalog_missing_field", "catalog_bad_value", "catalog_table_full", "catalog_id_collision",
};

/* Reads fields of one object; the first failure sticks. */
struct fields {
    const json_t *root;
    enum catalog_refusal refusal;
};

static void refuse(struct fields *f, enum catalog_refusal why)
{
    if (f->refusal == CATALOG_ACCEPTED)
        f->refusal = why;
}

static struct slice text_of(struct fields *f, const json_t *value, size_t size_max)
{
    if (!json_is_string(value) || json_string_length(value) > size_max) {
        refuse(f, CATALOG_BAD_VALUE);
        return (struct slice){"", 0};
    }
    return (struct slice){json_string_value(value), (uint32_t)json_string_length(value)};
}

static const json_t *get(struct fields *f, const char *name, bool required)
{
    const json_t *value = json_object_get(f->root, name);
    if (json_is_null(value))
        value = NULL;
    if (!value && required)
        refuse(f, CATALOG_MISSING_FIELD);
    return value;
}

static struct slice read_text(struct fields *f, const char *name)
{
    const json_t *value = get(f, name, false);
    return value ? text_of(f, value, SCENE_TAG_BYTES) : (struct slice){"", 0};
}

static struct slice read_id(struct fields *f, const char *name, bool required)
{
    const json_t *value = get(f, name, required);
    struct slice s = value ? text_of(f, value, SCENE_ID_BYTES) : (struct slice){"", 0};
    if (value && !event_is_id(s))
        refuse(f, CATALOG_BAD_VALUE);
    return s;
}

static int64_t read_int(struct fields *f, const char *name, int64_t min, int64_t max)
{
    const json_t *value = get(f, name, false);
    if (!value)
        return 0;
    if (!json_is_integer(value) || json_integer_value(value) < min || json_integer_value(value) > max) {
        refuse(f, CATALOG_BAD_VALUE);
        return 0;
    }
    return json_integer_value(value);
}

static uint32_t read_list(struct fields *f, const char *name, bool required, bool ids, struct slice *out, uint32_t max)
{
    const json_t *list = get(f, name, required);
    if (!list)
        return 0;
    if (!json_is_array(list) || FUZZ_MUTANT(list_overflow, false, json_array_size(list) > max)) {
        refuse(f, CATALOG_BAD_VALUE);
        return 0;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        out[i] = text_of(f, json_array_get(list, i), SCENE_TAG_BYTES);
        if (out[i].size == 0 || (ids && !event_is_id(out[i])))
            refuse(f, CATALOG_BAD_VALUE);
    }
    return (uint32_t)json_array_size(list);
}

/* The place of a text field's value among `names`; the first when absent. */
static int read_choice(struct fields *f, const char *name, bool required, const char *const *names, int count)
{
    const json_t *value = get(f, name, required);
    if (!value)
        return 0;
    for (int i = 0; i < count && json_is_string(value); i++)
        if (strcmp(json_string_value(value), names[i]) == 0)
            return i;
    refuse(f, CATALOG_BAD_VALUE);
    return 0;
}

static enum catalog_answer put_room(struct catalog *c, struct fields *f, struct slice name, int64_t record_ms)
{
    static const char *const statuses[] = {"closed", "open"};
    struct room_draft d = {0};
    d.open = read_choice(f, "status", true, statuses, 2) == 1;
    d.host = read_id(f, "host", d.open);
    d.scene_count = read_list(f, "scenes", d.open, true, d.scenes, CATALOG_SCENES_MAX);
    d.category = read_text(f, "category");
    d.tags.count = read_list(f, "tags", false, false, d.tags.at, SCENE_TAGS_MAX);
    d.item_count = read_list(f, "items", false, true, d.items, SCENE_ITEMS_MAX);
    d.explaining = read_id(f, "explaining", false);
    d.slot_cost = read_int(f, "slot_cost", 0, SCENE_MONEY_MAX);
    return f->refusal == CATALOG_ACCEPTED ? catalog_put_room(c, name, &d, record_ms) : CATALOG_TAKEN;
}

static void read_embedding(struct fields *f, struct item_draft *d)
{
    const json_t *list = get(f, "embedding", false);
    if (!list)
        return;
    if (!json_is_array(list) || json_array_size(list) > FUZZ_MUTANT(dims_overflow, 10000, CATALOG_DIMS_MAX)) {
        refuse(f, CATALOG_BAD_VALUE);
        return;
    }
    d->dims = (uint32_t)json_array_size(list);
    for (uint32_t i = 0; i < d->dims; i++) {
        double value = json_number_value(json_array_get(list, i));
        if (!json_is_number(json_array_get(list, i)) || value > 1e6 || value < -1e6)
            refuse(f, CATALOG_BAD_VALUE);
        d->embedding[i] = (float)value;
    }
}

static bool read_restricted(struct fields *f)
{
    const json_t *value = get(f, "restricted", false);
    if (value && !json_is_boolean(value))
        refuse(f, CATALOG_BAD_VALUE);
    return json_is_true(value);
}

static enum catalog_answer put_item(struct catalog *c, struct fields *f, struct slice name)
{
    struct item_draft d = {0};
    d.category = read_text(f, "category");
    d.tags.count = read_list(f, "tags", false, false, d.tags.at, SCENE_TAGS_MAX);
    d.format = (enum item_format)read_choice(f, "format", true, item_format_names, FORMATS);
    d.price = read_int(f, "price", 0, SCENE_MONEY_MAX);
    d.currency = read_text(f, "currency");
    d.level = (int32_t)read_int(f, "level", 0, 100);
    d.series = read_text(f, "series");
    d.requires_count = read_list(f, "requires", false, true, d.requires, CATALOG_REQUIRES_MAX);
    d.restricted = read_restricted(f);
    read_embedding(f, &d);
    return f->refusal == CATALOG_ACCEPTED ? catalog_put_item(c, name, &d) : CATALOG_TAKEN;
}

static enum catalog_answer put_host(struct catalog *c, struct fields *f, struct slice name)
{
    struct host_draft d = {0};
    d.domains.count = read_list(f, "domains", false, false, d.domains.at, SCENE_TAGS_MAX);
    d.style.count = read_list(f, "style", false, false, d.style.at, SCENE_TAGS_MAX);
    d.fans = read_int(f, "fans", 0, 10000000000ll);
    d.commission_bp = (int32_t)read_int(f, "commission_bp", 0, 10000);
    d.bonus = read_int(f, "bonus", 0, SCENE_MONEY_MAX);
    return f->refusal == CATALOG_ACCEPTED ? catalog_put_host(c, name, &d) : CATALOG_TAKEN;
}

static enum entity_kind kind_of(struct slice key, struct slice *out_name)
{
    static const char *const prefixes[] = {[ENTITY_ITEM] = "item:", [ENTITY_HOST] = "host:", [ENTITY_ROOM] = "room:"};
    if (key.size <= FUZZ_MUTANT(key_short, 0, 5))
        return ENTITY_NONE;
    *out_name = (struct slice){key.at + 5, key.size - 5};
    for (int k = ENTITY_ITEM; k <= ENTITY_ROOM; k++)
        if (memcmp(key.at, prefixes[k], 5) == 0 && event_is_id(*out_name))
            return (enum entity_kind)k;
    return ENTITY_NONE;
}

static enum catalog_refusal put(struct catalog *c, enum entity_kind kind, struct slice name, const json_t *root, int64_t record_ms)
{
    struct fields f = {root, CATALOG_ACCEPTED};
    enum catalog_answer answer;
    if (!json_is_object(root))
        return CATALOG_MALFORMED;
    if (json_integer_value(json_object_get(root, "v")) != 1)
        return CATALOG_BAD_VERSION;
    if (kind == ENTITY_ROOM)
        answer = put_room(c, &f, name, record_ms);
    else
        answer = kind == ENTITY_ITEM ? put_item(c, &f, name) : put_host(c, &f, name);
    if (f.refusal != CATALOG_ACCEPTED || answer == CATALOG_TAKEN)
        return f.refusal;
    return answer == CATALOG_COLLISION ? CATALOG_ID_COLLISION : CATALOG_TABLE_FULL;
}

enum catalog_refusal catalog_decode(struct catalog *c, struct slice key, struct slice value, bool tombstone,
                                    int64_t record_ms, enum entity_kind *out_kind)
{
    struct slice name;
    *out_kind = kind_of(key, &name);
    if (*out_kind == ENTITY_NONE)
        return CATALOG_BAD_KEY;
    if (tombstone) {
        catalog_remove(c, *out_kind, name);
        return CATALOG_ACCEPTED;
    }
    if (value.size > CATALOG_BYTES_MAX)
        return CATALOG_TOO_LARGE;
    json_t *root = json_loadb(value.at, value.size, JSON_REJECT_DUPLICATES, NULL);
    enum catalog_refusal refusal = put(c, *out_kind, name, root, record_ms);
    json_decref(root);
    return refusal;
}
