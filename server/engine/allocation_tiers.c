/*
 * Four tiers, S over A over B over C; a room begins in B. Once a minute, for a room with at least tier_exposures in
 * the hour: score >= tier_rise of its tier asks up, score < tier_fall asks down, anything between starts the count
 * anew. After tier_streak evaluations in a row the room moves one tier. A tier's fall bound lies below the rise
 * bound that led into it, so a room at the border does not swing.
 */
#include "server/engine/allocation_state.h"

static int asks(const struct scene *c, const struct allocation_settings *s, const struct room *r)
{
    int64_t hour[SAMPLED];
    windows_read(r, c->minute, WINDOW_60, hour);
    if (hour[SAMPLED_EXPOSURE] < s->tier_exposures)
        return 0;
    if (r->tier != TIER_S && r->score_ppm >= (int64_t)s->tier_rise_ppm[r->tier])
        return 1;
    if (r->tier != TIER_C && r->score_ppm < (int64_t)s->tier_fall_ppm[r->tier])
        return -1;
    return 0;
}

void tiers_tick(struct scene *c, const struct allocation_settings *s, struct scene_out *out)
{
    for (uint32_t i = 0; i < c->rooms.count; i++) {
        struct room *r = room_at(c, i);
        if (r->retired)
            continue;
        int direction = asks(c, s, r);
        int streak = direction * r->tier_streak > 0 ? r->tier_streak + direction : direction;
        if (direction && streak * direction >= (int)s->tier_streak) {
            out_add_decision(out, DECISION_TIER, &r->name, r->tier, (int)r->tier - direction);
            r->tier = (enum tier)((int)r->tier - direction);
            r->dirty = true;
            streak = 0;
        }
        r->tier_streak = (int8_t)streak;
    }
}
