/*
 * P7: what comes again. Visits become purchases of what returns, 10 s apart, each part in an order drawn from a hash, for the
 * data hold none; training and validation are learned as they come, then the test is asked of the engine as it stands. What an
 * item's probability is comes from recommend_next(). Recall is the mean over users, as published; over events beside it.
 * `frequency` has a probability too: own counts and everybody's, mixed by one weight that is fitted on the validation part.
 */
#include "server/evaluate/protocols.h"
#include "server/evaluate/places.h"

#include "common/check.h"
#include "common/hash.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define STEP_MS 10000
#define ROUNDS 30

struct visit_count {
    uint32_t user, item, count;
};

struct part {
    struct visit_count *at; /* owned; in the order of the file: by user */
    uint32_t count, capacity;
};

/* One tested pair of user and item as the mixture sees it. */
struct odds {
    double own, all, count;
};

struct mixture {
    struct odds *at; /* owned */
    uint32_t count;
};

struct repeat_sums {
    double logs, found, events, user_found, users;
};

static bool part_read(struct part *p, struct stream *s, const char *data, const char *path)
{
    struct table *t = table_open(data, path);
    char *f[4], user[32], item[32];
    while (t && table_next(t, ",", f, 4) >= 3) {
        if (atof(f[2]) < 1)
            continue;
        if (p->count == p->capacity) {
            p->capacity = p->capacity ? p->capacity * 2 : 1024;
            p->at = realloc(p->at, p->capacity * sizeof *p->at);
            ASSERT(p->at);
        }
        snprintf(user, sizeof user, "u%ld", atol(f[0]));
        snprintf(item, sizeof item, "i%ld", atol(f[1]));
        p->at[p->count++] = (struct visit_count){stream_user(s, user), stream_item(s, item), (uint32_t)atol(f[2])};
    }
    if (t)
        table_close(t);
    return t;
}

struct drawn {
    uint64_t key;
    uint32_t user, item;
};

static int by_key(const void *a, const void *b)
{
    const struct drawn *x = a, *y = b;
    return x->key < y->key ? -1 : x->key > y->key;
}

static void visit_all(struct stream *s, const struct part *p, int64_t *now_ms)
{
    uint32_t count = 0, n = 0;
    char fields[80];
    for (uint32_t i = 0; i < p->count; i++)
        count += p->at[i].count;
    struct drawn *list = calloc(count + 1, sizeof *list);
    ASSERT(list);
    for (uint32_t i = 0; i < p->count; i++)
        for (uint32_t k = 0; k < p->at[i].count; k++, n++)
            list[n] = (struct drawn){hash_mix(n + 1), p->at[i].user, p->at[i].item};
    qsort(list, count, sizeof *list, by_key);
    for (uint32_t i = 0; i < count; i++) {
        *now_ms += STEP_MS;
        snprintf(fields, sizeof fields, ",\"order\":\"o%lld\",\"amount\":100,\"currency\":\"CNY\"", (long long)*now_ms);
        stream_event(s, list[i].user, "purchase", list[i].item, *now_ms, fields);
    }
    free(list);
}

/* The user's entries, which stand together. */
static uint32_t user_end(const struct part *p, uint32_t from)
{
    uint32_t to = from;
    while (to < p->count && p->at[to].user == p->at[from].user)
        to++;
    return to;
}

static double sum_of(const float *scores, uint32_t count)
{
    double sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += scores[i] > 0 ? scores[i] : 0;
    return sum;
}

/* What the simple methods say of the entries from .. to, which are of one user: counts of the own, in whole numbers, and of all. */
static void note_odds(struct mixture *m, float *const *scores, const struct part *p, uint32_t from, uint32_t to, uint32_t items)
{
    double all = sum_of(scores[METHOD_POPULARITY], items), own = 0;
    for (uint32_t i = 0; i < items; i++)
        own += scores[METHOD_FREQUENCY][i] > 0 ? floor(scores[METHOD_FREQUENCY][i]) : 0;
    for (uint32_t k = from; k < to; k++) {
        float mine = scores[METHOD_FREQUENCY][p->at[k].item], theirs = scores[METHOD_POPULARITY][p->at[k].item];
        m->at[m->count++] = (struct odds){mine > 0 && own > 0 ? floor(mine) / own : 0, ((theirs > 0 ? theirs : 0) + 1) / (all + items), p->at[k].count};
    }
}

static double fit(const struct mixture *m)
{
    double weight = 0.5;
    for (int round = 0; round < ROUNDS; round++) {
        double mine = 0, all = 0;
        for (uint32_t i = 0; i < m->count; i++) {
            const struct odds *o = &m->at[i];
            mine += o->count * weight * o->own / (weight * o->own + (1 - weight) * o->all);
            all += o->count;
        }
        weight = all > 0 ? mine / all : weight;
    }
    return weight;
}

static double log_prob(const struct mixture *m, double weight)
{
    double logs = 0, all = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        logs += m->at[i].count * log(weight * m->at[i].own + (1 - weight) * m->at[i].all);
        all += m->at[i].count;
    }
    return all > 0 ? logs / all : 0;
}

static void note_hits(struct repeat_sums *sum, const float *scores, const struct part *p, uint32_t from, uint32_t to, uint32_t items)
{
    double found = 0, events = 0;
    for (uint32_t k = from; k < to; k++) {
        found += scores[p->at[k].item] >= 0 ? p->at[k].count * hit_at(scores, items, p->at[k].item, 100) : 0;
        events += p->at[k].count;
    }
    sum->found += found;
    sum->events += events;
    sum->user_found += found / events;
    sum->users++;
}

/* Asks for every user of a part; nothing is learned. The daemon's order is that of the probabilities. */
static void judge(struct stream *s, const struct part *p, int64_t now_ms, struct repeat_sums sums[METHODS], struct mixture *m)
{
    uint32_t items = stream_items(s);
    m->at = calloc(p->count + 1, sizeof *m->at);
    ASSERT(m->at);
    for (uint32_t i = 0, to; i < p->count; i = to) {
        to = user_end(p, i);
        float *const *scores = stream_rank(s, p->at[i].user, now_ms, true);
        note_odds(m, scores, p, i, to, items);
        const float *next = stream_next(s, p->at[i].user, now_ms);
        for (uint32_t k = i; k < to; k++)
            sums[METHOD_SLUICE].logs += p->at[k].count * log((double)next[p->at[k].item]);
        for (int method = 0; method < METHODS; method++)
            note_hits(&sums[method], scores[method], p, i, to, items);
    }
}

static void write_figures(const struct repeat_sums sums[METHODS], double plain, struct figures *out)
{
    for (int m = 0; m < METHODS; m++) {
        const struct repeat_sums *sum = &sums[m];
        double share = sum->user_found / sum->users;
        if (m == METHOD_SLUICE || m == METHOD_FREQUENCY)
            figure_add(out, method_names[m], "log_prob", m == METHOD_SLUICE ? sum->logs / sum->events : plain, 0);
        figure_add(out, method_names[m], "recall_at_100", share, sqrt(share * (1 - share) / sum->users));
        figure_add(out, method_names[m], "event_recall_at_100", sum->found / sum->events, 0);
    }
}

bool protocol_p7(const struct stream_settings *settings, const char *data, struct figures *out)
{
    static const char *const paths[] = {"repeat-go_sf/train.csv", "repeat-go_sf/validation.csv", "repeat-go_sf/test.csv"};
    enum { TRAIN, VALIDATION, TEST, PARTS };
    struct stream *s = stream_create(settings);
    struct part parts[PARTS] = {{0}};
    struct repeat_sums before[METHODS] = {{0}}, sums[METHODS] = {{0}};
    struct mixture fitted = {0}, tested = {0};
    int64_t now_ms = 1700000000000;
    bool ok = true;
    for (int i = 0; i < PARTS && ok; i++)
        ok = part_read(&parts[i], s, data, paths[i]) && parts[i].count;
    if (ok) {
        visit_all(s, &parts[TRAIN], &now_ms);
        judge(s, &parts[VALIDATION], now_ms, before, &fitted);
        visit_all(s, &parts[VALIDATION], &now_ms);
        judge(s, &parts[TEST], now_ms, sums, &tested);
        write_figures(sums, log_prob(&tested, fit(&fitted)), out);
    }
    for (int i = 0; i < PARTS; i++)
        free(parts[i].at);
    free(fitted.at);
    free(tested.at);
    stream_destroy(s);
    return ok;
}
