/*
 * What the results of a host are worth: how each step of the funnel goes with it, over how it goes in its cohort.
 *
 *   entrance     clicks an exposure          interaction  interactions a millisecond watched
 *   dwell        time watched an enter       conversion   carts and orders a millisecond watched
 *                                            gpm          revenue an order
 * A step whose base nobody has counted takes the base of the step before. Steps are taken one by one because their noise
 * is independent; published is what they make together: yields of an exposure, each the product of its steps.
 *
 * Results are standardised by how they came about (indirect standardisation; Keiding and Clayton 2014). A list shows a
 * host to those it suits, and a host with the wares of another field on show does worse: neither is the host's doing. So
 * counts are kept by stratum (see STRATA), as they moved from one rollup to the next; an order counts for at most ORDER_MAX
 * mean orders of the scene, so that one wholesale order does not make a host (winsorising). With n_s the base of a host in
 * stratum s and r_s the scene's rate there, x = sum n_s r_s is expected of it, up to the level of its cohort, which is the
 * hosts of its first domain, or the whole scene when they are fewer than cohort_rooms. Evidence fades: each day every
 * count loses host_fade_ppm.
 *
 * Shrinkage is empirical Bayes on vectors (Efron and Morris 1972), its covariance by moments (DerSimonian and Laird
 * 1986, with fixed weights). With e the count expected of a host at its cohort's rate, t the observed over it and d the
 * dispersion of the count over Poisson, t of step j varies by noise d_j / e_j around the host's own level:
 *   w = e / (e + WEIGHT_HALF),  V_jk = (sum w_j w_k (t_j - 1)(t_k - 1) - [j = k] noise) / sum w_j w_k,
 *   mixed with PRIOR_HOSTS hosts of variance PRIOR_VARIANCE and correlation CORRELATION_MAX, which is also the most
 *   that is believed: correlations estimated from few hosts reach beyond one;
 *   shrunk t = 1 + V (V + D)^-1 (t - 1),  D = diag(d_j / e_j).
 * So how much is believed follows from how much hosts differ and from how steps go together: the watch time of a hundred
 * visits tells much, their two orders next to nothing, and what the watch time says of orders is used.
 * Cost: a tick reads every host of the scene five times.
 */
#include "server/engine/allocation_state.h"

#include <math.h>

#define DAY_MS 86400000
#define FADE_DAYS_MAX 400 /* after a longer pause nothing is left */
#define WEIGHT_HALF 20.0
#define PRIOR_HOSTS 6.0
#define PRIOR_VARIANCE 0.05
#define CORRELATION_MAX 0.8
#define NOISE_UNKNOWN 1e6
#define PIVOT_MIN 1e-6
#define RATIO_MAX 64.0
#define ORDER_MAX 16
#define COHORTS_MAX 64 /* domains; hosts of further ones are held against the scene */

/* `base` is one of the first counts or an order; `before`: the step that leads here. */
static const struct step {
    enum host_count count, base, noise_of; /* the last: whose expectation says how much the ratio can be trusted */
    enum host_part before;
    double dispersion;
} steps[HOST_RESULTS] = {
    [HOST_ENTRANCE] = {HOST_COUNT_CLICK, HOST_COUNT_EXPOSURE, HOST_COUNT_CLICK, HOST_ENTRANCE, 1.5},
    [HOST_DWELL] = {HOST_COUNT_WATCH_MS, HOST_COUNT_ENTER, HOST_COUNT_ENTER, HOST_ENTRANCE, 1.5},
    [HOST_INTERACTION] = {HOST_COUNT_INTERACTION, HOST_COUNT_WATCH_MS, HOST_COUNT_INTERACTION, HOST_DWELL, 4},
    [HOST_CONVERSION] = {HOST_COUNT_WANTED, HOST_COUNT_WATCH_MS, HOST_COUNT_WANTED, HOST_DWELL, 1.2},
    [HOST_GPM] = {HOST_COUNT_REVENUE, HOST_COUNT_PURCHASE, HOST_COUNT_PURCHASE, HOST_CONVERSION, 4},
};

static const enum counter host_counters[HOST_COUNTS] = {
    [HOST_COUNT_EXPOSURE] = COUNTER_EXPOSURE,       [HOST_COUNT_CLICK] = COUNTER_CLICK,
    [HOST_COUNT_ENTER] = COUNTER_ENTER,             [HOST_COUNT_WATCH_MS] = COUNTER_WATCH_MS,
    [HOST_COUNT_INTERACTION] = COUNTER_INTERACTION, [HOST_COUNT_WANTED] = COUNTER_CART,
    [HOST_COUNT_PURCHASE] = COUNTER_PURCHASE,       [HOST_COUNT_REVENUE] = COUNTER_GMV,
};

/* The scene's rate of each step by stratum. */
struct rates {
    enum host_count count[HOST_RESULTS], base[HOST_RESULTS];
    double of[HOST_RESULTS][STRATA];
};

struct host_cohort {
    uint32_t domain;
    uint32_t hosts;
    double expected[HOST_RESULTS], observed[HOST_RESULTS], noise_of[HOST_RESULTS];
};

struct host_cohorts {
    struct rates rates;
    struct host_cohort at[COHORTS_MAX + 1]; /* 0: the scene */
    uint32_t count;
};

/* What is known of one host. */
struct vector {
    double less_one[HOST_RESULTS]; /* t - 1 */
    double noise[HOST_RESULTS];
    double weight[HOST_RESULTS];
};

static int64_t within(int64_t value)
{
    return value > SCENE_NUMBER_MAX ? SCENE_NUMBER_MAX : value < -SCENE_NUMBER_MAX ? -SCENE_NUMBER_MAX : value;
}

static int64_t count_in(const int64_t totals[COUNTERS], enum host_count which)
{
    if (which == HOST_COUNT_WANTED)
        return within(totals[COUNTER_CART] + totals[COUNTER_PURCHASE]);
    return which == HOST_COUNT_REVENUE ? within(roi_revenue(totals)) : totals[host_counters[which]];
}

/* What one rollup says an order was worth has bounds, both ways, so that a refund takes back what the order brought. */
static int64_t winsorised(const struct scene *c, int64_t revenue, int64_t orders)
{
    int64_t most;
    if (c->order_worth <= 0 || __builtin_mul_overflow(c->order_worth * ORDER_MAX, orders < 1 ? 1 : orders, &most))
        return revenue;
    return revenue > most ? most : revenue < -most ? -most : revenue;
}

/* Days leave what came by recommendations, so it may fall where the totals rise; it moves within them. */
void results_take(const struct scene *c, struct host *h, const struct tally *before, const struct rollup *u)
{
    int stratum = h->afield ? STRATUM_AFIELD : 0;
    int64_t orders = u->totals[COUNTER_PURCHASE] - before->totals[COUNTER_PURCHASE];
    for (int k = 0; k < HOST_COUNTS; k++) {
        int64_t moved = count_in(u->totals, (enum host_count)k) - count_in(before->totals, (enum host_count)k);
        int64_t total = count_in(u->recommended, (enum host_count)k), part = total - h->recommended[k];
        moved = k == HOST_COUNT_REVENUE ? winsorised(c, moved, orders) : moved;
        int64_t low = moved < 0 ? moved : 0, high = moved > 0 ? moved : 0;
        part = part < low ? low : part > high ? high : part;
        h->recommended[k] = total;
        int64_t *rest = &h->results[stratum][k], *led = &h->results[stratum | STRATUM_RECOMMENDED][k];
        *rest = within(*rest + (moved - part));
        *led = within(*led + part);
    }
}

static void fade(struct scene *c, const struct allocation_settings *s)
{
    int64_t day = c->tick_ms / DAY_MS, days = c->day ? day - c->day : 0;
    c->day = day;
    for (uint32_t i = 0; days > 0 && i < c->hosts.count; i++) {
        struct host *h = c->hosts.at[i];
        for (int k = 0; k < STRATA * HOST_COUNTS; k++) {
            int64_t *left = &h->results[k / HOST_COUNTS][k % HOST_COUNTS];
            for (int64_t d = 0; d < days && d < FADE_DAYS_MAX; d++)
                *left -= *left / PPM * s->host_fade_ppm + *left % PPM * s->host_fade_ppm / PPM;
        }
    }
}

static double evidence(const struct host *h, int stratum, enum host_count which)
{
    return h->results[stratum][which] > 0 ? (double)h->results[stratum][which] : 0;
}

static double evidence_in_all(const struct host *h, enum host_count which)
{
    double sum = 0;
    for (int s = 0; s < STRATA; s++)
        sum += evidence(h, s, which);
    return sum;
}

static void find_order_worth(struct scene *c)
{
    double revenue = 0, orders = 0;
    for (uint32_t i = 0; i < c->hosts.count; i++) {
        revenue += evidence_in_all(c->hosts.at[i], HOST_COUNT_REVENUE);
        orders += evidence_in_all(c->hosts.at[i], HOST_COUNT_PURCHASE);
    }
    double worth = orders > 0 ? revenue / orders : 0;
    c->order_worth = worth < ORDER_WORTH_MAX ? (int64_t)worth : ORDER_WORTH_MAX;
}

static void find_rates(const struct scene *c, struct rates *out)
{
    double sums[STRATA][HOST_COUNTS] = {{0}}, all[HOST_COUNTS] = {0};
    for (uint32_t i = 0; i < c->hosts.count; i++)
        for (int s = 0; s < STRATA; s++)
            for (int k = 0; k < HOST_COUNTS; k++) {
                sums[s][k] += evidence(c->hosts.at[i], s, (enum host_count)k);
                all[k] += evidence(c->hosts.at[i], s, (enum host_count)k);
            }
    for (int j = 0; j < HOST_RESULTS; j++) {
        enum host_count base = steps[j].base, count = steps[j].count;
        while (base <= HOST_COUNT_WATCH_MS && base > HOST_COUNT_EXPOSURE && all[base] <= 0)
            base--;
        if (count == HOST_COUNT_CLICK && all[count] <= 0)
            count = HOST_COUNT_ENTER;
        out->base[j] = base;
        out->count[j] = count;
        for (int s = 0; s < STRATA; s++)
            out->of[j][s] = sums[s][base] > 0 ? sums[s][count] / sums[s][base] : 0;
    }
}

/* At the scene's rates. */
static double expected_of(const struct host *h, const struct rates *r, int step)
{
    double sum = 0;
    for (int s = 0; s < STRATA; s++)
        sum += evidence(h, s, r->base[step]) * r->of[step][s];
    return sum;
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

static void cohort_add(struct host_cohort *to, const struct host *h, const struct rates *r)
{
    bool known = false;
    for (int j = 0; j < HOST_RESULTS; j++) {
        double expected = expected_of(h, r, j);
        known = known || expected > 0;
        to->expected[j] += expected;
        to->observed[j] += evidence_in_all(h, r->count[j]);
        to->noise_of[j] += evidence_in_all(h, steps[j].noise_of == steps[j].count ? r->count[j] : steps[j].noise_of);
    }
    to->hosts += known;
}

static void gather(struct scene *c, const struct allocation_settings *s, struct host_cohorts *k)
{
    *k = (struct host_cohorts){.count = 1};
    find_rates(c, &k->rates);
    for (uint32_t i = 0; i < c->hosts.count; i++) {
        struct host *h = c->hosts.at[i];
        h->cohort = cohort_find(k, h);
        cohort_add(&k->at[0], h, &k->rates);
        if (h->cohort)
            cohort_add(&k->at[h->cohort], h, &k->rates);
    }
    for (uint32_t i = 0; i < c->hosts.count; i++) {
        struct host *h = c->hosts.at[i];
        h->cohort = k->at[h->cohort].hosts < s->cohort_rooms ? 0 : h->cohort;
    }
}

static struct vector vector_of(const struct host *h, const struct host_cohorts *k)
{
    const struct host_cohort *of = &k->at[h->cohort];
    struct vector v;
    for (int j = 0; j < HOST_RESULTS; j++) {
        double expected = expected_of(h, &k->rates, j), t = 1, trusted = 0;
        if (expected > 0 && of->observed[j] > 0) {
            t = evidence_in_all(h, k->rates.count[j]) * of->expected[j] / (expected * of->observed[j]);
            trusted = expected * of->noise_of[j] / of->expected[j];
        }
        v.less_one[j] = (t > RATIO_MAX ? RATIO_MAX : t) - 1;
        v.noise[j] = trusted > 0 ? steps[j].dispersion / trusted : NOISE_UNKNOWN;
        v.weight[j] = trusted / (trusted + WEIGHT_HALF);
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

static double bounded(double t)
{
    return t < 1 / RATIO_MAX ? 1 / RATIO_MAX : t > RATIO_MAX ? RATIO_MAX : t;
}

static void shrink(struct host *h, const struct host_cohorts *k, double v[HOST_RESULTS][HOST_RESULTS])
{
    struct vector known = vector_of(h, k);
    double m[HOST_RESULTS][HOST_RESULTS + 1], yield[HOST_RESULTS];
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
        yield[a] = bounded(bounded(t) * (a == HOST_ENTRANCE ? 1 : yield[steps[a].before]));
        h->results_ppm[a] = (int32_t)(sqrt(yield[a]) / (1 + sqrt(yield[a])) * PPM);
    }
}

void results_tick(struct scene *c, const struct allocation_settings *s)
{
    struct host_cohorts k;
    double between[HOST_RESULTS][HOST_RESULTS];
    fade(c, s);
    find_order_worth(c);
    gather(c, s, &k);
    covariance(c, &k, between);
    for (uint32_t i = 0; i < c->hosts.count; i++)
        shrink(c->hosts.at[i], &k, between);
}
