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
#include "server/simulate/world_state.h"

#include <math.h>
#include <stdlib.h>

#define SAMPLE_EVERY_MS 60000
#define ALERT_GRACE_MS 180000

struct sample {
    uint32_t user;
    float intent;
    float churn;
    int64_t at_ms;
};

struct standing {
    float intent, churn; /* below 0: not given */
};

struct scored {
    float score;
    bool label;
};

struct ranked {
    int64_t until_ms;
    uint32_t item;
    uint32_t count;
    uint32_t hosts[RANKED_MAX];
};

struct warned {
    uint32_t room;
    int64_t at_ms;
};

struct report {
    struct world *world; /* borrowed */
    struct report_settings settings;
    uint64_t *segment_of; /* per user: hash of the latest segment's name, 0: none */
    struct standing *standing; /* per user: what was last published */
    uint32_t *exposures, *purchases; /* per user: at the end of the warm-up */
    bool warm;
    int64_t sampled_ms;   /* when the standing of those present was last taken down */
    struct sample *samples;
    uint32_t sample_count, sample_capacity;
    struct map rankings; /* hash of the key -> struct ranked, owned */
    struct warned *alerts;
    uint32_t alert_count, alert_capacity;
    float *latencies;
    uint32_t latency_count, latency_capacity;
};

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
    ASSERT(r->segment_of && r->standing && r->exposures && r->purchases);
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
    size_t at = 0;
    struct map_slot slot;
    while (map_next(&r->rankings, &at, &slot))
        free(slot.value);
    map_fini(&r->rankings);
    free(r->segment_of);
    free(r->standing);
    free(r->exposures);
    free(r->purchases);
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

void report_tick(struct report *r, int64_t now_ms)
{
    const struct world *w = r->world;
    if (now_ms - w->settings.start_ms < r->settings.warm_up_ms)
        return;
    if (!r->warm)
        for (uint32_t i = 0; i < w->settings.users; i++) {
            r->exposures[i] = w->users[i].exposures;
            r->purchases[i] = w->users[i].purchases;
        }
    r->warm = true;
    if (now_ms - r->sampled_ms < SAMPLE_EVERY_MS)
        return;
    r->sampled_ms = now_ms;
    for (uint32_t i = 0; i < w->settings.users; i++) {
        const struct standing *s = &r->standing[i];
        if (w->users[i].state == USER_AWAY || s->intent < 0)
            continue;
        grow((void **)&r->samples, &r->sample_capacity, r->sample_count + 1, sizeof *r->samples);
        r->samples[r->sample_count++] = (struct sample){i, s->intent, s->churn, now_ms};
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

void report_alert(struct report *r, const struct alert *a, int64_t now_ms)
{
    const struct room *room = a->room.size ? room_find(r->world, a->room) : NULL;
    bool operators = a->kind.size >= 7 && memcmp(a->kind.at, "control", 7) == 0;
    if (!room || operators)
        return;
    grow((void **)&r->alerts, &r->alert_capacity, r->alert_count + 1, sizeof *r->alerts);
    r->alerts[r->alert_count++] = (struct warned){room->number, now_ms};
}

void report_latency(struct report *r, double ms)
{
    grow((void **)&r->latencies, &r->latency_capacity, r->latency_count + 1, sizeof *r->latencies);
    r->latencies[r->latency_count++] = (float)ms;
}

static void find_uplift(const struct report *r, struct findings *f)
{
    const struct world *w = r->world;
    double exposures[2] = {0}, purchases[2] = {0}, rate[2], variance[2] = {0};
    for (uint32_t i = 0; i < w->settings.users; i++) {
        exposures[w->users[i].control] += w->users[i].exposures - r->exposures[i];
        purchases[w->users[i].control] += w->users[i].purchases - r->purchases[i];
    }
    for (int c = 0; c < 2; c++)
        rate[c] = exposures[c] > 0 ? purchases[c] / exposures[c] : (double)NAN;
    for (uint32_t i = 0; i < w->settings.users; i++) {
        const struct user *u = &w->users[i];
        double rest = (u->purchases - r->purchases[i]) - rate[u->control] * (u->exposures - r->exposures[i]);
        variance[u->control] += rest * rest;
    }
    double relative = 0;
    for (int c = 0; c < 2; c++)
        relative += variance[c] / (purchases[c] * purchases[c]);
    f->treated_rate = rate[0];
    f->control_rate = rate[1];
    f->uplift = rate[0] / rate[1];
    f->uplift_se = f->uplift * sqrt(relative);
    f->treated_exposures = (uint64_t)exposures[0];
    f->control_exposures = (uint64_t)exposures[1];
    f->treated_purchases = (uint64_t)purchases[0];
    f->control_purchases = (uint64_t)purchases[1];
}

static void find_tau(const struct report *r, int64_t end_ms, struct findings *f)
{
    const struct world *w = r->world;
    int64_t balance = 0, pairs = 0, ranks = 0, rankings = 0;
    size_t at = 0;
    struct map_slot slot;
    while (map_next(&r->rankings, &at, &slot)) {
        const struct ranked *k = slot.value;
        const struct item *item = &w->items[k->item];
        if (k->until_ms < end_ms)
            continue;
        for (uint32_t i = 0; i < k->count; i++) {
            double better = host_fit(&w->hosts[k->hosts[i]], item);
            for (uint32_t j = i + 1; j < k->count; j++, pairs++)
                balance += better > host_fit(&w->hosts[k->hosts[j]], item) ? 1 : -1;
            if ((int32_t)k->hosts[i] == w->lecturer && (w->course < 0 || (int32_t)k->item == w->course)) {
                ranks += i + 1;
                rankings++;
            }
        }
    }
    f->ranked_pairs = (uint64_t)pairs;
    f->kendall_tau = pairs ? (double)balance / (double)pairs : (double)NAN;
    f->scenario_host_rank = rankings ? (double)ranks / (double)rankings : (double)NAN;
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

static void find_auc(const struct report *r, int64_t end_ms, struct findings *f)
{
    const struct world *w = r->world;
    int64_t intent_ms = r->settings.intent_ms, churn_ms = r->settings.churn_ms;
    struct scored *intent = calloc(r->sample_count + 1, sizeof *intent);
    struct scored *churn = calloc(r->sample_count + 1, sizeof *churn);
    ASSERT(intent && churn);
    uint32_t step = r->sample_count / LABELLED_MAX + 1;
    for (uint32_t i = 0; i < r->sample_count; i += step) {
        const struct sample *s = &r->samples[i];
        if (s->at_ms + intent_ms <= end_ms)
            intent[f->intent_samples++] = (struct scored){s->intent, has_bought(w, s->user, s->at_ms, s->at_ms + intent_ms)};
        if (s->churn >= 0 && s->at_ms + churn_ms <= end_ms)
            churn[f->churn_samples++] =
                (struct scored){s->churn, !was_there(w, s->user, s->at_ms + churn_ms / 2, s->at_ms + churn_ms)};
    }
    f->intent_auc = area_under_curve(intent, f->intent_samples);
    f->churn_auc = area_under_curve(churn, f->churn_samples);
    free(intent);
    free(churn);
}

static void find_alerts(const struct report *r, struct findings *f)
{
    const struct world *w = r->world;
    uint64_t right = 0, found = 0;
    for (uint32_t a = 0; a < r->alert_count; a++)
        for (uint32_t i = 0; i < w->counts.faults; i++) {
            const struct fault *x = &w->faults[i];
            if (x->room == r->alerts[a].room && r->alerts[a].at_ms >= x->from_ms &&
                r->alerts[a].at_ms <= x->until_ms + ALERT_GRACE_MS) {
                right++;
                break;
            }
        }
    for (uint32_t i = 0; i < w->counts.faults; i++)
        for (uint32_t a = 0; a < r->alert_count; a++) {
            const struct fault *x = &w->faults[i];
            if (x->room == r->alerts[a].room && r->alerts[a].at_ms >= x->from_ms &&
                r->alerts[a].at_ms <= x->until_ms + ALERT_GRACE_MS) {
                found++;
                break;
            }
        }
    f->alerts = r->alert_count;
    f->faults = w->counts.faults;
    f->alert_precision = f->alerts ? (double)right / (double)f->alerts : (double)NAN;
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
    find_tau(r, end_ms, &f);
    find_purity(r, &f);
    find_auc(r, end_ms, &f);
    find_alerts(r, &f);
    f.latency_count = r->latency_count;
    if (r->latency_count) {
        qsort(r->latencies, r->latency_count, sizeof *r->latencies, by_value);
        f.latency_p50_ms = (double)r->latencies[r->latency_count / 2];
        f.latency_p99_ms = (double)r->latencies[(uint64_t)r->latency_count * 99 / 100];
    }
    return f;
}
