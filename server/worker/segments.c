#include "server/worker/segments.h"

#include "common/hash.h"
#include "common/text.h"
#include "server/codec/learner_codec.h"
#include "server/worker/worker_internal.h"

#include <math.h>

#define WATCHED_MS_MAX 600000 /* at once */

void segments_settings_default(struct segments_settings *s)
{
    *s = (struct segments_settings){
        .sample_ms = 60000, .publish_ms = 10000, .turn_ms = 1000, .refresh_ms = 600000, .step_permille = 200, .session_gap_ms = 600000, .conversions_max = 200000,
        .value = {.high_spent = 50000, .high_orders = 3, .recent_ms = 90 * 86400000ll, .dormant_ms = 30 * 86400000ll, .potential = 1},
    };
}

static void publish(struct worker *w, struct task *t, const struct standing *s, const struct event *event, const struct record *r, int64_t now_ms)
{
    const struct model *m = w->tables.model;
    struct writer out = {0};
    text_add(&out, "{\"v\":1,\"user\":");
    text_add_json(&out, event->user);
    text_printf(&out, ",\"ts\":%lld,\"version\":[%lld,%u,0],\"segment\":", (long long)now_ms, (long long)r->offset, t->position.epoch);
    if (s->segment < 0) {
        text_add(&out, "null,\"tags\":[");
    } else {
        text_printf(&out, "\"s%d\",\"tags\":[", s->segment);
        const struct segment_model *c = &m->segments[s->segment];
        for (uint32_t i = 0; i < c->tag_count && i < 5; i++) {
            text_add(&out, i ? "," : "");
            text_add_json(&out, (struct slice){c->tags[i].text, c->tags[i].size});
        }
    }
    text_printf(&out, "],\"value\":\"%s\"", value_tier_names[s->value]);
    text_add_chance(&out, ",\"intent\":", s->intent);
    text_add_chance(&out, ",\"churn\":", s->churn);
    text_add(&out, "}");
    task_produce(t, &(struct outgoing){.topic = TOPIC_SEGMENTS, .partition = -1, .key = event->user,
                                       .value = {(const char *)out.data, (uint32_t)out.size}}, now_ms);
    writer_fini(&out);
}

static uint8_t format_of(const struct worker *w, entity_id item)
{
    const struct catalog_item *it = item ? catalog_item(w->tables.catalog, item) : NULL;
    return it ? (uint8_t)it->format : FORMATS;
}

static void send_sample(struct worker *w, struct task *t, const struct sample *s, int64_t now_ms)
{
    struct writer out = {0};
    sample_encode(s, &out);
    task_produce(t, &(struct outgoing){.topic = TOPIC_SAMPLES, .partition = 0, .key = {0},
                                       .value = {(const char *)out.data, (uint32_t)out.size}}, now_ms);
    writer_fini(&out);
}

/* Chances are told by their odds: from one percent to two is as much news as from ten to eighteen. Below 0: unknown. */
static double log_odds(double chance)
{
    chance = chance < 1e-4 ? 1e-4 : chance > 1 - 1e-4 ? 1 - 1e-4 : chance;
    return log2(chance / (1 - chance)) * 0.6931471805599453;
}

static bool is_apart(const struct worker *w, double a, double b)
{
    return (a < 0) != (b < 0) || fabs(log_odds(a) - log_odds(b)) * 1000 >= w->settings.segments.step_permille;
}

/* Answers whether what is known changed enough to be told. */
static bool derive(const struct worker *w, const struct profile *p, const struct sample *s, struct standing *standing, int64_t now_ms)
{
    const struct model *m = w->tables.model;
    struct standing fresh = *standing;
    fresh.segment = (int16_t)model_segment(m, s->tags, s->tag_count);
    fresh.value = (uint8_t)value_tier_of(p, &w->settings.segments.value, now_ms);
    fresh.intent = (float)logistic_predict(&m->intent, s->features);
    fresh.churn = (float)logistic_predict(&m->churn, s->features);
    bool changed = !standing->published || fresh.segment != standing->segment || fresh.value != standing->value ||
                   is_apart(w, fresh.intent, standing->intent) || is_apart(w, fresh.churn, standing->churn) ||
                   now_ms - standing->published_ms >= w->settings.segments.refresh_ms;
    if (changed)
        *standing = fresh;
    return changed;
}

/* The item on show where the user is; NULL outside rooms. */
static const struct catalog_item *on_show(const struct worker *w, const struct event *event, entity_id *out_id)
{
    bool outside = event->type == EVENT_IMPRESSION || event->type == EVENT_CLICK || event->type == EVENT_LEAVE;
    *out_id = event->explaining.size && !outside ? entity_id_of(ENTITY_ITEM, event->explaining) : 0;
    return *out_id ? catalog_item(w->tables.catalog, *out_id) : NULL;
}

/* How well the item suits the user's strongest tags, as a cosine. */
static float match_of(const struct worker *w, const struct model_tag *tags, uint32_t count, const struct catalog_item *it)
{
    double sum = 0;
    for (uint32_t t = 0; t < it->tag_count; t++) {
        struct slice tag = catalog_text(w->tables.catalog, it->tags[t]);
        for (uint32_t k = 0; k < count; k++)
            if (slice_equal(tag, (struct slice){tags[k].text, tags[k].size}))
                sum += (double)tags[k].weight;
    }
    return it->tag_count ? (float)(sum / sqrt(it->tag_count)) : 0;
}

/* The same of all that the room has on offer, on average. */
static float room_match_of(const struct worker *w, const struct sample *s, const struct event *event)
{
    const struct catalog_room *room = event->room.size ? catalog_room(w->tables.catalog, entity_id_of(ENTITY_ROOM, event->room)) : NULL;
    float sum = 0;
    uint32_t count = 0;
    for (uint32_t i = 0; room && i < room->draft.item_count; i++) {
        const struct catalog_item *it = catalog_item(w->tables.catalog, room->items[i]);
        sum += it ? match_of(w, s->tags, s->tag_count, it) : 0;
        count += it != NULL;
    }
    return count ? sum / (float)count : 0;
}

static struct moment moment_of(const struct worker *w, const struct profile *p, const struct standing *standing, const struct sample *s,
                               const struct event *event, int64_t before_ms)
{
    struct moment at = {.before_ms = before_ms, .session_ms = standing->session_ms, .visits = standing->visits,
                        .known_ms = standing->known_ms, .acts = standing->acts, .orders = standing->orders, .shown = standing->shown, .dwell_ms = standing->dwell_ms};
    struct look look = {.host = event->host.size ? entity_id_of(ENTITY_HOST, event->host) : 0};
    const struct catalog_item *it = on_show(w, event, &look.item);
    look.match = it ? match_of(w, s->tags, s->tag_count, it) : 0;
    look.wanted = it && features_wanted(p, look.item);
    at.conversion = conversions_factors(w->conversions, &look, s->ts_ms, &standing->buyer);
    if (!it)
        return at;
    at.item = look.item;
    at.match = look.match;
    at.room_match = room_match_of(w, s, event);
    at.price = (double)it->price;
    at.item_lift = push_lift(w->push, look.item, s->ts_ms);
    if (look.host)
        at.host_lift = push_lift(w->push, look.host, s->ts_ms);
    return at;
}

/* What was watched of what is on show, and what came of it. A purchase is of the look before it: now the item is owned. */
static void count_conversion(struct worker *w, const struct profile *p, struct standing *s, const struct event *event, int64_t now_ms)
{
    entity_id id;
    struct model_tag tags[SAMPLE_TAGS];
    if (event->type != EVENT_PURCHASE && event->type != EVENT_WATCH)
        return;
    const struct catalog_item *it = on_show(w, event, &id);
    if (event->type == EVENT_PURCHASE && s->look.item && id == s->look.item && slice_equal(event->item, event->explaining))
        conversions_buy(w->conversions, &s->look, event->event_ms, &s->buyer);
    if (event->type != EVENT_WATCH)
        return;
    if (!it || features_has(p, id)) {
        s->look.item = 0;
        return;
    }
    if (id != s->look.item)
        s->look = (struct look){.item = id, .match = match_of(w, tags, push_taste(w->push, p, now_ms, tags), it)};
    s->look.host = event->host.size ? entity_id_of(ENTITY_HOST, event->host) : 0;
    s->look.wanted = features_wanted(p, id);
    double seconds = event->dwell_ms < WATCHED_MS_MAX ? event->dwell_ms / 1000.0 : WATCHED_MS_MAX / 1000.0;
    conversions_watch(w->conversions, &s->look, seconds, event->event_ms, &s->buyer);
}

/* What the user is about changes with it, so the news is told soon. */
static bool is_turn(enum event_type type)
{
    return type == EVENT_ENTER || type == EVENT_LEAVE || type == EVENT_CART || type == EVENT_TRIAL || type == EVENT_PURCHASE;
}

static void begin_visit(struct standing *s, const struct profile *p, int64_t now_ms)
{
    s->session_ms = now_ms;
    s->known_ms = s->visits ? s->known_ms : now_ms;
    s->visits++;
    s->acts = features_acts(p);
    s->orders = p->orders;
    s->shown = p->counts[EVENT_IMPRESSION];
    s->dwell_ms = p->dwell_ms;
}

void segments_event(struct worker *w, struct task *t, const struct profile *p, struct standing *standing, const struct event *event,
                    const struct record *r, int64_t now_ms)
{
    const struct segments_settings *s = &w->settings.segments;
    int64_t before_ms = standing->seen_ms;
    bool bought = event->type == EVENT_PURCHASE;
    standing->seen_ms = event->event_ms;
    if (event->event_ms - before_ms > s->session_gap_ms)
        begin_visit(standing, p, event->event_ms);
    count_conversion(w, p, standing, event, now_ms);
    struct sample sample = {.kind = SAMPLE_BOUGHT, .user = hash64(r->key.at, r->key.size, w->users_seed), .ts_ms = event->event_ms};
    if (bought) {
        sample.format = format_of(w, event->item.size ? entity_id_of(ENTITY_ITEM, event->item) : 0);
        send_sample(w, t, &sample, now_ms);
    }
    bool due_sample = event->event_ms - standing->sampled_ms >= s->sample_ms;
    bool due_record = now_ms - standing->published_ms >= (is_turn(event->type) ? s->turn_ms : s->publish_ms);
    if (!due_sample && !due_record)
        return;
    sample.kind = SAMPLE_SEEN;
    sample.tag_count = push_taste(w->push, p, now_ms, sample.tags);
    struct moment at = moment_of(w, p, standing, &sample, event, before_ms);
    features_of(p, &at, event->event_ms, sample.features);
    sample.format = format_of(w, at.item);
    sample.value = (uint8_t)value_tier_of(p, &s->value, now_ms);
    if (due_sample) {
        standing->sampled_ms = event->event_ms;
        send_sample(w, t, &sample, now_ms);
    }
    if (!due_record || !derive(w, p, &sample, standing, now_ms))
        return;
    standing->published_ms = now_ms;
    standing->published = true;
    publish(w, t, standing, event, r, now_ms);
}
