/*
 * A table of users, dense, with an index by user. What depends on the time (who has become dormant, who is too old) is judged
 * when the table is counted, once a snapshot: a few milliseconds for 200,000 users.
 */
#include "server/engine/audience.h"

#include "common/check.h"
#include "common/map.h"
#include "server/engine/model.h"

#include <math.h>
#include <stdlib.h>

#define LOOKS_MAX 1000000 /* of a format; then all of the segment are halved, so that they fade */
#define MATCH_LEAST 0.25f /* of the best one's */
#define LIFT_PRIOR 5.0    /* purchases at the segment's rate */

struct audience {
    struct audience_settings settings;
    struct audience_user *users; /* owned */
    uint32_t count, capacity;
    struct map places; /* user -> place + 1 */
};

void audience_settings_default(struct audience_settings *s)
{
    *s = (struct audience_settings){.users_max = 200000, .keep_ms = 90 * 86400000ll, .away_ms = 30 * 86400000ll};
}

struct audience *audience_create(const struct audience_settings *s)
{
    struct audience *a = calloc(1, sizeof *a);
    ASSERT(a);
    a->settings = *s;
    return a;
}

void audience_destroy(struct audience *a)
{
    if (!a)
        return;
    map_fini(&a->places);
    free(a->users);
    free(a);
}

const struct audience_user *audience_find(const struct audience *a, uint64_t user)
{
    uintptr_t place = (uintptr_t)map_find(&a->places, user);
    return place ? &a->users[place - 1] : NULL;
}

void audience_see(struct audience *a, const struct audience_user *u)
{
    uintptr_t place = (uintptr_t)map_find(&a->places, u->user);
    if (!place && a->count >= a->settings.users_max)
        return; /* until the next count has made room */
    if (!place && a->count == a->capacity) {
        a->capacity = a->capacity ? 2 * a->capacity : 1024;
        a->users = realloc(a->users, a->capacity * sizeof *a->users);
        ASSERT(a->users);
    }
    if (!place) {
        place = ++a->count;
        map_put(&a->places, u->user, (void *)place);
    }
    a->users[place - 1] = *u;
}

static void forget(struct audience *a, uint32_t place)
{
    map_remove(&a->places, a->users[place].user);
    a->users[place] = a->users[--a->count];
    if (place < a->count)
        map_put(&a->places, a->users[place].user, (void *)(uintptr_t)(place + 1));
}

/* Those unseen for so long go: all that are too old, and of a full table the older half of the time it reaches back. */
static int64_t horizon_of(const struct audience *a, int64_t now_ms)
{
    int64_t oldest_ms = now_ms;
    for (uint32_t i = 0; i < a->count; i++)
        oldest_ms = a->users[i].seen_ms < oldest_ms ? a->users[i].seen_ms : oldest_ms;
    int64_t half = (now_ms - oldest_ms) / 2;
    return a->count >= a->settings.users_max && half < a->settings.keep_ms ? half : a->settings.keep_ms;
}

struct sums {
    uint32_t users, intents, churns;
    double intent, churn;
};

static void add(struct sums *to, const struct audience_user *u)
{
    to->users++;
    to->intents += u->intent >= 0;
    to->intent += u->intent >= 0 ? (double)u->intent : 0;
    to->churns += u->churn >= 0;
    to->churn += u->churn >= 0 ? (double)u->churn : 0;
}

void audience_count(struct audience *a, int64_t now_ms, struct model *out)
{
    struct sums sums[SEGMENTS_MAX][VALUE_TIERS] = {{{0}}};
    int64_t horizon_ms = horizon_of(a, now_ms);
    for (uint32_t i = a->count; i-- > 0;) {
        const struct audience_user *u = &a->users[i];
        if (now_ms - u->seen_ms > horizon_ms) {
            forget(a, i);
            continue;
        }
        if (u->segment >= 0 && u->segment < SEGMENTS_MAX)
            add(&sums[u->segment][now_ms - u->seen_ms > a->settings.away_ms ? VALUE_DORMANT : u->value], u);
    }
    for (uint32_t s = 0; s < out->segment_count; s++)
        for (int v = 0; v < VALUE_TIERS; v++) {
            const struct sums *n = &sums[s][v];
            out->segments[s].audience.tiers[v] = (struct audience_tier){
                n->users, n->intents ? (float)(n->intent / n->intents) : -1, n->churns ? (float)(n->churn / n->churns) : -1};
        }
}

void audience_format_seen(struct segment_audience *s, enum item_format format, bool bought)
{
    struct audience_format *f = &s->formats[format];
    f->looks += !bought;
    f->buys += bought;
    if (f->looks < LOOKS_MAX && f->buys < LOOKS_MAX)
        return;
    for (int i = 0; i < FORMATS; i++) {
        s->formats[i].looks /= 2;
        s->formats[i].buys /= 2;
    }
}

double audience_lift(const struct segment_audience *s, enum item_format format)
{
    double looks = 0, buys = 0;
    for (int i = 0; i < FORMATS; i++) {
        looks += s->formats[i].looks;
        buys += s->formats[i].buys;
    }
    double expected = looks > 0 ? s->formats[format].looks * buys / looks : 0;
    return (s->formats[format].buys + LIFT_PRIOR) / (expected + LIFT_PRIOR);
}

static double match_of(const struct segment_model *s, const struct audience_target *t)
{
    double sum = 0;
    for (uint32_t k = 0; k < t->tag_count; k++)
        for (uint32_t i = 0; i < s->tag_count; i++)
            if (slice_equal(t->tags[k], (struct slice){s->tags[i].text, s->tags[i].size}))
                sum += (double)s->tags[i].weight;
    return t->tag_count ? sum / sqrt(t->tag_count) : 0;
}

static double buyers_of(const struct segment_audience *s)
{
    double sum = 0;
    for (int v = 0; v < VALUE_TIERS; v++)
        sum += s->tiers[v].users * (s->tiers[v].intent >= 0 ? (double)s->tiers[v].intent : 1);
    return sum;
}

uint32_t audience_suited(struct audience_reach *reach, uint32_t count)
{
    float best = 0;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++)
        best = reach[i].match > best ? reach[i].match : best;
    for (uint32_t i = 0; i < count; i++)
        if (reach[i].match >= best * MATCH_LEAST)
            reach[kept++] = reach[i];
    return kept;
}

uint32_t audience_reach(const struct model *m, const struct audience_target *t, struct audience_reach *out, uint32_t max)
{
    uint32_t count = 0;
    for (uint32_t s = 0; s < m->segment_count; s++) {
        double match = match_of(&m->segments[s], t);
        struct audience_reach one = {(int)s, (float)match, (float)(match * audience_lift(&m->segments[s].audience, t->format) * buyers_of(&m->segments[s].audience))};
        if (!(one.worth > 0) || (count == max && one.worth <= out[max - 1].worth))
            continue;
        uint32_t at = count < max ? count++ : max - 1;
        for (; at > 0 && out[at - 1].worth < one.worth; at--)
            out[at] = out[at - 1];
        out[at] = one;
    }
    return audience_suited(out, count);
}

uint32_t audience_invite(const struct model *m, const struct audience_reach *reach, uint32_t reached, struct audience_invite *out, uint32_t max)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < reached * VALUE_TIERS; i++) {
        const struct audience_reach *r = &reach[i / VALUE_TIERS];
        enum value_tier value = (enum value_tier)(i % VALUE_TIERS);
        const struct audience_tier *tier = &m->segments[r->segment].audience.tiers[value];
        float churn = value == VALUE_DORMANT ? 1 : tier->churn;
        struct audience_invite one = {r->segment, value, churn, r->match * (float)tier->users * churn};
        if (!(one.worth > 0) || (count == max && one.worth <= out[max - 1].worth))
            continue;
        uint32_t at = count < max ? count++ : max - 1;
        for (; at > 0 && out[at - 1].worth < one.worth; at--)
            out[at] = out[at - 1];
        out[at] = one;
    }
    return count;
}
