/*
 * What a user is shown, and what comes of it: the place where the loop closes.
 *
 * P(click | shown at pos) = 0.6 (0.05 + 0.95 match) (0.4 + 0.6 host quality) 0.6^n / (1 + 0.2 pos), n = how often the room
 * was shown to the user in the last ten minutes: people tire of what they passed by. The first click ends the list.
 * P(purchase | a look at the item) = 0.3 match^2 presented appeal quality spending; `presented` is the host's fit.
 */
#include "server/simulate/world_state.h"

#include <math.h>

#define TIRED_MS 600000

struct slate {
    uint32_t rooms[SLATE];
    uint32_t count;
    uint32_t recommended; /* so many of them came from the recommendation, first */
    uint8_t pos[SLATE];   /* place in the recommendation */
};

double pause_ms(struct world *w, double low_s, double high_s)
{
    return 1 + 1000 * w->pace * random_between(&w->random, low_s, high_s);
}

static bool slate_has(const struct slate *s, uint32_t room)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->rooms[i] == room)
            return true;
    return false;
}

static bool can_show(const struct world *w, const struct user *u, const struct slate *s, uint32_t room)
{
    const struct room *r = &w->rooms[room];
    return r->open && r->scenes >> u->scene & 1 && !slate_has(s, room) && !user_blocked(u, r->host);
}

static void add_recommended(struct world *w, const struct user *u, struct slate *s)
{
    const struct shown *l = u->shown;
    if (u->control || !l || l->expires_ms < w->now_ms || l->scene != u->scene)
        return;
    for (uint32_t i = l->next; i < l->room_count && s->count < SLATE - 1; i++)
        if (can_show(w, u, s, l->rooms[i]) && room_weight(w, &w->rooms[l->rooms[i]], u->scene) > 0) {
            s->pos[s->count] = (uint8_t)i;
            s->rooms[s->count++] = l->rooms[i];
        }
    s->recommended = s->count;
}

/* What a look at the room is worth to this user, from the truth. */
static double true_value(const struct world *w, const struct user *u, const struct room *r)
{
    const struct item *i = &w->items[r->items[r->explaining]];
    const struct host *h = &w->hosts[r->host];
    if (user_owns(u, r->items[r->explaining]) || i->requires >= 0)
        return 0;
    double match = match_item(u, i);
    return match_room(w, u, r) * linear_at(WISH, h->quality) * match * match * host_fit(h, i) * i->appeal * i->quality;
}

static void add_true_best(struct world *w, const struct user *u, struct slate *s)
{
    if (!w->settings.oracle || u->control)
        return;
    while (s->count < SLATE - 1) {
        double best_value = -1;
        uint32_t best = 0;
        for (uint32_t i = 0; i < w->live_count; i++) {
            const struct room *r = &w->rooms[w->live[i]];
            double value = can_show(w, u, s, r->number) ? true_value(w, u, r) : -1;
            if (value > best_value) {
                best_value = value;
                best = r->number;
            }
        }
        if (best_value < 0)
            return;
        s->rooms[s->count++] = best;
    }
}

static void add_popular(struct world *w, const struct user *u, struct slate *s)
{
    for (int tries = 0; s->count < SLATE && tries < 3 * SLATE; tries++) {
        int32_t room = room_draw(w, u->scene, !u->control);
        if (room >= 0 && can_show(w, u, s, (uint32_t)room))
            s->rooms[s->count++] = (uint32_t)room;
    }
}

static struct draft shown_draft(const struct world *w, uint32_t user, const struct slate *s, uint32_t at,
                                enum event_type type)
{
    const struct room *r = &w->rooms[s->rooms[at]];
    struct draft d = draft_of(type, user);
    d.room = (int32_t)r->number;
    d.host = (int32_t)r->host;
    d.explaining = (int32_t)r->items[r->explaining];
    d.source = "feed";
    if (at < s->recommended) {
        d.source = "recommendation";
        d.rec = w->users[user].shown->rec;
        d.pos = s->pos[at];
    }
    return d;
}

struct linear stay_of(const struct world *w, const struct user *u, const struct room *r)
{
    double scale = 90 * match_room(w, u, r);
    return (struct linear){2 + scale * LIKING.low, scale * LIKING.slope};
}

double wish_factor(const struct world *w, const struct user *u, const struct room *r)
{
    return 0.6 * (0.05 + 0.95 * match_room(w, u, r));
}

void enter_room(struct world *w, uint32_t user, uint32_t room, const char *source, int64_t at_ms)
{
    struct user *u = &w->users[user];
    struct room *r = &w->rooms[room];
    struct linear mean_s = stay_of(w, u, r);
    u->state = USER_IN_ROOM;
    u->room = room;
    u->source = source;
    u->watch_from_ms = at_ms;
    double stay_s = random_exponential(&w->random, linear_at(mean_s, w->hosts[r->host].quality));
    believe_stay(w, r->host, mean_s, stay_s);
    u->stay_until_ms = at_ms + (int64_t)(1000 * stay_s * w->pace);
    r->viewers++;
}

/* Notes that the room is shown, and answers what is left of the wish to see it. */
static double freshness(struct life *l, uint32_t room, int64_t at_ms)
{
    double left = 1;
    for (int i = 0; i < SEEN_MAX; i++)
        if (l->seen[i].at_ms > at_ms - TIRED_MS && l->seen[i].room == room)
            left *= 0.6;
    l->seen[l->seen_next++ % SEEN_MAX] = (struct glance){room, at_ms};
    return left;
}

static void click(struct world *w, uint32_t user, const struct slate *s, uint32_t at, int64_t at_ms)
{
    struct user *u = &w->users[user];
    struct room *r = &w->rooms[s->rooms[at]];
    struct draft d = shown_draft(w, user, s, at, EVENT_CLICK);
    emit_event(w, &d, at_ms);
    double chance = 0.9 * room_factor(w, r, FAULT_ENTRANCE);
    room_suffer(w, r, FAULT_ENTRANCE, chance);
    if (!random_chance(&w->random, chance))
        return;
    d.type = EVENT_ENTER;
    emit_event(w, &d, at_ms + 1);
    u->pos = (uint8_t)at;
    u->came_by_rec = at < s->recommended;
    enter_room(w, user, r->number, d.source, at_ms + 1);
}

static void count_new(struct world *w, const struct room *r, int64_t at_ms)
{
    w->counts.rooms_shown++;
    w->counts.rooms_shown_new += host_is_new(w, r->host, at_ms);
    w->counts.rooms_shown_even += (double)w->live_new / w->live_count;
}

void show_rooms(struct world *w, uint32_t user, int64_t at_ms)
{
    struct user *u = &w->users[user];
    struct slate s = {.count = 0};
    add_true_best(w, u, &s);
    add_recommended(w, u, &s);
    if (!u->control) {
        w->counts.slates_recommended += s.recommended > 0;
        w->counts.slates_other += s.recommended == 0;
    }
    if (s.recommended)
        u->shown->next = s.pos[s.recommended - 1] + 1u;
    add_popular(w, u, &s);
    double fresh[SLATE];
    for (uint32_t i = 0; i < s.count; i++) {
        fresh[i] = freshness(u->life, s.rooms[i], at_ms);
        struct draft d = shown_draft(w, user, &s, i, EVENT_IMPRESSION);
        struct room *r = &w->rooms[s.rooms[i]];
        emit_event(w, &d, at_ms);
        u->exposures++;
        r->exposures++;
        if (!u->control)
            count_new(w, r, at_ms);
    }
    for (uint32_t i = 0; i < s.count; i++) {
        const struct room *r = &w->rooms[s.rooms[i]];
        double factor = fresh[i] * wish_factor(w, u, r) / (1 + 0.2 * i);
        bool clicked = random_chance(&w->random, factor * linear_at(WISH, w->hosts[r->host].quality));
        believe_chance(w, r->host, factor, WISH, clicked);
        if (clicked) {
            click(w, user, &s, i, at_ms + (int64_t)pause_ms(w, 0.3, 2));
            return;
        }
    }
}

void show_items(struct world *w, uint32_t user, int64_t at_ms)
{
    struct user *u = &w->users[user];
    const struct shown *l = u->shown;
    struct draft d = draft_of(EVENT_IMPRESSION, user);
    uint32_t item = random_zipf(&w->random, w->settings.items - 2);
    d.source = "feed";
    if (!u->control && l && l->expires_ms >= w->now_ms && l->item_count && l->scene == u->scene) {
        d.pos = (int32_t)random_below(&w->random, l->item_count < 3 ? l->item_count : 3);
        item = l->items[d.pos];
        d.rec = l->rec;
        d.source = "recommendation";
    }
    d.item = (int32_t)item;
    emit_event(w, &d, at_ms);
    u->exposures++;
    double match = match_item(u, &w->items[item]);
    if (!random_chance(&w->random, 0.05 + 0.7 * match))
        return;
    at_ms += (int64_t)pause_ms(w, 0.3, 2);
    d.type = EVENT_CLICK;
    emit_event(w, &d, at_ms);
    d.type = EVENT_BROWSE;
    d.rec = NULL;
    d.pos = -1;
    emit_event(w, &d, at_ms + 1);
    double chance = purchase_chance(w, user, item, 0.25);
    u->expected_purchases += (float)chance;
    if (random_chance(&w->random, chance))
        buy(w, user, d, item, at_ms + 2);
}

double purchase_chance(const struct world *w, uint32_t user, uint32_t item, double presented)
{
    const struct user *u = &w->users[user];
    const struct item *i = &w->items[item];
    double match = match_item(u, i);
    double chance = 0.3 * match * match * presented * i->appeal * i->quality * (double)u->spending;
    if (user_owns(u, item) || i->restricted)
        return 0;
    if (i->requires >= 0 && !user_owns(u, (uint32_t)i->requires))
        chance *= 0.1;
    if (u->life->trial == (int32_t)item || (w->course == (int32_t)item && u->life->trial == w->course - 1))
        chance *= 2.5;
    if (u->life->cart == (int32_t)item)
        chance *= 2.5;
    return chance < 1 ? chance : 1;
}

void buy(struct world *w, uint32_t user, struct draft d, uint32_t item, int64_t at_ms)
{
    struct user *u = &w->users[user];
    struct life *l = u->life;
    if (l->owned_count == OWNED_MAX) {
        memmove(l->owned, l->owned + 1, (OWNED_MAX - 1) * sizeof *l->owned);
        l->owned_count--;
    }
    struct owned *o = &l->owned[l->owned_count++];
    d.type = EVENT_PURCHASE;
    d.item = (int32_t)item;
    d.qty = random_chance(&w->random, 0.02) ? 2 : -1;
    d.amount = w->items[item].price * (d.qty > 0 ? d.qty : 1);
    d.order = (int64_t)w->orders++;
    *o = (struct owned){.item = item, .order = (uint64_t)d.order, .paid = d.amount};
    emit_event(w, &d, at_ms);
    u->purchases++;
    u->mood += 0.5f;
    l->cart = -1;
    grow((void **)&w->purchases, &w->purchase_capacity, w->purchase_count + 1, sizeof *w->purchases);
    w->purchases[w->purchase_count++] = (struct purchase){user, at_ms};
}
