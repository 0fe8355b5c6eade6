/*
 * Published host rankings against the true worth of a host to an item, and against what a perfect observer would have
 * published. Kendall's tau without ties: worths are real numbers.
 */
#include "server/simulate/report_state.h"

#include "common/check.h"

#include <math.h>
#include <stdlib.h>

/* Pairs in the order of a ranking: `listed` in that order, the rest behind them in none. */
struct order {
    int64_t balance, pairs;
};

static void add_pairs(struct order *o, const double *worth, uint32_t listed, uint32_t all)
{
    for (uint32_t i = 0; i < listed; i++)
        for (uint32_t j = i + 1; j < all; j++, o->pairs++)
            o->balance += worth[i] > worth[j] ? 1 : -1;
}

static double tau_of(const struct order *o)
{
    return o->pairs ? (double)o->balance / (double)o->pairs : (double)NAN;
}

struct candidate {
    double believed, worth;
};

static int by_belief(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    return x->believed < y->believed ? 1 : -(x->believed > y->believed);
}

struct hosts_found {
    struct order listed, all, ceiling, ceiling_own, ceiling_all;
    double regret, regret_least;
    uint32_t rankings;
};

static void take_worths(struct candidate *c, uint32_t count, double *worth)
{
    qsort(c, count, sizeof *c, by_belief);
    for (uint32_t i = 0; i < count; i++)
        worth[i] = c[i].worth;
}

/* One ranking: its hosts come first in `c`, then those that went live and are not listed. */
static void add_ranking(struct hosts_found *f, struct candidate *c, uint32_t listed, uint32_t all, double *worth)
{
    double best = 0;
    for (uint32_t i = 0; i < all; i++) {
        worth[i] = c[i].worth;
        best = worth[i] > best ? worth[i] : best;
    }
    add_pairs(&f->listed, worth, listed, listed);
    add_pairs(&f->all, worth, listed, all);
    f->regret += 1 - worth[0] / best;
    take_worths(c, listed, worth);
    add_pairs(&f->ceiling, worth, listed, listed);
    take_worths(c, all, worth);
    add_pairs(&f->ceiling_own, worth, listed, listed);
    add_pairs(&f->ceiling_all, worth, listed, all);
    f->regret_least += 1 - worth[0] / best;
    f->rankings++;
}

static struct candidate candidate_of(const struct world *w, uint32_t host, const struct item *item)
{
    double believed = w->beliefs ? believed_quality(w, host) : 0;
    return (struct candidate){believed * host_domain(&w->hosts[host], item), host_fit(&w->hosts[host], item)};
}

static void gather_ranking(const struct report *r, const struct ranked *k, struct hosts_found *f)
{
    const struct world *w = r->world;
    uint32_t hosts = w->settings.hosts, count = 0;
    struct candidate *c = calloc(hosts, sizeof *c);
    double *worth = calloc(hosts, sizeof *worth);
    bool *taken = calloc(hosts, sizeof *taken);
    ASSERT(c && worth && taken);
    for (; count < k->count; count++) {
        taken[k->hosts[count]] = true;
        c[count] = candidate_of(w, k->hosts[count], &w->items[k->item]);
    }
    for (uint32_t i = 0; i < w->room_count; i++) {
        uint32_t host = w->rooms[i].host;
        if (!taken[host])
            c[count++] = candidate_of(w, host, &w->items[k->item]);
        taken[host] = true;
    }
    if (k->count)
        add_ranking(f, c, k->count, count, worth);
    free(c);
    free(worth);
    free(taken);
}

void find_tau(const struct report *r, int64_t end_ms, struct findings *f)
{
    const struct world *w = r->world;
    struct hosts_found found = {.regret = 0};
    int64_t ranks = 0, rankings = 0;
    size_t at = 0;
    struct map_slot slot;
    while (map_next(&r->rankings, &at, &slot)) {
        const struct ranked *k = slot.value;
        if (k->until_ms < end_ms)
            continue;
        gather_ranking(r, k, &found);
        for (uint32_t i = 0; i < k->count; i++)
            if ((int32_t)k->hosts[i] == w->lecturer && (w->course < 0 || (int32_t)k->item == w->course)) {
                ranks += i + 1;
                rankings++;
            }
    }
    f->ranked_pairs = (uint64_t)found.listed.pairs;
    f->kendall_tau = tau_of(&found.listed);
    f->kendall_tau_all = tau_of(&found.all);
    f->host_regret = found.regret / found.rankings;
    f->kendall_ceiling = w->beliefs ? tau_of(&found.ceiling) : (double)NAN;
    f->kendall_ceiling_own = w->beliefs ? tau_of(&found.ceiling_own) : (double)NAN;
    f->kendall_ceiling_all = w->beliefs ? tau_of(&found.ceiling_all) : (double)NAN;
    f->host_regret_least = w->beliefs ? found.regret_least / found.rankings : (double)NAN;
    f->scenario_host_rank = rankings ? (double)ranks / (double)rankings : (double)NAN;
}
