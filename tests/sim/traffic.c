/* What the world sends: events of a dozen users, rooms that open and close, operators. */
#include "common/text.h"
#include "tests/sim/sim.h"

#include <stdio.h>

static void tell(struct member *m, enum topic topic, const char *key, const char *value, int64_t offset, int64_t now_ms)
{
    struct record r = {.topic = topic, .offset = offset, .timestamp_ms = now_ms, .key = slice_of(key), .value = slice_of(value)};
    worker_table_record(m->worker, &r, now_ms);
}

static void tell_room(struct sim *s, struct member *m, int room)
{
    char key[16], value[256];
    snprintf(key, sizeof key, "room:r%d", room);
    snprintf(value, sizeof value,
             "{\"v\":1,\"host\":\"h%d\",\"scenes\":[\"home\",\"learn\"],\"status\":\"%s\",\"category\":\"a\",\"items\":[\"c%d\"]}",
             room % 3, s->room_open[room] ? "open" : "closed", room);
    tell(m, TOPIC_CATALOG, key, value, s->told++, s->now_ms);
}

static void tell_control(struct sim *s, struct member *m, int control)
{
    char value[256];
    snprintf(value, sizeof value, "{\"v\":1,\"id\":\"k%d\",\"scene\":\"home\",\"op\":\"%s\",\"room\":\"r%d\",\"value\":%s,\"by\":\"me\"}",
             control, control % 2 ? "boost" : "cap", control % ROOMS, control % 2 ? "2" : "0.5");
    tell(m, TOPIC_CONTROL, "home", value, control, s->now_ms);
}

void traffic_tell_all(struct sim *s, struct member *m)
{
    for (int r = 0; r < ROOMS; r++)
        tell_room(s, m, r);
    for (int c = 0; c < s->controls; c++)
        tell_control(s, m, c);
    worker_tables_ready(m->worker);
}

/* A room opens or closes, or an operator speaks: every worker that lives hears of it. */
static void change_tables(struct sim *s)
{
    bool control = sim_draw(s, 3) == 0;
    int room = (int)sim_draw(s, ROOMS);
    if (control)
        s->controls++;
    else
        s->room_open[room] = !s->room_open[room];
    for (int i = 0; i < s->member_count; i++)
        if (!s->members[i].worker)
            continue;
        else if (control)
            tell_control(s, &s->members[i], s->controls - 1);
        else
            tell_room(s, &s->members[i], room);
}

/* Mostly now; some at the very edge of what is too late or too early, which a second judgement elsewhere would get wrong. */
static int64_t event_time(struct sim *s)
{
    const struct profile_settings *p = &s->settings.profile;
    uint64_t kind = sim_draw(s, 24);
    if (kind == 0)
        return s->now_ms - p->late_ms_max + (int64_t)sim_draw(s, 300) - 20;
    if (kind == 1)
        return s->now_ms + p->early_ms_max - (int64_t)sim_draw(s, 300) + 20;
    return s->now_ms - (int64_t)sim_draw(s, 2000);
}

static int64_t append(struct sim *s, const char *user, const struct writer *w)
{
    return kafka_append(&s->kafka, TOPIC_EVENTS, -1, slice_of(user), (struct slice){(const char *)w->data, (uint32_t)w->size}, false);
}

static void poison_if_due(struct sim *s, const char *user, int64_t offset)
{
    if (!s->poison_next || s->poison_count == POISONS_MAX)
        return;
    int32_t partition = kafka_partition(user, (uint32_t)strlen(user), s->kafka.partitions[TOPIC_EVENTS]);
    s->poisons[s->poison_count].partition = partition;
    s->poisons[s->poison_count++].offset = offset;
    s->may_halt[STAGE_PROFILE][partition] |= 1u << HALT_POISON;
    s->poison_next = 0;
}

static void add(struct writer *w, const char *before, int64_t value)
{
    text_add(w, before);
    text_add_int(w, value);
}

static void add_amount(struct writer *w, int64_t amount)
{
    add(w, ",\"amount\":", amount);
    text_add(w, ",\"currency\":\"CNY\"");
}

static void add_order(struct writer *w, int64_t order, int64_t amount)
{
    add(w, ",\"order\":\"o", order);
    text_add(w, "\"");
    add_amount(w, amount);
}

void traffic_event(struct sim *s)
{
    static const char *const types[] = {"watch", "enter", "click", "cart", "purchase", "impression", "refund", "like", "gift", "forget"};
    uint8_t bytes[512];
    struct writer w = {.data = bytes, .capacity = sizeof bytes};
    char user[16];
    uint64_t type = sim_draw(s, 64);
    type = type == 63 ? 9 : type % 9;
    snprintf(user, sizeof user, "u%d", (int)sim_draw(s, USERS));
    uint64_t id = s->events && sim_draw(s, 20) == 0 ? sim_draw(s, s->events) : s->events;
    s->events++;
    add(&w, "{\"v\":1,\"id\":\"e", (int64_t)id);
    add(&w, "\",\"ts\":", event_time(s));
    text_add(&w, ",\"type\":\"");
    text_add(&w, types[type]);
    text_add(&w, "\",\"user\":\"");
    text_add(&w, user);
    add(&w, "\",\"scene\":\"home\",\"room\":\"r", (int64_t)sim_draw(s, ROOMS));
    add(&w, "\",\"host\":\"h", (int64_t)sim_draw(s, 3));
    add(&w, "\",\"item\":\"c", (int64_t)sim_draw(s, 9));
    add(&w, "\",\"dwell_ms\":", (int64_t)sim_draw(s, 20000));
    if (type == 4)
        add_order(&w, (int64_t)s->orders++, 100 + (int64_t)sim_draw(s, 90000000));
    if (type == 6)
        add_order(&w, (int64_t)sim_draw(s, s->orders + 1), 50);
    if (type == 8)
        add_amount(&w, 1 + (int64_t)sim_draw(s, 90000000));
    text_add(&w, "}");
    poison_if_due(s, user, append(s, user, &w));
}

void traffic_bad_event(struct sim *s)
{
    static const char *const bad[] = {"", "{", "{\"v\":1}", "{\"v\":9,\"id\":\"x\"}", "[1,2]", "\xff\xfe", "{\"v\":1,\"id\":\"a\",\"id\":\"b\"}",
                                      "{\"v\":1,\"id\":\"e\",\"ts\":1,\"type\":\"like\",\"user\":\"u1\",\"scene\":\"home\",\"room\":\"r1\"}"};
    char user[16];
    snprintf(user, sizeof user, "u%d", (int)sim_draw(s, USERS));
    const char *value = bad[sim_draw(s, sizeof bad / sizeof *bad)];
    kafka_append(&s->kafka, TOPIC_EVENTS, -1, slice_of(user), slice_of(value), false);
}

void traffic_begin(struct sim *s)
{
    s->events = s->orders = 0;
    s->controls = s->poison_next = s->poison_count = 0;
    s->told = 0;
    for (int r = 0; r < ROOMS; r++)
        s->room_open[r] = sim_draw(s, 2);
}

void traffic_step(struct sim *s)
{
    if (sim_draw(s, 8) != 0)
        traffic_event(s);
    if (sim_draw(s, 80) == 0)
        change_tables(s);
}
