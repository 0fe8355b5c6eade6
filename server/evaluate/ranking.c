/* P1, P2, P3, P4a: rankings of items. */
#include "server/evaluate/protocols.h"
#include "server/evaluate/places.h"
#include "server/evaluate/ratings.h"
#include "server/evaluate/user_cosine.h"

#include "common/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int by_time(const void *a, const void *b)
{
    const struct rating *x = a, *y = b;
    if (x->ts_ms != y->ts_ms)
        return x->ts_ms < y->ts_ms ? -1 : 1;
    return x->order - y->order;
}

struct rating *ratings_read(const char *data, int *out_count)
{
    struct table *t = table_open(data, "ml-100k/u.data");
    struct rating *list = calloc(100001, sizeof *list);
    char *f[8];
    int n = 0;
    ASSERT(list);
    while (t && n < 100000 && table_next(t, "\t ", f, 8) >= 4) {
        list[n] = (struct rating){atoi(f[0]), atoi(f[1]), atoi(f[2]), n, atoll(f[3]) * 1000};
        n++;
    }
    if (t)
        table_close(t);
    qsort(list, (size_t)n, sizeof *list, by_time);
    *out_count = n;
    return list;
}

static void rate(struct stream *s, const struct rating *r)
{
    char user[16], item[16], fields[32];
    snprintf(user, sizeof user, "u%d", r->user);
    snprintf(item, sizeof item, "i%d", r->item);
    snprintf(fields, sizeof fields, ",\"value\":%d", r->value);
    uint32_t u = stream_user(s, user), i = stream_item(s, item);
    stream_event(s, u, "rating", i, r->ts_ms, fields);
}

static void add_share(struct figures *out, const char *method, const char *metric, double hits, double n)
{
    double p = hits / n;
    figure_add(out, method, metric, p, sqrt(p * (1 - p) / n));
}

int ratings_keep_fives(struct rating *list, int count)
{
    int fives = 0;
    for (int i = 0; i < count; i++)
        if (list[i].value == 5)
            list[fives++] = list[i];
    return fives;
}

static double hit_of(float *scores, uint32_t items, uint32_t target, bool is_new, double *rank)
{
    float kept = scores[target];
    if (is_new)
        scores[target] = 0; /* the target is a candidate in any case */
    double hit = hit_at(scores, items, target, 10);
    *rank += rank_of(scores, items, target) / 1171 * 100;
    scores[target] = kept;
    return hit;
}

/* The first k of the candidates, best first; ties by number. */
static uint32_t top(const float *scores, uint32_t count, uint32_t k, uint32_t *list)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (scores[i] < 0 || (n == k && scores[i] <= scores[list[n - 1]]))
            continue;
        uint32_t at = n < k ? n++ : k - 1;
        for (; at > 0 && scores[list[at - 1]] < scores[i]; at--)
            list[at] = list[at - 1];
        list[at] = i;
    }
    return n;
}

/* How far scores are from the reference's, of which they may be any multiple: mean error over the reference's mean. */
static double error_of(const float *scores, const float *reference, uint32_t items)
{
    double sum = 0, wanted = 0, error = 0;
    for (uint32_t i = 0; i < items; i++)
        if (reference[i] >= 0) {
            sum += scores[i];
            wanted += reference[i];
        }
    for (uint32_t i = 0; i < items; i++)
        if (reference[i] >= 0 && sum > 0)
            error += fabs(scores[i] * wanted / sum - reference[i]);
    return wanted > 0 ? sum > 0 ? error / wanted : 1 : 0;
}

/* The reference ranks the same candidates. */
static void ask_reference(struct user_cosine *c, float *const *scores, uint32_t items, uint32_t user, float *out, struct p1_sums *sum)
{
    uint32_t ours[10], theirs[10], our_count = top(scores[METHOD_SLUICE], items, 10, ours);
    user_cosine_score(c, user, out);
    for (uint32_t i = 0; i < items; i++)
        if (scores[METHOD_POPULARITY][i] < 0)
            out[i] = -1;
    uint32_t count = top(out, items, 10, theirs);
    for (uint32_t i = 0; i < our_count; i++)
        for (uint32_t k = 0; k < count; k++)
            sum->reference_shared += ours[i] == theirs[k] ? 0.1 : 0;
    sum->reference_error += error_of(scores[METHOD_SLUICE], out, items);
}

static void p1_ask(struct stream *s, struct user_cosine *c, uint32_t u, uint32_t target, int64_t now_ms, struct p1_sums *out)
{
    float *const *scores = stream_rank(s, u, now_ms, false);
    bool is_new = !stream_seen(s, target);
    static float reference[2000];
    double unused = 0;
    if (c) {
        ask_reference(c, scores, stream_items(s), u, reference, out);
        out->reference_hits += hit_of(reference, stream_items(s), target, is_new, &unused);
    }
    for (int m = 0; m < METHODS; m++)
        out->hits[m] += hit_of(scores[m], stream_items(s), target, is_new, &out->ranks[m]);
    out->asked++;
    out->new_items += is_new;
    out->new_users += !stream_profile(s, u);
}

void p1_run(const struct stream_settings *settings, const struct rating *list, int fives, bool with_reference, struct p1_sums *out)
{
    struct stream *s = stream_create(settings);
    struct user_cosine *c = with_reference ? user_cosine_create(1000, 2000) : NULL;
    clock_t began = clock();
    *out = (struct p1_sums){0};
    for (int i = 0; i < fives; i++) {
        char user[16], item[16];
        snprintf(user, sizeof user, "u%d", list[i].user);
        snprintf(item, sizeof item, "i%d", list[i].item);
        uint32_t u = stream_user(s, user), target = stream_item(s, item);
        if (i >= fives - (int)(fives * 0.7 + 0.5))
            p1_ask(s, c, u, target, list[i].ts_ms, out);
        rate(s, &list[i]);
        if (c)
            user_cosine_rate(c, u, target, 1);
    }
    out->cpu_s = (double)(clock() - began) / CLOCKS_PER_SEC;
    out->table_bytes = stream_bytes(s);
    user_cosine_destroy(c);
    stream_destroy(s);
}

bool protocol_p1(const struct stream_settings *settings, const char *data, struct figures *out)
{
    struct p1_sums sum = {0};
    int count;
    struct rating *list = ratings_read(data, &count);
    p1_run(settings, list, ratings_keep_fives(list, count), false, &sum);
    for (int m = 0; sum.asked && m < METHODS; m++) {
        add_share(out, method_names[m], "recall_at_10", sum.hits[m], sum.asked);
        figure_add(out, method_names[m], "mpr", sum.ranks[m] / sum.asked, 0);
    }
    figure_add(out, "data", "asked", sum.asked, 0);
    figure_add(out, "data", "new_item_share", sum.asked ? (double)sum.new_items / sum.asked : 0, 0);
    figure_add(out, "data", "new_user_share", sum.asked ? (double)sum.new_users / sum.asked : 0, 0);
    free(list);
    return sum.asked > 0;
}

#define P2_MAX 2000

struct p2_sums {
    double precision, recall, ndcg;
};

static void judge_p2(const float *scores, uint32_t items, const bool *wanted, int wanted_count, struct p2_sums *sum)
{
    uint32_t list[10], n = top(scores, items, 10, list);
    double hits = 0, gain = 0, ideal = 0;
    for (uint32_t i = 0; i < n; i++)
        if (wanted[list[i]]) {
            hits++;
            gain += 1 / log2(i + 2.0);
        }
    for (int i = 0; i < wanted_count; i++) /* the full ideal */
        ideal += 1 / log2(i + 2.0);
    sum->precision += hits / 10;
    sum->recall += hits / wanted_count;
    sum->ndcg += gain / ideal;
}

bool protocol_p2(const struct stream_settings *settings, const char *data, struct figures *out)
{
    static bool train[1000][P2_MAX], wanted[P2_MAX * 2];
    char *f[4000], name[16];
    int count, users = 0;
    struct p2_sums sums[METHODS] = {{0}};
    struct rating *list = ratings_read(data, &count);
    struct table *t = table_open(data, "ml-100k-mcrec-split/ml-100k.train.rating");
    while (t && table_next(t, "\t ", f, 8) >= 3)
        train[atoi(f[0]) % 1000][atoi(f[1]) % P2_MAX] = true;
    if (t)
        table_close(t);
    struct stream *s = stream_create(settings);
    for (int i = 0; i < count; i++) {
        if (!train[list[i].user % 1000][list[i].item % P2_MAX])
            continue;
        rate(s, &list[i]);
    }
    t = table_open(data, "ml-100k-mcrec-split/ml-100k.test.rating");
    int n;
    while (t && (n = table_next(t, "\t ", f, 4000)) > 1) {
        snprintf(name, sizeof name, "u%s", f[0]);
        uint32_t u = stream_user(s, name);
        int wanted_count = 0;
        memset(wanted, 0, sizeof wanted);
        for (int k = 1; k < n; k++) {
            char item[16];
            snprintf(item, sizeof item, "i%s", f[k]);
            uint32_t number = stream_item(s, item);
            wanted_count += !wanted[number];
            wanted[number] = true;
        }
        float *const *scores = stream_rank(s, u, count ? list[count - 1].ts_ms : 0, false);
        for (int m = 0; m < METHODS; m++)
            judge_p2(scores[m], stream_items(s), wanted, wanted_count, &sums[m]);
        users++;
    }
    if (t)
        table_close(t);
    for (int m = 0; users && m < METHODS; m++) {
        figure_add(out, method_names[m], "precision_at_10", sums[m].precision / users, 0);
        figure_add(out, method_names[m], "recall_at_10", sums[m].recall / users, 0);
        figure_add(out, method_names[m], "ndcg_at_10", sums[m].ndcg / users, 0);
    }
    stream_destroy(s);
    free(list);
    return users > 0;
}

bool protocol_p3(const struct stream_settings *settings, const char *data, struct figures *out)
{
    static char *f[2000];
    struct table *t = table_open(data, "s3rec-beauty/Beauty.txt");
    struct stream *s = stream_create(settings);
    uint32_t *targets = NULL, users = 0, capacity = 0;
    double hits[METHODS] = {0}, gains[METHODS] = {0};
    int n;
    int64_t ts_ms = 1700000000000;
    while (t && (n = table_next(t, " ", f, 2000)) > 2) {
        uint32_t u = stream_user(s, f[0]);
        for (int k = 1; k < n - 1; k++) {
            uint32_t item = stream_item(s, f[k]);
            stream_event(s, u, "browse", item, ts_ms += 1000, "");
        }
        if (u >= capacity) {
            capacity = capacity ? capacity * 2 : 32768;
            targets = realloc(targets, capacity * sizeof *targets);
            ASSERT(targets);
        }
        targets[u] = stream_item(s, f[n - 1]);
        users = u + 1;
    }
    if (t)
        table_close(t);
    for (uint32_t u = 0; u < users; u++) {
        float *const *scores = stream_rank(s, u, ts_ms, false);
        for (int m = 0; m < METHODS; m++) {
            if (scores[m][targets[u]] < 0)
                continue;
            double rank = rank_of(scores[m], stream_items(s), targets[u]);
            double hit = hit_at(scores[m], stream_items(s), targets[u], 10);
            hits[m] += hit;
            gains[m] += hit > 0 ? hit / log2(rank + 2) : 0;
        }
    }
    for (int m = 0; users && m < METHODS; m++) {
        add_share(out, method_names[m], "hr_at_10", hits[m], users);
        figure_add(out, method_names[m], "ndcg_at_10", gains[m] / users, 0);
    }
    free(targets);
    stream_destroy(s);
    return users > 0;
}
