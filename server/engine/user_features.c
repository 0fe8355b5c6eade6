#include "server/engine/user_features.h"

#include <math.h>

#define RECENT_MS 600000
#define INSIDE_MS 30000
#define WANTED_RATING 3 /* at the default weights: tried, or put into the cart */

const char *const feature_names[FEATURES] = {
    "orders", "carts", "rate", "age", "pause", "hot", "recent", "watched", "interacts", "bought_ago", "trials", "silence", "rhythm", "spent", "negative",
    "stay", "clicks", "inside", "session", "match", "expecting", "room", "wanted", "has", "dear", "host_lift", "item_lift", "hours", "yield",
    "comes", "visit_acts", "visit_orders", "visit_watched", "visit_shown", "lately",
    "buyer", "item_sells", "host_sells", "match_sells", "room_match",
};

const char *const value_tier_names[VALUE_TIERS] = {"high", "potential", "ordinary", "dormant"};

static float log_of(double value)
{
    return value > 0 ? (float)log2(1 + value) : 0;
}

bool features_has(const struct profile *p, entity_id item)
{
    for (uint32_t i = 0; i < p->owned_count; i++)
        if (p->owned[i].item == item)
            return true;
    return false;
}

uint64_t features_acts(const struct profile *p)
{
    return (uint64_t)p->counts[EVENT_CHAT] + p->counts[EVENT_QUESTION] + p->counts[EVENT_VOTE] + p->counts[EVENT_LIKE];
}

static void visit_features(const struct profile *p, const struct moment *at, int64_t now_ms, float out[FEATURES])
{
    double known_h = (double)(now_ms - at->known_ms) / 3600000;
    if (at->visits == 0)
        return;
    out[FEATURE_COMES] = (float)log2((at->visits + 0.5) / (known_h + 0.5));
    out[FEATURE_VISIT_ACTS] = log_of((double)(features_acts(p) - at->acts));
    out[FEATURE_VISIT_ORDERS] = log_of((double)(p->orders - at->orders));
    out[FEATURE_VISIT_SHOWN] = log_of((double)(p->counts[EVENT_IMPRESSION] - at->shown));
    out[FEATURE_VISIT_WATCHED] = log_of((double)(p->dwell_ms - at->dwell_ms) / 60000);
}

bool features_wanted(const struct profile *p, entity_id item)
{
    const struct history_entry *h = profile_find(p, item);
    return h && h->rating >= WANTED_RATING && !features_has(p, item);
}

static float lift_of(double lift)
{
    return lift > 0 ? (float)log2(lift) : 0;
}

static void room_features(const struct profile *p, const struct moment *at, float out[FEATURES])
{
    if (!at->item)
        return;
    out[FEATURE_ROOM] = 1;
    out[FEATURE_HAS] = features_has(p, at->item);
    out[FEATURE_WANTED] = features_wanted(p, at->item);
    out[FEATURE_DEAR] = (float)log2((at->price + 100) / 10000);
    out[FEATURE_HOST_LIFT] = lift_of((double)at->host_lift);
    out[FEATURE_ITEM_LIFT] = lift_of((double)at->item_lift);
    out[FEATURE_ROOM_MATCH] = at->room_match;
    out[FEATURE_ITEM_SELLS] = lift_of(at->conversion.item);
    out[FEATURE_HOST_SELLS] = lift_of(at->conversion.host);
    out[FEATURE_MATCH_SELLS] = lift_of(at->conversion.match);
}

/* Logarithms and shares, but events may come late and clients lie about time. */
static float bounded(float x)
{
    return x > FEATURE_MAX ? FEATURE_MAX : x < -FEATURE_MAX ? -FEATURE_MAX : x == x ? x : 0;
}

void features_of(const struct profile *p, const struct moment *at, int64_t now_ms, float out[FEATURES])
{
    double ratings = 0, watched_ms = 0, inside_s = 0, negative = 0, hot = 0;
    for (uint32_t i = 0; i < p->history_count; i++) {
        const struct history_entry *h = &p->history[i];
        negative += (h->flags & HISTORY_NEGATIVE) != 0;
        if (now_ms - h->touched_ms > RECENT_MS)
            continue;
        ratings += h->rating;
        watched_ms += h->dwell_s * 1000.0;
        if (entity_kind_of(h->id) == ENTITY_ROOM && now_ms - h->touched_ms <= INSIDE_MS && h->dwell_s > inside_s)
            inside_s = h->dwell_s;
        hot += entity_kind_of(h->id) == ENTITY_ITEM && h->rating >= WANTED_RATING && !features_has(p, h->id);
    }
    double events = (double)(p->events ? p->events : 1), age_ms = (double)(now_ms - p->first_ms);
    double mean_pause_ms = age_ms / events, pause_ms = at->before_ms ? (double)(now_ms - at->before_ms) : 0;
    memset(out, 0, FEATURES * sizeof *out);
    out[FEATURE_ORDERS] = log_of(p->orders);
    out[FEATURE_CARTS] = log_of(p->counts[EVENT_CART]);
    out[FEATURE_RATE] = log_of(events / (age_ms / 86400000 + 0.01));
    out[FEATURE_AGE] = log_of(age_ms / 3600000);
    out[FEATURE_PAUSE] = log_of(pause_ms / (mean_pause_ms + 1000));
    out[FEATURE_HOT] = (float)(hot < 4 ? hot : 4);
    out[FEATURE_RECENT] = log_of(ratings);
    out[FEATURE_WATCHED] = log_of(watched_ms / 60000);
    out[FEATURE_INTERACTS] = (float)((double)features_acts(p) / events);
    out[FEATURE_BOUGHT_AGO] = p->last_paid_ms ? (float)exp2(-(double)(now_ms - p->last_paid_ms) / (7 * 86400000.0)) : 0;
    out[FEATURE_TRIALS] = log_of(p->counts[EVENT_TRIAL]);
    double silent_ms = (double)(now_ms - p->last_ms), between_ms = (age_ms + 86400000) / (p->orders + 1.0);
    out[FEATURE_SILENCE] = log_of(silent_ms / 86400000);
    out[FEATURE_LATELY] = (float)exp2(-silent_ms / (30 * 86400000.0));
    out[FEATURE_RHYTHM] = log_of(silent_ms / between_ms);
    out[FEATURE_SPENT] = log_of((double)(p->spent - p->refunded) / 100);
    out[FEATURE_STAY] = log_of((double)p->dwell_ms / 1000 / (p->counts[EVENT_ENTER] + 1.0));
    out[FEATURE_CLICKS] = (float)(p->counts[EVENT_CLICK] / (p->counts[EVENT_IMPRESSION] + 20.0));
    out[FEATURE_INSIDE] = log_of(inside_s);
    out[FEATURE_SESSION] = at->session_ms ? log_of((double)(now_ms - at->session_ms) / 60000) : 0;
    out[FEATURE_MATCH] = at->match;
    out[FEATURE_EXPECTING] = at->match * out[FEATURE_INSIDE];
    out[FEATURE_HOURS] = log_of((double)p->dwell_ms / 3600000);
    out[FEATURE_YIELD] = (float)log2((p->orders + 1.0) / ((double)p->dwell_ms / 3600000 + 0.3));
    out[FEATURE_BUYER] = lift_of(at->conversion.user);
    visit_features(p, at, now_ms, out);
    room_features(p, at, out);
    out[FEATURE_NEGATIVE] = p->history_count ? (float)(negative / p->history_count) : 0;
    for (int i = 0; i < FEATURES; i++)
        out[i] = bounded(out[i]);
}

enum value_tier value_tier_of(const struct profile *p, const struct value_settings *s, int64_t now_ms)
{
    bool bought = p->last_paid_ms && now_ms - p->last_paid_ms <= s->recent_ms;
    if (now_ms - p->last_ms > s->dormant_ms)
        return VALUE_DORMANT;
    if (bought && (p->spent - p->refunded >= s->high_spent || p->orders >= s->high_orders))
        return VALUE_HIGH;
    return bought || p->counts[EVENT_CART] + p->counts[EVENT_TRIAL] >= s->potential ? VALUE_POTENTIAL : VALUE_ORDINARY;
}
