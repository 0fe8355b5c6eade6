#include "server/rehearse/tally.h"

#include "common/check.h"
#include "common/hash.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_PLACES 10 /* whose exposures count */
#define BINS 10         /* of equal numbers of predictions, for ECE */

const char *const rival_names[RIVALS] = {"sluice", "published", "popularity", "decayed", "itemitem"};
const char *const measure_names[MEASURES] = {"hr_at_10", "hr_at_20", "ndcg_at_10", "ndcg_at_20", "coverage", "novelty", "gini"};

struct sums {
    double count, hits_10, hits_20, gains_10, gains_20, surprise, shown;
};

/* How often one thing was shown, by group. */
struct shown {
    uint32_t *at; /* owned; TALLY_GROUPS of them; NULL: never */
};

struct shelf {
    struct shown *things; /* owned */
    uint32_t capacity;
};

struct guessed {
    double chance;
    bool label;
    uint8_t group;
};

struct tally {
    struct sums sums[TALLY_GROUPS][KINDS][RIVALS];
    struct shelf shelves[KINDS][RIVALS];
    uint32_t candidates[KINDS];
    struct guessed *guesses; /* owned */
    size_t guess_count, guess_capacity;
};

struct tally *tally_create(void)
{
    struct tally *t = calloc(1, sizeof *t);
    ASSERT(t);
    return t;
}

void tally_destroy(struct tally *t)
{
    if (!t)
        return;
    for (int k = 0; k < KINDS; k++)
        for (int r = 0; r < RIVALS; r++) {
            for (uint32_t i = 0; i < t->shelves[k][r].capacity; i++)
                free(t->shelves[k][r].things[i].at);
            free(t->shelves[k][r].things);
        }
    free(t->guesses);
    free(t);
}

static int group_of(uint64_t user)
{
    return (int)(hash_mix(user) % TALLY_GROUPS);
}

static void expose(struct shelf *s, uint32_t thing, int group)
{
    if (thing >= s->capacity) {
        uint32_t bigger = thing < 64 ? 128 : thing * 2;
        s->things = realloc(s->things, bigger * sizeof *s->things);
        ASSERT(s->things);
        memset(s->things + s->capacity, 0, (bigger - s->capacity) * sizeof *s->things);
        s->capacity = bigger;
    }
    if (!s->things[thing].at)
        s->things[thing].at = calloc(TALLY_GROUPS, sizeof(uint32_t));
    ASSERT(s->things[thing].at);
    s->things[thing].at[group]++;
}

void tally_add(struct tally *t, const struct outcome *o)
{
    int group = group_of(o->user);
    for (int r = 0; r < RIVALS; r++) {
        struct sums *s = &t->sums[group][o->kind][r];
        const struct list *l = &o->lists[r];
        s->count++;
        for (uint32_t i = 0; i < l->count; i++) {
            bool hit = l->things[i] == o->target;
            double gain = hit ? 1 / log2(i + 2.0) : 0;
            s->hits_20 += hit;
            s->gains_20 += gain;
            if (i >= SHOWN_PLACES)
                continue;
            s->hits_10 += hit;
            s->gains_10 += gain;
            s->shown++;
            s->surprise += o->surprise(o->arg, o->kind, l->things[i]);
            expose(&t->shelves[o->kind][r], l->things[i], group);
        }
    }
}

void tally_guess(struct tally *t, uint64_t user, double chance, bool label)
{
    if (t->guess_count == t->guess_capacity) {
        t->guess_capacity = t->guess_capacity ? t->guess_capacity * 2 : 1024;
        t->guesses = realloc(t->guesses, t->guess_capacity * sizeof *t->guesses);
        ASSERT(t->guesses);
    }
    t->guesses[t->guess_count++] = (struct guessed){chance < 1e-6 ? 1e-6 : chance > 1 - 1e-6 ? 1 - 1e-6 : chance, label, (uint8_t)group_of(user)};
}

void tally_candidates(struct tally *t, enum kind kind, uint32_t count)
{
    t->candidates[kind] = count;
}

uint64_t tally_count(const struct tally *t, enum kind kind)
{
    double count = 0;
    for (int g = 0; g < TALLY_GROUPS; g++)
        count += t->sums[g][kind][0].count;
    return (uint64_t)count;
}

uint64_t tally_guesses(const struct tally *t, uint64_t *out_positives)
{
    *out_positives = 0;
    for (size_t i = 0; i < t->guess_count; i++)
        *out_positives += t->guesses[i].label;
    return t->guess_count;
}

static bool in_scope(int scope, int kind)
{
    return scope == 0 || scope == kind + 1;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Gini = 2 sum(i x_i) / (n sum(x)) - (n + 1) / n, x ascending, i from 1; what was never shown comes first. */
static void spread(const struct tally *t, int scope, int rival, int except, double *out)
{
    double candidates = 0, sum = 0, ranked = 0;
    size_t n = 0, room = 1;
    for (int k = 0; k < KINDS; k++)
        room += t->shelves[k][rival].capacity;
    double *x = malloc(room * sizeof *x);
    ASSERT(x);
    for (int k = 0; k < KINDS; k++) {
        const struct shelf *s = &t->shelves[k][rival];
        candidates += in_scope(scope, k) ? t->candidates[k] : 0;
        for (uint32_t i = 0; in_scope(scope, k) && i < s->capacity; i++) {
            double shown = 0;
            for (int g = 0; s->things[i].at && g < TALLY_GROUPS; g++)
                shown += g == except ? 0 : s->things[i].at[g];
            if (shown > 0)
                x[n++] = shown;
        }
    }
    qsort(x, n, sizeof *x, by_size);
    for (size_t i = 0; i < n; i++) {
        sum += x[i];
        ranked += (candidates - (double)n + (double)i + 1) * x[i];
    }
    free(x);
    out[MEASURE_COVERAGE] = candidates > 0 ? (double)n / candidates : NAN;
    out[MEASURE_GINI] = sum > 0 ? 2 * ranked / (candidates * sum) - (candidates + 1) / candidates : NAN;
}

static void judge(const struct tally *t, int scope, int rival, int except, double *out)
{
    struct sums all = {0};
    for (int g = 0; g < TALLY_GROUPS; g++)
        for (int k = 0; k < KINDS; k++) {
            const struct sums *s = &t->sums[g][k][rival];
            if (g == except || !in_scope(scope, k))
                continue;
            all.count += s->count;
            all.hits_10 += s->hits_10;
            all.hits_20 += s->hits_20;
            all.gains_10 += s->gains_10;
            all.gains_20 += s->gains_20;
            all.surprise += s->surprise;
            all.shown += s->shown;
        }
    for (int m = 0; m < MEASURES; m++)
        out[m] = NAN;
    if (all.count == 0)
        return;
    out[MEASURE_HR_10] = all.hits_10 / all.count;
    out[MEASURE_HR_20] = all.hits_20 / all.count;
    out[MEASURE_NDCG_10] = all.gains_10 / all.count;
    out[MEASURE_NDCG_20] = all.gains_20 / all.count;
    out[MEASURE_NOVELTY] = all.shown > 0 ? all.surprise / all.shown : NAN;
    spread(t, scope, rival, except, out);
}

static int by_chance(const void *a, const void *b)
{
    const struct guessed *x = a, *y = b;
    return x->chance != y->chance ? (x->chance < y->chance ? -1 : 1) : 0;
}

/* `g` in the order of their chances; out by enum guess. */
static void judge_guesses(const struct guessed *g, size_t count, int except, double *out)
{
    double n = 0, positives = 0, loss = 0, below = 0, wins = 0, ece = 0;
    for (int i = 0; i < GUESSES; i++)
        out[i] = NAN;
    for (int b = 0; b < BINS; b++) {
        double chances = 0, labels = 0;
        for (size_t i = count * (size_t)b / BINS; i < count * (size_t)(b + 1) / BINS; i++) {
            if (g[i].group == except)
                continue;
            chances += g[i].chance;
            labels += g[i].label;
            loss -= log(g[i].label ? g[i].chance : 1 - g[i].chance);
            n++;
        }
        positives += labels;
        ece += fabs(chances - labels);
    }
    for (size_t i = 0, j; i < count; i = j) { /* ties count half */
        double same[2] = {0, 0};
        for (j = i; j < count && g[j].chance == g[i].chance; j++)
            if (g[j].group != except)
                same[g[j].label]++;
        wins += same[1] * (below + same[0] / 2);
        below += same[0];
    }
    double share = n > 0 ? positives / n : 0;
    if (n == 0)
        return;
    out[GUESS_ECE] = ece / n;
    out[GUESS_LOGLOSS] = loss / n;
    if (share <= 0 || share >= 1)
        return;
    out[GUESS_AUC] = wins / (positives * (n - positives));
    out[GUESS_BASE_LOGLOSS] = -(share * log(share) + (1 - share) * log(1 - share));
}

static void judge_all(const struct tally *t, int except, double out[TALLY_VALUES])
{
    for (int scope = 0; scope < SCOPES; scope++)
        for (int r = 0; r < RIVALS; r++)
            judge(t, scope, r, except, &out[value_at(scope, (enum rival)r, (enum measure)0)]);
    judge_guesses(t->guesses, t->guess_count, except, &out[value_of_guess((enum guess)0)]);
}

static bool has_group(const struct tally *t, int g)
{
    bool any = false;
    for (int k = 0; k < KINDS; k++)
        any |= t->sums[g][k][0].count > 0;
    for (size_t i = 0; i < t->guess_count && !any; i++)
        any |= t->guesses[i].group == g;
    return any;
}

static void subtract(double *from, const double *what)
{
    for (int i = 0; what && i < TALLY_VALUES; i++)
        from[i] -= what[i];
}

double jackknife_error(const double *left, int groups, int stride)
{
    double mean = 0, squares = 0;
    for (int g = 0; g < groups; g++)
        mean += left[g * stride];
    mean /= groups ? groups : 1;
    for (int g = 0; g < groups; g++)
        squares += (left[g * stride] - mean) * (left[g * stride] - mean);
    return groups > 1 ? sqrt(squares * (groups - 1) / groups) : NAN;
}

/* Of `t`, or of `t` less `base`. */
static void jackknife(const struct tally *t, const struct tally *base, struct valued out[TALLY_VALUES])
{
    static double left[TALLY_GROUPS][TALLY_VALUES];
    double value[TALLY_VALUES], other[TALLY_VALUES];
    int groups = 0;
    for (int g = -1; g < TALLY_GROUPS; g++) {
        if (g >= 0 && !has_group(t, g) && !(base && has_group(base, g)))
            continue;
        double *to = g < 0 ? value : left[groups++];
        judge_all(t, g, to);
        if (base) {
            judge_all(base, g, other);
            subtract(to, other);
        }
    }
    for (int i = 0; i < TALLY_VALUES; i++)
        out[i] = (struct valued){value[i], jackknife_error(&left[0][i], groups, TALLY_VALUES)};
}

static void sort_guesses(const struct tally *t)
{
    if (t->guess_count)
        qsort(t->guesses, t->guess_count, sizeof *t->guesses, by_chance);
}

void tally_values(const struct tally *t, struct valued out[TALLY_VALUES])
{
    sort_guesses(t);
    jackknife(t, NULL, out);
}

void tally_differences(const struct tally *a, const struct tally *b, struct valued out[TALLY_VALUES])
{
    sort_guesses(a);
    sort_guesses(b);
    jackknife(b, a, out);
}

void tally_name(int value, char out_method[32], char out_metric[48])
{
    static const char *const scopes[SCOPES] = {"", "rooms_", "items_"}, *const guesses[GUESSES] = {"auc", "ece", "logloss", "logloss"};
    int guess = value - SCOPES * RIVALS * MEASURES;
    if (guess >= 0) {
        snprintf(out_method, 32, "%s", guess == GUESS_BASE_LOGLOSS ? "base" : rival_names[RIVAL_SLUICE]);
        snprintf(out_metric, 48, "intent_%s", guesses[guess]);
        return;
    }
    snprintf(out_method, 32, "%s", rival_names[value / MEASURES % RIVALS]);
    snprintf(out_metric, 48, "%s%s", scopes[value / MEASURES / RIVALS], measure_names[value % MEASURES]);
}
