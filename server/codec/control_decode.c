#include "server/codec/control_decode.h"

#include "common/mutant.h"
#include "server/engine/event.h"

#include <jansson.h>

const char *const control_refusal_names[CONTROL_BAD_TEXT + 1] = {
    "accepted",         "control_too_large",  "control_malformed", "control_unknown_version", "control_bad_id",   "control_bad_scene",
    "control_unknown_op", "control_bad_room", "control_bad_value", "control_bad_until",       "control_bad_text",
};

void control_json_destroy(struct control_json *json)
{
    json_decref((json_t *)json);
}

/* False: of another type or too long. Absent or null: empty. */
static bool read_text(const json_t *root, const char *name, size_t size_max, struct slice *out)
{
    const json_t *value = json_object_get(root, name);
    if (!value || json_is_null(value))
        return true;
    if (!json_is_string(value) || json_string_length(value) > size_max)
        return false;
    *out = (struct slice){json_string_value(value), (uint32_t)json_string_length(value)};
    return true;
}

static bool read_id(const json_t *root, const char *name, struct slice *out)
{
    struct slice s = {"", 0};
    if (!read_text(root, name, SCENE_ID_BYTES, &s) || (s.size && !event_is_id(s)))
        return false;
    *out = s;
    return true;
}

static bool read_op(const json_t *root, enum control_op *out)
{
    const char *op = json_string_value(json_object_get(root, "op"));
    for (int i = 0; op && i < CONTROL_OPS; i++)
        if (strcmp(op, control_op_names[i]) == 0) {
            *out = (enum control_op)i;
            return true;
        }
    return false;
}

static bool read_value(const json_t *root, struct control_entry *out)
{
    const json_t *value = json_object_get(root, "value");
    switch (out->op) {
    case CONTROL_PIN:
    case CONTROL_CAP:
    case CONTROL_FLOOR:
    case CONTROL_BOOST: {
        double number = json_number_value(value);
        if (!json_is_number(value) || !(number >= 0 && number <= FUZZ_MUTANT(value_unbounded, 1e300, 1e6)))
            return false;
        out->value = (int64_t)(number * 1e6 + 0.5);
        return true;
    }
    case CONTROL_GUARANTEE:
    case CONTROL_COST:
        out->value = json_integer_value(value);
        return json_is_integer(value) && out->value >= 0 && out->value <= SCENE_NUMBER_MAX;
    default:
        return true;
    }
}

static enum control_answer read_fields(const json_t *root, struct control_entry *out)
{
    const json_t *version = json_object_get(root, "v"), *until = json_object_get(root, "until");
    bool texts = read_text(root, "by", SCENE_TEXT_BYTES, &out->by) & read_text(root, "why", SCENE_TEXT_BYTES, &out->why);
    bool id = read_id(root, "id", &out->id), scene = read_id(root, "scene", &out->scene);
    bool room = read_id(root, "room", &out->room), op = read_op(root, &out->op);
    if (json_integer_value(version) != 1)
        return CONTROL_UNKNOWN_VERSION;
    if (!id || out->id.size == 0)
        return CONTROL_BAD_ID;
    if (!scene || out->scene.size == 0)
        return CONTROL_BAD_SCENE;
    if (!op)
        return CONTROL_UNKNOWN_OP;
    if (!room || (out->room.size == 0 && out->op != CONTROL_FREEZE && out->op != CONTROL_RESUME))
        return CONTROL_BAD_ROOM;
    if (!read_value(root, out))
        return CONTROL_BAD_VALUE;
    out->until_ms = json_integer_value(until);
    if ((until && !json_is_null(until) && !json_is_integer(until)) || out->until_ms < 0 ||
        out->until_ms > SCENE_NUMBER_MAX || (out->op == CONTROL_GUARANTEE && out->until_ms == 0))
        return CONTROL_BAD_UNTIL;
    return texts ? CONTROL_APPLIED : CONTROL_BAD_TEXT;
}

enum control_answer control_decode(struct slice bytes, struct control_entry *out, struct control_json **out_json)
{
    struct slice none = {"", 0};
    *out = (struct control_entry){.id = none, .scene = none, .room = none, .by = none, .why = none};
    *out_json = NULL;
    if (bytes.size > CONTROL_BYTES_MAX)
        return CONTROL_TOO_LARGE;
    json_t *root = json_loadb(bytes.at ? bytes.at : "", bytes.size, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(root)) {
        json_decref(root);
        return CONTROL_MALFORMED;
    }
    *out_json = (struct control_json *)root;
    return read_fields(root, out);
}
