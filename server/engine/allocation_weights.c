/*
 * Weights: shares of the scene's exposures, exactly 1,000,000 ppm in all.
 *
 * Wanted: proportional to u = (score)^score_power * tier factor * boost; of explore_ppm of the traffic, to what exploration wants of the
 * room (allocation_explore.c) times both factors. Bounds of room i, from strong to weak:
 *   hard   pin, freeze (both bounds at the value), operators' cap and floor, a guarantee's floor;
 *   plain  at most max(cap, 1/rooms); a young room at least min(floor, 1/(2 rooms)), all of them together at most what does
 *          not explore;
 *   step   at most step_ppm from the weight before, after what left the table was shared out in proportion.
 * weight = clamp(l * u, low, high) with the one l for which the sum is right (water-filling; found by bisection).
 * Where bounds contradict each other the weaker kind gives way, no more than needed: first step, then cap, then
 * everything in proportion. So a step holds between two ticks unless rooms came or went or an operator spoke.
 * Weights stay as they are while all bounds allow it and less than hold_ppm of the traffic would move: what changes is sent.
 * Cost: about sixty passes over the live rooms.
 */
#include "server/engine/allocation_state.h"

#include "common/check.h"

#include <stdlib.h>

struct bounds {
    struct room *room;
    int32_t before;             /* its weight, or WEIGHTS_NONE */
    double wanted;
    double low, high;           /* in force */
    double plain_low, plain_high;
    double hard_low, hard_high;
};

struct weighing {
    struct bounds *at; /* owned */
    uint32_t count;
    uint32_t young; /* rooms with a floor */
};

static double clamp(double value, double low, double high)
{
    return value < low ? low : value > high ? high : value;
}

static double boost_of(const struct room *r)
{
    return r->held[CONTROL_BOOST].active ? (double)r->held[CONTROL_BOOST].value / PPM : 1;
}

static double favour(const struct allocation_settings *s, const struct room *r)
{
    return (double)s->tier_factor_ppm[r->tier] / PPM * boost_of(r);
}

static double wanted(const struct allocation_settings *s, const struct room *r)
{
    double score = (double)r->score_ppm / PPM, value = favour(s, r);
    for (uint32_t i = 0; i < s->score_power; i++)
        value *= score;
    return value + 1e-9;
}

static double drawn(const struct allocation_settings *s, const struct room *r)
{
    return (r->drawn_ppm > 0 ? r->drawn_ppm : 0) * favour(s, r) + 1e-6;
}

/* Mixes the two wishes, each as a share of its sum. */
static void explore(const struct allocation_settings *s, struct weighing *w)
{
    double scores = 0, draws = 0, part = (double)s->explore_ppm / PPM;
    if (s->explore_ppm == 0)
        return;
    for (uint32_t i = 0; i < w->count; i++) {
        draws += drawn(s, w->at[i].room);
        scores += w->at[i].wanted;
    }
    for (uint32_t i = 0; i < w->count; i++)
        w->at[i].wanted = (1 - part) * w->at[i].wanted / scores + part * drawn(s, w->at[i].room) / draws + 1e-9;
}

/* What the room weighs before this tick, once the shares of departed rooms are spread. */
static double base_of(const struct room *r, double scale)
{
    return r->weight_ppm > 0 ? r->weight_ppm * scale : 0;
}

static void bounds_hard(const struct scene *c, const struct room *r, struct bounds *b, double base, double ask)
{
    const struct held *h = r->held;
    b->hard_low = h[CONTROL_FLOOR].active ? (double)h[CONTROL_FLOOR].value : 0;
    b->hard_high = h[CONTROL_CAP].active ? (double)h[CONTROL_CAP].value : PPM;
    if (ask > b->hard_low)
        b->hard_low = ask < b->hard_high ? ask : b->hard_high;
    if ((c->freeze.active || h[CONTROL_FREEZE].active) && r->weight_ppm >= 0)
        b->hard_low = b->hard_high = base;
    if (h[CONTROL_PIN].active)
        b->hard_low = b->hard_high = (double)h[CONTROL_PIN].value;
}

static bool is_young(const struct scene *c, const struct allocation_settings *s, const struct room *r)
{
    return c->tick_ms - r->opened_ms < s->explore_ms;
}

static double floor_of(const struct allocation_settings *s, const struct weighing *w)
{
    double whole = s->floor_ppm < PPM / (2.0 * w->count) ? s->floor_ppm : PPM / (2.0 * w->count);
    double left = s->explore_ppm && w->young ? ((double)PPM - s->explore_ppm) / w->young : whole;
    return whole < left ? whole : left;
}

static void bounds_of(const struct scene *c, const struct allocation_settings *s, const struct weighing *w, struct bounds *b,
                      double base)
{
    double cap = s->cap_ppm > PPM / (double)w->count ? s->cap_ppm : PPM / (double)w->count;
    double floor = is_young(c, s, b->room) ? floor_of(s, w) : 0;
    b->plain_low = clamp(floor, b->hard_low, b->hard_high);
    b->plain_high = clamp(cap, b->hard_low, b->hard_high);
    if (b->plain_high < b->plain_low)
        b->plain_high = b->plain_low;
    b->low = clamp(base - s->step_ppm, b->plain_low, b->plain_high);
    b->high = clamp(base + s->step_ppm, b->plain_low, b->plain_high);
}

/* Moves every low towards `to` until their sum fits, or all the way. */
static void give_way_low(struct weighing *w, size_t to)
{
    double sum = 0, least = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        sum += w->at[i].low;
        least += *(double *)((char *)&w->at[i] + to);
    }
    if (sum <= PPM)
        return;
    double keep = least < PPM && sum > least ? (PPM - least) / (sum - least) : 0;
    for (uint32_t i = 0; i < w->count; i++) {
        double end = *(double *)((char *)&w->at[i] + to);
        w->at[i].low = end + (w->at[i].low - end) * keep;
    }
}

static void give_way_high(struct weighing *w, size_t to)
{
    double sum = 0, most = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        sum += w->at[i].high;
        most += *(double *)((char *)&w->at[i] + to);
    }
    if (sum >= PPM)
        return;
    double move = most > PPM && most > sum ? (PPM - sum) / (most - sum) : 1;
    for (uint32_t i = 0; i < w->count; i++) {
        double end = *(double *)((char *)&w->at[i] + to);
        w->at[i].high += (end - w->at[i].high) * move;
    }
}

/* After this the lows sum to at most, the highs to at least one million. */
static void reconcile(struct weighing *w)
{
    give_way_low(w, offsetof(struct bounds, plain_low));
    give_way_low(w, offsetof(struct bounds, hard_low));
    give_way_high(w, offsetof(struct bounds, plain_high));
    give_way_high(w, offsetof(struct bounds, hard_high));
    double low = 0, high = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        low += w->at[i].low;
        high += w->at[i].high;
    }
    for (uint32_t i = 0; i < w->count; i++) {
        struct bounds *b = &w->at[i];
        if (low > PPM)
            b->low = b->high = b->low * PPM / low;
        else if (high < PPM)
            b->low = b->high = high > 0 ? b->high * PPM / high : PPM / (double)w->count;
    }
}

static double filled(const struct weighing *w, double level)
{
    double sum = 0;
    for (uint32_t i = 0; i < w->count; i++)
        sum += clamp(level * w->at[i].wanted, w->at[i].low, w->at[i].high);
    return sum;
}

static double find_level(const struct weighing *w)
{
    double low = 0, high = 1;
    for (int i = 0; i < 80 && filled(w, high) < PPM - 0.5; i++)
        high *= 2;
    for (int i = 0; i < 60 && high - low > high * 1e-12; i++) {
        double middle = (low + high) / 2;
        if (filled(w, middle) < PPM)
            low = middle;
        else
            high = middle;
    }
    return high;
}

/* Whole ppm that sum to a million; what rounding left goes one by one to rooms with slack, in order of ids. */
static void settle(struct weighing *w, double level)
{
    int64_t left = PPM;
    for (uint32_t i = 0; i < w->count; i++) {
        struct bounds *b = &w->at[i];
        b->room->weight_ppm = (int32_t)clamp(level * b->wanted, b->low, b->high);
        left -= b->room->weight_ppm;
    }
    for (int strict = 1; strict >= 0 && left; strict--)
        for (bool moved = true; moved && left;) {
            moved = false;
            for (uint32_t i = 0; i < w->count && left; i++) {
                struct bounds *b = &w->at[i];
                int32_t next = b->room->weight_ppm + (left > 0 ? 1 : -1);
                if (next < 0 || (strict && (next > b->high || next < b->low)))
                    continue;
                b->room->weight_ppm = next;
                left += left > 0 ? -1 : 1;
                moved = true;
            }
        }
    ASSERT(left == 0);
}

#define RETURNS_PPM 100 /* less comes and goes by rounding */

/* Puts the weights back when they still do. Half a step counts as a move, lest a small step never gets anywhere. */
static void hold(const struct allocation_settings *s, struct weighing *w)
{
    int64_t sum = 0, moved = 0, least = s->hold_ppm < s->step_ppm / 2 ? s->hold_ppm : s->step_ppm / 2;
    for (uint32_t i = 0; i < w->count; i++) {
        const struct bounds *b = &w->at[i];
        bool returns = b->before == 0 && b->room->weight_ppm > RETURNS_PPM; /* from a kill, or a pin to nothing */
        if (returns || b->before < b->low || b->before > b->high)
            return;
        sum += b->before;
        moved += abs(b->room->weight_ppm - b->before);
    }
    for (uint32_t i = 0; sum == PPM && moved / 2 < least && i < w->count; i++)
        w->at[i].room->weight_ppm = w->at[i].before;
}

static void prepare(const struct scene *c, const struct allocation_settings *s, struct weighing *w)
{
    double before = 0, exposures = 0;
    for (uint32_t i = 0; i < c->rooms.count; i++) {
        struct room *r = room_at(c, i);
        if (!room_is_weighed(r)) {
            r->weight_ppm = r->retired ? WEIGHTS_NONE : 0;
            continue;
        }
        int64_t recent[SAMPLED];
        windows_read(r, c->minute, WINDOW_5, recent);
        exposures += (double)recent[SAMPLED_EXPOSURE];
        before += r->weight_ppm > 0 ? r->weight_ppm : 0;
        w->young += is_young(c, s, r);
        w->at[w->count++] = (struct bounds){.room = r, .before = r->weight_ppm};
    }
    double scale = before > 0 ? PPM / before : 0;
    for (uint32_t i = 0; i < w->count; i++) {
        struct bounds *b = &w->at[i];
        double base = scale > 0 ? base_of(b->room, scale) : PPM / (double)w->count;
        b->wanted = wanted(s, b->room);
        bounds_hard(c, b->room, b, base, (double)guarantee_floor_ppm(c, s, b->room, exposures));
        bounds_of(c, s, w, b, base);
    }
}

void weights_emit(struct scene *c, const struct allocation_settings *s, struct room *r, struct scene_out *out)
{
    struct out_weight *o = out_add_weight(out);
    const struct host *h = table_find(&c->hosts, r->host);
    o->room = r->name;
    if (h)
        o->host = h->name;
    o->weight_ppm = r->weight_ppm > 0 ? r->weight_ppm : 0;
    o->previous_ppm = r->sent_ppm > 0 ? r->sent_ppm : 0;
    o->tier = r->tier;
    o->score_ppm = r->score_ppm;
    memcpy(o->parts, r->parts, sizeof o->parts);
    for (int op = 0; op < CONTROL_HELD; op++)
        o->held |= (uint32_t)r->held[op].active << op;
    o->held |= (uint32_t)c->freeze.active << CONTROL_FREEZE;
    o->young = is_young(c, s, r);
    o->due = r->weight_ppm != r->sent_ppm || c->tick_ms - r->sent_ms >= s->refresh_ms;
    if (o->due) {
        r->sent_ppm = r->weight_ppm;
        r->sent_ms = c->tick_ms;
    }
}

void weights_tick(struct scene *c, const struct allocation_settings *s, struct scene_out *out)
{
    struct weighing w = {.at = calloc(c->rooms.count + 1, sizeof *w.at)};
    ASSERT(w.at);
    prepare(c, s, &w);
    explore(s, &w);
    if (w.count) {
        reconcile(&w);
        settle(&w, find_level(&w));
        hold(s, &w);
    }
    free(w.at);
    out->snapshot = c->tick_ms - c->snapshot_ms >= s->snapshot_ms;
    if (out->snapshot)
        c->snapshot_ms = c->tick_ms;
    for (uint32_t i = 0; i < c->rooms.count; i++)
        if (!room_at(c, i)->retired)
            weights_emit(c, s, room_at(c, i), out);
}
