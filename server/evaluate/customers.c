/*
 * P5: how often each customer of a cohort buys in the 39 weeks after the first 39. A Poisson regression on recency,
 * frequency and tenure is learned inside the calibration period (its first 26 weeks predict the 13 after), so that nothing
 * of the holdout is seen; the mean is then shrunk to what loses least in absolute error there.
 */
#include "server/evaluate/protocols.h"

#include "common/check.h"

#include <math.h>
#include <stdlib.h>

#define PEOPLE 2400
#define INPUTS 6
#define CALIBRATION_END 272 /* days from 1997-01-01 to 1997-09-30 */

struct person {
    int days[256], count;
};

static int day_of(int date)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    int year = date / 10000, month = date / 100 % 100, day = date % 100;
    return (year - 1997) * 365 + before[month - 1] + day - 1;
}

/* What is known at `end`: false for who had not begun. */
static bool inputs_of(const struct person *p, int end, double x[INPUTS])
{
    int orders = 0, last = 0;
    for (int i = 0; i < p->count && p->days[i] <= end; i++, orders++)
        last = p->days[i];
    if (orders == 0)
        return false;
    double tenure = (end - p->days[0] + 1) / 7.0, silence = (end - last) / 7.0, again = orders - 1;
    x[0] = 1;
    x[1] = log(1 + again);
    x[2] = log(1 + silence);
    x[3] = log(tenure + 1);
    x[4] = silence / (tenure / (again + 1.5));
    x[5] = log(1 + again) * silence / (tenure + 1);
    return true;
}

static int bought(const struct person *p, int from, int until)
{
    int n = 0;
    for (int i = 0; i < p->count; i++)
        n += p->days[i] > from && p->days[i] <= until;
    return n;
}

static double mean_of(const double w[INPUTS], const double x[INPUTS])
{
    double sum = 0;
    for (int i = 0; i < INPUTS; i++)
        sum += w[i] * x[i];
    return exp(sum > 4 ? 4 : sum < -8 ? -8 : sum);
}

static void fit(const struct person *people, int count, int cut, double rate, double w[INPUTS])
{
    double x[INPUTS], gradient[INPUTS] = {0};
    for (int i = 0; i < INPUTS; i++)
        w[i] = 0;
    for (int epoch = 0; epoch < 60; epoch++)
        for (int p = 0; p < count; p++) {
            if (!inputs_of(&people[p], cut, x))
                continue;
            double error = mean_of(w, x) - bought(&people[p], cut, CALIBRATION_END);
            for (int i = 0; i < INPUTS; i++) {
                double g = error * x[i];
                gradient[i] += g * g;
                w[i] -= rate * g / (sqrt(gradient[i]) + 1);
            }
        }
}

/* What to take off the mean, and below which nothing is expected: least absolute error. */
static double shrunk(double mean, double cut, double factor)
{
    return mean <= cut ? mean * factor * 0.5 : mean * factor;
}

static int read_people(const char *data, struct person *people)
{
    struct table *t = table_open(data, "cdnow/CDNOW_sample.txt");
    char *f[8];
    int count = 0, last = -1;
    while (t && table_next(t, " ", f, 8) >= 4) {
        int id = atoi(f[1]), day = day_of(atoi(f[2]));
        if (id != last && count < PEOPLE)
            count++;
        last = id;
        struct person *p = &people[count - 1];
        if (p->count < 256 && (p->count == 0 || p->days[p->count - 1] != day)) /* one purchase a day */
            p->days[p->count++] = day;
    }
    if (t)
        table_close(t);
    return count;
}

bool protocol_p5(const struct stream_settings *settings, const char *data, struct figures *out)
{
    static struct person people[PEOPLE];
    double w[INPUTS], x[INPUTS], best = 1e9, best_cut = 0, best_factor = 1, error = 0, plain = 0, score[PEOPLE], recency[PEOPLE], frequency[PEOPLE];
    bool label[PEOPLE];
    int half = CALIBRATION_END * 2 / 3, n = 0;
    for (int i = 0; i < PEOPLE; i++)
        people[i].count = 0;
    int count = read_people(data, people);
    fit(people, count, half, settings->methods.customer_rate, w);
    double ratio = 273.0 / (CALIBRATION_END - half) * settings->methods.customer_fade;
    for (double cut = 0; cut < 1.5; cut += 0.1)
        for (double factor = 0.5; factor <= 1.1; factor += 0.1) {
            double sum = 0;
            for (int p = 0; p < count; p++)
                if (inputs_of(&people[p], half, x))
                    sum += fabs(shrunk(mean_of(w, x) * ratio, cut, factor) / ratio - bought(&people[p], half, CALIBRATION_END));
            if (sum < best) {
                best = sum;
                best_cut = cut;
                best_factor = factor;
            }
        }
    for (int p = 0; p < count; p++) {
        if (!inputs_of(&people[p], CALIBRATION_END, x))
            continue;
        int truth = bought(&people[p], CALIBRATION_END, CALIBRATION_END + 273);
        double mean = mean_of(w, x) * ratio;
        error += fabs(shrunk(mean, best_cut, best_factor) - truth);
        plain += fabs(mean - truth);
        score[n] = mean;
        recency[n] = -x[2];
        frequency[n] = x[1];
        label[n++] = truth > 0;
    }
    if (n == 0)
        return false;
    figure_add(out, "sluice", "mae", error / n, 0);
    figure_add(out, "sluice", "auc", area_under(score, label, (uint32_t)n), 0);
    figure_add(out, "mean", "mae", plain / n, 0);
    figure_add(out, "recency", "auc", area_under(recency, label, (uint32_t)n), 0);
    figure_add(out, "frequency", "auc", area_under(frequency, label, (uint32_t)n), 0);
    figure_add(out, "data", "customers", n, 0);
    return true;
}
