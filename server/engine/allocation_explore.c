/*
 * Exploration by posterior sampling (Thompson 1933; Chapelle and Li 2011): the probability that a room is the best of the
 * scene, given what is known of its score. Each draw adds noise to every score, as wide as its evidence leaves it, and one
 * room wins; the share of draws won is the room's. So a room little shown gets a chance as long as it may still be the best,
 * and what is known to be worse gets none.
 *
 * Evidence of a part with ratio t and expected count e varies by t / e (a count) or by t^2 / trials (a mean); both include
 * the prior's. Scores are then shrunk to the average as far as the rooms do not differ more than chance lets them
 * (empirical Bayes by moments: V = sum ((s - 1)^2 - v) / v over sum 1 / v, between SPREAD_MIN and 1 times the square of what
 * is known at all): a score s of variance v becomes 1 + B (s - 1) of variance B v, B = V / (V + v). `explore_bold_ppm` scales the noise: all of it explores longer than rooms live.
 * Draws come from a generator seeded by the tick and the room, the normal deviate is a sum of twelve uniforms: nothing of
 * libm, so that the weights, which are folded state, are the same everywhere. Steps from tick to tick smooth them.
 * Cost: EXPLORE_DRAWS x 12 additions a room and tick; none when the setting is 0.
 */
#include "server/engine/allocation_state.h"

#include <math.h>

#define EXPLORE_DRAWS 32
#define SPREAD_MIN 0.1
#define KNOWN_MIN 1e-6

static double normal(uint64_t *state)
{
    double sum = -6;
    for (int i = 0; i < 6; i++) { /* two uniforms of 32 bits each */
        *state = hash_mix(*state + 0x9e3779b97f4a7c15u);
        sum += ((double)(*state >> 32) + (double)(uint32_t)*state) * 0x1p-32;
    }
    return sum;
}

/* Variance of scores between the rooms. */
static double between(struct room *const *rooms, uint32_t count)
{
    double sum = 0, weights = 0, known = KNOWN_MIN;
    for (uint32_t i = 0; i < count; i++) {
        const struct room *r = rooms[i];
        double apart = (double)r->score_ppm / PPM - 1, weight = 1 / (r->score_variance + KNOWN_MIN);
        known = r->score_known > known ? r->score_known : known;
        sum += weight * (apart * apart - r->score_variance);
        weights += weight;
    }
    double most = known * known, v = weights > 0 ? sum / weights : 0;
    return v > most ? most : v < SPREAD_MIN * most ? SPREAD_MIN * most : v;
}

static void shrink(const struct allocation_settings *s, struct room *const *rooms, uint32_t count)
{
    double v = between(rooms, count), bold = (double)s->explore_bold_ppm / PPM;
    for (uint32_t i = 0; i < count; i++) {
        struct room *r = rooms[i];
        double part = v / (v + r->score_variance);
        r->score_mean = 1 + part * ((double)r->score_ppm / PPM - 1);
        r->score_spread = bold * sqrt(part * r->score_variance);
        r->best_draws = 0;
    }
}

void explore_tick(const struct scene *c, const struct allocation_settings *s, struct room *const *rooms, uint32_t count)
{
    uint64_t seed = hash_mix((uint64_t)c->tick_ms);
    shrink(s, rooms, count);
    for (uint32_t draw = 0; draw < EXPLORE_DRAWS; draw++) {
        double most = 0;
        struct room *best = NULL;
        for (uint32_t i = 0; i < count; i++) {
            uint64_t state = seed ^ hash_mix(rooms[i]->id + draw);
            double value = rooms[i]->score_mean + rooms[i]->score_spread * normal(&state);
            if (!best || value > most) {
                most = value;
                best = rooms[i];
            }
        }
        if (best)
            best->best_draws++;
    }
}

double explore_share(const struct room *r)
{
    return (double)r->best_draws / EXPLORE_DRAWS;
}
