/* Records of live.catalog and live.control: JSON from outside, by the key of an input (catalog) or without one (control). */
#include "common/text.h"
#include "server/codec/catalog_decode.h"
#include "server/codec/control_decode.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>

/* Lists of any length, numbers of any size, keys that are cut short. */
static void make_crowded(struct writer *out)
{
    static const struct {
        const char *before, *element, *after;
    } shapes[] = {
        {"item:c_1\n{\"v\":1,\"format\":\"course\",\"embedding\":[", "0.5", "]}"},
        {"item:c_1\n{\"v\":1,\"format\":\"course\",\"requires\":[", "\"c_0\"", "]}"},
        {"item:c_1\n{\"v\":1,\"format\":\"course\",\"tags\":[", "\"a\"", "]}"},
        {"room:r_1\n{\"v\":1,\"host\":\"h_1\",\"status\":\"open\",\"scenes\":[\"home\"],\"items\":[", "\"c_1\"", "]}"},
        {"room:r_1\n{\"v\":1,\"host\":\"h_1\",\"status\":\"open\",\"items\":[],\"scenes\":[", "\"home\"", "]}"},
        {"host:h_1\n{\"v\":1,\"fans\":1,\"domains\":[", "\"it\"", "]}"},
    };
    size_t k = fuzz_draw(sizeof shapes / sizeof *shapes + 2);
    if (k == sizeof shapes / sizeof *shapes) {
        text_printf(out, "control\n{\"v\":1,\"id\":\"k1\",\"scene\":\"home\",\"op\":\"boost\",\"room\":\"r_1\",\"value\":%de%d,\"by\":\"me\",\"why\":\"x\"}",
                    (int)fuzz_draw(100), (int)fuzz_draw(30));
        return;
    }
    if (k > sizeof shapes / sizeof *shapes) {
        text_printf(out, "%.*s\n{\"v\":1}", (int)fuzz_draw(8), "room:r_1");
        return;
    }
    text_add(out, shapes[k].before);
    for (uint64_t n = fuzz_draw(fuzz_draw(2) ? 20 : 700), i = 0; i < n; i++) {
        text_add(out, i ? "," : "");
        text_add(out, shapes[k].element);
    }
    text_add(out, shapes[k].after);
}

/* An input is a line of the record key ("control" for a control) and the value. */
static void make(struct writer *out)
{
    static const char *const values[] = {
        "item:c_1\n{\"v\":1,\"title\":\"C\",\"category\":\"it\",\"tags\":[\"a\",\"b\"],\"format\":\"course\",\"price\":19900,\"currency\":\"CNY\",\"level\":1,"
        "\"series\":\"s\",\"requires\":[\"c_0\"],\"restricted\":false,\"embedding\":[0.1,-0.5]}",
        "room:r_1\n{\"v\":1,\"host\":\"h_1\",\"scenes\":[\"home\",\"it\"],\"status\":\"open\",\"title\":\"R\",\"category\":\"it\",\"tags\":[\"a\"],\"items\":[\"c_1\",\"c_2\"],"
        "\"explaining\":\"c_1\",\"slot_cost\":100}",
        "host:h_1\n{\"v\":1,\"domains\":[\"it\"],\"style\":[\"calm\"],\"fans\":1000,\"commission_bp\":500,\"bonus\":0}",
        "control\n{\"v\":1,\"id\":\"k1\",\"scene\":\"home\",\"op\":\"pin\",\"room\":\"r_1\",\"value\":0.25,\"until\":1732370000000,\"by\":\"me\",\"why\":\"test\"}",
        "control\n{\"v\":1,\"id\":\"k2\",\"scene\":\"home\",\"op\":\"freeze\",\"by\":\"me\",\"why\":\"test\"}",
        "control\n{\"v\":1,\"id\":\"k3\",\"scene\":\"home\",\"op\":\"cost\",\"room\":\"r_1\",\"value\":100,\"by\":\"me\",\"why\":\"x\"}",
        "room:r_2\n{\"v\":1,\"status\":\"closed\",\"host\":\"h_1\",\"scenes\":[\"home\"],\"items\":[]}",
    };
    if (fuzz_draw(4))
        text_add(out, values[fuzz_draw(sizeof values / sizeof *values)]);
    else
        make_crowded(out);
}

static bool run_control(struct slice value)
{
    struct control_entry entry = {0};
    struct control_json *json = NULL;
    enum control_answer answer = control_decode(value, &entry, &json);
    FUZZ_CHECK(answer != CONTROL_APPLIED || (json && entry.id.size > 0 && entry.id.size <= SCENE_TEXT_BYTES && entry.op < CONTROL_OPS));
    FUZZ_CHECK(answer != CONTROL_APPLIED || (entry.value >= 0 && entry.value <= (entry.op == CONTROL_GUARANTEE || entry.op == CONTROL_COST ? SCENE_NUMBER_MAX : 1000000000000)));
    control_json_destroy(json);
    return answer == CONTROL_APPLIED;
}

static bool run(struct slice input)
{
    static struct catalog *catalog;
    static const struct catalog_limits limits = {.items_max = 50, .rooms_max = 20, .hosts_max = 20, .names_max = 1000};
    const char *line = input.size ? memchr(input.at, '\n', input.size) : NULL;
    enum entity_kind kind;
    if (!line)
        return false;
    struct slice key = {input.at, (uint32_t)(line - input.at)}, value = {line + 1, (uint32_t)(input.at + input.size - line - 1)};
    if (slice_equal(key, slice_of("control")))
        return run_control(value);
    if (!catalog || fuzz_draw(500) == 0) {
        catalog_destroy(catalog);
        catalog = catalog_create(&limits);
    }
    return catalog_decode(catalog, key, value, fuzz_draw(8) == 0, 1732370000000, &kind) == CATALOG_ACCEPTED;
}

const struct fuzz_target fuzz_target = {"tables", 40000, 4 << 20, 64, make, run};
