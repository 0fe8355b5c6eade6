/*
 * Exploration by posterior sampling (Thompson 1933; Chapelle and Li 2011) of as many places as the cap leaves (Komiyama, Honda
 * and Nakagawa 2015). Each draw adds noise to what is believed of every room, as wide as its evidence leaves it, and shares the
 * traffic out: the cap to the best, the cap to the next, until nothing is left. The mean over the draws is what exploration
 * wants for the room. So a room little shown gets a chance as long as it may still be among the best.
 *
 * Belief of a part: rooms' ratios r to their cohorts' rates are drawn around 1 with variance V, and r of a room is seen with
 * variance v. Its posterior has the mean 1 + B (r - 1) and the variance B v, B = V / (V + v). V comes from the rooms themselves
 * (empirical Bayes, by moments): sum w ((r - 1)^2 - v) / sum w, w = 1 / (v + V0)^2, whose variance is about 2 / sum w, mixed by
 * precision with a prior guess V0 of variance V0^2; between a tenth of V0 and 1. A room's belief is the sum over the parts.
 * `explore_bold_ppm` scales the noise: all of it explores longer than rooms live (Bayati et al. 2020: with many arms the greedy
 * rule explores by itself).
 *
 * Draws are made when a minute begins, from a generator seeded by room and minute, and hold until the next: exploration moves a
 * weight once a minute. The normal deviate is a sum of twelve uniforms: nothing of libm, so that the weights, which are folded
 * state, are the same everywhere. Cost: EXPLORE_DRAWS x 12 additions a room and minute; none when explore_ppm is 0.
 */
#include "server/engine/allocation_state.h"

#include "common/check.h"

#include <math.h>
#include <stdlib.h>

#define EXPLORE_DRAWS 32
#define MINUTE_MS 60000
#define DIFFER 0.1 /* V0: rooms differ by a third */

static double normal(uint64_t *state)
{
    double sum = -6;
    for (int i = 0; i < 6; i++) { /* two uniforms of 32 bits each */
        *state = hash_mix(*state + 0x9e3779b97f4a7c15u);
        sum += ((double)(*state >> 32) + (double)(uint32_t)*state) * 0x1p-32;
    }
    return sum;
}

/* V of a part. */
static double between(struct room *const *rooms, uint32_t count, int part)
{
    double sum = 0, weights = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct ratio *r = &rooms[i]->ratios[part];
        if (r->variance <= 0)
            continue;
        double weight = 1 / ((r->variance + DIFFER) * (r->variance + DIFFER));
        sum += weight * (r->apart * r->apart - r->variance);
        weights += weight;
    }
    double v = (sum / 2 + 1 / DIFFER) / (weights / 2 + 1 / (DIFFER * DIFFER));
    return v > 1 ? 1 : v < DIFFER / 10 ? DIFFER / 10 : v;
}

static void believe(const struct allocation_settings *s, struct room *const *rooms, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        rooms[i]->belief = rooms[i]->spread = 0;
    for (int part = 0; part < SCORE_PARTS; part++) {
        double v = between(rooms, count, part);
        for (uint32_t i = 0; i < count; i++) {
            const struct ratio *r = &rooms[i]->ratios[part];
            double seen = r->variance > 0 ? v / (v + r->variance) : 0;
            rooms[i]->belief += r->share * seen * r->apart;
            rooms[i]->spread += r->share * r->share * v * (1 - seen);
        }
    }
    for (uint32_t i = 0; i < count; i++)
        rooms[i]->spread = (double)s->explore_bold_ppm / PPM * sqrt(rooms[i]->spread);
}

struct place {
    struct room *room;
    double value;
};

/* The best of one draw, best first, no more than `most`. */
static uint32_t draw(struct room *const *rooms, uint32_t count, uint64_t seed, struct place *best, uint32_t most)
{
    uint32_t taken = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t state = hash_mix(rooms[i]->id ^ seed);
        double value = rooms[i]->belief + rooms[i]->spread * normal(&state);
        if (taken == most && value <= best[most - 1].value)
            continue;
        uint32_t at = taken < most ? taken++ : most - 1;
        for (; at > 0 && best[at - 1].value < value; at--)
            best[at] = best[at - 1];
        best[at] = (struct place){rooms[i], value};
    }
    return taken;
}

static void draw_all(const struct scene *c, const struct allocation_settings *s, struct room *const *rooms, uint32_t count)
{
    int32_t cap = s->cap_ppm > PPM / (int32_t)count ? s->cap_ppm : PPM / (int32_t)count;
    uint32_t places = (uint32_t)((PPM + cap - 1) / cap), most = places < count ? places : count;
    struct place *best = malloc(most * sizeof *best);
    ASSERT(best);
    for (uint32_t i = 0; i < count; i++)
        rooms[i]->drawn_ppm = 0;
    for (uint64_t n = 0; n < EXPLORE_DRAWS; n++) {
        uint64_t seed = hash_mix((uint64_t)(c->tick_ms / MINUTE_MS) * EXPLORE_DRAWS + n);
        uint32_t taken = draw(rooms, count, seed, best, most);
        int32_t left = PPM;
        for (uint32_t i = 0; i < taken; i++) {
            int32_t share = cap < left ? cap : left;
            best[i].room->drawn_ppm += share / EXPLORE_DRAWS;
            left -= share;
        }
    }
    free(best);
}

void explore_tick(struct scene *c, const struct allocation_settings *s, bool new_minute)
{
    uint32_t count = 0, undrawn = 0;
    if (s->explore_ppm == 0)
        return;
    struct room **rooms = malloc((c->rooms.count + 1) * sizeof *rooms);
    ASSERT(rooms);
    for (uint32_t i = 0; i < c->rooms.count; i++) {
        struct room *r = room_at(c, i);
        if (!room_is_weighed(r))
            continue;
        undrawn += r->drawn_ppm < 0;
        rooms[count++] = r;
    }
    if (count > 0 && (new_minute || undrawn > count / 2)) {
        believe(s, rooms, count);
        draw_all(c, s, rooms, count);
    }
    free(rooms);
}
