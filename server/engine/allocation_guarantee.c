/*
 * A guarantee promises at least n exposures between t0 and t1. Its floor is the share of the scene's present exposure
 * rate that delivers the rest in time (feed-forward), corrected by a controller that sees how delivery really goes:
 *   g(t) = n (t - t0) / (t2 - t0)          where delivery should be; t2 = t1 less MARGIN of the span, for what is shown
 *                                          last is reported late
 *   e    = 1 - delivered / g               behind is positive
 *   a    = Kp e + Ki I + Kd D,  floor = feed-forward (1 + a), a within [-1, GAIN_MAX]
 * A measurement is a tick at which the room's exposures are newer than at the last one, at most one a MEASURE_MS; I and
 * D use the time between measurements, in minutes, for exposures arrive in rollups and not with ticks. Within the
 * tolerance e counts as 0. I takes in only errors below SEPARATION (a far miss would wind it up), leaks, and is
 * clamped. Before g has reached its first WARM exposures e would be noise: the floor is the feed-forward alone. Once n
 * is delivered the floor is 0, whatever I holds. (The controller follows pairec's exposure controls.)
 * Everything is an integer: ppm, and minutes in ppm.
 */
#include "server/engine/allocation_state.h"

#define MEASURE_MS 5000
#define MINUTE_MS 60000
#define RATE_WINDOW_MS 300000
#define TOLERANCE_PPM 20000
#define SEPARATION_PPM 500000
#define LEAK_PPM 50000 /* of I, a minute */
#define INTEGRAL_MAX (2ll * PPM)
#define ERROR_MAX (4ll * PPM)
#define GAIN_MAX (4ll * PPM)
#define WARM 20
#define MARGIN_PPM 50000

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

int64_t guarantee_given(const struct room *r)
{
    return r->tally.totals[COUNTER_EXPOSURE] - r->guarantee.exposure;
}

void guarantee_begin(const struct scene *c, struct room *r)
{
    r->guarantee = (struct guarantee){.began_ms = c->tick_ms, .exposure = r->tally.totals[COUNTER_EXPOSURE],
                                      .measured_ms = c->tick_ms};
}

bool guarantee_can_be(const struct guarantee *g, const struct held *h)
{
    int64_t span_ms = h->until_ms - g->began_ms;
    return g->began_ms >= 0 && g->measured_ms >= g->began_ms && (!h->active || (span_ms > 0 && span_ms <= GUARANTEE_MS_MAX)) &&
           g->error_ppm >= -ERROR_MAX && g->error_ppm <= ERROR_MAX && g->integral_ppm >= -INTEGRAL_MAX && g->integral_ppm <= INTEGRAL_MAX &&
           g->correction_ppm >= -PPM && g->correction_ppm <= GAIN_MAX;
}

/* When all should be delivered. */
static int64_t finish_ms(const struct room *r)
{
    int64_t until_ms = r->held[CONTROL_GUARANTEE].until_ms;
    return until_ms - (until_ms - r->guarantee.began_ms) * MARGIN_PPM / PPM;
}

/* Where delivery should be now, in exposures. */
static int64_t target_of(const struct scene *c, const struct room *r)
{
    int64_t promised = r->held[CONTROL_GUARANTEE].value, passed_ms = c->tick_ms - r->guarantee.began_ms;
    double span_ms = (double)(finish_ms(r) - r->guarantee.began_ms);
    return span_ms > (double)passed_ms ? (int64_t)((double)promised * (double)passed_ms / span_ms) : promised;
}

void guarantee_tick(const struct scene *c, const struct allocation_settings *s, struct room *r)
{
    struct guarantee *g = &r->guarantee;
    int64_t passed_ms = c->tick_ms - g->measured_ms, target = target_of(c, r), given = guarantee_given(r);
    if (passed_ms < MEASURE_MS || (given == g->given && passed_ms < MINUTE_MS) || target < WARM)
        return;
    double part = (double)given * PPM / (double)target;
    int64_t error = part > PPM + ERROR_MAX ? -ERROR_MAX : part < PPM - ERROR_MAX ? ERROR_MAX : PPM - (int64_t)part;
    if (error >= -TOLERANCE_PPM && error <= TOLERANCE_PPM)
        error = 0;
    int64_t minutes = clamp(clamp(passed_ms, 0, 60 * MINUTE_MS) * PPM / MINUTE_MS, 1, 60ll * PPM);
    g->integral_ppm -= g->integral_ppm * clamp(LEAK_PPM * minutes / PPM, 0, PPM) / PPM;
    if (error > -SEPARATION_PPM && error < SEPARATION_PPM)
        g->integral_ppm += error * minutes / PPM;
    g->integral_ppm = clamp(g->integral_ppm, -INTEGRAL_MAX, INTEGRAL_MAX);
    int64_t slope = g->measured ? clamp((error - g->error_ppm) * PPM / minutes, -ERROR_MAX, ERROR_MAX) : 0;
    g->correction_ppm = clamp(error * s->guarantee_gain_ppm[0] / PPM + g->integral_ppm * s->guarantee_gain_ppm[1] / PPM +
                                  slope * s->guarantee_gain_ppm[2] / PPM,
                              -PPM, GAIN_MAX);
    g->error_ppm = error;
    g->given = given;
    g->measured_ms = c->tick_ms;
    g->measured = true;
}

int64_t guarantee_floor_ppm(const struct scene *c, const struct allocation_settings *s, const struct room *r,
                            double scene_exposures)
{
    const struct held *h = &r->held[CONTROL_GUARANTEE];
    double rest = (double)h->value - (double)guarantee_given(r);
    if (!h->active || rest <= 0)
        return 0;
    double left_ms = (double)(finish_ms(r) - c->tick_ms);
    left_ms = left_ms > MEASURE_MS ? left_ms : MEASURE_MS;
    double share = scene_exposures > 0 ? rest / left_ms / (scene_exposures / RATE_WINDOW_MS) : 1;
    double floor = share * (double)(PPM + r->guarantee.correction_ppm);
    return floor > s->guarantee_max_ppm ? s->guarantee_max_ppm : (int64_t)floor;
}
