/*
 * What a user does next. BROWSING: look at a list, study what was bought, or follow somebody in. IN_ROOM: watch a
 * while, take part, buy, leave. Each act emits its events and says when the next one comes.
 */
#include "server/simulate/world_state.h"

#include <stdlib.h>

/* A chance per act of ten seconds in a room, scaled by how much the user likes it. */
struct habit {
    enum event_type type;
    double chance;
};

static const struct habit habits[] = {
    {EVENT_LIKE, 0.12}, {EVENT_CHAT, 0.1}, {EVENT_QUESTION, 0.04}, {EVENT_VOTE, 0.04}, {EVENT_SHARE, 0.015},
};

/* A draw whose chance is `factor` times how much the user likes the room. */
static bool is_moved(struct world *w, const struct room *r, double factor)
{
    bool moved = random_chance(&w->random, factor * linear_at(LIKING, w->hosts[r->host].quality));
    believe_chance(w, r->host, factor, LIKING, moved);
    return moved;
}

static void take_part(struct world *w, uint32_t user, double match, int64_t at_ms)
{
    static const char *const options[] = {"a", "b", "c"};
    struct user *u = &w->users[user];
    const struct room *r = &w->rooms[u->room];
    bool launch = w->course >= 0 && (int32_t)r->items[r->explaining] >= w->course - 1;
    for (size_t i = 0; i < sizeof habits / sizeof *habits; i++) {
        bool asked = habits[i].type == EVENT_QUESTION || habits[i].type == EVENT_VOTE;
        if (!is_moved(w, r, habits[i].chance * match * (launch && asked ? 3 : 1)))
            continue;
        struct draft d = draft_in_room(w, habits[i].type, user);
        if (d.type == EVENT_VOTE)
            d.option = options[random_below(&w->random, 3)];
        emit_event(w, &d, at_ms);
    }
    if (is_moved(w, r, 0.012 * match)) {
        struct draft d = draft_in_room(w, EVENT_GIFT, user);
        d.amount = (int64_t)(100 + random_below(&w->random, 20) * 100);
        emit_event(w, &d, at_ms);
    }
    struct life *l = u->life;
    if (is_moved(w, r, 0.03 * match) && l->followed_count < FOLLOWED_MAX) {
        for (uint32_t i = 0; i < l->followed_count; i++)
            if (l->followed[i] == r->host)
                return;
        struct draft d = draft_in_room(w, EVENT_FOLLOW, user);
        l->followed[l->followed_count++] = r->host;
        emit_event(w, &d, at_ms);
    }
}

static void consider(struct world *w, uint32_t user, int64_t at_ms)
{
    struct user *u = &w->users[user];
    const struct room *r = &w->rooms[u->room];
    uint32_t item = r->items[r->explaining];
    const struct host *h = &w->hosts[r->host];
    double fit = host_fit(h, &w->items[item]) * room_factor(w, r, FAULT_CONVERSION);
    double match = match_item(u, &w->items[item]);
    struct draft d = draft_in_room(w, EVENT_CART, user);
    d.item = (int32_t)item;
    bool course = w->course == (int32_t)item;
    if (u->life->trial != (int32_t)item && random_chance(&w->random, (course ? 0.2 : 0.04) * match * match)) {
        struct draft t = d;
        t.type = EVENT_TRIAL;
        u->life->trial = (int32_t)item;
        emit_event(w, &t, at_ms);
    }
    if (u->life->cart != (int32_t)item && !user_owns(u, item)) {
        double chance = 0.12 * match * match * fit;
        bool taken = random_chance(&w->random, chance);
        room_suffer(w, r, FAULT_CONVERSION, chance);
        believe_chance(w, r->host, chance / h->quality, QUALITY_ITSELF, taken);
        if (taken) {
            u->life->cart = (int32_t)item;
            emit_event(w, &d, at_ms);
            return;
        }
    }
    double chance = purchase_chance(w, user, item, fit);
    bool bought = random_chance(&w->random, chance);
    room_suffer(w, r, FAULT_CONVERSION, chance);
    believe_chance(w, r->host, chance / h->quality, QUALITY_ITSELF, bought);
    u->expected_purchases += (float)chance;
    if (bought)
        buy(w, user, d, item, at_ms);
}

/* Against a room, its host or the item shown: exactly one. */
static void object(struct world *w, uint32_t user, int64_t at_ms)
{
    struct user *u = &w->users[user];
    const struct room *r = &w->rooms[u->room];
    struct draft d = draft_of(random_chance(&w->random, 0.7) ? EVENT_DISLIKE : EVENT_BLOCK, user);
    struct life *l = u->life;
    if (d.type == EVENT_BLOCK) {
        if (l->blocked_count == BLOCKED_MAX)
            return;
        l->blocked[l->blocked_count++] = r->host;
        d.host = (int32_t)r->host;
    } else if (random_chance(&w->random, 0.5)) {
        d.room = (int32_t)r->number;
    } else {
        d.item = (int32_t)r->items[r->explaining];
    }
    emit_event(w, &d, at_ms);
    for (uint32_t i = 0; i < l->followed_count; i++)
        if (l->followed[i] == r->host) {
            struct draft f = draft_of(EVENT_UNFOLLOW, user);
            f.host = (int32_t)r->host;
            l->followed[i] = l->followed[--l->followed_count];
            emit_event(w, &f, at_ms);
        }
}

static void watch(struct world *w, uint32_t user, int64_t at_ms)
{
    struct user *u = &w->users[user];
    struct draft d = draft_in_room(w, EVENT_WATCH, user);
    /* Watch time is what it would be at the natural pace. */
    d.dwell_ms = (int64_t)((double)(at_ms - u->watch_from_ms) / w->pace);
    u->watch_from_ms = at_ms;
    if (d.dwell_ms > 0)
        emit_event(w, &d, at_ms);
}

static void leave(struct world *w, uint32_t user, int64_t at_ms)
{
    struct user *u = &w->users[user];
    struct room *r = &w->rooms[u->room];
    struct draft d = draft_in_room(w, EVENT_LEAVE, user);
    emit_event(w, &d, at_ms);
    r->viewers -= r->viewers > 0;
    u->state = USER_BROWSING;
    u->source = NULL;
}

static int64_t act_in_room(struct world *w, uint32_t user, int64_t at_ms)
{
    struct user *u = &w->users[user];
    const struct room *r = &w->rooms[u->room];
    double match = match_room(w, u, r);
    watch(w, user, at_ms);
    if (!r->open || at_ms >= u->stay_until_ms) {
        if (random_chance(&w->random, match < 0.3 ? 0.03 : 0.002))
            object(w, user, at_ms);
        leave(w, user, at_ms);
        return (int64_t)pause_ms(w, 0.5, 2);
    }
    u->mood += (float)(0.15 * match * linear_at(LIKING, w->hosts[r->host].quality));
    take_part(w, user, match, at_ms);
    consider(w, user, at_ms);
    int64_t next = (int64_t)pause_ms(w, 4, 10);
    return at_ms + next > u->stay_until_ms && u->stay_until_ms > at_ms ? u->stay_until_ms - at_ms : next;
}

static void study(struct world *w, uint32_t user, int64_t at_ms)
{
    struct user *u = &w->users[user];
    struct owned *o = &u->life->owned[random_below(&w->random, u->life->owned_count)];
    double pleasure = match_item(u, &w->items[o->item]) * w->items[o->item].quality;
    if (o->refunded >= o->paid)
        return;
    if (!o->rated && random_chance(&w->random, 0.03 + 0.15 * (1 - pleasure))) {
        struct draft d = draft_of(EVENT_REFUND, user);
        bool part = random_chance(&w->random, 0.2);
        d.order = (int64_t)o->order;
        d.item = (int32_t)o->item;
        d.amount = part ? (o->paid - o->refunded + 1) / 2 : o->paid - o->refunded;
        o->refunded += d.amount;
        emit_event(w, &d, at_ms);
        return;
    }
    struct draft d = draft_of(EVENT_PROGRESS, user);
    uint32_t percent = o->percent + 5 + random_below(&w->random, 30);
    o->percent = (uint8_t)(percent > 100 ? 100 : percent);
    d.item = (int32_t)o->item;
    d.percent = o->percent;
    emit_event(w, &d, at_ms);
    if (!o->rated && random_chance(&w->random, 0.4)) {
        int value = (int)(1.5 + 4 * pleasure + random_between(&w->random, -1, 1));
        struct draft rating = draft_of(EVENT_RATING, user);
        rating.item = (int32_t)o->item;
        rating.value = value < 1 ? 1 : value > 5 ? 5 : value;
        o->rated = true;
        emit_event(w, &rating, at_ms);
    }
}

/* A followed host who is live now, or -1. */
static int32_t followed_room(const struct world *w, const struct user *u)
{
    for (uint32_t i = 0; i < u->life->followed_count; i++) {
        int32_t room = w->hosts[u->life->followed[i]].room;
        if (room >= 0 && w->rooms[room].scenes >> u->scene & 1)
            return room;
    }
    return -1;
}

static void walk_in(struct world *w, uint32_t user, uint32_t room, const char *source, int64_t at_ms)
{
    enter_room(w, user, room, source, at_ms);
    struct draft d = draft_in_room(w, EVENT_ENTER, user);
    d.source = source;
    emit_event(w, &d, at_ms);
}

static void act_browsing(struct world *w, uint32_t user, int64_t at_ms)
{
    struct user *u = &w->users[user];
    double draw = random_unit(&w->random);
    if (u->for_star) {
        u->for_star = false;
        if (w->rooms[w->star_room].open) {
            walk_in(w, user, w->star_room, "ad", at_ms);
            return;
        }
    }
    if (draw < 0.12) {
        show_items(w, user, at_ms);
    } else if (draw < 0.2 && u->life->owned_count) {
        study(w, user, at_ms);
    } else if (draw < 0.25 && followed_room(w, u) >= 0) {
        walk_in(w, user, (uint32_t)followed_room(w, u), "follow", at_ms);
    } else {
        show_rooms(w, user, at_ms);
    }
}

static void forget(struct world *w, uint32_t user, int64_t at_ms)
{
    struct user *u = &w->users[user];
    struct draft d = draft_of(EVENT_FORGET, user);
    emit_event(w, &d, at_ms);
    free(u->life);
    free(u->shown);
    u->life = NULL;
    u->shown = NULL;
}

void user_act(struct world *w, uint32_t user, int64_t at_ms)
{
    struct user *u = &w->users[user];
    int64_t next;
    if (u->state == USER_IN_ROOM) {
        next = act_in_room(w, user, at_ms);
    } else if (u->slates_left == 0) {
        if (random_chance(&w->random, 0.0005))
            forget(w, user, at_ms);
        user_depart(w, user, at_ms);
        return;
    } else {
        u->slates_left--;
        u->slates_seen++;
        act_browsing(w, user, at_ms);
        next = (int64_t)pause_ms(w, 3, 8);
        if (u->state == USER_IN_ROOM && u->stay_until_ms - at_ms < next && u->stay_until_ms > u->watch_from_ms)
            next = u->stay_until_ms - at_ms;
    }
    due_push(w, at_ms + (next > 0 ? next : 1), user);
}
