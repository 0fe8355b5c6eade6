/*
 * Who buys again: P4b (a shop) and P5 (a cohort), by the daemon's own prediction. Purchases become events, go through the
 * decoder and the profile stage; every so many days the features of all known customers become samples, as purchases do,
 * and the learner makes of them its model of purchase intent, whose horizon is a setting. What is predicted comes from that
 * model as it stands: it has learned what the windows that are over tell.
 *
 * P5 asks for the number of purchases in a time longer than the horizon: purchases at a constant rate would leave a window
 * without any with probability 1 - p, so -ln(1 - p) are expected in each. The forecast that loses least in absolute error is
 * the median of the count, not its mean (Gneiting, Making and evaluating point forecasts, 2011); the mean stands beside it.
 */
#include "server/evaluate/protocols.h"
#include "server/evaluate/retail.h"

#include "common/check.h"
#include "server/engine/learner.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define SWEEP_DAYS 7 /* between two samples of a customer */
#define HORIZONS 2

struct customers {
    struct stream *stream; /* owned */
    struct learner *learners[HORIZONS]; /* owned; NULL: not asked */
    int64_t swept_ms;
};

static void customers_open(struct customers *c, const struct stream_settings *settings, const int *days, int count)
{
    *c = (struct customers){.stream = stream_create(settings)};
    for (int h = 0; h < count; h++) {
        struct learner_settings s = settings->learner;
        s.intent_ms = days[h] * DAY_MS - 1; /* a window that ends where the next begins is over then */
        c->learners[h] = learner_create(&s, NULL);
    }
}

static void customers_close(struct customers *c)
{
    for (int h = 0; h < HORIZONS; h++)
        learner_destroy(c->learners[h]);
    stream_destroy(c->stream);
}

static void learn(struct customers *c, const struct sample *sample)
{
    for (int h = 0; h < HORIZONS && c->learners[h]; h++)
        learner_apply(c->learners[h], sample);
}

/* Everybody known, as he is now; false for who is not. */
static bool features_now(const struct customers *c, uint32_t user, int64_t now_ms, float out[FEATURES])
{
    const struct profile *p = stream_profile(c->stream, user);
    if (p)
        features_of(p, &(struct moment){0}, now_ms, out);
    return p;
}

static void sweep(struct customers *c, int64_t now_ms)
{
    for (uint32_t u = 0; u < stream_users(c->stream); u++) {
        struct sample s = {.kind = SAMPLE_SEEN, .user = u + 1ull, .ts_ms = now_ms, .format = FORMATS};
        if (features_now(c, u, now_ms, s.features))
            learn(c, &s);
    }
}

/* What is due until then. */
static void pass_until(struct customers *c, int64_t now_ms)
{
    if (c->swept_ms == 0)
        c->swept_ms = now_ms;
    while (c->swept_ms + SWEEP_DAYS * DAY_MS <= now_ms)
        sweep(c, c->swept_ms += SWEEP_DAYS * DAY_MS);
}

static void buy(struct customers *c, const struct line *l)
{
    char fields[96];
    pass_until(c, l->ts_ms);
    snprintf(fields, sizeof fields, ",\"order\":\"o%d\",\"amount\":%lld,\"currency\":\"CNY\"", l->invoice, (long long)l->amount);
    stream_event(c->stream, l->user, "purchase", l->item, l->ts_ms, fields);
    learn(c, &(struct sample){.kind = SAMPLE_BOUGHT, .user = l->user + 1ull, .ts_ms = l->ts_ms, .format = FORMATS});
}

static double intent_of(const struct customers *c, int horizon, const float x[FEATURES])
{
    double chance = logistic_predict(&learner_model(c->learners[horizon])->intent, x);
    return chance > 0 ? chance : 0;
}

#define CUTS_MAX 16
#define CUSTOMERS_MAX 8192

struct customer_cut {
    double score[HORIZONS], orders;
    bool here, buys;
};

static void take_cut(const struct customers *c, int64_t cut_ms, struct customer_cut *at)
{
    float x[FEATURES];
    for (uint32_t u = 0; u < stream_users(c->stream) && u < CUSTOMERS_MAX; u++) {
        at[u].here = features_now(c, u, cut_ms, x);
        at[u].orders = at[u].here ? stream_profile(c->stream, u)->orders : 0;
        for (int h = 0; at[u].here && h < HORIZONS; h++)
            at[u].score[h] = intent_of(c, h, x);
    }
}

static int64_t cut_of(const struct lines *lines, int cut)
{
    return lines->list[0].ts_ms + (90 + 30 * cut) * DAY_MS;
}

static void label_cuts(const struct lines *lines, int cuts, int64_t horizon_ms, struct customer_cut (*at)[CUSTOMERS_MAX])
{
    for (int c = 0; c < cuts; c++)
        for (int u = 0; u < CUSTOMERS_MAX; u++)
            at[c][u].buys = false;
    for (int i = 0; i < lines->count; i++)
        for (int c = 0; c < cuts; c++) {
            int64_t after_ms = lines->list[i].ts_ms - cut_of(lines, c);
            if (after_ms >= 0 && after_ms < horizon_ms && lines->list[i].user < CUSTOMERS_MAX)
                at[c][lines->list[i].user].buys = true;
        }
}

struct predictions {
    double *score, *frequency; /* owned, as is the next */
    bool *label;
    uint32_t count;
};

/* Asked are cuts whose window the data cover, from the first on at which the window of another was over. */
static struct predictions gather(const struct lines *lines, int horizon, int days, int cuts, struct customer_cut (*at)[CUSTOMERS_MAX])
{
    int64_t end_ms = lines->list[lines->count - 1].ts_ms + DAY_MS;
    struct predictions p = {.count = 0};
    p.score = calloc(CUTS_MAX * CUSTOMERS_MAX, sizeof *p.score);
    ASSERT(p.score);
    p.frequency = calloc(CUTS_MAX * CUSTOMERS_MAX, sizeof *p.frequency);
    ASSERT(p.frequency);
    p.label = calloc(CUTS_MAX * CUSTOMERS_MAX, sizeof *p.label);
    ASSERT(p.label);
    for (int c = days / 30; c < cuts && cut_of(lines, c) + days * DAY_MS <= end_ms; c++)
        for (int u = 0; u < CUSTOMERS_MAX; u++)
            if (at[c][u].here) {
                p.score[p.count] = at[c][u].score[horizon];
                p.frequency[p.count] = at[c][u].orders;
                p.label[p.count++] = at[c][u].buys;
            }
    return p;
}

static void report_predictions(const struct predictions *p, const char *suffix, struct figures *out)
{
    double loss = 0, wins[10] = {0}, sums[10] = {0}, ece = 0;
    char name[32];
    for (uint32_t i = 0; i < p->count; i++) {
        double q = p->score[i] < 1e-6 ? 1e-6 : p->score[i] > 1 - 1e-6 ? 1 - 1e-6 : p->score[i];
        int bin = (int)(q * 10);
        loss -= p->label[i] ? log(q) : log(1 - q);
        wins[bin] += p->label[i];
        sums[bin] += q;
    }
    for (int b = 0; b < 10; b++)
        ece += fabs(wins[b] - sums[b]);
    double auc = area_under(p->score, p->label, p->count), frequency = area_under(p->frequency, p->label, p->count);
    ece = p->count ? ece / p->count : 0;
    snprintf(name, sizeof name, "auc_%s", suffix);
    figure_add(out, "sluice", name, auc, 0);
    figure_add(out, "frequency", name, frequency, 0);
    snprintf(name, sizeof name, "logloss_%s", suffix);
    figure_add(out, "sluice", name, p->count ? loss / p->count : 0, 0);
    snprintf(name, sizeof name, "ece_%s", suffix);
    figure_add(out, "sluice", name, ece, 0);
    if (strcmp(suffix, "30d") == 0) {
        figure_add(out, "sluice", "auc", auc, 0);
        figure_add(out, "frequency", "auc", frequency, 0);
        figure_add(out, "sluice", "ece", ece, 0);
    }
}

bool protocol_p4b(const struct stream_settings *settings, const char *data, struct figures *out)
{
    static struct customer_cut at[CUTS_MAX][CUSTOMERS_MAX];
    static const int days[HORIZONS] = {30, 90};
    static const char *const names[HORIZONS] = {"30d", "90d"};
    struct customers c;
    struct lines lines;
    int cuts = 0;
    customers_open(&c, settings, days, HORIZONS);
    bool ok = lines_read(data, c.stream, false, &lines);
    memset(at, 0, sizeof at);
    for (int i = 0; ok && i < lines.count; i++) {
        for (; cuts < CUTS_MAX && lines.list[i].ts_ms >= cut_of(&lines, cuts); cuts++)
            take_cut(&c, cut_of(&lines, cuts), at[cuts]);
        buy(&c, &lines.list[i]);
    }
    for (int h = 0; ok && h < HORIZONS; h++) {
        label_cuts(&lines, cuts, days[h] * DAY_MS, at);
        struct predictions p = gather(&lines, h, days[h], cuts, at);
        report_predictions(&p, names[h], out);
        free(p.score);
        free(p.frequency);
        free(p.label);
    }
    if (ok)
        free(lines.list);
    customers_close(&c);
    return ok;
}

#define PEOPLE 2400
#define CALIBRATION_DAYS 273 /* 1997-01-01 to 1997-09-30 */
#define HOLDOUT_DAYS 273
#define HORIZON_DAYS (CALIBRATION_DAYS / 2)
#define BEGIN_MS 852076800000 /* 1997-01-01 */

struct cohort {
    struct line *list; /* owned; a customer's purchases in order; one a day */
    int count;
    uint32_t record; /* the one thing that is bought */
};

static int64_t day_of(int date)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    int year = date / 10000, month = date / 100 % 100, day = date % 100;
    return (year - 1997) * 365 + before[month - 1] + day - 1;
}

static int by_time(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    return x->ts_ms != y->ts_ms ? (x->ts_ms < y->ts_ms ? -1 : 1) : x->at - y->at;
}

static bool cohort_read(const char *data, struct stream *s, struct cohort *out)
{
    struct table *t = table_open(data, "cdnow/CDNOW_sample.txt");
    char *f[8], user[32];
    int capacity = 8192;
    *out = (struct cohort){.list = calloc((size_t)capacity, sizeof *out->list), .record = stream_item(s, "record")};
    ASSERT(out->list);
    while (t && out->count < capacity && table_next(t, " ", f, 8) >= 5) {
        snprintf(user, sizeof user, "c%d", atoi(f[1]));
        struct line l = {.user = stream_user(s, user), .item = out->record, .ts_ms = BEGIN_MS + day_of(atoi(f[2])) * DAY_MS + DAY_MS / 2,
                         .amount = (int64_t)(atof(f[4]) * 100 + 0.5), .invoice = out->count, .at = out->count};
        const struct line *before = out->count ? &out->list[out->count - 1] : NULL;
        if (!before || before->user != l.user || before->ts_ms != l.ts_ms)
            out->list[out->count++] = l;
    }
    if (t)
        table_close(t);
    qsort(out->list, (size_t)out->count, sizeof *out->list, by_time);
    return out->count > 0;
}

/* Of a Poisson count. */
static double median_of(double mean)
{
    int count = 0;
    for (double chance = exp(-mean), sum = chance; sum < 0.5; sum += chance *= mean / count)
        count++;
    return count;
}

/* What the holdout holds, beside what was expected of it. */
static void judge_cohort(const struct customers *c, const int *truth, struct figures *out)
{
    double error = 0, mean_error = 0, plain = 0, scores[PEOPLE], frequency[PEOPLE], recency[PEOPLE];
    bool label[PEOPLE];
    float x[FEATURES];
    uint32_t n = 0;
    int64_t end_ms = BEGIN_MS + CALIBRATION_DAYS * DAY_MS;
    for (uint32_t u = 0; u < stream_users(c->stream) && n < PEOPLE; u++) {
        if (!features_now(c, u, end_ms, x))
            continue;
        const struct profile *p = stream_profile(c->stream, u);
        double chance = intent_of(c, 0, x), expected = -log(1 - chance) * HOLDOUT_DAYS / HORIZON_DAYS;
        double own = (p->orders - 1.0) * HOLDOUT_DAYS * DAY_MS / (double)(end_ms - p->first_ms);
        error += fabs(median_of(expected) - truth[u]);
        mean_error += fabs(expected - truth[u]);
        plain += fabs(own - truth[u]);
        scores[n] = expected;
        frequency[n] = own;
        recency[n] = (double)p->last_ms;
        label[n++] = truth[u] > 0;
    }
    figure_add(out, "sluice", "mae", n ? error / n : 0, 0);
    figure_add(out, "sluice", "auc", area_under(scores, label, n), 0);
    figure_add(out, "expected", "mae", n ? mean_error / n : 0, 0);
    figure_add(out, "frequency", "mae", n ? plain / n : 0, 0);
    figure_add(out, "frequency", "auc", area_under(frequency, label, n), 0);
    figure_add(out, "recency", "auc", area_under(recency, label, n), 0);
    figure_add(out, "data", "customers", n, 0);
}

bool protocol_p5(const struct stream_settings *settings, const char *data, struct figures *out)
{
    static const int days[] = {HORIZON_DAYS};
    int truth[PEOPLE] = {0};
    struct customers c;
    struct cohort cohort;
    customers_open(&c, settings, days, 1);
    bool ok = cohort_read(data, c.stream, &cohort);
    for (int i = 0; ok && i < cohort.count; i++) {
        const struct line *l = &cohort.list[i];
        if (l->ts_ms < BEGIN_MS + CALIBRATION_DAYS * DAY_MS)
            buy(&c, l);
        else if (l->ts_ms < BEGIN_MS + (CALIBRATION_DAYS + HOLDOUT_DAYS) * DAY_MS && l->user < PEOPLE)
            truth[l->user]++;
    }
    if (ok)
        judge_cohort(&c, truth, out);
    free(cohort.list);
    customers_close(&c);
    return ok;
}
