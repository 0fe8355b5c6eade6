/*
 * P4c: products as hosts. Each has a room in one scene and somebody looks at it once a day; what is sold goes through
 * profiles, counters and rollups into the allocation engine, and a cut asks for its ranking of hosts (allocation_results.c).
 * Beside it are sums and fading sums of the same lines.
 */
#include "server/evaluate/pool.h"
#include "server/evaluate/protocols.h"
#include "server/evaluate/retail.h"

#include "common/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define ASKED 20
#define PASSERBY 10000000 /* a user who only looks */
#define LINE_MAX_WORTH 300.0
#define FADING_DAYS 9.7   /* half-life of a mean of 14 days */

enum way { ALL, FADING, CAPPED, SLUICE, WAYS };

static const char *const names[WAYS] = {"all_time", "fading", "fading_capped", "sluice"};

struct shelves {
    uint32_t items;
    double *score[WAYS]; /* owned; by item */
    double *gain;        /* owned */
    bool *open;          /* owned */
    struct pool *pool;   /* owned */
    uint32_t days, days_max; /* so far, and those whose results the engine still counts */
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? 1 : -(x > y);
}

/* What scores nothing takes no place. */
static double ndcg(const double *score, const double *gain, uint32_t count)
{
    double sum = 0, ideal = 0;
    double *sorted = malloc((count + 1) * sizeof *sorted);
    bool *taken = calloc(count + 1, sizeof *taken);
    ASSERT(sorted && taken);
    memcpy(sorted, gain, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, by_value);
    for (uint32_t k = 0; k < ASKED && k < count; k++) {
        uint32_t best = count;
        ideal += sorted[k] / log2(k + 2.0);
        for (uint32_t i = 0; i < count; i++)
            if (score[i] > 0 && !taken[i] && (best == count || score[i] > score[best]))
                best = i;
        if (best == count)
            continue;
        taken[best] = true;
        sum += gain[best] / log2(k + 2.0);
    }
    free(taken);
    free(sorted);
    return ideal > 0 ? sum / ideal : 0;
}

static void open_shelves(struct shelves *s, const struct stream_settings *settings, uint32_t items)
{
    struct stream_settings wide = *settings;
    wide.allocation.rooms_max = wide.allocation.hosts_max = items; /* tables as large as the shop, a list as long as is asked */
    wide.allocation.rank_top = ASKED;
    *s = (struct shelves){.items = items, .days_max = PPM / (settings->allocation.host_fade_ppm + 1), .gain = calloc(items, sizeof *s->gain), .open = calloc(items, sizeof *s->open), .pool = pool_create(&wide)};
    ASSERT(s->gain && s->open);
    for (int w = 0; w < WAYS; w++) {
        s->score[w] = calloc(items, sizeof **s->score);
        ASSERT(s->score[w]);
    }
}

static void close_shelves(struct shelves *s)
{
    for (int w = 0; w < WAYS; w++)
        free(s->score[w]);
    free(s->gain);
    free(s->open);
    pool_destroy(s->pool);
}

/* The same for all: somebody sees it, comes in and looks for a minute. */
static void pass_by(struct shelves *s, uint32_t item, int64_t now_ms)
{
    pool_event(s->pool, PASSERBY, "impression", item, now_ms, "");
    pool_event(s->pool, PASSERBY, "click", item, now_ms, "");
    pool_event(s->pool, PASSERBY, "enter", item, now_ms, "");
    pool_event(s->pool, PASSERBY, "watch", item, now_ms, ",\"dwell_ms\":60000");
}

/* It stood there unsold before, as far back as the engine looks. */
static void open_shelf(struct shelves *s, uint32_t item, int64_t now_ms)
{
    pool_open(s->pool, item, now_ms);
    for (uint32_t d = 0; d < s->days && d < s->days_max; d++)
        pass_by(s, item, now_ms);
    s->open[item] = true;
}

static void sell(struct shelves *s, const struct line *l)
{
    double amount = (double)l->amount / 100;
    char fields[120];
    if (!s->open[l->item])
        open_shelf(s, l->item, l->ts_ms);
    snprintf(fields, sizeof fields, ",\"item\":\"goods\",\"order\":\"o%d\",\"amount\":%lld,\"currency\":\"CNY\"", l->at, (long long)l->amount);
    pool_event(s->pool, l->user, "purchase", l->item, l->ts_ms, fields);
    s->score[ALL][l->item] += amount;
    s->score[FADING][l->item] += amount;
    s->score[CAPPED][l->item] += amount > LINE_MAX_WORTH ? LINE_MAX_WORTH : amount;
}

/* Ends a day: every product was shown, sums fade, the engine decides. */
static void end_day(struct shelves *s, int64_t day_ms)
{
    double fade = exp2(-1 / FADING_DAYS);
    s->days++;
    for (uint32_t i = 0; i < s->items; i++) {
        s->score[FADING][i] *= fade;
        s->score[CAPPED][i] *= fade;
        s->score[SLUICE][i] = 0;
        if (s->open[i])
            pass_by(s, i, day_ms);
    }
    const struct scene_out *out = pool_tick(s->pool, day_ms);
    for (size_t r = 0; r < out->ranking_count; r++)
        for (uint32_t k = 0; k < out->rankings[r].count; k++)
            s->score[SLUICE][pool_place(&out->rankings[r].hosts[k].host)] = ASKED - k;
}

static void judge(struct shelves *s, const struct lines *lines, int next, int64_t day_ms, double sums[WAYS])
{
    memset(s->gain, 0, s->items * sizeof *s->gain);
    for (int i = next; i < lines->count && lines->list[i].ts_ms < day_ms + 7 * DAY_MS; i++)
        s->gain[lines->list[i].item] += (double)lines->list[i].amount / 100;
    for (int w = 0; w < WAYS; w++)
        sums[w] += ndcg(s->score[w], s->gain, s->items);
}

bool protocol_p4c(const struct stream_settings *settings, const char *data, struct figures *out)
{
    struct stream *numbers = stream_create(settings);
    struct shelves s;
    struct lines lines;
    double sums[WAYS] = {0};
    int cuts = 0, next = 0;
    if (!lines_read(data, numbers, true, &lines)) {
        stream_destroy(numbers);
        return false;
    }
    open_shelves(&s, settings, stream_items(numbers));
    int64_t day_ms = lines.list[0].ts_ms, end_ms = lines.list[lines.count - 1].ts_ms;
    for (int day = 0; day_ms <= end_ms; day++) {
        if (day >= 60 && (day - 60) % 7 == 0 && day_ms + 7 * DAY_MS <= end_ms + DAY_MS) {
            judge(&s, &lines, next, day_ms, sums);
            cuts++;
        }
        day_ms += DAY_MS;
        for (; next < lines.count && lines.list[next].ts_ms < day_ms; next++)
            sell(&s, &lines.list[next]);
        end_day(&s, day_ms);
    }
    for (int w = 0; w < WAYS; w++)
        figure_add(out, names[w], "ndcg_at_20", cuts ? sums[w] / cuts : 0, 0);
    figure_add(out, "data", "cuts", cuts, 0);
    close_shelves(&s);
    free(lines.list);
    stream_destroy(numbers);
    return cuts > 0;
}
