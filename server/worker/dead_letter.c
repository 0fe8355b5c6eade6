#include "server/worker/dead_letter.h"

#include "common/text.h"
#include "server/codec/control_decode.h"
#include "server/worker/worker_internal.h"


#define ANSWER_MS 3600000 /* nobody waits longer for the answer to a control */

static const struct {
    const char *reason, *text;
} texts[] = {
    {"too_large", "more than 16,384 bytes"},
    {"malformed", "not JSON, or an object with a key twice"},
    {"bad_version", "`v` is not 1"},
    {"missing_field", "a field that this type requires is absent, or an id too many"},
    {"bad_id", "an id is not 1 to 64 bytes of its characters"},
    {"bad_type", "`type` is none of the known ones"},
    {"bad_value", "a number is out of its range or of another kind"},
    {"key_mismatch", "the record key is not `user`"},
    {"too_complex", "nested deeper than 8 or more than 64 keys"},
    {"late", "`ts` is longer before the record timestamp than allowed"},
    {"early", "`ts` is further behind the record timestamp than allowed"},
    {"unknown_currency", "the currency is not among the settings"},
    {"amount_too_large", "the amount is over the cap of its currency"},
    {"unknown_order", "no such order of this user is remembered"},
    {"refund_exceeds", "refunds of the order would exceed what was paid"},
    {"currency_mismatch", "the refund is in another currency than its order"},
    {"catalog_too_large", "more than the catalog's limit of bytes"},
    {"catalog_malformed", "not a JSON object, or an object with a key twice"},
    {"catalog_bad_version", "`v` is not 1"},
    {"catalog_bad_key", "the key is none of room:ID, item:ID, host:ID"},
    {"catalog_missing_field", "a required field is absent"},
    {"catalog_bad_value", "a field is out of its range or of another kind"},
    {"catalog_table_full", "the catalog has as many entries as the settings allow"},
    {"catalog_id_collision", "the id has the hash of another one"},
    {"control_too_large", "more than 16,384 bytes"},
    {"control_malformed", "not a JSON object, or an object with a key twice"},
    {"control_unknown_version", "`v` is not 1"},
    {"control_bad_id", "`id` is absent or not an id"},
    {"control_bad_scene", "`scene` is absent or not an id"},
    {"control_unknown_op", "`op` is none of the known ones"},
    {"control_bad_room", "`room` is absent or not an id"},
    {"control_bad_value", "`value` is absent, of another kind or out of range"},
    {"control_bad_until", "`until` is absent or not a time"},
    {"control_bad_text", "`by` or `why` is not a text or too long"},
};

const char *dead_letter_text(const char *reason)
{
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(texts[i].reason, reason) == 0)
            return texts[i].text;
    return reason;
}

static void count(struct worker *w, const char *reason)
{
    w->counts.dead_letters++;
    for (int i = 0; i < DEAD_REASONS_MAX; i++) {
        struct dead_count *c = &w->counts.dead[i];
        if (!c->reason)
            c->reason = reason;
        if (strcmp(c->reason, reason) == 0) {
            c->count++;
            return;
        }
    }
}

struct letter {
    char partition[24], offset[24], timestamp[24];
    struct header headers[6];
    struct outgoing out;
};

static struct slice number_text(char *buffer, uint32_t capacity, int64_t value)
{
    struct writer w = {.data = (uint8_t *)buffer, .capacity = capacity};
    text_add_int(&w, value);
    return (struct slice){buffer, (uint32_t)w.size};
}

static void letter_fill(struct letter *l, const struct worker *w, const struct record *r, const char *reason)
{
    l->headers[0] = (struct header){"__errors.exception", slice_of(reason)};
    l->headers[1] = (struct header){"__errors.message", slice_of(dead_letter_text(reason))};
    l->headers[2] = (struct header){"__errors.topic", slice_of(w->log->topic_name(w->log->self, r->topic))};
    l->headers[3] = (struct header){"__errors.partition", number_text(l->partition, sizeof l->partition, r->partition)};
    l->headers[4] = (struct header){"__errors.offset", number_text(l->offset, sizeof l->offset, r->offset)};
    l->headers[5] = (struct header){"__errors.timestamp", number_text(l->timestamp, sizeof l->timestamp, r->timestamp_ms)};
    l->out = (struct outgoing){.topic = TOPIC_DEADLETTER, .partition = -1, .key = r->key, .value = r->value,
                               .tombstone = r->tombstone, .headers = l->headers, .header_count = 6, .headers_of = r};
}

void dead_letter(struct task *t, const struct record *r, const char *reason, int64_t now_ms)
{
    struct letter l;
    count(t->worker, reason);
    letter_fill(&l, t->worker, r, reason);
    task_produce(t, &l.out, now_ms);
}

static struct refused_record *oldest(struct refused *refused)
{
    return &refused->at[refused->first];
}

static void drop_oldest(struct refused *refused)
{
    refused->first = (refused->first + 1) % REFUSED_MAX;
    refused->count--;
}

void dead_letter_table(struct worker *w, const struct record *r, const char *reason)
{
    struct refused *refused = &w->refused;
    count(w, reason);
    if (refused->count == REFUSED_MAX) {
        w->log->release(w->log->self, &oldest(refused)->record);
        drop_oldest(refused);
    }
    refused->at[(refused->first + refused->count++) % REFUSED_MAX] = (struct refused_record){*r, reason};
}

static void add_field(struct writer *w, const char *name, struct slice value)
{
    text_printf(w, ",\"%s\":", name);
    text_add_json(w, value);
}

/* A control that never gets to its scene is answered here, if it says which scene that is. */
static void answer_control(struct worker *w, const struct record *r, int64_t now_ms)
{
    struct control_json *json = NULL;
    struct control_entry c;
    enum control_answer answer = control_decode(r->value, &c, &json);
    if (c.scene.size && now_ms - r->timestamp_ms < ANSWER_MS) {
        struct writer out = {0};
        text_add(&out, "{\"v\":1");
        add_field(&out, "scene", c.scene);
        text_printf(&out, ",\"ts\":%lld,\"version\":[%lld,0,%d],\"kind\":\"control\"", (long long)now_ms, (long long)r->offset, (int)r->partition);
        add_field(&out, "id", c.id);
        if (answer > CONTROL_UNKNOWN_OP)
            text_printf(&out, ",\"op\":\"%s\"", control_op_names[c.op]);
        text_printf(&out, ",\"answer\":\"%s\"", control_answer_names[answer]);
        add_field(&out, "room", c.room);
        add_field(&out, "by", c.by);
        add_field(&out, "why", c.why);
        text_printf(&out, ",\"until\":%lld}", (long long)c.until_ms);
        struct slice value = {(const char *)out.data, (uint32_t)out.size};
        const struct slice fields[] = {slice_of("kind"), slice_of("control"), slice_of("entry"), value};
        worker_produce(w, &(struct outgoing){.topic = TOPIC_ALERTS, .partition = -1, .key = c.scene, .value = value}, NULL);
        w->store->append_decision(w->store->self, fields, 4);
        writer_fini(&out);
    }
    control_json_destroy(json);
}

static void send_refused(struct worker *w, const struct refused_record *refused, int64_t now_ms)
{
    struct letter l;
    struct record record = refused->record;
    letter_fill(&l, w, &record, refused->reason);
    worker_produce(w, &l.out, NULL);
    if (record.topic == TOPIC_CONTROL)
        answer_control(w, &record, now_ms);
    if (w->kept == record.native && record.native)
        w->kept = NULL; /* held back with the letter, and released with it */
    else
        w->log->release(w->log->self, &record);
}

void dead_letter_turn(struct worker *w, int64_t now_ms)
{
    const struct task *t = w->tasks[STAGE_ALLOCATION][0];
    while (w->refused.count && t && t->state != TASK_LOST && !w->first_held) {
        struct refused_record refused = *oldest(&w->refused);
        drop_oldest(&w->refused);
        send_refused(w, &refused, now_ms);
    }
}

void dead_letter_fini(struct worker *w)
{
    for (; w->refused.count; drop_oldest(&w->refused))
        w->log->release(w->log->self, &oldest(&w->refused)->record);
}
