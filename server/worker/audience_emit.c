/*
 * Everything is bounded: REACHED segments, INVITED groups, ROOMS_MAX rooms of an item, NEXT_MAX items of a room. What is to
 * be explained next is the item that is worth most to all it may reach; who is in the room now is not known here.
 */
#include "server/worker/audience_emit.h"

#include "common/text.h"
#include "server/worker/worker_internal.h"

#define REACHED 3
#define INVITED 3
#define SEGMENT_TAGS_TOLD 5
#define ROOMS_MAX 8
#define NEXT_MAX 3

static struct slice written(const struct writer *w)
{
    return (struct slice){(const char *)w->data, (uint32_t)w->size};
}

static struct audience_target target_of(const struct catalog *c, const struct catalog_item *it)
{
    struct audience_target t = {.format = it->format, .tag_count = it->tag_count};
    for (uint32_t i = 0; i < it->tag_count; i++)
        t.tags[i] = catalog_text(c, it->tags[i]);
    return t;
}

static void add_tiers(struct writer *w, const struct segment_audience *a)
{
    const char *comma = "";
    text_add(w, ",\"values\":[");
    for (int v = 0; v < VALUE_TIERS; v++) {
        const struct audience_tier *t = &a->tiers[v];
        if (!t->users)
            continue;
        text_printf(w, "%s{\"value\":\"%s\",\"users\":%u", comma, value_tier_names[v], t->users);
        text_add_chance(w, ",\"intent\":", t->intent);
        text_add_chance(w, ",\"churn\":", t->churn);
        text_add(w, "}");
        comma = ",";
    }
    text_add(w, "]");
}

/* Those of which something was sold, best first. */
static void add_formats(struct writer *w, const struct segment_audience *a)
{
    bool done[FORMATS] = {false};
    text_add(w, ",\"formats\":[");
    for (int n = 0; n < FORMATS; n++) {
        int best = -1;
        for (int f = 0; f < FORMATS; f++)
            if (!done[f] && a->formats[f].buys && (best < 0 || audience_lift(a, (enum item_format)f) > audience_lift(a, (enum item_format)best)))
                best = f;
        if (best < 0)
            break;
        done[best] = true;
        text_printf(w, "%s{\"format\":\"%s\",\"sold\":%u,\"lift\":", n ? "," : "", item_format_names[best], a->formats[best].buys);
        text_add_decimal(w, audience_lift(a, (enum item_format)best), 3);
        text_add(w, "}");
    }
    text_add(w, "]");
}

static void add_reach(struct writer *w, const struct model *m, const struct audience_reach *reach, uint32_t count)
{
    text_add(w, "\"audience\":[");
    for (uint32_t i = 0; i < count; i++) {
        const struct segment_model *s = &m->segments[reach[i].segment];
        text_printf(w, "%s{\"segment\":\"s%d\",\"tags\":[", i ? "," : "", reach[i].segment);
        for (uint32_t k = 0; k < s->tag_count && k < SEGMENT_TAGS_TOLD; k++) {
            text_add(w, k ? "," : "");
            text_add_json(w, (struct slice){s->tags[k].text, s->tags[k].size});
        }
        text_add(w, "],\"match\":");
        text_add_decimal(w, (double)reach[i].match, 4);
        add_tiers(w, &s->audience);
        add_formats(w, &s->audience);
        text_add(w, "}");
    }
    text_add(w, "]");
}

static void add_invites(struct writer *w, const struct model *m, const struct audience_reach *reach, uint32_t reached)
{
    struct audience_invite invites[INVITED];
    uint32_t count = audience_invite(m, reach, reached, invites, INVITED);
    text_add(w, ",\"invite\":[");
    for (uint32_t i = 0; i < count; i++) {
        const struct audience_tier *t = &m->segments[invites[i].segment].audience.tiers[invites[i].value];
        text_printf(w, "%s{\"segment\":\"s%d\",\"value\":\"%s\",\"users\":%u", i ? "," : "", invites[i].segment, value_tier_names[invites[i].value], t->users);
        text_add_chance(w, ",\"churn\":", (double)invites[i].churn);
        text_add(w, "}");
    }
    text_add(w, "]");
}

/* What a room has on offer, worth most first, and whom all of it together reaches. */
struct offers {
    uint32_t count, reached;
    const struct catalog_item *items[NEXT_MAX];
    double worth[NEXT_MAX];
    struct audience_reach reach[REACHED];
};

/* A segment is reached by the item that suits it best. */
static void merge(struct offers *o, const struct audience_reach *reach, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = 0;
        while (at < o->reached && o->reach[at].segment != reach[i].segment)
            at++;
        if (at == REACHED && reach[i].worth <= o->reach[--at].worth)
            continue;
        if (at < o->reached && o->reach[at].segment == reach[i].segment && reach[i].worth <= o->reach[at].worth)
            continue;
        o->reached += at == o->reached;
        for (; at > 0 && o->reach[at - 1].worth < reach[i].worth; at--)
            o->reach[at] = o->reach[at - 1];
        o->reach[at] = reach[i];
    }
}

static void add_offer(struct offers *o, const struct catalog_item *it, double worth)
{
    if (o->count == NEXT_MAX && worth <= o->worth[NEXT_MAX - 1])
        return;
    uint32_t at = o->count < NEXT_MAX ? o->count++ : NEXT_MAX - 1;
    for (; at > 0 && o->worth[at - 1] < worth; at--) {
        o->items[at] = o->items[at - 1];
        o->worth[at] = o->worth[at - 1];
    }
    o->items[at] = it;
    o->worth[at] = worth;
}

/* What is on show now is explained already. */
static void look_at_room(const struct worker *w, const struct catalog_room *room, struct offers *out)
{
    const struct catalog *c = w->tables.catalog;
    *out = (struct offers){0};
    for (uint32_t i = 0; i < room->draft.item_count; i++) {
        const struct catalog_item *it = catalog_item(c, room->items[i]);
        struct audience_reach reach[REACHED];
        double worth = 0;
        if (!it)
            continue;
        struct audience_target target = target_of(c, it);
        uint32_t count = audience_reach(w->tables.model, &target, reach, REACHED);
        for (uint32_t k = 0; k < count; k++)
            worth += (double)reach[k].worth;
        merge(out, reach, count);
        if (worth > 0 && it->id != room->explaining)
            add_offer(out, it, worth);
    }
    out->reached = audience_suited(out->reach, out->reached);
}

static void begin_view(struct writer *w, struct slice scene, int64_t now_ms)
{
    w->size = 0;
    text_add(w, "{\"v\":1,\"scene\":");
    text_add_json(w, scene);
    text_printf(w, ",\"ts\":%lld,", (long long)now_ms);
}

static void write_view(struct worker *w, const char *kind, struct slice name, const struct writer *value)
{
    struct writer key = {0};
    text_add(&key, kind);
    text_add_slice(&key, name);
    w->store->write_view(w->store->self, &(struct view_write){.key = written(&key), .value = written(value)});
    writer_fini(&key);
}

static void view_room(struct worker *w, struct slice scene, const struct catalog_room *room, const struct offers *o, int64_t now_ms)
{
    struct writer view = {0};
    begin_view(&view, scene, now_ms);
    text_add(&view, "\"next\":[");
    for (uint32_t i = 0; i < o->count; i++) {
        text_add(&view, i ? "," : "");
        text_add_json(&view, o->items[i]->name);
    }
    text_add(&view, "],");
    add_reach(&view, w->tables.model, o->reach, o->reached);
    add_invites(&view, w->tables.model, o->reach, o->reached);
    text_add(&view, "}");
    write_view(w, "audience:room:", room->name, &view);
    writer_fini(&view);
}

static bool offers_here(const struct catalog_room *room, uint32_t scene, entity_id item)
{
    bool offered = false;
    for (uint32_t i = 0; i < room->draft.item_count; i++)
        offered |= room->items[i] == item;
    return offered && catalog_room_in(room, scene);
}

static void add_rooms(struct worker *w, struct slice scene, const struct catalog_item *it, int64_t now_ms, struct writer *out)
{
    const struct catalog *c = w->tables.catalog;
    uint32_t number = catalog_number(c, scene), count = 0;
    text_add(out, ",\"rooms\":[");
    for (uint32_t i = 0; i < catalog_open_count(c) && count < ROOMS_MAX; i++) {
        const struct catalog_room *room = catalog_open(c, i);
        struct offers offers;
        if (!offers_here(room, number, it->id))
            continue;
        look_at_room(w, room, &offers);
        text_add(out, count++ ? ",{\"id\":" : "{\"id\":");
        text_add_json(out, room->name);
        text_add(out, offers.count && offers.items[0] == it ? ",\"next\":true" : ",\"next\":false");
        add_invites(out, w->tables.model, offers.reach, offers.reached);
        text_add(out, "}");
        view_room(w, scene, room, &offers, now_ms);
    }
    text_add(out, "]");
}

void audience_emit(struct worker *w, struct slice scene, struct slice item, int64_t now_ms, struct writer *out)
{
    const struct catalog_item *it = catalog_item(w->tables.catalog, entity_id_of(ENTITY_ITEM, item));
    struct audience_reach reach[REACHED];
    struct writer view = {0};
    if (!it) {
        text_add(out, ",\"audience\":[],\"rooms\":[]");
        return;
    }
    struct audience_target target = target_of(w->tables.catalog, it);
    uint32_t count = audience_reach(w->tables.model, &target, reach, REACHED);
    text_add(out, ",");
    add_reach(out, w->tables.model, reach, count);
    add_rooms(w, scene, it, now_ms, out);
    begin_view(&view, scene, now_ms);
    add_reach(&view, w->tables.model, reach, count);
    add_invites(&view, w->tables.model, reach, count);
    text_add(&view, "}");
    write_view(w, "audience:item:", it->name, &view);
    writer_fini(&view);
}
