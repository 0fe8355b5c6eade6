/*
 * Users: who they are, when they come and go.
 *
 * A user has a taste for the tags of one cluster and a weaker one for another. How freely users spend is exponential
 * with mean one: that purchases a user are negative binomial, most buying little and a few much, is the regularity of
 * repeat buying (Ehrenberg, Repeat-buying, 1972). How often users come differs likewise and independently. Sessions are
 * opened so that the rate of events that was asked for comes about: `wanted` users are in session, adjusted every second
 * from what was measured. A session that pleased lets the user come back soon; one that did not may have been the last.
 */
#include "server/simulate/world_state.h"

#include "common/check.h"
#include "common/hash.h"

#include <stdlib.h>

enum { TAGS_EACH = TAGS / CLUSTERS };

#define PLEASED 0.8

/* Exponential, with mean about one; nobody is at nought and nobody beyond reason. */
static float draw_uneven(struct random *r)
{
    double value = UNEVEN_MIN + random_exponential(r, 1 - UNEVEN_MIN);
    return (float)(value < UNEVEN_MAX ? value : UNEVEN_MAX);
}

void users_make(struct world *w)
{
    uint32_t n = w->settings.users;
    w->users = calloc(n, sizeof *w->users);
    w->due = calloc(n, sizeof *w->due);
    ASSERT(w->users && w->due);
    for (uint32_t i = 0; i < n; i++) {
        struct random *r = &w->random;
        struct user *u = &w->users[i];
        u->cluster = (uint8_t)random_below(r, CLUSTERS);
        uint32_t second = random_below(r, CLUSTERS);
        for (uint32_t t = 0; t < TAGS; t++) {
            double taste = random_between(r, 0, 0.12);
            if (t / TAGS_EACH == second)
                taste = random_between(r, 0.2, 0.5);
            if (t / TAGS_EACH == u->cluster)
                taste = random_between(r, 0.6, 1);
            u->taste[t] = (uint8_t)(taste * 255);
        }
        u->spending = draw_uneven(r);
        u->rhythm = draw_uneven(r);
        u->scene = (uint8_t)random_below(r, w->settings.scenes);
        uint64_t draw = hash_mix(((uint64_t)i + 1) * 0x9e3779b97f4a7c15ull);
        u->control = (double)(draw >> 11) * 0x1p-53 < w->settings.control_share;
        w->counts.users_control += u->control;
    }
}

double match_item(const struct user *u, const struct item *i)
{
    uint32_t sum = 0;
    for (int t = 0; t < i->tag_count; t++)
        sum += u->taste[i->tags[t]];
    return sum / (255.0 * i->tag_count);
}

double match_room(const struct world *w, const struct user *u, const struct room *r)
{
    double sum = 0;
    for (uint32_t i = 0; i < r->item_count; i++)
        sum += match_item(u, &w->items[r->items[i]]);
    return 0.5 * match_item(u, &w->items[r->items[r->explaining]]) + 0.5 * sum / r->item_count;
}

double host_domain(const struct host *h, const struct item *i)
{
    return i->cluster == h->cluster ? 1 : i->cluster == h->second ? 0.7 : 0.35;
}

double host_fit(const struct host *h, const struct item *i)
{
    return h->quality * host_domain(h, i);
}

bool user_owns(const struct user *u, uint32_t item)
{
    for (uint32_t i = 0; u->life && i < u->life->owned_count; i++)
        if (u->life->owned[i].item == item && u->life->owned[i].refunded < u->life->owned[i].paid)
            return true;
    return false;
}

bool user_blocked(const struct user *u, uint32_t host)
{
    for (uint32_t i = 0; u->life && i < u->life->blocked_count; i++)
        if (u->life->blocked[i] == host)
            return true;
    return false;
}

void due_push(struct world *w, int64_t at_ms, uint32_t user)
{
    uint32_t at = w->due_count++;
    struct due d = {at_ms, user};
    while (at > 0 && d.at_ms < w->due[(at - 1) / 2].at_ms) {
        w->due[at] = w->due[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    w->due[at] = d;
}

struct due due_pop(struct world *w)
{
    struct due first = w->due[0], last = w->due[--w->due_count];
    uint32_t at = 0;
    for (uint32_t child = 1; child < w->due_count; child = 2 * at + 1) {
        if (child + 1 < w->due_count && w->due[child + 1].at_ms < w->due[child].at_ms)
            child++;
        if (w->due[child].at_ms >= last.at_ms)
            break;
        w->due[at] = w->due[child];
        at = child;
    }
    w->due[at] = last;
    return first;
}

static void user_arrive(struct world *w, uint32_t user, int64_t at_ms)
{
    struct user *u = &w->users[user];
    if (!u->life) {
        u->life = calloc(1, sizeof *u->life);
        ASSERT(u->life);
        u->life->cart = u->life->trial = -1;
    }
    u->state = USER_BROWSING;
    u->slates_left = (uint8_t)(SLATES_MIN + random_below(&w->random, SLATES_MAX - SLATES_MIN + 1));
    u->slates_seen = 0;
    u->mood = 0;
    u->session_from_ms = at_ms;
    if (w->settings.scenes > 1 && random_chance(&w->random, 0.1))
        u->scene = (uint8_t)random_below(&w->random, w->settings.scenes);
    w->active++;
    due_push(w, at_ms + (int64_t)pause_ms(w, 0, 3), user);
}

bool is_pleased(const struct user *u)
{
    return (double)u->mood > PLEASED;
}

void user_depart(struct world *w, uint32_t user, int64_t at_ms)
{
    struct user *u = &w->users[user];
    struct random *r = &w->random;
    u->state = USER_AWAY;
    w->active--;
    grow((void **)&w->sessions, &w->session_capacity, w->session_count + 1, sizeof *w->sessions);
    w->sessions[w->session_count++] = (struct session){user, u->session_from_ms, at_ms};
    bool pleased = is_pleased(u);
    u->return_ms = at_ms + (int64_t)(random_exponential(r, pleased ? 300000 : 1200000) / (double)u->rhythm);
    if (random_chance(r, pleased ? 0.02 : 0.25))
        u->return_ms += 6 * 3600000;
}

/* Somebody who is away, by rhythm: at best somebody who would come now, else who would come first of those drawn. */
static int64_t draw_user(struct world *w, int64_t now_ms)
{
    int64_t found = -1;
    for (int tries = 0; tries < 60; tries++) {
        uint32_t user = random_below(&w->random, w->settings.users);
        if (w->users[user].state != USER_AWAY || !random_chance(&w->random, (double)w->users[user].rhythm / UNEVEN_MAX))
            continue;
        if (w->users[user].return_ms <= now_ms)
            return user;
        if (found < 0 || w->users[user].return_ms < w->users[found].return_ms)
            found = user;
    }
    return found;
}

static void adjust_wanted(struct world *w)
{
    double limit = 0.4 * w->settings.users;
    double target = w->settings.rate, measured = (double)w->measured_events;
    w->measured_events = 0;
    double correction = target / (measured + 0.05 * target + 1);
    correction = correction > 1.1 ? 1.1 : correction < 0.9 ? 0.9 : correction;
    /* Only once the users that are wanted are there does the measurement say something. */
    if (w->active + 1 >= w->wanted * 0.95 || correction < 1)
        w->wanted *= correction;
    if (w->wanted > limit) {
        w->pace *= limit / w->wanted;
        w->wanted = limit;
    } else if (w->pace < 1) {
        w->pace = w->pace / correction > 1 ? 1 : w->pace / correction;
        w->wanted = limit;
    }
    w->pace = w->pace < 0.001 ? 0.001 : w->pace;
}

void users_arrive(struct world *w, int64_t now_ms)
{
    adjust_wanted(w);
    uint32_t crowd = 0;
    if (w->arrivals_left) {
        crowd = w->settings.users / 600 + 1;
        crowd = crowd < w->arrivals_left ? crowd : w->arrivals_left;
        w->arrivals_left -= crowd;
    }
    uint32_t wanted = (uint32_t)w->wanted > w->active ? (uint32_t)w->wanted - w->active : 0;
    uint32_t most = (uint32_t)(w->wanted / 10) + 1;
    wanted = (wanted < most ? wanted : most) + crowd;
    for (uint32_t i = 0; i < wanted; i++) {
        int64_t user = draw_user(w, now_ms);
        if (user < 0)
            return;
        user_arrive(w, (uint32_t)user, now_ms + random_below(&w->random, 1000));
        if (i < crowd && w->rooms[w->star_room].open)
            w->users[user].for_star = true;
    }
}
