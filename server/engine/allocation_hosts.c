/*
 * Which host should sell an item: hosts known in the scene, ranked per item that a live room lists. Each part lies in
 * [0, 1] and is weighed by host_part_ppm; the score is their sum.
 *   entrance, dwell, interaction, conversion, gpm
 *                t / (1 + t), t = what an exposure to the host yields over what it yields in its cohort, shrunk: 1/2
 *                is average
 *   domain       the item's category and tags among the host's domains, the k-th of which (from 0) counts 2 / (2 + k);
 *                the category counts as two
 *   style        styles of the host that are among the item's tags
 *   fans         log2(fans + 1) / 24
 *   commission   1 - commission
 *
 * Results are rates, so that a famous host is not a good one. Who came without a click (a follower, by a link) was
 * not exposed; such an enter counts as the exposures that an enter takes in the scene. A host's cohort is the hosts of
 * its first domain, or the whole scene when they are fewer than cohort_rooms. Evidence fades: each day host_fade_ppm of
 * every count moves into `base`, which is subtracted.
 *
 * Shrinkage is empirical Bayes on vectors (Efron and Morris 1972), its covariance by moments (DerSimonian and Laird
 * 1986, with fixed weights). With e the count expected of a host at its cohort's rate, t the observed over it and d the
 * dispersion of the count over Poisson, t of result j varies by noise d_j / e_j around the host's own level:
 *   w = e / (e + WEIGHT_HALF),  V_jk = (sum w_j w_k (t_j - 1)(t_k - 1) - [j = k] noise) / sum w_j w_k,
 *   mixed with PRIOR_HOSTS hosts of variance PRIOR_VARIANCE and correlation CORRELATION_MAX, which is also the most
 *   that is believed: correlations estimated from few hosts reach beyond one;
 *   shrunk t = 1 + V (V + D)^-1 (t - 1),  D = diag(d_j / e_j).
 * So how much is believed follows from how much hosts differ and from how results go together: the watch time of a
 * hundred visits tells much, their two orders next to nothing, and what the watch time says of orders is used.
 *
 * Items are ranked round robin, rank_items a tick; a ranking is sent when its order or a score's percent changed,
 * and after rank_refresh_ms.
 * Cost: a tick reads every host of the scene once, and once more an item that is ranked.
 */
#include "server/engine/allocation_state.h"

#include "common/check.h"

#include <math.h>
#include <stdlib.h>

#define DAY_MS 86400000
#define FADE_DAYS_MAX 400 /* a longer pause fades no further */
#define WEIGHT_HALF 20.0
#define PRIOR_HOSTS 6.0
#define PRIOR_VARIANCE 0.05
#define CORRELATION_MAX 0.8
#define NOISE_UNKNOWN 1e6
#define PIVOT_MIN 1e-6
#define RATIO_MAX 8.0
#define COHORTS_MAX 64 /* domains; hosts of further ones are held against the scene */

/* `noise_of`: the count whose expectation says how much the result can be trusted. */
static const struct { enum host_count count, noise_of; double dispersion; } results[HOST_RESULTS] = {
    [HOST_ENTRANCE] = {HOST_COUNT_ENTER, HOST_COUNT_ENTER, 1.5},
    [HOST_DWELL] = {HOST_COUNT_WATCH_MS, HOST_COUNT_ENTER, 1.5},
    [HOST_INTERACTION] = {HOST_COUNT_INTERACTION, HOST_COUNT_INTERACTION, 4},
    [HOST_CONVERSION] = {HOST_COUNT_PURCHASE, HOST_COUNT_PURCHASE, 1.2},
    [HOST_GPM] = {HOST_COUNT_REVENUE, HOST_COUNT_PURCHASE, 2.5},
};

static const enum counter host_counters[HOST_COUNTS] = {
    [HOST_COUNT_EXPOSURE] = COUNTER_EXPOSURE,       [HOST_COUNT_CLICK] = COUNTER_CLICK,
    [HOST_COUNT_ENTER] = COUNTER_ENTER,             [HOST_COUNT_WATCH_MS] = COUNTER_WATCH_MS,
    [HOST_COUNT_INTERACTION] = COUNTER_INTERACTION, [HOST_COUNT_PURCHASE] = COUNTER_PURCHASE,
    [HOST_COUNT_REVENUE] = COUNTER_GMV,
};

struct host_cohort {
    uint32_t domain;
    uint32_t hosts;
    double offered;
    double sums[HOST_COUNTS];
};

struct host_cohorts {
    struct host_cohort at[COHORTS_MAX + 1]; /* 0: the scene */
    uint32_t count;
    double exposures_an_enter; /* of those that a click led to */
};

/* One host's ratio of one result. */
struct ratio {
    double observed; /* over the cohort's */
    double expected; /* count; 0: nothing to tell */
};

static int64_t total_of(const struct host *h, enum host_count which)
{
    return which == HOST_COUNT_REVENUE ? roi_revenue(h->tally.totals) : h->tally.totals[host_counters[which]];
}

static void fade(struct scene *c, const struct allocation_settings *s)
{
    int64_t day = c->tick_ms / DAY_MS, days = c->day ? day - c->day : 0;
    c->day = day;
    for (uint32_t i = 0; days > 0 && i < c->hosts.count; i++) {
        struct host *h = c->hosts.at[i];
        for (int k = 0; k < HOST_COUNTS; k++) {
            int64_t total = total_of(h, (enum host_count)k);
            for (int64_t d = 0; d < days && d < FADE_DAYS_MAX; d++)
                h->base[k] += (total - h->base[k]) / PPM * s->host_fade_ppm +
                              (total - h->base[k]) % PPM * s->host_fade_ppm / PPM;
        }
    }
}

static double evidence(const struct host *h, enum host_count which)
{
    int64_t left = total_of(h, which) - h->base[which];
    return left > 0 ? (double)left : 0;
}

/* Exposures, and what stands for them where people came by themselves. */
static double offered(const struct host *h, const struct host_cohorts *k)
{
    double direct = evidence(h, HOST_COUNT_ENTER) - evidence(h, HOST_COUNT_CLICK);
    return evidence(h, HOST_COUNT_EXPOSURE) + (direct > 0 ? direct * k->exposures_an_enter : 0);
}

static uint32_t cohort_find(struct host_cohorts *k, const struct host *h)
{
    if (h->domains.count == 0)
        return 0;
    uint32_t i = 1;
    while (i < k->count && k->at[i].domain != h->domains.at[0])
        i++;
    if (i == k->count && k->count <= COHORTS_MAX)
        k->at[k->count++] = (struct host_cohort){.domain = h->domains.at[0]};
    return i < k->count ? i : 0;
}

static void cohort_add(struct host_cohort *to, const struct host *h, double seen)
{
    to->hosts += seen > 0;
    to->offered += seen;
    for (int j = 0; j < HOST_COUNTS; j++)
        to->sums[j] += evidence(h, (enum host_count)j);
}

static void gather(struct scene *c, const struct allocation_settings *s, struct host_cohorts *k)
{
    double exposures = 0, clicks = 0;
    for (uint32_t i = 0; i < c->hosts.count; i++) {
        exposures += evidence(c->hosts.at[i], HOST_COUNT_EXPOSURE);
        clicks += evidence(c->hosts.at[i], HOST_COUNT_CLICK);
    }
    *k = (struct host_cohorts){.count = 1, .exposures_an_enter = clicks > 0 && exposures > clicks ? exposures / clicks : 1};
    for (uint32_t i = 0; i < c->hosts.count; i++) {
        struct host *h = c->hosts.at[i];
        double seen = offered(h, k);
        h->cohort = cohort_find(k, h);
        cohort_add(&k->at[0], h, seen);
        if (h->cohort)
            cohort_add(&k->at[h->cohort], h, seen);
    }
    for (uint32_t i = 0; i < c->hosts.count; i++) {
        struct host *h = c->hosts.at[i];
        h->cohort = k->at[h->cohort].hosts < s->cohort_rooms ? 0 : h->cohort;
    }
}

static struct ratio ratio_of(const struct host *h, const struct host_cohorts *k, enum host_part part)
{
    const struct host_cohort *of = &k->at[h->cohort];
    double seen = offered(h, k), count = of->sums[results[part].count], noise_of = of->sums[results[part].noise_of];
    if (seen <= 0 || of->offered <= 0 || count <= 0 || noise_of <= 0)
        return (struct ratio){1, 0};
    double observed = evidence(h, results[part].count) * of->offered / (seen * count);
    return (struct ratio){observed > RATIO_MAX ? RATIO_MAX : observed, seen * noise_of / of->offered};
}

/* What is known of one host, and the covariance it is shrunk by. */
struct vector {
    double less_one[HOST_RESULTS]; /* t - 1 */
    double noise[HOST_RESULTS];
    double weight[HOST_RESULTS];
};

static struct vector vector_of(const struct host *h, const struct host_cohorts *k)
{
    struct vector v;
    for (int p = 0; p < HOST_RESULTS; p++) {
        struct ratio r = ratio_of(h, k, (enum host_part)p);
        v.less_one[p] = r.observed - 1;
        v.noise[p] = r.expected > 0 ? results[p].dispersion / r.expected : NOISE_UNKNOWN;
        v.weight[p] = r.expected / (r.expected + WEIGHT_HALF);
    }
    return v;
}

static void covariance(const struct scene *c, const struct host_cohorts *k, double out[HOST_RESULTS][HOST_RESULTS])
{
    double weights[HOST_RESULTS][HOST_RESULTS] = {{0}};
    memset(out, 0, sizeof(double) * HOST_RESULTS * HOST_RESULTS);
    for (uint32_t i = 0; i < c->hosts.count; i++) {
        const struct host *h = c->hosts.at[i];
        struct vector v = vector_of(h, k);
        for (int a = 0; a < HOST_RESULTS; a++)
            for (int b = 0; b < HOST_RESULTS; b++) {
                double weight = v.weight[a] * v.weight[b];
                weights[a][b] += weight;
                out[a][b] += weight * (v.less_one[a] * v.less_one[b] - (a == b ? v.noise[a] : 0));
            }
    }
    for (int a = 0; a < HOST_RESULTS; a++)
        for (int b = 0; b < HOST_RESULTS; b++) {
            double sum = a == b && out[a][b] < 0 ? 0 : out[a][b];
            out[a][b] = (sum + PRIOR_HOSTS * PRIOR_VARIANCE * (a == b ? 1 : CORRELATION_MAX)) / (weights[a][b] + PRIOR_HOSTS);
        }
    for (int a = 0; a < HOST_RESULTS; a++)
        for (int b = 0; b < HOST_RESULTS; b++) {
            double most = CORRELATION_MAX * CORRELATION_MAX * out[a][a] * out[b][b];
            if (a != b && out[a][b] > 0 && out[a][b] * out[a][b] > most)
                out[a][b] = sqrt(most);
        }
}

/* Solves m x = y, y the last column, by Gauss and Jordan; the noise on the diagonal keeps the pivots from zero. */
static void solve(double m[HOST_RESULTS][HOST_RESULTS + 1])
{
    for (int p = 0; p < HOST_RESULTS; p++) {
        double pivot = m[p][p] > PIVOT_MIN ? m[p][p] : PIVOT_MIN;
        for (int i = p; i <= HOST_RESULTS; i++)
            m[p][i] /= pivot;
        for (int row = 0; row < HOST_RESULTS; row++) {
            double factor = row == p ? 0 : m[row][p];
            for (int i = p; i <= HOST_RESULTS; i++)
                m[row][i] -= factor * m[p][i];
        }
    }
}

static void shrink(struct host *h, const struct host_cohorts *k, double v[HOST_RESULTS][HOST_RESULTS])
{
    struct vector known = vector_of(h, k);
    double m[HOST_RESULTS][HOST_RESULTS + 1];
    for (int a = 0; a < HOST_RESULTS; a++) {
        for (int b = 0; b < HOST_RESULTS; b++)
            m[a][b] = v[a][b] + (a == b ? known.noise[a] : 0);
        m[a][HOST_RESULTS] = known.less_one[a];
    }
    solve(m);
    for (int a = 0; a < HOST_RESULTS; a++) {
        double t = 1;
        for (int b = 0; b < HOST_RESULTS; b++)
            t += v[a][b] * m[b][HOST_RESULTS];
        t = t < 1 / RATIO_MAX ? 1 / RATIO_MAX : t > RATIO_MAX ? RATIO_MAX : t;
        h->results_ppm[a] = (int32_t)(t / (1 + t) * PPM);
    }
}

static void judge(struct scene *c, const struct host_cohorts *k)
{
    double between[HOST_RESULTS][HOST_RESULTS];
    covariance(c, k, between);
    for (uint32_t i = 0; i < c->hosts.count; i++) {
        struct host *h = c->hosts.at[i];
        shrink(h, k, between);
    }
}

static bool has_tag(const struct tags *t, uint32_t tag)
{
    for (int i = 0; i < t->count; i++)
        if (t->at[i] == tag)
            return true;
    return false;
}

static int32_t domain_match(const struct host *h, const struct item *it)
{
    int64_t got = 0;
    for (int k = 0; k < h->domains.count; k++) {
        int64_t worth = 2ll * PPM / (2 + k);
        got += h->domains.at[k] == it->category ? 2 * worth : has_tag(&it->tags, h->domains.at[k]) ? worth : 0;
    }
    int64_t share = got / (2 + it->tags.count);
    /* The category alone is a full match when no tag names a domain at all. */
    int64_t category = h->domains.count ? got / 2 : 0;
    share = category > share ? category : share;
    return (int32_t)(share > PPM ? PPM : share);
}

static int32_t style_match(const struct host *h, const struct item *it)
{
    int32_t got = 0;
    for (int i = 0; i < h->style.count; i++)
        got += has_tag(&it->tags, h->style.at[i]);
    return h->style.count ? (int32_t)((int64_t)got * PPM / h->style.count) : 0;
}

static int32_t fans_log(int64_t fans)
{
    int bits = fans > 0 ? 63 - __builtin_clzll((uint64_t)fans + 1) : 0;
    return bits >= 24 ? PPM : bits * (PPM / 24);
}

static struct ranked_host rate(const struct allocation_settings *s, const struct host *h, const struct item *it)
{
    struct ranked_host r = {.host = h->name, .live = h->refs_live > 0};
    int32_t share[HOST_PARTS] = {
        [HOST_DOMAIN] = domain_match(h, it),
        [HOST_STYLE] = style_match(h, it),
        [HOST_FANS] = fans_log(h->fans),
        [HOST_COMMISSION] = h->commission_bp >= 10000 ? 0 : PPM - h->commission_bp * 100,
    };
    memcpy(share, h->results_ppm, sizeof h->results_ppm);
    for (int p = 0; p < HOST_PARTS; p++) {
        r.parts[p] = (int32_t)((int64_t)share[p] * s->host_part_ppm[p] / PPM);
        r.score_ppm += r.parts[p];
    }
    return r;
}

/* Keeps the best, ties in the order of ids. */
static void insert(struct out_ranking *to, uint32_t max, const struct ranked_host *r)
{
    uint32_t at = to->count;
    while (at > 0 && to->hosts[at - 1].score_ppm < r->score_ppm)
        at--;
    if (at >= max)
        return;
    uint32_t end = to->count < max ? to->count++ : max - 1;
    memmove(to->hosts + at + 1, to->hosts + at, (end - at) * sizeof *r);
    to->hosts[at] = *r;
}

static uint32_t print_of(const struct out_ranking *r)
{
    uint64_t h = r->count;
    for (uint32_t i = 0; i < r->count; i++) {
        const struct ranked_host *at = &r->hosts[i];
        uint64_t rest = (uint64_t)at->live << 32 | (uint32_t)(at->score_ppm / 10000);
        h = hash_mix(h ^ hash64(at->host.at, at->host.size, rest));
    }
    return (uint32_t)h | 1;
}

static void rank(struct scene *c, const struct allocation_settings *s, struct item *it, struct scene_out *out)
{
    uint32_t max = s->rank_top < RANK_MAX ? s->rank_top : RANK_MAX;
    struct out_ranking ranking = {.item = it->name};
    for (uint32_t i = 0; i < c->hosts.count; i++) {
        struct ranked_host r = rate(s, c->hosts.at[i], it);
        insert(&ranking, max, &r);
    }
    uint32_t print = print_of(&ranking);
    if (print == it->ranking && c->tick_ms - it->ranked_ms < s->rank_refresh_ms)
        return;
    it->ranking = print;
    it->ranked_ms = c->tick_ms;
    *out_add_ranking(out) = ranking;
}

void hosts_tick(struct scene *c, const struct allocation_settings *s, struct scene_out *out)
{
    struct host_cohorts cohorts;
    fade(c, s);
    gather(c, s, &cohorts);
    judge(c, &cohorts);
    uint32_t start = 0, ranked = 0, seen;
    while (start < c->items.count && c->items.ids[start] < c->rank_next)
        start++;
    for (seen = 0; seen < c->items.count && ranked < s->rank_items; seen++) {
        struct item *it = c->items.at[(start + seen) % c->items.count];
        if (it->refs_live == 0)
            continue;
        rank(c, s, it, out);
        ranked++;
    }
    if (c->items.count)
        c->rank_next = c->items.ids[(start + seen) % c->items.count];
}
