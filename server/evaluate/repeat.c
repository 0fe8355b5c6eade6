/*
 * P7: what comes again. The probability of the next event is a mixture of the user's own history, of what goes with it
 * (item-item) and of everybody's; the weights of the mixture, by how much history there is, are fitted on the validation
 * part by expectation-maximisation from the training part alone, then both parts serve for the test.
 */
#include "server/evaluate/protocols.h"

#include "common/check.h"

#include <math.h>
#include <stdlib.h>

#define USERS_MAX 8192
#define ITEMS_MAX 16384
#define BINS 8
#define PARTS 4

struct cell {
    uint32_t item;
    float count;
};

struct row {
    struct cell *cells; /* owned */
    uint32_t count, capacity;
    float sum;
};

struct matrix {
    struct row *rows; /* owned; by user */
    float *items;     /* owned; sums by item */
    float all;
    uint32_t users, item_count;
    double bin; /* growth of the history from bin to bin */
};

static void matrix_init(struct matrix *m)
{
    *m = (struct matrix){.rows = calloc(USERS_MAX, sizeof *m->rows), .items = calloc(ITEMS_MAX, sizeof *m->items)};
    ASSERT(m->rows && m->items);
}

static void matrix_fini(struct matrix *m)
{
    for (uint32_t u = 0; u < USERS_MAX; u++)
        free(m->rows[u].cells);
    free(m->rows);
    free(m->items);
}

static void matrix_add(struct matrix *m, uint32_t user, uint32_t item, float count)
{
    struct row *r = &m->rows[user];
    uint32_t i = 0;
    while (i < r->count && r->cells[i].item != item)
        i++;
    if (i == r->count) {
        if (r->count == r->capacity) {
            r->capacity = r->capacity ? r->capacity * 2 : 8;
            r->cells = realloc(r->cells, r->capacity * sizeof *r->cells);
            ASSERT(r->cells);
        }
        r->cells[r->count++] = (struct cell){item, 0};
    }
    r->cells[i].count += count;
    r->sum += count;
    m->items[item] += count;
    m->all += count;
    m->users = user >= m->users ? user + 1 : m->users;
    m->item_count = item >= m->item_count ? item + 1 : m->item_count;
}

static bool matrix_read(struct matrix *m, const char *data, const char *path, float weight)
{
    struct table *t = table_open(data, path);
    char *f[4];
    while (t && table_next(t, ",", f, 4) >= 3) {
        long user = atol(f[0]), item = atol(f[1]);
        if (atof(f[2]) > 0 && user >= 0 && user < USERS_MAX && item >= 0 && item < ITEMS_MAX)
            matrix_add(m, (uint32_t)user, (uint32_t)item, weight * (float)atof(f[2]));
    }
    if (t)
        table_close(t);
    return t;
}

/* What goes with the user's items: two steps of a walk user -> item -> user -> item, as a distribution. */
static void together(const struct matrix *m, const struct row **of_item, const uint32_t *of_count, uint32_t user, float *out)
{
    const struct row *r = &m->rows[user];
    double total = 0;
    for (uint32_t i = 0; i < m->item_count; i++)
        out[i] = 0;
    for (uint32_t a = 0; a < r->count; a++) {
        const struct row *others = of_item[r->cells[a].item];
        float share = r->cells[a].count / r->sum / sqrtf((float)of_count[r->cells[a].item] + 1);
        for (uint32_t k = 0; k < others->count; k++) {
            const struct row *v = &m->rows[others->cells[k].item];
            float step = share * others->cells[k].count / m->items[r->cells[a].item] / v->sum;
            for (uint32_t b = 0; others->cells[k].item != user && b < v->count; b++) {
                out[v->cells[b].item] += step * sqrtf(v->cells[b].count);
                total += (double)step * sqrt((double)v->cells[b].count);
            }
        }
    }
    for (uint32_t i = 0; i < m->item_count && total > 0; i++)
        out[i] = (float)(out[i] / total);
}

struct walk {
    struct row *columns;       /* owned; by item: who */
    const struct row **of_item; /* owned */
    uint32_t *of_count;        /* owned */
};

static void walk_init(struct walk *w, const struct matrix *m)
{
    *w = (struct walk){.columns = calloc(ITEMS_MAX, sizeof *w->columns), .of_item = calloc(ITEMS_MAX, sizeof *w->of_item), .of_count = calloc(ITEMS_MAX, sizeof *w->of_count)};
    ASSERT(w->columns && w->of_item && w->of_count);
    for (uint32_t u = 0; u < m->users; u++)
        for (uint32_t k = 0; k < m->rows[u].count; k++) {
            struct row *c = &w->columns[m->rows[u].cells[k].item];
            if (c->count == c->capacity) {
                c->capacity = c->capacity ? c->capacity * 2 : 8;
                c->cells = realloc(c->cells, c->capacity * sizeof *c->cells);
                ASSERT(c->cells);
            }
            c->cells[c->count++] = (struct cell){u, m->rows[u].cells[k].count};
        }
    for (uint32_t i = 0; i < ITEMS_MAX; i++) {
        w->of_item[i] = &w->columns[i];
        w->of_count[i] = w->columns[i].count;
    }
}

static void walk_fini(struct walk *w)
{
    for (uint32_t i = 0; i < ITEMS_MAX; i++)
        free(w->columns[i].cells);
    free(w->columns);
    free(w->of_item);
    free(w->of_count);
}

static int bin_of(const struct matrix *m, const struct row *r)
{
    int bin = 0;
    for (double n = r->sum; n > 1 && bin < BINS - 1; n /= m->bin)
        bin++;
    return bin;
}

/* The parts' probabilities of one item: own, together, everybody's, any. */
static void parts_of(const struct matrix *m, const struct row *r, const float *with, uint32_t item, uint32_t items, double out[PARTS])
{
    float own = 0;
    for (uint32_t k = 0; k < r->count; k++)
        own = r->cells[k].item == item ? r->cells[k].count : own;
    out[0] = r->sum > 0 ? own / r->sum : 0;
    out[1] = with[item];
    out[2] = m->items[item] / m->all;
    out[3] = 1.0 / items;
}

static void fit(const struct matrix *m, const struct walk *w, const struct matrix *held, uint32_t items, double mix[BINS][PARTS])
{
    float *with = calloc(ITEMS_MAX, sizeof *with);
    ASSERT(with);
    for (int b = 0; b < BINS; b++)
        for (int k = 0; k < PARTS; k++)
            mix[b][k] = 1.0 / PARTS;
    for (int round = 0; round < 25; round++) {
        double sums[BINS][PARTS];
        for (int b = 0; b < BINS; b++)
            for (int k = 0; k < PARTS; k++)
                sums[b][k] = 1; /* a little of each, where there is no data */
        for (uint32_t u = 0; u < held->users; u++) {
            const struct row *h = &held->rows[u], *r = &m->rows[u];
            int bin = bin_of(m, r);
            if (h->count)
                together(m, w->of_item, w->of_count, u, with);
            for (uint32_t k = 0; k < h->count; k++) {
                double p[PARTS], all = 0;
                parts_of(m, r, with, h->cells[k].item, items, p);
                for (int j = 0; j < PARTS; j++)
                    all += p[j] * mix[bin][j];
                for (int j = 0; j < PARTS; j++)
                    sums[bin][j] += h->cells[k].count * p[j] * mix[bin][j] / all;
            }
        }
        for (int b = 0; b < BINS; b++) {
            double all = 0;
            for (int k = 0; k < PARTS; k++)
                all += sums[b][k];
            for (int k = 0; k < PARTS; k++)
                mix[b][k] = sums[b][k] / all;
        }
    }
    free(with);
}

static void judge(const struct matrix *m, const struct walk *w, const struct matrix *test, uint32_t items, double mix[BINS][PARTS], const char *method, struct figures *out)
{
    float *with = calloc(ITEMS_MAX, sizeof *with), *score = calloc(ITEMS_MAX, sizeof *score);
    double logs = 0, found = 0, n = 0;
    ASSERT(with && score);
    for (uint32_t u = 0; u < test->users; u++) {
        const struct row *t = &test->rows[u], *r = &m->rows[u];
        if (t->count == 0)
            continue;
        const double *x = mix[bin_of(m, r)];
        together(m, w->of_item, w->of_count, u, with);
        for (uint32_t i = 0; i < items; i++)
            score[i] = (float)(x[1] * with[i] + x[2] * m->items[i] / m->all + x[3] / items);
        for (uint32_t k = 0; k < r->count; k++)
            score[r->cells[k].item] += (float)(x[0] * r->cells[k].count / r->sum);
        for (uint32_t k = 0; k < t->count; k++) {
            logs += t->cells[k].count * log(score[t->cells[k].item] + 1e-30);
            found += t->cells[k].count * hit_at(score, items, t->cells[k].item, 100);
            n += t->cells[k].count;
        }
    }
    figure_add(out, method, "log_prob", n ? logs / n : 0, 0);
    figure_add(out, method, "recall_at_100", n ? found / n : 0, 0);
    free(with);
    free(score);
}

bool protocol_p7(const struct stream_settings *settings, const char *data, struct figures *out)
{
    struct matrix train, held, both, test;
    struct walk walk;
    double mix[BINS][PARTS], own[BINS][PARTS];
    matrix_init(&train);
    matrix_init(&held);
    matrix_init(&both);
    matrix_init(&test);
    bool ok = matrix_read(&train, data, "repeat-go_sf/train.csv", 1) && matrix_read(&held, data, "repeat-go_sf/validation.csv", 1) &&
              matrix_read(&both, data, "repeat-go_sf/train.csv", 1) && matrix_read(&both, data, "repeat-go_sf/validation.csv", (float)settings->methods.repeat_later) &&
              matrix_read(&test, data, "repeat-go_sf/test.csv", 1);
    train.bin = both.bin = settings->methods.repeat_bin;
    uint32_t items = both.item_count > test.item_count ? both.item_count : test.item_count;
    train.item_count = both.item_count = items;
    if (ok) {
        walk_init(&walk, &train);
        fit(&train, &walk, &held, items, mix);
        walk_fini(&walk);
        walk_init(&walk, &both);
        judge(&both, &walk, &test, items, mix, "sluice", out);
        for (int b = 0; b < BINS; b++) { /* the same without what goes together */
            own[b][0] = mix[b][0];
            own[b][1] = 0;
            own[b][2] = mix[b][2] + mix[b][1];
            own[b][3] = mix[b][3];
        }
        judge(&both, &walk, &test, items, own, "frequency", out);
        walk_fini(&walk);
    }
    matrix_fini(&train);
    matrix_fini(&held);
    matrix_fini(&both);
    matrix_fini(&test);
    return ok;
}
