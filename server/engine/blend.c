#include "server/engine/blend.h"

#include "common/bytes.h"

#include <math.h>

#define BOUND 1.3862943611198906 /* ln BLEND_MOST */
#define SPREAD (BOUND / 2)
#define SCALE 2.0                /* ln of log odds a score of 1, before anything is known */
#define SCALE_SPREAD 1.5
#define SURE_MAX 1e9
#define STEP_MAX 0.5             /* the first examples are few and far from where the curve is straight */

static double prior_at(int input)
{
    return input == REASONS ? SCALE : 0;
}

static double prior_sure(int input)
{
    double spread = input == REASONS ? SCALE_SPREAD : SPREAD;
    return 1 / (spread * spread);
}

static double exp_of(double x)
{
    return exp2(x * M_LOG2E);
}

static double within(double value, double bound)
{
    return value > bound ? bound : value < -bound ? -bound : value;
}

static double bounded(int input, double value)
{
    return input == REASONS ? prior_at(input) + within(value - prior_at(input), 2 * SCALE_SPREAD) : within(value, BOUND);
}

static void begin(struct blend_model *m, struct blend_moments *o)
{
    *o = (struct blend_moments){.begun = true};
    for (int i = 0; i < BLEND_INPUTS; i++) {
        double sure = m->examples ? m->sure[i] : 0;
        m->at[i] = m->examples ? bounded(i, m->at[i]) : prior_at(i);
        o->information[i][i] = sure < prior_sure(i) ? prior_sure(i) : sure < SURE_MAX ? sure : SURE_MAX;
    }
}

/* Older examples fade. */
static void fade(struct blend_moments *o, double memory)
{
    for (int i = 0; i < BLEND_INPUTS; i++)
        for (int k = 0; k < BLEND_INPUTS; k++) {
            double prior = i == k ? prior_sure(i) : 0;
            o->information[i][k] = prior + (o->information[i][k] - prior) * (1 - 1 / memory);
        }
}

/* How the log odds of each alternative change with the inputs, and its chance. */
struct odds {
    double slope[CHOICE_MAX][BLEND_INPUTS];
    double chance[CHOICE_MAX];
    double mean[BLEND_INPUTS];
};

static void odds_of(const struct blend_model *m, const uint32_t weights[REASONS], const struct choice *c, struct odds *out)
{
    double most = -INFINITY, sum = 0, scale = exp_of(m->at[REASONS]);
    for (int j = 0; j < c->count; j++) {
        double *slope = out->slope[j];
        slope[REASONS] = 0;
        for (int k = 0; k < REASONS; k++) {
            slope[k] = scale * weights[k] / 1000 * exp_of(m->at[k]) * c->values[j][k] / CHOICE_ONE;
            slope[REASONS] += slope[k];
        }
        most = slope[REASONS] > most ? slope[REASONS] : most;
    }
    for (int j = 0; j < c->count; j++)
        sum += out->chance[j] = exp_of(out->slope[j][REASONS] - most);
    for (int i = 0; i < BLEND_INPUTS; i++) {
        out->mean[i] = 0;
        for (int j = 0; j < c->count; j++)
            out->mean[i] += out->chance[j] / sum * out->slope[j][i];
    }
    for (int j = 0; j < c->count; j++)
        out->chance[j] /= sum;
}

static void inform(struct blend_moments *o, const struct odds *p, int count)
{
    for (int j = 0; j < count; j++)
        for (int i = 0; i < BLEND_INPUTS; i++)
            for (int k = 0; k < BLEND_INPUTS; k++)
                o->information[i][k] += p->chance[j] * (p->slope[j][i] - p->mean[i]) * (p->slope[j][k] - p->mean[k]);
}

/* x of A x = b by Cholesky's decomposition; A is positive definite, for the prior is in it. */
static void solve(const double a[BLEND_INPUTS][BLEND_INPUTS], double x[BLEND_INPUTS])
{
    double l[BLEND_INPUTS][BLEND_INPUTS];
    for (int i = 0; i < BLEND_INPUTS; i++)
        for (int k = 0; k <= i; k++) {
            double sum = a[i][k];
            for (int n = 0; n < k; n++)
                sum -= l[i][n] * l[k][n];
            l[i][k] = i == k ? sqrt(sum > 1e-9 ? sum : 1e-9) : sum / l[k][k];
        }
    for (int i = 0; i < BLEND_INPUTS; i++) {
        for (int n = 0; n < i; n++)
            x[i] -= l[i][n] * x[n];
        x[i] /= l[i][i];
    }
    for (int i = BLEND_INPUTS; i-- > 0;) {
        for (int n = i + 1; n < BLEND_INPUTS; n++)
            x[i] -= l[n][i] * x[n];
        x[i] /= l[i][i];
    }
}

void blend_learn(struct blend_model *m, struct blend_moments *o, const uint32_t weights[REASONS], double memory, const struct choice *c)
{
    struct odds p;
    double step[BLEND_INPUTS];
    if (!o->begun)
        begin(m, o);
    odds_of(m, weights, c, &p);
    fade(o, memory);
    inform(o, &p, c->count);
    for (int i = 0; i < BLEND_INPUTS; i++)
        step[i] = p.slope[0][i] - p.mean[i] + prior_sure(i) * (prior_at(i) - m->at[i]) / memory;
    solve(o->information, step);
    for (int i = 0; i < BLEND_INPUTS; i++) {
        m->at[i] = bounded(i, m->at[i] + within(step[i], STEP_MAX));
        m->sure[i] = o->information[i][i] < SURE_MAX ? o->information[i][i] : SURE_MAX;
    }
    m->examples += m->examples < NUMBER_MAX;
}

double blend_factor(const struct blend_model *m, int reason, uint32_t permille)
{
    return m->examples < BLEND_EXAMPLES_MIN ? 1 : exp_of(within(m->at[reason], BOUND) * permille / 1000);
}
