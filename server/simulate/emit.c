/*
 * Events as JSON lines of the contract, and what goes wrong with them on the way: some are appended late, some twice,
 * and between them stand records that are no events at all.
 */
#include "server/simulate/world_state.h"

#include "common/check.h"
#include "common/text.h"

#include <stdio.h>
#include <stdlib.h>

#define DAY_MS 86400000

struct draft draft_of(enum event_type type, uint32_t user)
{
    return (struct draft){.type = type, .user = user, .room = -1, .host = -1, .item = -1, .explaining = -1, .pos = -1,
                          .dwell_ms = -1, .amount = -1, .order = -1, .qty = -1, .value = -1, .percent = -1};
}

struct draft draft_in_room(const struct world *w, enum event_type type, uint32_t user)
{
    const struct user *u = &w->users[user];
    const struct room *r = &w->rooms[u->room];
    struct draft d = draft_of(type, user);
    d.room = (int32_t)u->room;
    d.host = (int32_t)r->host;
    d.explaining = (int32_t)r->items[r->explaining];
    return d;
}

void world_room_id(const struct world *w, uint32_t number, char out_id[EVENT_ID_BYTES + 1])
{
    snprintf(out_id, EVENT_ID_BYTES + 1, "r_%llx_%u", (unsigned long long)(w->settings.start_ms / 1000), number);
}

static void add_text(struct writer *w, const char *name, const char *value)
{
    if (value)
        text_printf(w, ",\"%s\":\"%s\"", name, value);
}

static void add_id(struct writer *w, const char *name, const char *prefix, int32_t number)
{
    if (number < 0)
        return;
    text_printf(w, ",\"%s\":\"%s", name, prefix);
    text_add_int(w, number);
    text_add(w, "\"");
}

static void add_int(struct writer *w, const char *name, int64_t value)
{
    if (value < 0)
        return;
    text_printf(w, ",\"%s\":", name);
    text_add_int(w, value);
}

static void format_event(struct world *w, const struct draft *d, int64_t ts)
{
    struct writer *t = &w->text;
    char room[EVENT_ID_BYTES + 1];
    t->size = 0;
    text_printf(t, "{\"v\":1,\"id\":\"%llx-%llx\",\"ts\":%lld,\"type\":\"%s\",\"user\":\"u_%u\",\"scene\":\"%s\"",
                (unsigned long long)w->settings.start_ms, (unsigned long long)w->sequence++, (long long)ts,
                event_type_name(d->type), d->user, scene_names[w->users[d->user].scene]);
    if (d->room >= 0) {
        world_room_id(w, (uint32_t)d->room, room);
        add_text(t, "room", room);
    }
    add_id(t, "host", "h_", d->host);
    add_id(t, "item", "c_", d->item);
    add_id(t, "explaining", "c_", d->explaining);
    add_int(t, "dwell_ms", d->dwell_ms);
    if (d->order >= 0)
        text_printf(t, ",\"order\":\"o_%llx_%lld\"", (unsigned long long)w->settings.start_ms, (long long)d->order);
    add_int(t, "amount", d->amount);
    if (d->amount >= 0 && d->type != EVENT_REFUND)
        add_text(t, "currency", "CNY");
    add_int(t, "qty", d->qty);
    add_int(t, "value", d->value);
    add_int(t, "percent", d->percent);
    add_text(t, "option", d->option);
    add_text(t, "rec", d->rec);
    add_int(t, "pos", d->pos);
    add_text(t, "source", d->source);
    text_add(t, "}");
}

/* `text` and `key` as a record now. */
static void send_now(struct world *w, int64_t at_ms, bool malformed)
{
    struct world_record record = {
        .topic = WORLD_EVENTS,
        .timestamp_ms = at_ms,
        .key = {(const char *)w->key.data, (uint32_t)w->key.size},
        .value = {(const char *)w->text.data, (uint32_t)w->text.size},
        .malformed = malformed,
    };
    w->counts.records++;
    w->sink->emit(w->sink->self, &record);
}

static bool delayed_before(const struct delayed *a, const struct delayed *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->sequence < b->sequence;
}

/* `text` and `key` as a record at a later time. */
static void send_later(struct world *w, int64_t at_ms, bool malformed)
{
    grow((void **)&w->delayed, &w->delayed_capacity, w->delayed_count + 1, sizeof *w->delayed);
    struct delayed d = {at_ms, w->delays++, malformed, (uint32_t)w->key.size, (uint32_t)w->text.size, NULL};
    d.bytes = malloc(w->key.size + w->text.size + 1);
    ASSERT(d.bytes);
    memcpy(d.bytes, w->key.data, w->key.size);
    memcpy(d.bytes + w->key.size, w->text.data, w->text.size);
    uint32_t at = w->delayed_count++;
    while (at > 0 && delayed_before(&d, &w->delayed[(at - 1) / 2])) {
        w->delayed[at] = w->delayed[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    w->delayed[at] = d;
}

void emit_delayed(struct world *w)
{
    struct delayed first = w->delayed[0];
    struct delayed last = w->delayed[--w->delayed_count];
    uint32_t at = 0;
    for (uint32_t child = 1; child < w->delayed_count; child = 2 * at + 1) {
        if (child + 1 < w->delayed_count && delayed_before(&w->delayed[child + 1], &w->delayed[child]))
            child++;
        if (!delayed_before(&w->delayed[child], &last))
            break;
        w->delayed[at] = w->delayed[child];
        at = child;
    }
    w->delayed[at] = last;
    w->key.size = w->text.size = 0;
    put_bytes(&w->key, first.bytes, first.key_size);
    put_bytes(&w->text, first.bytes + first.key_size, first.value_size);
    free(first.bytes);
    send_now(w, first.at_ms, first.malformed);
}

void delayed_fini(struct world *w)
{
    for (uint32_t i = 0; i < w->delayed_count; i++)
        free(w->delayed[i].bytes);
    free(w->delayed);
}

static void set_key(struct world *w, uint32_t user)
{
    w->key.size = 0;
    text_printf(&w->key, "u_%u", user);
}

static void emit_malformed(struct world *w, uint32_t user, int64_t at_ms)
{
    static const char *const values[] = {
        "not json",
        "{\"v\":1,\"id\":\"x\",\"ts\":%lld,\"type\":\"watch\",\"user\":\"u_%u\"",
        "{\"v\":1,\"id\":\"x\",\"ts\":%lld,\"type\":\"dance\",\"user\":\"u_%u\",\"scene\":\"home\"}",
        "{\"v\":1,\"id\":\"x\",\"ts\":%lld,\"type\":\"watch\",\"user\":\"u_%u x\",\"scene\":\"home\",\"room\":\"r_1\",\"dwell_ms\":1}",
        "{\"v\":1,\"ts\":%lld,\"type\":\"click\",\"user\":\"u_%u\",\"scene\":\"home\",\"room\":\"r_1\"}",
        "{\"v\":1,\"id\":\"x\",\"ts\":\"%lld\",\"type\":\"click\",\"user\":\"u_%u\",\"scene\":\"home\",\"room\":\"r_1\"}",
        "[%lld,%u]",
    };
    const char *value = values[random_below(&w->random, sizeof values / sizeof *values)];
    w->text.size = 0;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    text_printf(&w->text, value, (long long)at_ms, user);
#pragma GCC diagnostic pop
    set_key(w, user);
    w->counts.malformed++;
    send_now(w, at_ms, true);
}

void emit_event(struct world *w, const struct draft *d, int64_t at_ms)
{
    struct random *r = &w->random;
    format_event(w, d, at_ms);
    set_key(w, d->user);
    w->counts.events++;
    w->counts.by_type[d->type]++;
    w->measured_events++;
    /* Most late events come within half an hour; one in fifty is later than any server should take. */
    bool late = random_chance(r, w->settings.late);
    int64_t delay = 0;
    if (late) {
        w->counts.late++;
        delay = (int64_t)random_exponential(r, 300000) + 5000;
        if (random_chance(r, 0.02))
            delay += DAY_MS;
        send_later(w, at_ms + delay, delay > DAY_MS);
    } else if (at_ms > w->now_ms) {
        send_later(w, at_ms, false);
    } else {
        send_now(w, at_ms, false);
    }
    if (random_chance(r, w->settings.duplicates)) {
        w->counts.duplicates++;
        delay += 1 + (int64_t)random_exponential(r, 2000);
        send_later(w, at_ms + delay, delay > DAY_MS);
    }
    if (random_chance(r, w->settings.malformed))
        emit_malformed(w, d->user, w->now_ms);
}
