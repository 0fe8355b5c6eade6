/*
 * The room score: how a room does against rooms of its kind, from rates that small numbers cannot swing.
 *
 * Evidence of a counter = sum over the 5, 30 and 60 minute windows of window_ppm times the window's count; the
 * windows nest, so an event weighs 1, then 0.8, then 0.5, then nothing. For each part the room's rate x/n is shrunk
 * to the pooled rate m of its cohort with k pseudo-trials, (x + k m) / (n + k): the posterior mean of a beta (or
 * gamma) prior whose mean is the cohort's (Casella, An introduction to empirical Bayes data analysis, 1985).
 * score = sum of part_ppm / known * clamp(shrunk / m, 1/ratio_max, ratio_max): a weighted linear blend, so that parts add up
 * exactly and no logarithm is needed; 1,000,000 is an average room. `known` is the sum of part_ppm of what the cohort has any
 * of: where nothing is sold the score is of the rest.
 *
 * A cohort is (category, age bucket); one of fewer than cohort_rooms is replaced by the whole scene, which is cohort
 * 0. Sums are made in the order of room ids, in doubles, and only quantised results are stored. Cost: one pass with
 * four windows a room.
 */
#include "server/engine/allocation_state.h"

#include "common/check.h"

#include <stdlib.h>

/* `events`: what happens count by count behind it, at `step` of the funnel. */
static const struct { enum sampled count, trials, events; enum funnel_step step; } parts[SCORE_PARTS] = {
    [PART_ENTRANCE] = {SAMPLED_ENTER, SAMPLED_EXPOSURE, SAMPLED_ENTER, STEP_ENTRANCE},
    [PART_DWELL] = {SAMPLED_WATCH_MS, SAMPLED_ENTER, SAMPLED_ENTER, STEP_DWELL},
    [PART_INTERACTION] = {SAMPLED_INTERACTION, SAMPLED_ENTER, SAMPLED_INTERACTION, STEP_INTERACTION},
    [PART_CONVERSION] = {SAMPLED_PURCHASE, SAMPLED_ENTER, SAMPLED_PURCHASE, STEP_CONVERSION},
    [PART_GPM] = {SAMPLED_GMV, SAMPLED_ENTER, SAMPLED_PURCHASE, STEP_CONVERSION},
};

static uint64_t cohort_key(const struct scene *c, const struct allocation_settings *s, const struct room *r)
{
    int64_t age_ms = c->tick_ms - r->opened_ms;
    uint64_t bucket = age_ms < s->age_ms[0] ? 1 : age_ms < s->age_ms[1] ? 2 : 3;
    return (uint64_t)r->category << 2 | bucket;
}

static uint32_t cohort_place(struct cohorts *k, uint64_t key)
{
    for (uint32_t i = (uint32_t)hash_mix(key) & k->mask;; i = (i + 1) & k->mask) {
        if (k->slots[i] == 0) {
            k->at[k->count].key = key;
            k->slots[i] = ++k->count;
        }
        if (k->at[k->slots[i] - 1].key == key)
            return k->slots[i] - 1;
    }
}

static void cohorts_init(struct cohorts *k, uint32_t rooms)
{
    uint32_t size = 16;
    while (size < 2 * (rooms + 1))
        size *= 2;
    *k = (struct cohorts){.at = calloc(rooms + 1, sizeof *k->at), .slots = calloc(size, sizeof *k->slots)};
    ASSERT(k->at);
    ASSERT(k->slots);
    k->mask = size - 1;
    k->count = 1;
}

void cohorts_fini(struct cohorts *k)
{
    free(k->at);
    free(k->slots);
    *k = (struct cohorts){0};
}

const struct cohort *cohorts_of(const struct cohorts *k, const struct allocation_settings *s, const struct room *r)
{
    return &k->at[k->at[r->cohort].rooms < s->cohort_rooms ? 0 : r->cohort];
}

static void gather(const struct scene *c, const struct allocation_settings *s, struct room *r, struct cohorts *k)
{
    static const enum window used[3] = {WINDOW_5, WINDOW_30, WINDOW_60};
    int64_t window[SAMPLED];
    double recent[2][SAMPLED] = {{0}};
    memset(r->evidence, 0, sizeof r->evidence);
    for (int w = 0; w < 3; w++) {
        windows_read(r, c->minute, used[w], window);
        for (int i = 0; i < SAMPLED; i++) {
            r->evidence[i] += (double)window[i] * s->window_ppm[w] / PPM;
            if (w == 0)
                recent[0][i] = (double)window[i];
        }
    }
    windows_read(r, c->minute, WINDOW_10, window);
    for (int i = 0; i < SAMPLED; i++)
        recent[1][i] = (double)window[i];
    r->cohort = cohort_place(k, cohort_key(c, s, r));
    struct cohort *into[2] = {&k->at[0], &k->at[r->cohort]};
    for (int n = 0; n < 2; n++) {
        into[n]->rooms++;
        for (int i = 0; i < SAMPLED; i++) {
            into[n]->evidence[i] += r->evidence[i];
            into[n]->windows[0][i] += recent[0][i];
            into[n]->windows[1][i] += recent[1][i];
        }
    }
}

/* Variance of the ratio of `n` trials at the cohort's rates: as many events as are counted, clumped as the alerts know it. */
static double variance_of(const struct allocation_settings *s, const struct cohort *of, int p, double n)
{
    double counted = of->evidence[parts[p].events], trials = of->evidence[parts[p].trials];
    return counted > 0 && n > 0 ? (double)s->alert_spread_milli[parts[p].step] / 1000 * trials / counted / n : 0;
}

static double known_of(const struct allocation_settings *s, const struct cohort *of)
{
    double known = 0;
    for (int p = 0; p < SCORE_PARTS; p++)
        known += of->evidence[parts[p].count] > 0 && of->evidence[parts[p].trials] > 0 ? (double)s->part_ppm[p] / PPM : 0;
    return known;
}

static void score(const struct allocation_settings *s, struct room *r, const struct cohort *of)
{
    double high = (double)s->ratio_max_ppm / PPM, low = 1 / high, known = known_of(s, of);
    r->score_ppm = 0;
    memset(r->ratios, 0, sizeof r->ratios);
    for (int p = 0; p < SCORE_PARTS; p++) {
        double trials = of->evidence[parts[p].trials], ratio = known > 0 ? 0 : 1;
        double pooled = trials > 0 ? of->evidence[parts[p].count] / trials : 0;
        if (pooled > 0 && known > 0) {
            double k = s->prior[p], x = r->evidence[parts[p].count], n = r->evidence[parts[p].trials];
            ratio = n + k > 0 ? (x + k * pooled) / (n + k) / pooled : 1;
            ratio = (ratio < low ? low : ratio > high ? high : ratio) / known;
            r->ratios[p] = (struct ratio){(double)s->part_ppm[p] / PPM / known, n > 0 ? x / n / pooled - 1 : 0, variance_of(s, of, p, n)};
        }
        r->parts[p] = (int32_t)(s->part_ppm[p] * ratio);
        r->score_ppm += r->parts[p];
    }
}

void scoring_tick(struct scene *c, const struct allocation_settings *s, struct cohorts *out)
{
    cohorts_init(out, c->rooms.count);
    for (uint32_t i = 0; i < c->rooms.count; i++)
        if (!room_at(c, i)->retired)
            gather(c, s, room_at(c, i), out);
    for (uint32_t i = 0; i < c->rooms.count; i++)
        if (!room_at(c, i)->retired)
            score(s, room_at(c, i), cohorts_of(out, s, room_at(c, i)));
}
