/*
 * The reference job's folds without Kafka or Redis: 3,000,000 events by the generator of its definition, through the
 * profile fold, and what it emits through the neighbour fold. Fails unless the two check figures come out.
 */
#include "server/engine/entity.h"
#include "server/engine/profile.h"
#include "tests/bench/cpu.h"

#include <stdio.h>
#include <stdlib.h>

enum { EVENTS = 3000000, USERS = 200000, ITEMS = 10000 };

#define PAIR_DELTAS 48459226
#define RAISED_RATINGS 2584437

static const enum event_type types[16] = {
    EVENT_WATCH, EVENT_WATCH, EVENT_WATCH, EVENT_WATCH, EVENT_ENTER,    EVENT_CLICK,      EVENT_CHAT,       EVENT_LIKE,
    EVENT_VOTE,  EVENT_GIFT,  EVENT_CART,  EVENT_PURCHASE, EVENT_IMPRESSION, EVENT_IMPRESSION, EVENT_LEAVE, EVENT_QUESTION,
};

static uint64_t draw(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

static void reference_settings(struct profile_settings *s)
{
    static const uint8_t weights[EVENT_TYPES] = {
        [EVENT_ENTER] = 1, [EVENT_LEAVE] = 1, [EVENT_CLICK] = 1, [EVENT_WATCH] = 1, [EVENT_LIKE] = 2, [EVENT_VOTE] = 2,
        [EVENT_CHAT] = 2,  [EVENT_QUESTION] = 2, [EVENT_GIFT] = 3, [EVENT_CART] = 3, [EVENT_PURCHASE] = 5,
    };
    profile_settings_default(s);
    memcpy(s->weights, weights, sizeof weights);
    s->history = 32;
    s->past = 0;
    s->history_hosts = s->history_rooms = s->dedupe = s->owned = s->visits = 0;
    s->next_steps = 0;
    s->funnel = false;
    s->late_ms_max = s->early_ms_max = INT64_MAX / 4;
    memset(s->watch_step_ms, 0, sizeof s->watch_step_ms);
}


static int item_of(const entity_id *ids, const int *slots, entity_id id)
{
    uint64_t at = hash_mix(id) & 0xffff;
    while (ids[slots[at]] != id)
        at = (at + 1) & 0xffff;
    return slots[at];
}

int main(void)
{
    static char names[ITEMS][8];
    static entity_id ids[ITEMS];
    static int slots[65536];
    static struct neighbours *neighbours[ITEMS];
    static struct profile *profiles[USERS];
    struct profile_settings s;
    struct entity_settings es;
    struct effect_list effects = {0};
    reference_settings(&s);
    entity_settings_default(&es);
    es.pair_bucket_ms = 0;
    memset(slots, -1, sizeof slots);
    for (int i = 0; i < ITEMS; i++) {
        snprintf(names[i], sizeof names[i], "c_%d", i);
        ids[i] = entity_id_of(ENTITY_ITEM, slice_of(names[i]));
        uint64_t at = hash_mix(ids[i]) & 0xffff;
        while (slots[at] >= 0)
            at = (at + 1) & 0xffff;
        slots[at] = i;
        neighbours[i] = neighbours_create();
    }
    uint64_t seed = 88172645463325252u, pairs = 0, raised = 0;
    double profile_s = 0, entity_s = 0;
    for (int n = 0; n < EVENTS;) {
        double begin = cpu_s(), middle;
        effect_list_clear(&effects);
        for (int k = 0; k < 2000; k++, n++) {
            double u = (double)(draw(&seed) >> 11) * 0x1p-53, v = (double)(draw(&seed) >> 11) * 0x1p-53;
            int user = (int)(USERS * u * u), item = (int)(ITEMS * v * v * v);
            char id[20];
            enum event_type type = types[draw(&seed) & 15];
            uint32_t dwell = (uint32_t)(draw(&seed) % 60000);
            static const char digits[] = "0123456789abcdef";
            memcpy(id, "01J", 3);
            for (int d = 0; d < 13; d++)
                id[3 + d] = digits[(uint64_t)n >> 4 * (12 - d) & 15];
            struct event e = {.type = type, .event_ms = 1732370000123 + n / 20, .id = {id, 16}, .dwell_ms = dwell,
                              .item = slice_of(names[item])};
            if (!profiles[user])
                profiles[user] = profile_create();
            if (profile_apply(profiles[user], &s, &e, e.event_ms, &effects) != PROFILE_APPLIED)
                return 1;
        }
        middle = cpu_s();
        profile_s += middle - begin;
        raised += effects.rating_count;
        pairs += 2 * effects.pair_count;
        for (uint32_t i = 0; i < effects.pair_count; i++) {
            const struct pair_effect *e = &effects.pairs[i];
            neighbours_apply(neighbours[item_of(ids, slots, e->target)], &es, &(struct neighbour_change){e->other, e->delta, 0}, 0);
            neighbours_apply(neighbours[item_of(ids, slots, e->other)], &es, &(struct neighbour_change){e->target, e->delta, e->step}, 0);
        }
        entity_s += cpu_s() - middle;
    }
    printf("{\"fold.profile_ns\":%.0f,\"fold.entity_ns\":%.0f,\"fold.pair_deltas\":%llu,\"fold.raised_ratings\":%llu}\n",
           profile_s / EVENTS * 1e9, entity_s / EVENTS * 1e9, (unsigned long long)pairs, (unsigned long long)raised);
    effect_list_fini(&effects);
    return pairs != PAIR_DELTAS || raised != RAISED_RATINGS;
}
