/*
 * Alerts: a funnel step of a room has fallen, against its own past and against the rest of its cohort.
 *
 * A scan over windows: every alert_period_ms, per live room and step, the last 1, 2, 3, 5 and 10 minutes are each held
 * against what came before them, so that a sudden break shows in a short window and a small room in a long one. What
 * came before is the room's own hour, with the rest of the cohort (its last ten minutes) mixed in as alert_prior events
 * of its rate: a room without a past is judged by its cohort, and carefully. With x of n in the window, a of b before,
 * and both Poisson, the square roots have a known variance whatever the rate (Anscombe 1948; Huffman 1984):
 *   z = (sqrt(a / b) - sqrt((x + 3/8) / n)) / sqrt((1/n + 1/b) alert_spread / 4)
 * alert_spread is variance over Poisson, for real users are less independent than coins. Dwell compares means of a
 * near-exponential time, z = (a/b - x/n) / (a/b sqrt((1/n + 1/b) alert_spread)), n and b in enters.
 * A step is out when in one window z >= alert_z, the rate is below alert_ratio of the rest of the cohort (so that a dip
 * of the whole scene is nobody's fault) and below alert_past of what came before (so that large n does not make an alert
 * of a trifle). alert_streak such evaluations in a row raise. Raised is cleared after as many at which the rate of
 * the last three minutes is not below alert_ratio of the cohort's. Conversion is not raised while carts are: the alert
 * names the bottleneck, the earlier step.
 * What can be seen: a step that broke altogether is out once about ((alert_z + .6) / 2)^2 alert_spread events are missing,
 * ten to fifteen at the defaults; in a room that sells one course an hour no test sees a broken order form.
 */
#include "server/engine/allocation_state.h"

#include <math.h>

static const struct { enum sampled count; enum sampled trials; } steps[FUNNEL_STEPS] = {
    [STEP_ENTRANCE] = {SAMPLED_ENTER, SAMPLED_EXPOSURE},
    [STEP_DWELL] = {SAMPLED_WATCH_MS, SAMPLED_ENTER},
    [STEP_INTERACTION] = {SAMPLED_INTERACTION, SAMPLED_ENTER},
    [STEP_CART] = {SAMPLED_CART, SAMPLED_ENTER},
    [STEP_CONVERSION] = {SAMPLED_PURCHASE, SAMPLED_ENTER},
};

static const int64_t scanned[] = {1, 2, 3, 5, 10}; /* minutes */
enum { SCANNED = sizeof scanned / sizeof *scanned, CLEARING = 2 };

struct funnel {
    int64_t recent[SCANNED][SAMPLED];
    int64_t hour[SAMPLED];
};

struct evidence {
    double rate, before, others; /* of the window, of what came before it, of the rest of the cohort */
    double trials;
    double z;
};

/* False: nothing to hold it against. */
static bool weigh(const struct allocation_settings *s, const struct funnel *f, const struct cohort *k, enum funnel_step step,
                  int window, struct evidence *out)
{
    enum sampled count = steps[step].count, trials = steps[step].trials;
    double x = (double)f->recent[window][count], n = (double)f->recent[window][trials];
    double others_n = k->windows[1][trials] - (double)f->recent[SCANNED - 1][trials];
    double others_x = k->windows[1][count] - (double)f->recent[SCANNED - 1][count];
    if (n < 1 || others_n < 1 || others_x <= 0)
        return false;
    double others = others_x / others_n, prior_x = s->alert_prior, prior_n = prior_x / others;
    if (step == STEP_DWELL) { /* its events are enters */
        prior_n = s->alert_prior;
        prior_x = prior_n * others;
    }
    double b = (double)f->hour[trials] - n + prior_n, a = (double)f->hour[count] - x + prior_x;
    double spread = (1 / n + 1 / b) * s->alert_spread_milli[step] / 1000;
    *out = (struct evidence){.rate = x / n, .before = a / b, .others = others, .trials = n};
    if (step == STEP_DWELL)
        out->z = (out->before - out->rate) / (out->before * sqrt(spread));
    else
        out->z = (sqrt(out->before) - sqrt((x + 0.375) / n)) / sqrt(spread / 4);
    return true;
}

static bool is_out(const struct allocation_settings *s, const struct evidence *e)
{
    return e->z * 1000 >= s->alert_z_milli && e->rate * PPM < e->others * s->alert_ratio_ppm &&
           e->rate * PPM < e->before * s->alert_past_ppm;
}

/* The window that says it most clearly. */
static bool find_out(const struct allocation_settings *s, const struct funnel *f, const struct cohort *k, enum funnel_step step,
                     struct evidence *out)
{
    struct evidence e = {0};
    bool found = false;
    for (int w = 0; w < SCANNED; w++)
        if (weigh(s, f, k, step, w, &e) && is_out(s, &e) && (!found || e.z > out->z)) {
            *out = e;
            found = true;
        }
    return found;
}

static bool has_recovered(const struct allocation_settings *s, const struct funnel *f, const struct cohort *k, enum funnel_step step,
                          struct evidence *out)
{
    return weigh(s, f, k, step, CLEARING, out) && out->rate * PPM >= out->others * s->alert_ratio_ppm;
}

static void change(struct room *r, enum funnel_step step, const struct evidence *e, struct scene_out *out)
{
    double unit = step == STEP_DWELL ? 1 : PPM;
    r->alerts ^= (uint8_t)(1 << step);
    r->alert_streak[step] = 0;
    struct out_alert *a = out_add_alert(out);
    a->kind = r->alerts >> step & 1 ? ALERT_RAISED : ALERT_CLEARED;
    a->room = r->name;
    a->step = step;
    a->rate_ppm = (int64_t)(e->rate * unit);
    a->cohort_ppm = (int64_t)(e->others * unit);
    a->trials = (int64_t)e->trials;
}

static void judge(const struct allocation_settings *s, struct room *r, const struct funnel *f, const struct cohort *k,
                  struct scene_out *out)
{
    for (int i = 0; i < FUNNEL_STEPS; i++) {
        enum funnel_step step = (enum funnel_step)i;
        struct evidence e = {0};
        bool raised = r->alerts >> step & 1;
        bool turn = raised ? has_recovered(s, f, k, step, &e) : find_out(s, f, k, step, &e);
        if (step == STEP_CONVERSION && !raised && (r->alerts >> STEP_CART & 1 || r->alert_streak[STEP_CART]))
            turn = false;
        if (!turn)
            r->alert_streak[step] = 0;
        else if (++r->alert_streak[step] >= s->alert_streak)
            change(r, step, &e, out);
    }
}

void alerts_tick(struct scene *c, const struct allocation_settings *s, const struct cohorts *k, struct scene_out *out)
{
    if (c->tick_ms - c->alert_ms < s->alert_period_ms)
        return;
    c->alert_ms = c->tick_ms;
    for (uint32_t i = 0; i < c->rooms.count; i++) {
        struct room *r = room_at(c, i);
        if (r->retired)
            continue;
        struct funnel f;
        for (int w = 0; w < SCANNED; w++)
            windows_back(r, c->minute, scanned[w], f.recent[w]);
        windows_read(r, c->minute, WINDOW_60, f.hour);
        judge(s, r, &f, cohorts_of(k, s, r), out);
    }
}
