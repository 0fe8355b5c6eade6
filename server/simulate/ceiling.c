/*
 * How well anybody could have told the hosts apart: for every host the posterior of its quality, given every draw that
 * depended on it and all that a recommender cannot see (tastes, spending, faults). The prior is the true one.
 *
 * Each chance is linear in the quality, factor (low + slope quality), so a posterior is a sum of logarithms over a
 * grid; a stay is exponential with such a mean. What is found is a bound in expectation, not for each seed.
 *
 * And how well anybody could have told who buys: the purchases that the truth lets one expect of a user, with the lists
 * and visits to come taken at their means. Nobody knows the draws themselves, so no prediction orders users much better.
 * An observer who sees every look and purchase, and knows tastes and qualities, still has to tell from them how freely a
 * user spends: purchases are Poisson with spending times `exposure`, so the posterior is known; and how long a user still
 * looks at lists is known on average only.
 */
#include "server/simulate/world_state.h"

#include "common/check.h"

#include <math.h>
#include <stdlib.h>

static double grid_at(int k)
{
    return QUALITY_MIN + (QUALITY_MAX - QUALITY_MIN) * (k + 0.5) / BELIEFS;
}

void believe_chance(struct world *w, uint32_t host, double factor, struct linear of, bool happened)
{
    for (int k = 0; w->beliefs && k < BELIEFS; k++) {
        double chance = factor * (of.low + of.slope * grid_at(k));
        chance = chance < 1e-9 ? 1e-9 : chance > 1 - 1e-9 ? 1 - 1e-9 : chance;
        w->beliefs[host].log[k] += log(happened ? chance : 1 - chance);
    }
}

void believe_stay(struct world *w, uint32_t host, struct linear mean_s, double stay_s)
{
    for (int k = 0; w->beliefs && k < BELIEFS; k++) {
        double mean = mean_s.low + mean_s.slope * grid_at(k);
        w->beliefs[host].log[k] -= log(mean) + stay_s / mean;
    }
}

double believed_quality(const struct world *w, uint32_t host)
{
    const struct belief *b = &w->beliefs[host];
    double most = b->log[0], sum = 0, mean = 0;
    for (int k = 1; k < BELIEFS; k++)
        most = b->log[k] > most ? b->log[k] : most;
    for (int k = 0; k < BELIEFS; k++) {
        double weight = exp(b->log[k] - most);
        sum += weight;
        mean += weight * grid_at(k);
    }
    return mean / sum;
}

#define LOOK_S 7.0  /* between two acts in a room */
#define LIST_S 5.5  /* between two lists */

struct prospect {
    double wish;   /* sum of the chances of a click */
    double bought; /* purchases of the visits they lead to, and their seconds */
    double stayed_s;
    uint32_t rooms;
};

static double mean_stay_s(const struct world *w, const struct user *u, const struct room *r)
{
    return linear_at(stay_of(w, u, r), w->hosts[r->host].quality);
}

static double bought_in(const struct world *w, uint32_t user, const struct room *r, double stay_s)
{
    uint32_t item = r->items[r->explaining];
    double fit = host_fit(&w->hosts[r->host], &w->items[item]) * room_factor(w, r, FAULT_CONVERSION);
    return stay_s / LOOK_S * purchase_chance(w, user, item, fit);
}

static void look_at(const struct world *w, uint32_t user, const struct room *r, double weight, struct prospect *p)
{
    const struct user *u = &w->users[user];
    double wish = weight * wish_factor(w, u, r) * linear_at(WISH, w->hosts[r->host].quality), stay_s = mean_stay_s(w, u, r);
    p->wish += wish;
    p->bought += wish * bought_in(w, user, r, stay_s);
    p->stayed_s += wish * stay_s;
    p->rooms++;
}

/* What the user's next lists show, on average. */
static struct prospect prospect_of(const struct world *w, uint32_t user)
{
    const struct user *u = &w->users[user];
    struct prospect p = {0};
    double total = 0;
    if (!u->control && u->shown && u->shown->expires_ms >= w->now_ms)
        for (uint32_t i = 0; i < u->shown->room_count; i++)
            if (w->rooms[u->shown->rooms[i]].open)
                look_at(w, user, &w->rooms[u->shown->rooms[i]], 1, &p);
    if (p.rooms)
        return p;
    for (uint32_t i = 0; i < w->live_count; i++)
        total += w->popularity[i];
    for (uint32_t i = 0; i < w->live_count; i++)
        if (w->rooms[w->live[i]].scenes >> u->scene & 1)
            look_at(w, user, &w->rooms[w->live[i]], w->popularity[i] / total * w->live_count, &p);
    return p;
}

/* Of purchases within the horizon, when the user looks at `lists_most` more lists. */
static double purchases_within(const struct world *w, uint32_t user, int64_t horizon_ms, double lists_most)
{
    const struct user *u = &w->users[user];
    double left_s = (double)horizon_ms / 1000, bought = 0;
    if (u->state == USER_IN_ROOM) {
        double mean_s = mean_stay_s(w, u, &w->rooms[u->room]), stay_s = mean_s * (1 - exp(-left_s / mean_s));
        bought += bought_in(w, user, &w->rooms[u->room], stay_s);
        left_s -= stay_s;
    }
    struct prospect p = prospect_of(w, user);
    if (p.rooms == 0 || p.wish <= 0)
        return bought;
    double clicked = 1 - pow(1 - p.wish / p.rooms * 0.7, SLATE), lists = left_s / (LIST_S + clicked * p.stayed_s / p.wish);
    return bought + (lists < lists_most ? lists : lists_most) * clicked * p.bought / p.wish;
}

double expected_purchases(const struct world *w, uint32_t user, int64_t horizon_ms)
{
    return purchases_within(w, user, horizon_ms, w->users[user].slates_left);
}

/* Posterior mean of the spending; its prior is draw_uneven()'s. */
static double believed_spending(const struct user *u)
{
    double exposure = (double)u->expected_purchases / (double)u->spending, sum = 0, mean = 0;
    double step = (UNEVEN_MAX - UNEVEN_MIN) / BELIEFS, most = u->purchases ? u->purchases / (exposure + 1 / (1 - UNEVEN_MIN)) : UNEVEN_MIN;
    for (int k = 0; k <= BELIEFS; k++) {
        double spending = k < BELIEFS ? UNEVEN_MIN + step * (k + 0.5) : UNEVEN_MAX, rest = (spending - UNEVEN_MIN) / (1 - UNEVEN_MIN);
        double prior = k < BELIEFS ? step / (1 - UNEVEN_MIN) * exp(-rest) : exp(-rest);
        double weight = prior * exp(u->purchases * log(spending / most) - exposure * (spending - most));
        sum += weight;
        mean += weight * spending;
    }
    return mean / sum;
}

double foreseeable_purchases(const struct world *w, uint32_t user, int64_t horizon_ms)
{
    const struct user *u = &w->users[user];
    int least = u->slates_seen > SLATES_MIN ? u->slates_seen : SLATES_MIN;
    double lists = (least + SLATES_MAX) / 2.0 - u->slates_seen;
    return purchases_within(w, user, horizon_ms, lists) * believed_spending(u) / (double)u->spending;
}
