/* What a user chose from, with the values of its parts: examples for the blend. */
#include "server/engine/blend.h"
#include "server/engine/recommend_internal.h"

#include "common/hash.h"

/* A part's value again. A source without weight tells nothing. */
static void write_values(const struct recommender *r, const int32_t parts[PARTS], struct choice *out)
{
    uint16_t *to = out->values[out->count++];
    for (int i = 0; i < REASONS; i++) {
        float one = r->weights[i] * (PART_STEPS / 1000.0f), value = one > 0 ? (float)parts[i] / one : 0;
        to[i] = (uint16_t)((value < 1 ? value : 1) * CHOICE_ONE + 0.5f);
    }
}

static void add_item(const struct context *c, uint32_t number, struct choice *out)
{
    const struct exact *e = score_item(c, number);
    if (e && e->offerable)
        write_values(c->r, e->parts, out);
}

static void add_room(const struct context *c, uint32_t number, struct choice *out)
{
    struct shelf_room *on = room_of(c->r, number);
    struct candidate one;
    shelf_look(c->r, on);
    if (score_room(c, on, &one))
        write_values(c->r, one.parts, out);
}

/* Numbers of what may be drawn. */
struct others {
    enum entity_kind kind;
    uint32_t count;
    uint32_t numbers[PROFILE_HISTORY_MAX];
};

static bool find_number(const struct context *c, entity_id id, uint32_t *out)
{
    const struct catalog_item *it = entity_kind_of(id) == ENTITY_ITEM ? catalog_item(c->r->catalog, id) : NULL;
    uintptr_t room = entity_kind_of(id) == ENTITY_ROOM ? (uintptr_t)map_find(&c->r->shelf.room_numbers, id) : 0;
    if (!it && !room)
        return false;
    *out = it ? it->number : (uint32_t)room - 1;
    return true;
}

/* Those that were shown lately. */
static void find_shown(const struct context *c, struct others *out)
{
    for (uint32_t i = 0; i < c->p->history_count; i++) {
        const struct history_entry *h = &c->p->history[i];
        if (shown_lately(c, h) && entity_kind_of(h->id) == out->kind && find_number(c, h->id, &out->numbers[out->count]))
            out->count++;
    }
}

static void find_best(const struct shortlist *s, struct others *out)
{
    const uint32_t *list = out->kind == ENTITY_ROOM ? s->rooms : s->items;
    out->count = out->kind == ENTITY_ROOM ? s->room_count : s->item_count;
    memcpy(out->numbers, list, out->count * sizeof *list);
}

/* Takes it out. False: it is not there, or nothing else is. */
static bool give_taken(struct others *o, uint32_t taken)
{
    for (uint32_t i = 0; i < o->count; i++)
        if (o->numbers[i] == taken) {
            o->numbers[i] = o->numbers[--o->count];
            return o->count > 0;
        }
    return false;
}

#define ROOM_EXACT 3 /* items of a room that are scored at most: shown, touched, best */

/* The others in no order. */
static void add_drawn(const struct context *c, struct others *o, struct choice *out)
{
    void (*add)(const struct context *c, uint32_t number, struct choice *out) = o->kind == ENTITY_ROOM ? add_room : add_item;
    for (uint32_t left = o->count; left && out->count < CHOICE_MAX && c->r->exact_count + ROOM_EXACT <= EXACT_MAX;) {
        uint32_t at = (uint32_t)(hash_mix(c->seed + left) % left);
        add(c, o->numbers[at], out);
        o->numbers[at] = o->numbers[--left];
    }
}

/* Since it was taken, if it ever was: times of touches are whole seconds. */
static bool only_shown(const struct history_entry *h)
{
    return h->flags & HISTORY_IMPRESSED && h->impressed_ms - h->impressed_ms % 1000 == h->touched_ms;
}

bool recommend_begins(const struct profile *p, int64_t now_ms, int64_t gap_ms)
{
    for (uint32_t i = 0; i < p->history_count; i++)
        if (p->history[i].rating && now_ms - p->history[i].touched_ms < gap_ms && !only_shown(&p->history[i]))
            return false;
    return true;
}

bool recommend_choice(struct recommender *r, const struct asker *a, struct slice scene, const struct taking *taking, struct choice *out)
{
    struct context c;
    struct shortlist s;
    struct others others = {.kind = entity_kind_of(taking->id)};
    uint32_t taken;
    context_init(&c, r, a);
    c.seed = taking->seed;
    recommend_shorten(&c, scene, &s);
    out->count = 0;
    if (!find_number(&c, taking->id, &taken))
        return false;
    find_shown(&c, &others);
    if (!give_taken(&others, taken)) {
        find_best(&s, &others);
        if (!give_taken(&others, taken))
            return false;
    }
    if (others.kind == ENTITY_ROOM)
        add_room(&c, taken, out);
    else
        add_item(&c, taken, out);
    if (out->count)
        add_drawn(&c, &others, out);
    return out->count > 1;
}

bool recommend_choice_of(struct recommender *r, const struct asker *a, const uint32_t *items, uint32_t count, struct choice *out)
{
    struct context c;
    context_init(&c, r, a);
    user_begin(&c);
    out->count = 0;
    for (uint32_t i = 0; i < count && out->count < CHOICE_MAX && (i == 0 || out->count); i++)
        add_item(&c, items[i], out);
    return out->count > 1;
}
