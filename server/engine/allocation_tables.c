/* Small things that the whole stage uses: ordered tables, copied names, saturating sums, names of enums. */
#include "server/engine/allocation_state.h"

#include "common/check.h"

#include <stdlib.h>

const char *const tier_names[TIERS] = {"S", "A", "B", "C"};
const char *const score_part_names[SCORE_PARTS] = {"entrance", "dwell", "interaction", "conversion", "gpm"};
const char *const host_part_names[HOST_PARTS] = {"entrance", "dwell", "interaction", "conversion", "gpm",
                                              "domain", "style", "fans", "commission"};
const char *const funnel_step_names[FUNNEL_STEPS] = {"entrance", "dwell", "interaction", "cart", "conversion"};
const char *const sampled_names[SAMPLED] = {"exposure", "enter", "watch_ms", "interaction", "cart", "purchase", "gmv"};
const enum counter sampled_counters[SAMPLED] = {
    COUNTER_EXPOSURE, COUNTER_ENTER, COUNTER_WATCH_MS, COUNTER_INTERACTION,
    COUNTER_CART,     COUNTER_PURCHASE, COUNTER_GMV,
};
const char *const window_names[WINDOWS] = {"5m", "10m", "30m", "60m"};
const char *const control_op_names[CONTROL_OPS] = {
    "pin", "freeze", "cap", "floor", "boost", "guarantee", "kill", "cost", "resume",
};
const char *const control_answer_names[CONTROL_ANSWERS] = {
    "applied",    "too_large",    "malformed",     "unknown_version", "bad_id",   "bad_scene",
    "unknown_op", "bad_room",     "bad_value",     "bad_until",       "bad_text", "no_such_room",
    "out_of_bounds", "expired",   "repeated",      "overbooked",      "conflict",
};
const char *const alert_kind_names[ALERT_KINDS] = {"raised", "cleared", "guarantee_met", "guarantee_missed"};
const char *const decision_kind_names[DECISION_KINDS] = {
    "opened", "closed", "retired", "revived", "table_full", "tier", "expired",
};
const char *const scene_verdict_names[SCENE_VERDICTS] = {
    "applied", "old_epoch", "old_position", "old_tick", "old_rollup", "not_listed", "full",
};

int64_t add_saturating(int64_t a, int64_t b)
{
    int64_t sum;
    if (__builtin_add_overflow(a, b, &sum) || sum > SCENE_NUMBER_MAX || sum < -SCENE_NUMBER_MAX)
        return (a > 0) == (b > 0) ? (a > 0 ? SCENE_NUMBER_MAX : -SCENE_NUMBER_MAX) : a;
    return sum;
}

struct name name_of(struct slice s)
{
    struct name n = {0};
    n.size = (uint8_t)(s.size > SCENE_ID_BYTES ? SCENE_ID_BYTES : s.size);
    if (n.size)
        memcpy(n.at, s.at, n.size);
    return n;
}

uint32_t tag_of(struct slice s)
{
    return (uint32_t)hash64(s.at, s.size, 0);
}

/* The first place whose id is not below `id`. */
static uint32_t table_place(const struct table *t, entity_id id)
{
    uint32_t low = 0, high = t->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (t->ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void *table_find(const struct table *t, entity_id id)
{
    uint32_t place = table_place(t, id);
    return place < t->count && t->ids[place] == id ? t->at[place] : NULL;
}

void table_add(struct table *t, entity_id id, void *value)
{
    if (t->count == t->capacity) {
        t->capacity = t->capacity ? t->capacity * 2 : 16;
        t->ids = realloc(t->ids, t->capacity * sizeof *t->ids);
        t->at = realloc(t->at, t->capacity * sizeof *t->at);
        ASSERT(t->ids);
        ASSERT(t->at);
    }
    uint32_t place = table_place(t, id);
    memmove(t->ids + place + 1, t->ids + place, (t->count - place) * sizeof *t->ids);
    memmove(t->at + place + 1, t->at + place, (t->count - place) * sizeof *t->at);
    t->ids[place] = id;
    t->at[place] = value;
    t->count++;
}

void *table_remove(struct table *t, entity_id id)
{
    uint32_t place = table_place(t, id);
    if (place == t->count || t->ids[place] != id)
        return NULL;
    void *value = t->at[place];
    t->count--;
    memmove(t->ids + place, t->ids + place + 1, (t->count - place) * sizeof *t->ids);
    memmove(t->at + place, t->at + place + 1, (t->count - place) * sizeof *t->at);
    return value;
}

void table_fini(struct table *t)
{
    for (uint32_t i = 0; i < t->count; i++)
        free(t->at[i]);
    free(t->ids);
    free(t->at);
    *t = (struct table){0};
}
