/* P4a: a shop's lines as purchases, its baskets one by one. */
#include "server/evaluate/retail.h"
#include "server/evaluate/places.h"

#include "server/evaluate/protocols.h"

#include "common/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define AMOUNT_MAX 10000000

static int by_time(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    if (x->ts_ms != y->ts_ms)
        return x->ts_ms < y->ts_ms ? -1 : 1;
    return x->invoice != y->invoice ? x->invoice - y->invoice : x->at - y->at;
}

static int64_t time_of(const char *text)
{
    struct tm t = {0};
    if (sscanf(text, "%d-%d-%d %d:%d:%d", &t.tm_year, &t.tm_mon, &t.tm_mday, &t.tm_hour, &t.tm_min, &t.tm_sec) < 5)
        return 0;
    t.tm_year -= 1900;
    t.tm_mon -= 1;
    return (int64_t)timegm(&t) * 1000;
}

/* Item names are made of letters that ids may have. */
static uint32_t item_number(struct stream *s, const char *code)
{
    char name[32];
    size_t n = 0;
    name[n++] = 'p';
    for (const char *c = code; *c && n < sizeof name - 1; c++)
        name[n++] = (*c >= '0' && *c <= '9') || (*c >= 'A' && *c <= 'Z') || (*c >= 'a' && *c <= 'z') ? *c : '_';
    name[n] = 0;
    return stream_item(s, name);
}

bool lines_read(const char *data, struct stream *s, bool anonymous, struct lines *out)
{
    struct table *t = table_open(data, "online-retail/online_retail.csv.gz");
    char *f[16], user[32];
    int capacity = 0;
    *out = (struct lines){0};
    if (!t)
        return false;
    table_next(t, ",", f, 16);
    for (int at = 0; table_next(t, ",", f, 16) >= 8; at++) {
        double quantity = atof(f[3]), price = atof(f[5]);
        if (f[0][0] == 'C' || quantity <= 0 || price <= 0 || (!anonymous && !*f[6]) || (anonymous && (f[1][0] < '0' || f[1][0] > '9')))
            continue;
        if (out->count == capacity) {
            capacity = capacity ? capacity * 2 : 65536;
            out->list = realloc(out->list, (size_t)capacity * sizeof *out->list);
            ASSERT(out->list);
        }
        snprintf(user, sizeof user, "c%d", atoi(f[6]));
        struct line *l = &out->list[out->count++];
        *l = (struct line){stream_user(s, user), item_number(s, f[1]), 0, time_of(f[4]), (int64_t)(quantity * price * 100 + 0.5), atoi(f[0]), at};
        l->amount = l->amount > AMOUNT_MAX ? AMOUNT_MAX : l->amount < 1 ? 1 : l->amount;
    }
    table_close(t);
    qsort(out->list, (size_t)out->count, sizeof *out->list, by_time);
    return true;
}

static void buy(struct stream *s, const struct line *l)
{
    char fields[96];
    snprintf(fields, sizeof fields, ",\"order\":\"o%d\",\"amount\":%lld,\"currency\":\"CNY\"", l->invoice, (long long)l->amount);
    stream_event(s, l->user, "purchase", l->item, l->ts_ms, fields);
}

struct p4a_sums {
    double hits[METHODS], new_hits[METHODS], new_recall[METHODS];
    int asked, new_asked;
};

static void judge_basket(struct stream *s, const struct line *from, int size, float *const *scores, struct p4a_sums *sum)
{
    int fresh = 0;
    for (int i = 0; i < size; i++)
        fresh += !stream_has(s, from->user, from[i].item) && scores[METHOD_SLUICE][from[i].item] >= 0;
    for (int m = 0; m < METHODS; m++) {
        double miss = 1;
        for (int i = 0; i < size; i++)
            if (scores[m][from[i].item] >= 0)
                miss *= 1 - hit_at(scores[m], stream_items(s), from[i].item, 10);
        sum->hits[m] += 1 - miss;
    }
    sum->asked++;
}

static void judge_new(struct stream *s, const struct line *from, int size, float *const *scores, struct p4a_sums *sum)
{
    int fresh = 0;
    for (int i = 0; i < size; i++)
        fresh += !stream_has(s, from->user, from[i].item);
    if (fresh == 0)
        return;
    for (int m = 0; m < METHODS; m++) {
        double miss = 1, found = 0;
        for (int i = 0; i < size; i++) {
            if (scores[m][from[i].item] < 0)
                continue;
            double hit = hit_at(scores[m], stream_items(s), from[i].item, 10);
            miss *= 1 - hit;
            found += hit;
        }
        sum->new_hits[m] += 1 - miss;
        sum->new_recall[m] += found / fresh;
    }
    sum->new_asked++;
}

bool protocol_p4a(const struct stream_settings *settings, const char *data, struct figures *out)
{
    struct stream *s = stream_create(settings);
    struct lines lines;
    struct p4a_sums sum = {0};
    if (!lines_read(data, s, false, &lines)) {
        stream_destroy(s);
        return false;
    }
    int64_t start_ms = lines.count ? lines.list[0].ts_ms : 0;
    for (int i = 0, j; i < lines.count; i = j) {
        const struct line *from = &lines.list[i];
        for (j = i; j < lines.count && lines.list[j].invoice == from->invoice; j++)
            ;
        if (from->ts_ms - start_ms >= 90 * DAY_MS) {
            bool returning = stream_profile(s, from->user);
            judge_basket(s, from, j - i, stream_rank(s, from->user, from->ts_ms, true), &sum);
            if (returning)
                judge_new(s, from, j - i, stream_rank(s, from->user, from->ts_ms, false), &sum);
        }
        for (int k = i; k < j; k++)
            buy(s, &lines.list[k]);
    }
    figure_add(out, "data", "asked", sum.asked, 0);
    figure_add(out, "data", "new_asked", sum.new_asked, 0);
    for (int m = 0; sum.asked && m < METHODS; m++) {
        double hr = sum.hits[m] / sum.asked, fresh = sum.new_hits[m] / sum.new_asked;
        figure_add(out, method_names[m], "hr_at_10", hr, sqrt(hr * (1 - hr) / sum.asked));
        figure_add(out, method_names[m], "new_hr_at_10", fresh, sqrt(fresh * (1 - fresh) / sum.new_asked));
        figure_add(out, method_names[m], "new_recall_at_10", sum.new_recall[m] / sum.new_asked, 0);
    }
    free(lines.list);
    stream_destroy(s);
    return sum.asked > 0;
}
