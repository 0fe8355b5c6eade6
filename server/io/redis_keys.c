/*
 * `key` is a pattern behind the prefix: <user> is the keyed hash of a user id (22 characters), <id> and <scene> are ids.
 * `ttl_s` is what is asked for, 0 = none: a view lives up to a tenth longer. Fields of a hash are "name unit", and in
 * `text` stands what one needs to read the rest.
 */
#include "server/io/redis_keys.h"

#include "common/text.h"

#define DAY_S 86400
#define VIEW_TTL_S (7 * DAY_S)
#define COUNTERS_TEXT \
    "exposure n|click n|enter n|leave n|watch_ms ms|chat n|interaction n|cart n|trial n|purchase n|units n|gmv minor|refund n|" \
    "refund_amount minor|gift_amount minor|follow n|negative n|rating_count n|rating_sum stars|visitor n|buyer n|short_view n|question n|" \
    "like n|vote n|gift n|scene id|roi ratio"

static const struct {
    const char *key, *type, *pattern;
    int ttl_s, bytes_max, elements_max;
    const char *fields, *text;
} table[] = {
    {"rec:<user>", "string", "rec:[A-Za-z0-9_-]{22}", VIEW_TTL_S, 10240, 1, "", "JSON: the latest live.recommendations of the user, without user; items and hosts left out when over 10,000 bytes"},
    {"user:<user>", "hash", "user:[A-Za-z0-9_-]{22}", VIEW_TTL_S, 10240, 512,
     "events n|orders n|spent minor|refunded minor|gifted minor|watch_ms ms|first_ms epoch ms|last_ms epoch ms|segment id|value tier|intent probability|churn probability",
     "what is known of the user; first_ms is the ts of the first event in the log, last_ms the greatest; amounts in the settlement currency; segment, value, intent, churn are empty while unknown"},
    {"history:<user>", "string", "history:[A-Za-z0-9_-]{22}", VIEW_TTL_S, 10240, 1, "", "JSON: the newest items of the history that fit, with rating and time; only where push.enabled is off"},
    {"room:<id>", "hash", "room:[A-Za-z0-9_.-]{1,64}", VIEW_TTL_S, 10240, 512,
     COUNTERS_TEXT "|host id|live 0 or 1|tier S A B C|weight share|score ratio|minute epoch ms|minute_* as the counter, of the newest minute",
     "lifetime totals of a live room, its weight and tier; counters that are 0 are left out; without allocation (worker.rollups off) totals and the newest minute"},
    {"host:<id>", "hash", "host:[A-Za-z0-9_.-]{1,64}", VIEW_TTL_S, 10240, 512, COUNTERS_TEXT, "lifetime totals of a host in the scene that wrote last, but for follow of all scenes; visitor counts (user, day)"},
    {"item:<id>", "hash", "item:[A-Za-z0-9_.-]{1,64}", VIEW_TTL_S, 10240, 512, COUNTERS_TEXT, "lifetime totals of an item in the scene that wrote last, but for rating_count and rating_sum of all scenes; buyer counts users at their first purchase of it that is remembered"},
    {"sim:<id>", "string", "sim:[A-Za-z0-9_.-]{1,64}", VIEW_TTL_S, 10240, 1, "", "first line: #, blank, how much the item was rated in the window; then similar items, strongest first, a line each: id, blank, similarity with 4 decimals (cosine plus the weighted share of who came right after), and that share alone unless it is 0; at most `similarity.length`"},
    {"sim:host:<id>", "string", "sim:host:[A-Za-z0-9_.-]{1,64}", VIEW_TTL_S, 10240, 1, "", "the same of a host, by the users who watch both; hosts that the catalog has"},
    {"audience:item:<id>", "string", "audience:item:[A-Za-z0-9_.-]{1,64}", VIEW_TTL_S, 10240, 1, "", "JSON: whom an item should reach (`audience` as on live.hosts) and invite back (`invite`), in the scene that wrote last"},
    {"audience:room:<id>", "string", "audience:room:[A-Za-z0-9_.-]{1,64}", VIEW_TTL_S, 10240, 1, "", "JSON: what a live room should explain next (`next`, at most 3 items), whom it should reach (`audience`) and invite back (`invite`)"},
    {"traffic:<scene>", "hash", "traffic:[A-Za-z0-9_.-]{1,64}", 3600, 10240, 128, "* share", "room to weight, the 128 greatest; all of a scene sum to 1"},
    {"summary:scenes", "zset", "summary:scenes", 3600, 10240, 128, "", "scene by the time of its last tick, epoch ms; silent ones leave after an hour"},
    {"summary:scene:<scene>", "hash", "summary:scene:[A-Za-z0-9_.-]{1,64}", 3600, 10240, 512,
     "ts epoch ms|rooms n|young n|held n|S n|A n|B n|C n|top_room id|top_weight share",
     "how a scene stands: live rooms, those under the floor for new ones, those an operator holds, rooms by tier"},
    {"summary:rooms:<scene>", "zset", "summary:rooms:[A-Za-z0-9_.-]{1,64}", 3600, 10240, 128, "", "room by weight, the 128 greatest"},
    {"decisions", "stream", "decisions", 30 * DAY_S, 0, 10000,
     "kind text|entry JSON|scene id|room id|before n|after n|task name|offset n",
     "what was decided, newest last, capped by redis.decisions_max: rooms opened, closed, retired, tiers, answers to controls (entry as on live.alerts), what operators did to tasks"},
    {"catalogue", "hash", "catalogue", VIEW_TTL_S, 10240, 512, "* text", "this: kind of key to its type, time to live and meaning"},
    {"{<stage>.<partition>}:…", "string", "\\\\{(profile|entity|allocation|learner)\\\\.[0-9]+\\\\}:[\\\\s\\\\S]+", 0, 0, 1, "", "state of a task, opaque: written only by its owner, never read it, never touch it"},
};

#define COUNT (int)(sizeof table / sizeof *table)

int redis_keys_fields(struct slice out[2 * REDIS_KEYS_MAX])
{
    for (int i = 0; i < COUNT; i++) {
        out[2 * i] = slice_of(table[i].key);
        out[2 * i + 1] = slice_of(table[i].text);
    }
    return 2 * COUNT;
}

/* "name unit|name unit" as an object. */
static void add_fields(struct writer *out, const char *fields)
{
    text_add(out, ", \"fields\": {");
    for (const char *at = fields; *at;) {
        size_t size = strcspn(at, "|"), name = strcspn(at, " ");
        text_printf(out, "%s\"%.*s\": \"%.*s\"", at == fields ? "" : ", ", (int)name, at, (int)(size - name - 1), at + name + 1);
        at += size + (at[size] == '|');
    }
    text_add(out, "}");
}

void redis_keys_catalogue(struct writer *out)
{
    text_add(out, "{\n  \"prefix\": \"sluice:\",\n  \"keys\": [\n");
    for (int i = 0; i < COUNT; i++) {
        text_printf(out, "    {\"key\": \"%s\", \"pattern\": \"^%s$\", \"type\": \"%s\", \"ttl_s\": %d, \"bytes_max\": %d, \"elements_max\": %d", table[i].key,
                    table[i].pattern, table[i].type, table[i].ttl_s, table[i].bytes_max, table[i].elements_max);
        if (*table[i].fields)
            add_fields(out, table[i].fields);
        text_add(out, ",\n     \"text\": ");
        text_add_json(out, slice_of(table[i].text));
        text_printf(out, "}%s\n", i + 1 < COUNT ? "," : "");
    }
    text_add(out, "  ]\n}\n");
}
