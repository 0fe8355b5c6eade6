/*
 * Operators' controls. Each is answered once, applied or refused with the reason, and a refused one changes nothing.
 * Those that hold stand in room.held[] until resumed or until `until` passes a tick.
 */
#include "server/engine/allocation_state.h"

#define GUARANTEE_MAX 1000000000
#define BOOST_MIN 10000
#define BOOST_MAX 100000000

static bool is_repeated(struct scene *c, struct slice id)
{
    uint32_t tag = tag_of(id);
    for (uint32_t i = 0; i < c->tag_count; i++)
        if (c->tags[i] == tag)
            return true;
    if (c->tag_count == CONTROL_TAGS)
        memmove(c->tags, c->tags + 1, --c->tag_count * sizeof *c->tags);
    c->tags[c->tag_count++] = tag;
    return false;
}

bool control_is_in_bounds(enum control_op op, int64_t value, int64_t until_ms)
{
    switch (op) {
    case CONTROL_PIN:
    case CONTROL_FLOOR:
        return value >= 0 && value <= PPM;
    case CONTROL_CAP:
        return value >= 1 && value <= PPM;
    case CONTROL_BOOST:
        return value >= BOOST_MIN && value <= BOOST_MAX;
    case CONTROL_GUARANTEE:
        return value >= 1 && value <= GUARANTEE_MAX && until_ms > 0;
    case CONTROL_COST:
        return value >= 1 && value <= SCENE_MONEY_MAX;
    default:
        return true;
    }
}

/* What pins and floors promise together if `r` is given another `value` for `op`. */
static int64_t promised(const struct scene *c, const struct room *r, enum control_op op, int64_t value)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < c->rooms.count; i++) {
        const struct room *o = room_at(c, i);
        int64_t pin = o->held[CONTROL_PIN].active ? o->held[CONTROL_PIN].value : -1;
        int64_t floor = o->held[CONTROL_FLOOR].active ? o->held[CONTROL_FLOOR].value : 0;
        if (o == r && op == CONTROL_PIN)
            pin = value;
        if (o == r && op == CONTROL_FLOOR)
            floor = value;
        sum += pin >= 0 ? pin : floor;
    }
    return sum;
}

static enum control_answer judge(const struct scene *c, const struct control_entry *e, const struct room *r)
{
    bool whole = e->room.size == 0 && (e->op == CONTROL_FREEZE || e->op == CONTROL_RESUME);
    if (!r && !whole)
        return CONTROL_NO_SUCH_ROOM;
    if (!control_is_in_bounds(e->op, e->value, e->until_ms))
        return CONTROL_OUT_OF_BOUNDS;
    if (e->until_ms && e->until_ms <= c->tick_ms)
        return CONTROL_EXPIRED;
    if (e->op == CONTROL_GUARANTEE && e->until_ms - c->tick_ms > GUARANTEE_MS_MAX)
        return CONTROL_OUT_OF_BOUNDS;
    if (e->op == CONTROL_CAP && r->held[CONTROL_FLOOR].active && r->held[CONTROL_FLOOR].value > e->value)
        return CONTROL_CONFLICT;
    if (e->op == CONTROL_FLOOR && r->held[CONTROL_CAP].active && r->held[CONTROL_CAP].value < e->value)
        return CONTROL_CONFLICT;
    if ((e->op == CONTROL_PIN || e->op == CONTROL_FLOOR) && promised(c, r, e->op, e->value) > PPM)
        return CONTROL_OVERBOOKED;
    return CONTROL_APPLIED;
}

static void release(struct room *r)
{
    for (int op = 0; op < CONTROL_HELD; op++)
        r->held[op] = (struct held){0};
}

static void resume(struct scene *c, struct room *r)
{
    if (r) {
        release(r);
        return;
    }
    c->freeze = (struct held){0};
    for (uint32_t i = 0; i < c->rooms.count; i++)
        release(room_at(c, i));
}

static void take(struct scene *c, const struct allocation_settings *s, const struct control_entry *e, struct room *r,
                 struct scene_out *out)
{
    if (e->op == CONTROL_COST) {
        roi_book(c, r, 0, e->value);
        return;
    }
    if (e->op == CONTROL_RESUME) {
        resume(c, r);
        return;
    }
    struct held *h = r ? &r->held[e->op] : &c->freeze;
    *h = (struct held){true, e->value, e->until_ms};
    if (e->op == CONTROL_GUARANTEE)
        guarantee_begin(c, r);
    if (e->op == CONTROL_KILL && !r->retired) {
        r->weight_ppm = 0;
        r->score_ppm = 0;
        memset(r->parts, 0, sizeof r->parts);
        weights_emit(c, s, r, out);
    }
}

enum scene_verdict control_apply(struct scene *c, const struct allocation_settings *s, const struct control_entry *e,
                                 struct scene_out *out)
{
    struct room *r = e->room.size ? table_find(&c->rooms, entity_id_of(ENTITY_ROOM, e->room)) : NULL;
    enum control_answer answer = is_repeated(c, e->id) ? CONTROL_REPEATED : judge(c, e, r);
    if (answer == CONTROL_APPLIED)
        take(c, s, e, r, out);
    *out_add_answer(out) = (struct out_answer){answer, e->op, e->id, e->room, e->by, e->why, e->value, e->until_ms};
    return SCENE_APPLIED;
}

static void end_guarantee(struct room *r, enum alert_kind kind, struct scene_out *out)
{
    struct out_alert *a = out_add_alert(out);
    a->kind = kind;
    a->room = r->name;
    a->rate_ppm = guarantee_given(r);
    a->cohort_ppm = r->held[CONTROL_GUARANTEE].value;
    r->held[CONTROL_GUARANTEE] = (struct held){0};
}

void control_tick(struct scene *c, const struct allocation_settings *s, struct scene_out *out)
{
    if (c->freeze.active && c->freeze.until_ms && c->freeze.until_ms <= c->tick_ms) {
        c->freeze = (struct held){0};
        out_add_decision(out, DECISION_EXPIRED, &(struct name){0}, CONTROL_FREEZE, 0);
    }
    for (uint32_t i = 0; i < c->rooms.count; i++) {
        struct room *r = room_at(c, i);
        struct held *g = &r->held[CONTROL_GUARANTEE];
        if (g->active && guarantee_given(r) >= g->value)
            end_guarantee(r, ALERT_GUARANTEE_MET, out);
        if (g->active)
            guarantee_tick(c, s, r);
        for (int op = 0; op < CONTROL_HELD; op++) {
            struct held *h = &r->held[op];
            if (!h->active || !h->until_ms || h->until_ms > c->tick_ms)
                continue;
            if (op == CONTROL_GUARANTEE)
                end_guarantee(r, ALERT_GUARANTEE_MISSED, out);
            *h = (struct held){0};
            out_add_decision(out, DECISION_EXPIRED, &r->name, op, 0);
        }
    }
}
