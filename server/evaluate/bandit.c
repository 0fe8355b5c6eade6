/*
 * P6: arms with known click rates. Thompson sampling from Beta posteriors whose prior is what all arms together have
 * shown: its mean the pooled rate, its strength from the spread between arms (empirical Bayes by moments), so that a new
 * arm is expected to be ordinary. Choices go out in batches, as traffic does.
 */
#include "server/evaluate/protocols.h"

#include "common/check.h"
#include "common/hash.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define ARMS_MAX 128
#define BATCH 200
#define SEEDS 20

struct arms {
    int count;
    double rate[ARMS_MAX];
    const struct method_settings *settings;
};

struct chance {
    uint64_t state;
};

static double uniform(struct chance *c)
{
    c->state += 0x9e3779b97f4a7c15u;
    return ((double)(hash_mix(c->state) >> 11) + 0.5) * 0x1p-53;
}

static double normal(struct chance *c)
{
    return sqrt(-2 * log(uniform(c))) * cos(6.283185307179586 * uniform(c));
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

struct policy {
    const struct method_settings *settings;
    double clicks[ARMS_MAX], shown[ARMS_MAX];
};

/* Mean and strength of the prior: moments of the arms' rates, less what chance alone spreads. */
static void prior_of(const struct policy *p, int arms, double *out_mean, double *out_strength)
{
    double clicks = 0, shown = 0, spread = 0, weight = 0;
    for (int a = 0; a < arms; a++) {
        clicks += p->clicks[a];
        shown += p->shown[a];
    }
    double mean = (clicks + 1) / (shown + 200);
    for (int a = 0; a < arms; a++) {
        double n = p->shown[a];
        if (n < 1)
            continue;
        double apart = p->clicks[a] / n - mean;
        spread += n * (apart * apart - mean * (1 - mean) / n);
        weight += n;
    }
    double variance = weight > 0 ? spread / weight : 0, least = mean * mean * p->settings->bandit_spread_min, most = mean * mean;
    variance = variance < least ? least : variance > most ? most : variance;
    *out_mean = mean;
    *out_strength = mean * (1 - mean) / variance - 1;
}

/* The posterior's mean and a part of its spread: all of it explores longer than 200,000 impressions are worth. */
static int choose(const struct policy *p, int arms, double mean, double strength, struct chance *c)
{
    int best = 0;
    double most = -1;
    for (int a = 0; a < arms; a++) {
        double n = strength + p->shown[a], m = (mean * strength + p->clicks[a]) / n;
        double x = m + p->settings->bandit_boldness * sqrt(m * (1 - m) / (n + 1)) * normal(c);
        if (x > most) {
            most = x;
            best = a;
        }
    }
    return best;
}

static void play(const struct arms *arms, uint64_t seed, int impressions, double *out_20k, double *out_all)
{
    struct policy known = {arms->settings, {0}, {0}}, batch;
    struct chance env = {hash_mix(seed)}, own = {hash_mix(seed + 1000)};
    double clicks = 0, mean, strength, uniform_rate = 0;
    for (int a = 0; a < arms->count; a++)
        uniform_rate += arms->rate[a] / arms->count;
    for (int i = 0; i < impressions; i += BATCH) {
        memset(&batch, 0, sizeof batch);
        prior_of(&known, arms->count, &mean, &strength);
        for (int k = 0; k < BATCH; k++) {
            int a = choose(&known, arms->count, mean, strength, &own);
            bool click = uniform(&env) < arms->rate[a];
            batch.shown[a]++;
            batch.clicks[a] += click;
            clicks += click;
        }
        for (int a = 0; a < arms->count; a++) {
            known.shown[a] += batch.shown[a];
            known.clicks[a] += batch.clicks[a];
        }
        if (i + BATCH == 20000)
            *out_20k += clicks / (20000 * uniform_rate) / SEEDS;
    }
    *out_all += clicks / (impressions * uniform_rate) / SEEDS;
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

bool protocol_p6(const struct stream_settings *settings, const char *data, struct figures *out)
{
    struct arms arms;
    double early = 0, late = 0, best = 0, mean = 0;
    if (!read_arms(data, &arms))
        return false;
    arms.settings = &settings->methods;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        play(&arms, seed, 200000, &early, &late);
    for (int a = 0; a < arms.count; a++) {
        best = arms.rate[a] > best ? arms.rate[a] : best;
        mean += arms.rate[a] / arms.count;
    }
    figure_add(out, "sluice", "ratio_20k", early, 0);
    figure_add(out, "sluice", "ratio_200k", late, 0);
    figure_add(out, "best_arm", "ratio_200k", best / mean, 0);
    figure_add(out, "data", "arms", arms.count, 0);
    off_policy(data, out);
    return true;
}
