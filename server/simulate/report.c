/*
 * Collects what was published and works out the findings at the end.
 *
 * Uplift is a ratio of two ratio estimators; its standard error is by the delta method with users as clusters:
 * var(R) = sum_i (p_i - R e_i)^2 / E^2. AUC is the rank-sum statistic with mid-ranks for ties.
 */
#include "server/simulate/report.h"

#include "common/check.h"
#include "common/hash.h"
#include "common/map.h"
#include "server/simulate/report_state.h"

#include <math.h>
#include <stdlib.h>

#define SAMPLE_EVERY_MS 60000
#define ALERT_GRACE_MS 180000
#define DETECTABLE 10 /* lost events of which a test may be expected to see that they are missing */

struct report *report_create(struct world *w, const struct report_settings *settings)
{
    struct report *r = calloc(1, sizeof *r);
    ASSERT(r);
    r->world = w;
    r->settings = *settings;
    r->sampled_ms = w->settings.start_ms;
    r->segment_of = calloc(w->settings.users, sizeof *r->segment_of);
    r->standing = calloc(w->settings.users, sizeof *r->standing);
    r->exposures = calloc(w->settings.users, sizeof *r->exposures);
    r->purchases = calloc(w->settings.users, sizeof *r->purchases);
    r->expected = calloc(w->settings.users, sizeof *r->expected);
    ASSERT(r->segment_of && r->standing && r->exposures && r->purchases && r->expected);
    for (uint32_t i = 0; i < w->settings.users; i++)
        r->standing[i] = (struct standing){-1, -1};
    return r;
}

struct report_settings report_defaults(void)
{
    return (struct report_settings){.intent_ms = 1800000, .churn_ms = 7 * 86400000ll};
}

void report_destroy(struct report *r)
{
    if (!r)
        return;
    map_free(&r->rankings);
    free(r->segment_of);
    free(r->standing);
    free(r->exposures);
    free(r->purchases);
    free(r->expected);
    free(r->samples);
    free(r->alerts);
    free(r->latencies);
    free(r);
}

/* The number in "u_12"; -1 when it is not below the limit. */
static int64_t number_in(struct slice id, uint32_t limit)
{
    int64_t number = 0;
    for (uint32_t i = 2; i < id.size && i < 12; i++)
        number = number * 10 + (id.at[i] - '0');
    return id.size > 2 && number >= 0 && number < limit ? number : -1;
}

void report_segment(struct report *r, const struct segment *s)
{
    int64_t user = number_in(s->user, r->world->settings.users);
    if (user < 0)
        return;
    if (s->segment.size)
        r->segment_of[user] = hash64(s->segment.at, s->segment.size, 1) | 1;
    r->standing[user] = (struct standing){(float)s->intent, (float)s->churn};
}

/* The warm-up is over. */
static void begin(struct report *r, int64_t now_ms)
{
    struct findings f;
    for (uint32_t i = 0; i < r->world->settings.users; i++) {
        const struct user *u = &r->world->users[i];
        r->exposures[i] = u->exposures;
        r->purchases[i] = u->purchases;
        r->expected[i] = u->expected_purchases;
    }
    r->rooms_shown = r->world->counts.rooms_shown;
    r->rooms_shown_new = r->world->counts.rooms_shown_new;
    r->rooms_shown_even = r->world->counts.rooms_shown_even;
    find_tau(r, now_ms, &f);
    r->tau_warm = f.kendall_tau;
    r->warm = true;
}

void report_tick(struct report *r, int64_t now_ms)
{
    const struct world *w = r->world;
    if (now_ms - w->settings.start_ms < r->settings.warm_up_ms)
        return;
    if (!r->warm)
        begin(r, now_ms);
    if (now_ms - r->sampled_ms < SAMPLE_EVERY_MS)
        return;
    r->sampled_ms = now_ms;
    for (uint32_t i = 0; i < w->settings.users; i++) {
        const struct standing *s = &r->standing[i];
        if (w->users[i].state == USER_AWAY || (s->intent < 0 && s->churn < 0))
            continue;
        grow((void **)&r->samples, &r->sample_capacity, r->sample_count + 1, sizeof *r->samples);
        r->samples[r->sample_count++] = (struct sample){i, s->intent, s->churn, (float)expected_purchases(w, i, r->settings.intent_ms),
                                                          (float)foreseeable_purchases(w, i, r->settings.intent_ms), is_pleased(&w->users[i]), now_ms};
    }
}

void report_ranking(struct report *r, const struct ranking *ranking, int64_t now_ms)
{
    int64_t item = number_in(ranking->item, r->world->settings.items);
    if (item < 0)
        return;
    uint64_t key = hash64(ranking->scene.at, ranking->scene.size, (uint64_t)item + 1);
    struct ranked *known = map_find(&r->rankings, key);
    if (!known) {
        known = calloc(1, sizeof *known);
        ASSERT(known);
        map_put(&r->rankings, key, known);
    }
    *known = (struct ranked){.item = (uint32_t)item, .until_ms = now_ms + ranking->valid_ms};
    for (uint32_t i = 0; i < ranking->count; i++) {
        int64_t host = number_in(ranking->hosts[i], r->world->settings.hosts);
        if (host >= 0)
            known->hosts[known->count++] = (uint32_t)host;
    }
}

/* Carts and orders break together. */
static enum fault_kind fault_behind(struct slice step)
{
    if (slice_equal(step, slice_of("entrance")))
        return FAULT_ENTRANCE;
    return slice_equal(step, slice_of("cart")) || slice_equal(step, slice_of("conversion")) ? FAULT_CONVERSION : FAULT_NONE;
}

void report_alert(struct report *r, const struct alert *a, int64_t now_ms)
{
    const struct room *room = a->room.size ? room_find(r->world, a->room) : NULL;
    if (!room || !slice_equal(a->kind, slice_of("raised")))
        return;
    grow((void **)&r->alerts, &r->alert_capacity, r->alert_count + 1, sizeof *r->alerts);
    r->alerts[r->alert_count++] = (struct warned){room->number, fault_behind(a->step), now_ms};
}

void report_latency(struct report *r, double ms)
{
    grow((void **)&r->latencies, &r->latency_capacity, r->latency_count + 1, sizeof *r->latencies);
    r->latencies[r->latency_count++] = (float)ms;
}

/* A ratio of two ratios, purchases over exposures by control or not. */
struct ratio {
    double exposures[2], purchases[2], variance[2];
};

static double uplift_of(const struct ratio *q, double *out_se)
{
    double uplift = q->purchases[0] / q->exposures[0] / (q->purchases[1] / q->exposures[1]), relative = 0;
    for (int c = 0; c < 2; c++)
        relative += q->variance[c] / (q->purchases[c] * q->purchases[c]);
    *out_se = uplift * sqrt(relative);
    return uplift;
}

static double purchases_of(const struct report *r, uint32_t user, bool expected)
{
    const struct user *u = &r->world->users[user];
    return expected ? (double)(u->expected_purchases - r->expected[user]) : u->purchases - r->purchases[user];
}

static struct ratio ratio_of(const struct report *r, bool expected)
{
    const struct world *w = r->world;
    struct ratio q = {{0}, {0}, {0}};
    for (uint32_t i = 0; i < w->settings.users; i++) {
        bool c = w->users[i].control;
        q.exposures[c] += w->users[i].exposures - r->exposures[i];
        q.purchases[c] += purchases_of(r, i, expected);
    }
    for (uint32_t i = 0; i < w->settings.users; i++) {
        bool c = w->users[i].control;
        double rate = q.purchases[c] / q.exposures[c];
        double rest = purchases_of(r, i, expected) - rate * (w->users[i].exposures - r->exposures[i]);
        q.variance[c] += rest * rest;
    }
    return q;
}

static void find_uplift(const struct report *r, struct findings *f)
{
    struct ratio bought = ratio_of(r, false), expected = ratio_of(r, true);
    f->uplift = uplift_of(&bought, &f->uplift_se);
    f->uplift_expected = uplift_of(&expected, &f->uplift_expected_se);
    f->treated_rate = bought.purchases[0] / bought.exposures[0];
    f->control_rate = bought.purchases[1] / bought.exposures[1];
    f->treated_exposures = (uint64_t)bought.exposures[0];
    f->control_exposures = (uint64_t)bought.exposures[1];
    f->treated_purchases = (uint64_t)bought.purchases[0];
    f->control_purchases = (uint64_t)bought.purchases[1];
}

/* Nothing shown: not a number. */
static void find_new_hosts(const struct report *r, struct findings *f)
{
    const struct world_counts *c = &r->world->counts;
    double shown = (double)(c->rooms_shown - r->rooms_shown);
    f->new_host_share = (double)(c->rooms_shown_new - r->rooms_shown_new) / shown;
    f->new_host_even = (c->rooms_shown_even - r->rooms_shown_even) / shown;
}

struct segment_count {
    uint32_t by_cluster[CLUSTERS];
};

static void find_purity(const struct report *r, struct findings *f)
{
    const struct world *w = r->world;
    struct map segments = {0};
    for (uint32_t i = 0; i < w->settings.users; i++) {
        if (!r->segment_of[i])
            continue;
        struct segment_count *s = map_find(&segments, r->segment_of[i]);
        if (!s) {
            s = calloc(1, sizeof *s);
            ASSERT(s);
            map_put(&segments, r->segment_of[i], s);
        }
        s->by_cluster[w->users[i].cluster]++;
        f->segment_users++;
    }
    uint64_t pure = 0;
    size_t at = 0;
    struct map_slot slot;
    while (map_next(&segments, &at, &slot)) {
        struct segment_count *s = slot.value;
        uint32_t most = 0;
        for (int c = 0; c < CLUSTERS; c++)
            most = s->by_cluster[c] > most ? s->by_cluster[c] : most;
        pure += most;
        free(s);
    }
    f->segments = segments.count;
    f->purity = f->segment_users ? (double)pure / (double)f->segment_users : (double)NAN;
    map_fini(&segments);
}

static int by_score(const void *a, const void *b)
{
    const struct scored *x = a, *y = b;
    return x->score < y->score ? -1 : x->score > y->score;
}

static double area_under_curve(struct scored *s, size_t count)
{
    double rank_sum = 0, positives = 0;
    qsort(s, count, sizeof *s, by_score);
    for (size_t i = 0; i < count;) {
        size_t end = i;
        double labels = 0;
        for (; end < count && s[end].score <= s[i].score; end++)
            labels += s[end].label;
        rank_sum += labels * ((double)(i + end + 1) / 2);
        positives += labels;
        i = end;
    }
    double negatives = (double)count - positives;
    if (positives < 1 || negatives < 1)
        return (double)NAN;
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives);
}

static bool has_bought(const struct world *w, uint32_t user, int64_t from_ms, int64_t until_ms)
{
    /* Purchases are in order of time, to within the seconds between a decision and its event. */
    uint32_t low = 0, high = w->purchase_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (w->purchases[middle].at_ms <= from_ms)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < w->purchase_count && w->purchases[low].at_ms <= until_ms; low++)
        if (w->purchases[low].user == user)
            return true;
    return false;
}

/* Whether each user was in a session that touches [from, until]. */
static bool was_there(const struct world *w, uint32_t user, int64_t from_ms, int64_t until_ms)
{
    const struct user *u = &w->users[user];
    if (u->state != USER_AWAY && u->session_from_ms <= until_ms)
        return true;
    for (uint32_t i = w->session_count; i > 0; i--) {
        const struct session *s = &w->sessions[i - 1];
        if (s->until_ms < from_ms)
            return false; /* sessions are in order of their ends */
        if (s->user == user && s->from_ms <= until_ms)
            return true;
    }
    return false;
}

/* At most this many samples are labelled: the search for a label walks the window. */
#define LABELLED_MAX 20000
#define GROUPS 10
#define RHYTHMS 6

/* `s` is ordered by score, which is a probability. */
static double calibration_error(const struct scored *s, size_t count)
{
    double error = 0;
    for (int g = 0; g < GROUPS; g++) {
        double difference = 0;
        for (size_t i = count * (size_t)g / GROUPS; i < count * (size_t)(g + 1) / GROUPS; i++)
            difference += (double)s[i].score - s[i].label;
        error += fabs(difference);
    }
    return count ? error / (double)count : (double)NAN;
}

static double share_of(const struct scored *s, size_t count)
{
    double labels = 0;
    for (size_t i = 0; i < count; i++)
        labels += s[i].label;
    return count ? labels / (double)count : (double)NAN;
}

static void find_intent(const struct report *r, int64_t end_ms, struct findings *f)
{
    int64_t within_ms = r->settings.intent_ms;
    struct scored *told = calloc(r->sample_count + 1, sizeof *told), *true_of = calloc(r->sample_count + 1, sizeof *true_of);
    struct scored *seen = calloc(r->sample_count + 1, sizeof *seen);
    ASSERT(told && true_of && seen);
    size_t n = 0;
    for (uint32_t i = 0; i < r->sample_count; i += r->sample_count / LABELLED_MAX + 1) {
        const struct sample *s = &r->samples[i];
        if (s->intent < 0 || s->at_ms + within_ms > end_ms)
            continue;
        bool label = has_bought(r->world, s->user, s->at_ms, s->at_ms + within_ms);
        told[n] = (struct scored){s->intent, label};
        seen[n] = (struct scored){s->foreseen, label};
        true_of[n++] = (struct scored){s->truth, label};
    }
    f->intent_samples = n;
    f->intent_share = share_of(told, n);
    f->intent_auc = area_under_curve(told, n);
    f->intent_ece = calibration_error(told, n);
    f->intent_ceiling = area_under_curve(true_of, n);
    f->intent_ceiling_seen = area_under_curve(seen, n);
    free(told);
    free(seen);
    free(true_of);
}

/* What the truth tells of a coming back: the user's rhythm, by octave, and whether the visit pleases. */
static int kind_of(const struct report *r, const struct sample *s)
{
    double octave = log2((double)r->world->users[s->user].rhythm / UNEVEN_MIN);
    return s->pleased * RHYTHMS + (octave < 0 ? 0 : octave < RHYTHMS ? (int)octave : RHYTHMS - 1);
}

/* Each sample is scored by the share of its kind that stayed away: nothing that rests on the kind alone does better. */
static double churn_ceiling(const int *kinds, struct scored *of, size_t n)
{
    double away[2 * RHYTHMS] = {0}, all[2 * RHYTHMS] = {0};
    for (size_t i = 0; i < n; i++) {
        away[kinds[i]] += of[i].label;
        all[kinds[i]]++;
    }
    for (size_t i = 0; i < n; i++)
        of[i].score = (float)(away[kinds[i]] / all[kinds[i]]);
    return area_under_curve(of, n);
}

static void find_churn(const struct report *r, int64_t end_ms, struct findings *f)
{
    int64_t within_ms = r->settings.churn_ms;
    struct scored *told = calloc(r->sample_count + 1, sizeof *told), *true_of = calloc(r->sample_count + 1, sizeof *true_of);
    int *kinds = calloc(r->sample_count + 1, sizeof *kinds);
    ASSERT(told && true_of && kinds);
    size_t n = 0;
    for (uint32_t i = 0; i < r->sample_count; i += r->sample_count / LABELLED_MAX + 1) {
        const struct sample *s = &r->samples[i];
        if (s->churn < 0 || s->at_ms + within_ms > end_ms)
            continue;
        bool label = !was_there(r->world, s->user, s->at_ms + within_ms / 2, s->at_ms + within_ms);
        kinds[n] = kind_of(r, s);
        true_of[n].label = label;
        told[n++] = (struct scored){s->churn, label};
    }
    f->churn_samples = n;
    f->churn_share = share_of(told, n);
    f->churn_auc = area_under_curve(told, n);
    f->churn_ceiling = churn_ceiling(kinds, true_of, n);
    free(told);
    free(true_of);
    free(kinds);
}

static bool is_of(const struct warned *a, const struct fault *x)
{
    return a->room == x->room && a->of == x->kind && a->at_ms >= x->from_ms && a->at_ms <= x->until_ms + ALERT_GRACE_MS;
}

static void find_alerts(const struct report *r, struct findings *f)
{
    const struct world *w = r->world;
    uint64_t right = 0, found = 0, found_seen = 0;
    for (uint32_t a = 0; a < r->alert_count; a++) {
        uint32_t i = 0;
        while (i < w->counts.faults && !is_of(&r->alerts[a], &w->faults[i]))
            i++;
        right += i < w->counts.faults;
    }
    for (uint32_t i = 0; i < w->counts.faults; i++) {
        uint32_t a = 0;
        while (a < r->alert_count && !is_of(&r->alerts[a], &w->faults[i]))
            a++;
        bool seen = w->faults[i].lost >= DETECTABLE;
        found += a < r->alert_count;
        found_seen += seen && a < r->alert_count;
        f->faults_seen += seen;
    }
    f->alerts = r->alert_count;
    f->faults = w->counts.faults;
    f->alert_precision = f->alerts ? (double)right / (double)f->alerts : (double)NAN;
    f->alert_recall_seen = f->faults_seen ? (double)found_seen / (double)f->faults_seen : (double)NAN;
    f->alert_recall = f->faults ? (double)found / (double)f->faults : (double)NAN;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

struct findings report_findings(const struct report *r, int64_t end_ms)
{
    struct findings f = {.latency_p50_ms = (double)NAN, .latency_p99_ms = (double)NAN};
    find_uplift(r, &f);
    find_new_hosts(r, &f);
    find_tau(r, end_ms, &f);
    f.kendall_tau_warm = r->warm ? r->tau_warm : (double)NAN;
    find_purity(r, &f);
    find_intent(r, end_ms, &f);
    find_churn(r, end_ms, &f);
    find_alerts(r, &f);
    f.latency_count = r->latency_count;
    if (r->latency_count) {
        qsort(r->latencies, r->latency_count, sizeof *r->latencies, by_value);
        f.latency_p50_ms = (double)r->latencies[r->latency_count / 2];
        f.latency_p99_ms = (double)r->latencies[(uint64_t)r->latency_count * 99 / 100];
    }
    return f;
}
