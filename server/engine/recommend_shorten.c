/*
 * From what the profile touches to the few candidates that are scored exactly. What the user's lists, tags and hosts touch gets
 * an estimate; what they do not touch is worth its base, of which the shelf keeps the order. So the best of both together
 * are found without a look at the rest. Embeddings, series and rounding are left to the exact score.
 */
#include "server/engine/recommend_internal.h"

#include "common/hash.h"

#define BINS 128
#define EACH_BYTE 0x0101010101010101ull
#define NEVER -1e9f /* below 0 whatever is added */

/* Which bin an estimate falls into; 0: never. All weights together are at most the last. */
static inline uint8_t bin_of(float value, float scale)
{
    int32_t bin = value < 0 ? 0 : 1 + (int32_t)(value * scale);
    return (uint8_t)(bin < BINS ? bin : BINS - 1);
}

/* The lowest bin that is among the best `keep`. */
static uint8_t cut_of(const uint32_t counts[BINS], uint32_t keep)
{
    uint32_t above = 0;
    for (uint8_t bin = BINS - 1; bin > 0; bin--) {
        above += counts[bin];
        if (above >= keep)
            return bin;
    }
    return 1;
}

static void touch_room(struct recommender *r, uint32_t number, float value, uint32_t item)
{
    struct shelf_room *room = room_of(r, number);
    if (!(room->marks & MARK_TOUCHED)) {
        room->marks |= MARK_TOUCHED;
        room->item = room->best;
        room->offer = room->total - room->base;
        r->touched_rooms[r->touched_room_count++] = number;
    }
    if (value > room->offer) {
        room->offer = value;
        room->item = item;
    }
}

static bool is_in(const struct shelf_room *room, uint32_t scene)
{
    for (uint32_t k = 0; k < room->scene_count; k++)
        if (room->scenes[k] == scene)
            return true;
    return false;
}

/* In thousandths; below 0: never. */
static float estimate_room(const struct context *c, const struct shelf_room *room)
{
    const struct recommender *r = c->r;
    const struct shelf_host *h = &r->shelf.hosts[room->host];
    if (room->marks & (MARK_BLOCKED | MARK_DISLIKED | MARK_SHOWN) || !is_in(room, c->scene))
        return -1;
    float value = room->base + room->offer;
    if (h->stamp != r->stamp)
        return value;
    if (h->marks & (MARK_BLOCKED | MARK_DISLIKED))
        return -1;
    return value + (h->marks & MARK_FOLLOWED ? r->weights[REASON_FOLLOWED] : 0) + h->known * r->weights[REASON_KNOWN_HOST];
}

static void touch_host(struct recommender *r, uint32_t number)
{
    const struct lists *l = &r->shelf.rooms_of_host;
    for (uint32_t k = l->from[number]; k < l->from[number + 1]; k++)
        touch_room(r, l->at[k], 0, 0);
}

/* The rooms of a host that the user knows or follows. */
static void ask_hosts(struct context *c)
{
    for (uint32_t i = 0; i < c->p->relation_count; i++) {
        const struct relation *one = &c->p->relations[i];
        uint32_t number = entity_kind_of(one->id) == ENTITY_HOST && !one->blocked ? (uint32_t)(uintptr_t)map_find(&c->r->shelf.host_numbers, one->id) : 0;
        if (number)
            touch_host(c->r, number - 1);
    }
    for (uint32_t i = 0; i < c->p->history_count; i++)
        if (c->hosts[i])
            touch_host(c->r, c->hosts[i] - 1);
}

static void list_room(struct recommender *r, uint32_t number, struct shortlist *out)
{
    const struct shelf_room *room = &r->shelf.rooms[number];
    out->rooms[out->room_count++] = number;
    host_of(r, room->host)->listed++;
    group_of(r, room->group)->listed++;
}

static void ask_shelf(struct context *c, struct shortlist *out)
{
    struct recommender *r = c->r;
    const struct lists *l = &r->shelf.rooms_of_scene;
    uint32_t from = c->scene < l->keys ? l->from[c->scene] : 0, count = c->scene < l->keys ? l->from[c->scene + 1] - from : 0;
    for (uint32_t i = 0; i < count && i < TOP_ROOMS; i++)
        touch_room(r, l->at[from + i], 0, 0);
    for (uint32_t i = 0; i < ANY_ROOMS && count > TOP_ROOMS; i++) {
        uint32_t number = l->at[from + hash_mix(c->seed + i) % count];
        if (room_of(r, number)->marks & MARK_TOUCHED)
            continue; /* judged by what it is worth */
        touch_room(r, number, 0, 0);
        r->touched_room_count--; /* not to be taken twice */
        if (estimate_room(c, &r->shelf.rooms[number]) >= 0)
            list_room(r, number, out);
    }
}

struct picked {
    uint32_t count;
    uint32_t numbers[2 * PICKED_ITEMS];
    float values[2 * PICKED_ITEMS];
};

static float scale_of(const struct recommender *r)
{
    float all = 1;
    for (int i = 0; i < REASONS; i++)
        all += i != REASON_AGAIN || anything_returns(r) ? r->weights[i] : 0;
    return (float)(BINS - 2) / all;
}

static void take_item(struct picked *p, uint32_t number, float value)
{
    if (p->count == 2 * PICKED_ITEMS)
        return;
    p->numbers[p->count] = number;
    p->values[p->count++] = value;
}

/* estimate_item() and bin_of() of all touched. Each loop computes several at a time; places up to the next multiple of 8 are there. */
static void estimate_touched(struct recommender *r, float scale)
{
    typedef float four __attribute__((vector_size(16), aligned(4), may_alias));
    struct tallies *t = &r->items;
    const float weight = r->weights[REASON_SIMILAR_ITEM] * r->similar_scale;
    for (uint32_t i = 0; i < t->touched; i += 4)
        *(four *)&t->value[i] = *(const four *)&t->base[i] + *(const four *)&t->interest[i] + *(const four *)&t->similar[i] * weight;
    for (uint32_t i = 0; i < t->touched; i += 8) {
        uint64_t marks;
        memcpy(&marks, &t->marks[i], sizeof marks);
        for (uint32_t k = i; marks & MARK_NEVER * EACH_BYTE && k < i + 8; k++)
            t->value[k] = t->marks[k] & MARK_NEVER ? NEVER : t->value[k];
    }
    const float *restrict value = t->value;
    int8_t *restrict bin = t->bin;
    for (uint32_t i = 0, count = t->touched; i < count; i++) {
        float step = value[i] * scale;
        step = step < BINS - 2 ? step : BINS - 2;
        step = step > -1 ? step : -1;
        bin[i] = (int8_t)((int32_t)step + 1);
    }
    memset(bin + t->touched, 0, 16);
}

static uint32_t count_from(const int8_t *bins, uint32_t count, int8_t from)
{
    typedef int8_t sixteen __attribute__((vector_size(16), aligned(1), may_alias));
    uint32_t all = 0;
    for (uint32_t i = 0; i < count;) {
        sixteen found = {0};
        for (uint32_t end = i + 16 * 127; i < count && i < end; i += 16)
            found -= *(const sixteen *)&bins[i] >= from;
        for (int k = 0; k < 16; k++)
            all += (uint32_t)found[k];
    }
    return all;
}

/* cut_of() by halving: to count a bin's members one after the other would take longer. */
static int8_t cut_of_touched(const struct tallies *t, uint32_t keep)
{
    int8_t cut = 1;
    for (int8_t step = BINS / 2; step > 0; step /= 2)
        if (cut + step < BINS && count_from(t->bin, t->touched, (int8_t)(cut + step)) >= keep)
            cut = (int8_t)(cut + step);
    return cut;
}

/* Those touched whose bin is not below the cut: eight are compared in one sum, which carries into their highest bits. */
static void take_touched(const struct tallies *t, int8_t cut, struct picked *p)
{
    for (uint32_t i = 0; i < t->touched; i += 8) {
        uint64_t bins;
        memcpy(&bins, &t->bin[i], sizeof bins);
        for (uint64_t left = (bins + (uint64_t)(BINS - cut) * EACH_BYTE) & BINS * EACH_BYTE; left; left &= left - 1) {
            uint32_t at = i + (uint32_t)__builtin_ctzll(left) / 8;
            take_item(p, t->number[at], t->value[at]);
        }
    }
}

/* The best items: of those touched, and of those that only are what they are to everybody. */
static void pick_items(struct recommender *r, struct picked *p)
{
    const struct shelf *s = &r->shelf;
    const struct tallies *t = &r->items;
    float scale = scale_of(r);
    estimate_touched(r, scale);
    int8_t cut = cut_of_touched(t, PICKED_ITEMS);
    take_touched(t, cut, p);
    for (uint32_t i = 0; i < s->top_count && p->count < PICKED_ITEMS + SHORT_ITEMS; i++) {
        float base = r->slots[s->top[i]].base;
        uint32_t at = item_find(r, s->top[i]);
        if (p->count >= PICKED_ITEMS && bin_of(base, scale) < cut)
            break;
        if (at == UINT32_MAX || (!(t->marks[at] & MARK_NEVER) && t->similar[at] == 0 && t->interest[at] == 0))
            take_item(p, s->top[i], base);
    }
}

static void shorten_items(struct recommender *r, const struct picked *p, struct shortlist *out)
{
    uint32_t counts[BINS] = {0};
    uint8_t bins[2 * PICKED_ITEMS];
    float scale = scale_of(r);
    for (uint32_t i = 0; i < p->count; i++) {
        bins[i] = r->items.marks[item_of(r, p->numbers[i])] & MARK_SHOWN ? 0 : bin_of(p->values[i], scale);
        counts[bins[i]]++;
    }
    uint8_t cut = cut_of(counts, SHORT_ITEMS);
    for (int higher = 1; higher >= 0; higher--) /* first those above the cut, then as many at the cut as there is place */
        for (uint32_t i = 0; i < p->count && out->item_count < SHORT_ITEMS; i++)
            if (higher ? bins[i] > cut : bins[i] == cut)
                out->items[out->item_count++] = p->numbers[i];
}

/* Whether the shortlist may take one more of this host and category; `in_case` more than may stand in the list. */
static bool has_place(struct recommender *r, const struct shelf_room *room, uint32_t in_case)
{
    return host_of(r, room->host)->listed < r->settings.per_host + in_case &&
           (!room->category || group_of(r, room->group)->listed < r->settings.per_category + in_case);
}

/* Brings those of one bin into order. */
static void sort_rooms(struct recommender *r, uint32_t *list, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        uint32_t one = list[i], at = i;
        float value = r->shelf.rooms[one].value;
        for (; at > 0 && r->shelf.rooms[list[at - 1]].value < value; at--)
            list[at] = list[at - 1];
        list[at] = one;
    }
}

/*
 * Those of one bin, best first: at first a few more of a host or category than may stand in the list, in case the estimate was
 * too high for others, then only what may. Answers how many of them may.
 */
static uint32_t list_rooms(struct recommender *r, const uint32_t *list, uint32_t count, uint32_t enough, struct shortlist *out)
{
    enum { IN_CASE = 2 };
    uint32_t may = 0;
    for (uint32_t i = 0; i < count && out->room_count < SHORT_ROOMS_MAX; i++) {
        const struct shelf_room *room = &r->shelf.rooms[list[i]];
        bool fits = has_place(r, room, 0);
        if (!fits && (out->room_count >= enough || !has_place(r, room, IN_CASE)))
            continue;
        list_room(r, list[i], out);
        may += fits;
    }
    return may;
}

/* Bin by bin, until there are enough, and among them enough that may stand beside each other. */
static void shorten_rooms(struct context *c, struct shortlist *out)
{
    struct recommender *r = c->r;
    uint32_t counts[BINS] = {0}, next[BINS];
    float scale = scale_of(r);
    uint32_t enough = out->room_count + SHORT_ROOMS, from = 0, may = 0;
    for (uint32_t i = 0; i < r->touched_room_count; i++) {
        struct shelf_room *room = &r->shelf.rooms[r->touched_rooms[i]];
        room->value = estimate_room(c, room);
        r->room_bins[i] = bin_of(room->value, scale);
        counts[r->room_bins[i]]++;
    }
    for (uint32_t bin = BINS; bin-- > 0;) {
        next[bin] = from;
        from += counts[bin];
    }
    for (uint32_t i = 0; i < r->touched_room_count; i++)
        r->sorted_rooms[next[r->room_bins[i]]++] = r->touched_rooms[i];
    from = 0;
    for (uint32_t bin = BINS - 1; bin > 0 && (out->room_count < enough || may < RECOMMEND_ROOMS); bin--) {
        sort_rooms(r, r->sorted_rooms + from, counts[bin]);
        may += list_rooms(r, r->sorted_rooms + from, counts[bin], enough, out);
        from += counts[bin];
    }
}

void user_shorten(struct context *c, struct shortlist *out)
{
    struct recommender *r = c->r;
    const struct shelf *s = &r->shelf;
    struct picked p;
    p.count = out->room_count = out->item_count = 0;
    pick_items(r, &p);
    for (uint32_t i = 0; i < p.count; i++) {
        const struct shelf_item *item = p.numbers[i] < s->item_bound ? &s->items[p.numbers[i]] : NULL;
        for (uint32_t k = 0; item && k < item->count; k++)
            touch_room(r, s->rooms_of_item.at[item->from + k], p.values[i], p.numbers[i]);
    }
    shorten_items(r, &p, out);
    ask_hosts(c);
    ask_shelf(c, out);
    shorten_rooms(c, out);
}
