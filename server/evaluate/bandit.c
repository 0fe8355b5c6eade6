/*
 * P6: arms with known click rates are rooms of one scene, a click is an enter. What goes where is said by the weights of the
 * allocation engine, a batch a tick. The defaults explore and cap what a room may get; rows without either say what that is
 * worth. Beside it inverse propensities from the logs of the data set.
 */
#include "server/evaluate/pool.h"
#include "server/evaluate/protocols.h"

#include "common/check.h"
#include "common/hash.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define ARMS_MAX 128
#define BATCH 200
#define SEEDS 20
#define IMPRESSIONS 200000
#define EARLY 20000
#define TICK_MS 3000
#define USERS 500

struct arms {
    int count;
    double rate[ARMS_MAX];
};

struct chance {
    uint64_t state;
};

static double uniform(struct chance *c)
{
    c->state += 0x9e3779b97f4a7c15u;
    return ((double)(hash_mix(c->state) >> 11) + 0.5) * 0x1p-53;
}

/* A room by its weight. */
static uint32_t draw(const struct scene_out *out, struct chance *c)
{
    double at = uniform(c) * PPM;
    size_t i = 0;
    while (i + 1 < out->weight_count && (at -= out->weights[i].weight_ppm) > 0)
        i++;
    return pool_place(&out->weights[i].room);
}

static bool read_arms(const char *data, struct arms *out)
{
    struct table *t = table_open(data, "open-bandit/prior_bts.yaml");
    char *f[4];
    double alpha[ARMS_MAX];
    int alphas = 0, n;
    bool in_alpha = false, in_beta = false;
    *out = (struct arms){0};
    while (t && (n = table_next(t, " \t", f, 4)) >= 0) {
        if (n == 0)
            break;
        if (strncmp(f[0], "men:", 4) == 0 || strncmp(f[0], "women:", 6) == 0)
            break;
        if (strcmp(f[0], "alpha:") == 0 || strcmp(f[0], "beta:") == 0) {
            in_alpha = f[0][0] == 'a';
            in_beta = !in_alpha;
        } else if (f[0][0] == '-' && n > 1 && in_alpha && alphas < ARMS_MAX) {
            alpha[alphas++] = atof(f[1]);
        } else if (f[0][0] == '-' && n > 1 && in_beta && out->count < alphas) {
            out->rate[out->count] = alpha[out->count] / (alpha[out->count] + atof(f[1]));
            out->count++;
        }
    }
    if (t)
        table_close(t);
    return out->count > 1;
}

/* What SEEDS lives gave. */
struct series {
    double sum, squares;
};

static void series_add(struct series *s, double value)
{
    s->sum += value;
    s->squares += value * value;
}

static double error_of(const struct series *s)
{
    double mean = s->sum / SEEDS;
    return sqrt((s->squares / SEEDS - mean * mean) / (SEEDS - 1));
}

/* One life of the pool: the weights of a tick say where the next batch of impressions goes; who clicks enters. */
static void play(const struct stream_settings *settings, const struct arms *arms, uint64_t seed, struct series *early, struct series *late)
{
    struct pool *pool = pool_create(settings);
    struct chance env = {hash_mix(seed)}, own = {hash_mix(seed + 1000)};
    double clicks = 0, uniform_rate = 0;
    int64_t now_ms = 1732370000000;
    uint32_t user = 0;
    for (int a = 0; a < arms->count; a++) {
        uniform_rate += arms->rate[a] / arms->count;
        pool_open(pool, (uint32_t)a, now_ms);
    }
    for (int i = 0; i < IMPRESSIONS; i += BATCH) {
        for (int a = 0; i / BATCH % 10 == 0 && a < arms->count; a++)
            pool_event(pool, USERS, "leave", (uint32_t)a, now_ms, ""); /* somebody is there: the room is not silent */
        const struct scene_out *out = pool_tick(pool, now_ms += TICK_MS);
        uint32_t places[BATCH];
        for (int k = 0; k < BATCH; k++)
            places[k] = draw(out, &own);
        for (int k = 0; k < BATCH; k++) {
            user = (user + 1) % USERS;
            pool_event(pool, user, "impression", places[k], now_ms, "");
            if (uniform(&env) >= arms->rate[places[k]])
                continue;
            clicks++;
            pool_event(pool, user, "click", places[k], now_ms, "");
            pool_event(pool, user, "enter", places[k], now_ms, "");
        }
        if (i + BATCH == EARLY)
            series_add(early, clicks / (EARLY * uniform_rate));
    }
    series_add(late, clicks / (IMPRESSIONS * uniform_rate));
    pool_destroy(pool);
}

#define COLUMNS 8

/* Inverse propensities: what the other policy would have earned, from the log of the uniform one. */
static void off_policy(const char *data, struct figures *out)
{
    static double share[3][ARMS_MAX], at[3], clicks, shown;
    struct table *t = table_open(data, "open-bandit/bts-men.csv.gz");
    char *f[COLUMNS];
    double weights = 0, earned = 0, squares = 0;
    long n = 0;
    bool first = true;
    while (t && table_next(t, ",", f, COLUMNS) >= 6) {
        int item = atoi(f[2]), position = atoi(f[3]) - 1;
        if (!first && item >= 0 && item < ARMS_MAX && position >= 0 && position < 3) {
            share[position][item]++;
            at[position]++;
            clicks += atof(f[4]);
            shown++;
        }
        first = false;
    }
    if (t)
        table_close(t);
    t = table_open(data, "open-bandit/random-men.csv.gz");
    for (first = true; t && table_next(t, ",", f, COLUMNS) >= 6; first = false) {
        int item = atoi(f[2]), position = atoi(f[3]) - 1;
        if (first || item < 0 || item >= ARMS_MAX || position < 0 || position >= 3 || atof(f[5]) <= 0)
            continue;
        double w = share[position][item] / at[position] / atof(f[5]);
        weights += w;
        earned += w * atof(f[4]);
        squares += w * w;
        n++;
    }
    if (t)
        table_close(t);
    if (n == 0 || shown == 0)
        return;
    figure_add(out, "ipw", "mean_weight", weights / (double)n, sqrt((squares / (double)n - (weights / (double)n) * (weights / (double)n)) / (double)n));
    figure_add(out, "ipw", "click_rate", earned / (double)n, 0);
    figure_add(out, "snipw", "click_rate", earned / weights, 0);
    figure_add(out, "logged", "click_rate", clicks / shown, sqrt(clicks) / shown);
}

/* As configured; by score alone; and with no bound on what one room may get. */
static const struct {
    const char *name;
    bool by_score, uncapped;
} variants[] = {{"sluice", false, false}, {"by_score", true, false}, {"uncapped", false, true}};

bool protocol_p6(const struct stream_settings *settings, const char *data, struct figures *out)
{
    struct arms arms;
    double best = 0, mean = 0;
    if (!read_arms(data, &arms))
        return false;
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        struct stream_settings changed = *settings;
        struct series early = {0}, late = {0};
        changed.allocation.explore_ppm = variants[i].by_score ? 0 : settings->allocation.explore_ppm;
        changed.allocation.cap_ppm = variants[i].uncapped ? PPM : settings->allocation.cap_ppm;
        for (uint64_t seed = 1; seed <= SEEDS; seed++)
            play(&changed, &arms, seed, &early, &late);
        figure_add(out, variants[i].name, "ratio_20k", early.sum / SEEDS, error_of(&early));
        figure_add(out, variants[i].name, "ratio_200k", late.sum / SEEDS, error_of(&late));
    }
    for (int a = 0; a < arms.count; a++) {
        best = arms.rate[a] > best ? arms.rate[a] : best;
        mean += arms.rate[a] / arms.count;
    }
    figure_add(out, "best_arm", "ratio_200k", best / mean, 0);
    figure_add(out, "data", "arms", arms.count, 0);
    off_policy(data, out);
    return true;
}
