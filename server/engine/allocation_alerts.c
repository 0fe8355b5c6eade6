/*
 * Alerts: a funnel step of a room has fallen out of its cohort.
 *
 * Every alert_period_ms, per live room and step, over the last 5 minutes (10 when 5 hold too few trials): x1 of n1
 * in the room, x2 of n2 in the rest of its cohort, p pooled. Two-proportion z test (Fleiss, Statistical methods for
 * rates and proportions): z^2 = (x1/n1 - x2/n2)^2 / (v (1/n1 + 1/n2)) with v = p (1 - p); a step of which one trial
 * can give several (interactions, carts) has v = p (Poisson); dwell compares means of a near-exponential time, so
 * v = p^2. v is multiplied by alert_spread, for real users are less independent than coins.
 * A step is out when z <= -alert_z and the rate is below alert_ratio of the cohort's (so that large n does not make
 * an alert of a trifle) and below alert_past of the room's own past, the hour before the window; a room without a
 * past must be below alert_young of the cohort. alert_streak such evaluations in a row raise. Raised is cleared
 * after as many at which the rate is not below alert_ratio. Conversion is not raised while carts are: the alert
 * names the bottleneck, the earlier step.
 */
#include "server/engine/allocation_state.h"

static const struct { enum sampled count; enum sampled trials; bool many; } steps[FUNNEL_STEPS] = {
    [STEP_ENTRANCE] = {SAMPLED_ENTER, SAMPLED_EXPOSURE, false},
    [STEP_DWELL] = {SAMPLED_WATCH_MS, SAMPLED_ENTER, false},
    [STEP_INTERACTION] = {SAMPLED_INTERACTION, SAMPLED_ENTER, true},
    [STEP_CART] = {SAMPLED_CART, SAMPLED_ENTER, true},
    [STEP_CONVERSION] = {SAMPLED_PURCHASE, SAMPLED_ENTER, false},
};

struct funnel {
    int64_t recent[2][SAMPLED]; /* 5 and 10 minutes */
    int64_t hour[SAMPLED];
};

struct evidence {
    double rate, others; /* of the room, of the rest of its cohort */
    double trials;
    double past;         /* the room's own, -1 = unknown */
    bool is_far;         /* z <= -alert_z */
};

static double variance(const struct allocation_settings *s, enum funnel_step step, double p)
{
    double v = step == STEP_DWELL ? p * p : steps[step].many || p >= 1 ? p : p * (1 - p);
    return v * s->alert_spread_milli[step] / 1000;
}

/* False: too few trials to judge. */
static bool gather(const struct allocation_settings *s, const struct funnel *f, const struct cohort *k,
                   enum funnel_step step, struct evidence *out)
{
    double least = step == STEP_ENTRANCE ? s->alert_exposures : s->alert_enters;
    int w = (double)f->recent[0][steps[step].trials] >= least ? 0 : 1;
    double x1 = (double)f->recent[w][steps[step].count], n1 = (double)f->recent[w][steps[step].trials];
    double x2 = k->windows[w][steps[step].count] - x1, n2 = k->windows[w][steps[step].trials] - n1;
    if (n1 < least || n1 < 1 || n2 < least || x2 <= 0)
        return false;
    double v = variance(s, step, (x1 + x2) / (n1 + n2)) * (1 / n1 + 1 / n2);
    double difference = x1 / n1 - x2 / n2, z = (double)s->alert_z_milli / 1000;
    double past_n = (double)f->hour[steps[step].trials] - n1;
    *out = (struct evidence){
        .rate = x1 / n1,
        .others = x2 / n2,
        .trials = n1,
        .past = past_n >= least ? ((double)f->hour[steps[step].count] - x1) / past_n : -1,
        .is_far = difference < 0 && difference * difference >= z * z * v,
    };
    return true;
}

static bool is_below(const struct allocation_settings *s, const struct evidence *e)
{
    return e->rate * PPM < e->others * s->alert_ratio_ppm;
}

static bool is_out(const struct allocation_settings *s, const struct evidence *e)
{
    if (!e->is_far || !is_below(s, e))
        return false;
    return e->past < 0 ? e->rate * PPM < e->others * s->alert_young_ppm : e->rate * PPM < e->past * s->alert_past_ppm;
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
        struct evidence e;
        if (!gather(s, f, k, step, &e))
            continue;
        bool raised = r->alerts >> step & 1;
        bool turn = raised ? !is_below(s, &e) : is_out(s, &e);
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
        windows_read(r, c->minute, WINDOW_5, f.recent[0]);
        windows_read(r, c->minute, WINDOW_10, f.recent[1]);
        windows_read(r, c->minute, WINDOW_60, f.hour);
        judge(s, r, &f, cohorts_of(k, s, r), out);
    }
}
