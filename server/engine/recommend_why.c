/*
 * Why an entity stands where it does in the list of a user, or not at all. The list is made once without exploration, as
 * it would be sent; the entity asked for is scored by the functions that made it.
 *
 * What a part consists of is measured on the ranker, not computed a second time: similarity is a sum over the lists of
 * the history before it is divided by the greatest, so what one item of it adds is the sum when only its list is there. The taste is
 * linear in its tags and the embedding. Shares are of the part as it counts: after clamping and rounding.
 */
#include "server/engine/recommend_why.h"

#include "server/engine/recommend_internal.h"

#include <math.h>

#define HOST_ROOMS_MAX 32 /* of a host asked for; more than that many are not looked at */

const char *const why_names[WHYS] = {"listed",   "outranked", "not_a_candidate", "host_cap",     "category_cap", "shown_lately", "owned",
                                     "blocked",  "disliked",  "restricted",      "prerequisite", "closed",       "other_scene",  "nothing_on_offer",
                                     "unknown"};

const char *const why_texts[WHYS] = {
    "It is in the list.",
    "It may be shown, but better ones fill the list.",
    "It may be shown, but neither the user's history nor demand leads to it.",
    "As many rooms of its host as may stand in a list are there already, and better.",
    "As many rooms of its category as may stand in a list are there already, and better.",
    "It was shown lately and pauses.",
    "The user owns it.",
    "The user blocked it.",
    "The user disliked it, or left it after moments.",
    "It is restricted.",
    "Something it requires is not owned.",
    "It is not live.",
    "It is live, but not in this scene.",
    "Nothing there may be offered to this user now.",
    "The catalog does not have it.",
};

static enum why objection(uint32_t marks)
{
    return marks & MARK_BLOCKED ? WHY_BLOCKED : marks & MARK_DISLIKED ? WHY_DISLIKED : marks & MARK_OWNED ? WHY_OWNED : WHY_LISTED;
}

static void pauses(const struct context *c, entity_id id, struct explanation *out)
{
    const struct history_entry *h = profile_find(c->p, id);
    out->why = WHY_SHOWN;
    out->until_ms = h ? h->impressed_ms + c->r->settings.pause_ms : 0;
}

/* WHY_LISTED: it may be offered. */
static enum why refuse_item(const struct context *c, const struct catalog_item *it, struct slice *out_because)
{
    enum why against = objection(c->r->items.marks[item_of(c->r, it->number)]);
    if (against != WHY_LISTED || it->restricted)
        return against != WHY_LISTED ? against : WHY_RESTRICTED;
    for (uint32_t i = 0; i < it->requires_count; i++) {
        const struct catalog_item *before = catalog_item(c->r->catalog, it->requires[i]);
        uint32_t own = before ? item_find(c->r, before->number) : UINT32_MAX;
        if (own != UINT32_MAX && c->r->items.marks[own] & (MARK_OWNED | MARK_BOUGHT))
            continue;
        *out_because = before ? before->name : (struct slice){0};
        return WHY_PREREQUISITE;
    }
    return WHY_LISTED;
}

static const struct recommended *find_listed(const struct recommended *list, uint32_t count, entity_id id, uint32_t *out_place)
{
    for (uint32_t i = 0; i < count; i++)
        if (list[i].id == id) {
            *out_place = i + 1;
            return &list[i];
        }
    return NULL;
}

static void explain_item(const struct context *c, const struct catalog_item *it, const struct recommendation *list, struct explanation *out)
{
    uint32_t at = item_of(c->r, it->number);
    bool led_to = c->r->items.similar[at] > 0 || c->r->items.interest[at] > 0;
    const struct recommended *listed = find_listed(list->items, list->item_count, it->id, &out->place);
    out->why = refuse_item(c, it, &out->because);
    const struct exact *e = out->why == WHY_LISTED ? score_item(c, it->number) : NULL;
    if (!e)
        return;
    out->entry = (struct recommended){.id = it->id, .name = it->name, .item = it->name, .of = score_similar_to(c, e)};
    score_write(&out->entry, e->parts, e->score, 1);
    out->scored = true;
    if (listed)
        return;
    if (c->r->items.marks[at] & MARK_SHOWN)
        pauses(c, it->id, out);
    else
        out->why = led_to ? WHY_OUTRANKED : WHY_NOT_CANDIDATE;
}

/* How many listed rooms of the host, and of the category, are not worse. */
static void count_better(const struct context *c, const struct candidate *one, const struct recommendation *list, uint32_t *out_host,
                         uint32_t *out_category)
{
    *out_host = *out_category = 0;
    for (uint32_t i = 0; i < list->room_count; i++) {
        const struct catalog_room *other = catalog_room(c->r->catalog, list->rooms[i].id);
        bool better = other && list->rooms[i].score > (one->score - 0.5) / PART_STEPS;
        *out_host += better && other->host == one->on->room->host;
        *out_category += better && one->category && other->category == one->category;
    }
}

/* Why a room that may be shown is not listed. */
static enum why find_cap(const struct context *c, const struct candidate *one, const struct recommendation *list)
{
    uint32_t hosts, categories;
    count_better(c, one, list, &hosts, &categories);
    if (hosts >= c->r->settings.per_host)
        return WHY_HOST_CAP;
    if (categories >= c->r->settings.per_category)
        return WHY_CATEGORY_CAP;
    return one->on->marks & MARK_TOUCHED && list->room_count == RECOMMEND_ROOMS ? WHY_OUTRANKED : WHY_NOT_CANDIDATE;
}

/* Of a room that is live in this scene. `offers`: something in it may be offered, or it has no items. */
static enum why refuse_room(const struct context *c, const struct shelf_room *on, bool offers, struct explanation *out)
{
    enum why against = objection(on->marks);
    if (against == WHY_LISTED) {
        against = objection(host_of(c->r, on->host)->marks);
        out->because = against != WHY_LISTED ? on->room->draft.host : (struct slice){0};
    }
    if (against != WHY_LISTED || offers)
        return against;
    const struct catalog_item *only = on->room->draft.item_count == 1 ? catalog_item(c->r->catalog, on->room->items[0]) : NULL;
    struct slice needs = {0};
    out->because = only ? only->name : needs;
    return only ? refuse_item(c, only, &needs) : WHY_NOTHING_ON_OFFER;
}

/* NULL: it is not live in the scene. */
static struct shelf_room *find_live(const struct context *c, const struct catalog_room *room)
{
    uintptr_t number = room->open && catalog_room_in(room, c->scene) ? (uintptr_t)map_find(&c->r->shelf.room_numbers, room->id) : 0;
    if (!number)
        return NULL;
    struct shelf_room *on = room_of(c->r, (uint32_t)number - 1); /* it may be none of the candidates */
    shelf_look(c->r, on);
    return on;
}

static void explain_room(const struct context *c, const struct catalog_room *room, const struct recommendation *list, struct explanation *out)
{
    const struct recommended *listed = find_listed(list->rooms, list->room_count, room->id, &out->place);
    const struct shelf_room *on = find_live(c, room);
    struct candidate one;
    if (!on) {
        out->why = room->open ? WHY_OTHER_SCENE : WHY_CLOSED;
        return;
    }
    bool offers = score_room(c, on, &one);
    out->why = refuse_room(c, on, offers, out);
    if (out->why != WHY_LISTED || !offers)
        return;
    score_write_room(c, &one, listed ? listed->propensity : 0, &out->entry);
    out->scored = true;
    if (listed)
        return;
    if (on->marks & MARK_SHOWN)
        pauses(c, room->id, out);
    else
        out->why = find_cap(c, &one, list);
}

/* The best of a host's rooms that may be shown. WHY_LISTED: there is one. */
static enum why best_room(const struct context *c, uint32_t host, struct candidate *out)
{
    const struct lists *l = &c->r->shelf.rooms_of_host;
    enum why state = WHY_CLOSED;
    for (uint32_t i = l->from[host]; i < l->from[host + 1] && i < l->from[host] + HOST_ROOMS_MAX; i++) {
        struct candidate one;
        const struct catalog_room *room = catalog_room(c->r->catalog, c->r->shelf.rooms[l->at[i]].id);
        const struct shelf_room *on = room ? find_live(c, room) : NULL;
        if (!on)
            continue;
        state = state == WHY_CLOSED ? WHY_NOTHING_ON_OFFER : state;
        if (on->marks & (MARK_BLOCKED | MARK_DISLIKED | MARK_SHOWN) || !score_room(c, on, &one) ||
            (state == WHY_LISTED && one.score <= out->score))
            continue;
        *out = one;
        state = WHY_LISTED;
    }
    return state;
}

/* A host is listed with the room for which it is; that one's item then says where the interest comes from. */
static void explain_host(const struct context *c, const struct catalog_host *host, const struct recommendation *list, struct explanation *out)
{
    const struct recommended *listed = find_listed(list->hosts, list->host_count, host->id, &out->place);
    uint32_t number = (uint32_t)(uintptr_t)map_find(&c->r->shelf.host_numbers, host->id);
    struct candidate best;
    int32_t parts[PARTS];
    if (!number) {
        out->why = WHY_CLOSED;
        return;
    }
    bool considered = host_of(c->r, number - 1)->marks & MARK_TAKEN;
    out->why = objection(host_of(c->r, number - 1)->marks);
    if (out->why != WHY_LISTED)
        return;
    enum why state = best_room(c, number - 1, &best);
    bool any = state == WHY_LISTED;
    int32_t score = any ? score_host(c->r, &best, parts) : 0;
    if (listed)
        out->entry = *listed;
    else if (any)
        score_write(&out->entry, parts, score, 1);
    out->scored = listed || any;
    out->entry.id = host->id;
    out->entry.name = host->name;
    out->entry.item = any && best.item ? best.item->item->name : (struct slice){0};
    if (!listed)
        out->why = !any ? state : considered ? WHY_OUTRANKED : WHY_NOT_CANDIDATE;
}

static void add_source(struct explanation *out, enum reason reason, struct slice of, double part)
{
    if (part != 0 && out->source_count < WHY_SOURCES_MAX)
        out->sources[out->source_count++] = (struct why_source){reason, of, part};
}

/* The lists of the history but one are empty. */
struct only {
    const struct context *c;
    entity_id id;
};

static struct similar_list only_one(void *arg, entity_id id)
{
    const struct only *o = arg;
    return id == o->id ? o->c->similar(o->c->arg, id) : (struct similar_list){0};
}

/* The sums of all, then each against them. Ranks anew: what was scored before is void. */
static void split_similar(const struct context *c, const struct catalog_item *it, double part, struct explanation *out)
{
    float sums[PROFILE_HISTORY_MAX], all = 0;
    uint32_t count = c->p->history_count < PROFILE_HISTORY_MAX ? c->p->history_count : PROFILE_HISTORY_MAX;
    for (uint32_t i = 0; i < count; i++) {
        struct only only = {c, c->p->history[i].id};
        struct context one = *c;
        sums[i] = 0;
        if (entity_kind_of(only.id) != ENTITY_ITEM)
            continue;
        one.similar = only_one;
        one.arg = &only;
        user_begin(&one);
        sums[i] = c->r->items.similar[item_of(c->r, it->number)];
        all += sums[i];
    }
    for (uint32_t i = count; i-- > 0 && all > 0;) {
        const struct catalog_item *of = sums[i] > 0 ? catalog_item(c->r->catalog, c->p->history[i].id) : NULL;
        add_source(out, REASON_SIMILAR_ITEM, of ? of->name : (struct slice){0}, part * sums[i] / all);
    }
}

/* The part before it is clamped, by tag and embedding. */
static void split_interest(const struct context *c, const struct catalog_item *it, double part, struct explanation *out)
{
    const struct taste *t = &c->r->taste;
    float sum = taste_match(t, it), values[SCENE_TAGS_MAX], tags = 0, half = t->dims && it->dims == t->dims ? 0.5f : 1;
    for (uint32_t k = 0; k < it->tag_count; k++) {
        values[k] = half * t->weights[t->place_of[it->tags[k]]] * t->tag_scale / sqrtf((float)it->tag_count);
        tags += values[k];
    }
    for (uint32_t k = 0; k < it->tag_count && sum > 0; k++)
        add_source(out, REASON_INTEREST, catalog_text(c->r->catalog, it->tags[k]), part * values[k] / sum);
    if (sum > 0 && half < 1)
        add_source(out, REASON_INTEREST, (struct slice){0}, part * (sum - tags) / sum);
}

static void split(const struct context *c, struct slice host, struct explanation *out)
{
    const struct recommended *e = &out->entry;
    const struct catalog_item *it = e->item.size ? catalog_item(c->r->catalog, entity_id_of(ENTITY_ITEM, e->item)) : NULL;
    out->lifts[0] = entity_kind_of(e->id) == ENTITY_ROOM ? recommender_lift(c->r, e->id, c->now_ms) : 1;
    out->lifts[1] = host.size ? recommender_lift(c->r, entity_id_of(ENTITY_HOST, host), c->now_ms) : 1;
    out->lifts[2] = it ? recommender_lift(c->r, it->id, c->now_ms) : 1;
    if (it && e->parts[REASON_INTEREST] > 0)
        split_interest(c, it, e->parts[REASON_INTEREST], out);
    if (it && e->parts[REASON_SIMILAR_ITEM] > 0)
        split_similar(c, it, e->parts[REASON_SIMILAR_ITEM], out);
}

/* The list as it would be sent, and then nothing scored, so that there is place for what is asked for. */
static void list_without_chance(struct context *c, struct recommendation *out)
{
    struct recommender *r = c->r;
    struct shortlist s;
    uint32_t explore_ppm = r->settings.explore_ppm;
    r->settings.explore_ppm = 0;
    user_begin(c);
    user_shorten(c, &s);
    score_all(c, &s, out);
    r->settings.explore_ppm = explore_ppm;
    memset(r->items.exact, 0, r->items.count);
    r->exact_count = 0;
}

void recommend_why(struct recommender *r, const struct asker *a, struct slice scene, entity_id id, struct explanation *out)
{
    const struct catalog_room *room = catalog_room(r->catalog, id);
    const struct catalog_item *item = catalog_item(r->catalog, id);
    const struct catalog_host *host = catalog_host(r->catalog, id);
    struct context c;
    struct recommendation list;
    *out = (struct explanation){.why = WHY_UNKNOWN, .lifts = {1, 1, 1}};
    if (!room && !item && !host)
        return;
    context_init(&c, r, a);
    c.scene = catalog_number(r->catalog, scene);
    list_without_chance(&c, &list);
    if (room)
        explain_room(&c, room, &list, out);
    else if (item)
        explain_item(&c, item, &list, out);
    else
        explain_host(&c, host, &list, out);
    if (out->scored)
        split(&c, room ? room->draft.host : host ? host->name : (struct slice){0}, out);
}
