/*
 * Profile: the fold of one event. Each type changes three things: the bounded lists of the user, the funnel counters
 * of the entities it names, and the implicit rating of those entities, from which co-rating deltas follow.
 *
 * Implicit rating r(u,p) = max over the user's actions on p of the action's weight (TencentRec, SIGMOD 2015). It also
 * falls, which TencentRec leaves open: to 0 by a dislike or block, to the weight of `cart` by a full refund. A change
 * from r to r' adds r' - r to the item count of p and min(r', r(q)) - min(r, r(q)) to the pair count of p and every
 * other q in the history. What falls out of the history stays counted.
 * When r rises from 0, the pairs with the `next_steps` that were touched last say so: directed transitions.
 */
#include "server/engine/profile_internal.h"

#include "common/check.h"
#include "common/fetch.h"

#include <stdlib.h>

const char *const profile_refusal_names[PROFILE_REFUSALS] = {
    "applied",        "duplicate",     "late",           "early", "unknown_currency", "amount_too_large",
    "unknown_order",  "refund_exceeds", "currency_mismatch",
};

struct profile *profile_create(void)
{
    struct profile *p = calloc(1, sizeof *p);
    ASSERT(p);
    return p;
}

void profile_destroy(struct profile *p)
{
    if (!p)
        return;
    free(p->history);
    free(p->owned);
    free(p->relations);
    free(p->visits);
    free(p->dedupe);
    free(p);
}

size_t profile_bytes(const struct profile *p)
{
    return sizeof *p + p->history_count * sizeof *p->history + p->owned_count * sizeof *p->owned +
           p->relation_count * sizeof *p->relations + p->visit_count * sizeof *p->visits +
           p->dedupe_count * sizeof *p->dedupe;
}

void profile_fetch(const struct profile *p, int depth)
{
    if (depth == 0) {
        fetch_bytes(p, sizeof *p);
        return;
    }
    fetch_bytes(p->history, (p->history_count + 1) * sizeof *p->history); /* and where a new one goes */
    fetch_bytes(p->dedupe, p->dedupe_count * sizeof *p->dedupe);
    fetch_bytes(p->visits, p->visit_count * sizeof *p->visits);
}

const struct history_entry *profile_find(const struct profile *p, entity_id id)
{
    for (uint32_t i = p->history_count; i-- > 0;) /* what is asked for was mostly touched lately */
        if (p->history[i].id == id)
            return &p->history[i];
    return NULL;
}

/* Makes room for one more at the end: grows up to `max`, then drops the oldest. Answers its place. */
static uint32_t list_push(void **list, uint32_t *count, uint32_t max, size_t size)
{
    if (*count >= max) { /* by more than one only when the limit was larger once */
        uint32_t leaving = *count - max + 1;
        memmove(*list, (char *)*list + leaving * size, (*count - leaving) * size);
        *count = max;
        return max - 1;
    }
    if ((*count & (*count - 1)) == 0) { /* capacity is the next power of two */
        *list = realloc(*list, (*count ? *count * 2 : 1) * size);
        ASSERT(*list);
    }
    return (*count)++;
}

static uint32_t kind_limit(const struct profile_settings *s, enum entity_kind kind)
{
    return kind == ENTITY_ITEM ? s->history : kind == ENTITY_HOST ? s->history_hosts : s->history_rooms;
}

/* Items alone have a past. */
static uint32_t kind_past(const struct profile_settings *s, enum entity_kind kind)
{
    return kind == ENTITY_ITEM ? s->past : 0;
}

/* Where those of a kind begin that are paired: the limit's newest. Those before are its past. */
static uint32_t first_paired(const struct fold *f, enum entity_kind kind)
{
    uint32_t left = kind_limit(f->s, kind) + f->joining, at = f->p->history_count;
    if (kind_past(f->s, kind) == 0 || at <= left)
        return 0;
    for (uint32_t i = at; i-- > 0 && left;)
        if (entity_kind_of(f->p->history[i].id) == kind) {
            at = i;
            left--;
        }
    return at;
}

static void history_drop(struct profile *p, uint32_t i)
{
    memmove(&p->history[i], &p->history[i + 1], (p->history_count - i - 1) * sizeof *p->history);
    p->history_count--;
}

/*
 * Moves the entity to the young end, adding it if need be. When there are too many of its kind the oldest leaves, but
 * only after the pairs of this event are made. What comes from the past was unpaired when it went there, in so far as it takes no
 * part in pairs any more; it is rated anew, as if it had been forgotten, and the rest of what is known of it stays.
 */
static struct history_entry *touch(struct fold *f, entity_id id)
{
    struct profile *p = f->p;
    struct history_entry entry = {.id = id};
    enum entity_kind kind = entity_kind_of(id);
    uint32_t paired = kind_limit(f->s, kind), limit = paired + kind_past(f->s, kind), same = 0, oldest = 0;
    f->joining = true;
    for (uint32_t i = p->history_count; i-- > 0;) {
        if (p->history[i].id == id) {
            entry = p->history[i];
            f->joining = same >= paired;
            history_drop(p, i);
            same = 0;
            break;
        }
        if (entity_kind_of(p->history[i].id) == kind) {
            same++;
            oldest = i;
        }
    }
    f->leaving = same >= limit ? same - limit + 1 : 0;
    f->leaves = oldest;
    f->before_ms = entry.touched_ms;
    if (f->joining)
        entry.rating = 0;
    entry.touched_ms = f->e->event_ms - f->e->event_ms % 1000;
    uint32_t at = list_push((void **)&p->history, &p->history_count, PROFILE_HISTORY_MAX + 1, sizeof entry);
    p->history[at] = entry;
    return &p->history[at];
}

void fold_set_rating(struct fold *f, struct history_entry *h, uint8_t rating, struct slice name)
{
    uint8_t old = h->rating;
    if (rating == old || entity_kind_of(h->id) == ENTITY_ROOM)
        return;
    h->rating = rating;
    enum entity_kind kind = entity_kind_of(h->id);
    uint32_t first = first_paired(f, kind);
    if (h < f->p->history + first)
        return;
    struct rating_effect *e = effect_list_add_rating(f->out, h->id);
    e->delta = (int32_t)rating - old;
    e->name = name;
    for (uint32_t i = first; i < f->p->history_count; i++) {
        const struct history_entry *q = &f->p->history[i];
        if (q->id == h->id || q->rating == 0 || entity_kind_of(q->id) != kind)
            continue;
        int32_t delta = (rating < q->rating ? rating : q->rating) - (old < q->rating ? old : q->rating);
        if (delta)
            effect_list_add_pair(f->out, q->id, delta);
    }
    for (uint32_t k = 1; old == 0 && k <= f->s->next_steps && k <= e->pairs; k++) /* the last is of what was touched last */
        f->out->pairs[f->out->pair_count - k].step = (uint8_t)k;
}

static uint8_t watch_grade(const struct profile_settings *s, uint32_t dwell_s)
{
    uint8_t grade = 0;
    for (uint8_t i = 0; i < 4; i++)
        if (s->watch_step_ms[i] && dwell_s * 1000ull >= s->watch_step_ms[i])
            grade = (uint8_t)(i + 1);
    return grade;
}

/* Whether an event that rates what was rated before is an occasion of its own. */
static bool is_again(const struct fold *f, const struct history_entry *h, uint8_t rating)
{
    bool bought_before = f->e->type == EVENT_PURCHASE && h->rating >= rating;
    return rating && h->rating && (bought_before || f->e->event_ms - f->before_ms >= f->s->again_ms);
}

/* One named entity: history, flags, rating. */
static void apply_to(struct fold *f, enum entity_kind kind, struct slice name)
{
    if (name.size == 0 || kind_limit(f->s, kind) == 0)
        return;
    const struct event *e = f->e;
    struct history_entry *h = touch(f, entity_id_of(kind, name));
    bool negative = e->type == EVENT_DISLIKE || e->type == EVENT_BLOCK || (f->short_view && kind == ENTITY_ROOM);
    uint8_t rating = f->s->weights[e->type];
    int64_t since_ms = e->event_ms - h->shown_ms;
    bool organic = e->source == SOURCE_ORGANIC && !e->source_given && e->type != EVENT_IMPRESSION;
    if (organic && h->shown_ms && since_ms >= 0 && since_ms <= f->s->attribution_ms)
        f->attributed |= (uint8_t)(1 << (kind - ENTITY_ITEM));
    if (e->rec.size && e->event_ms > h->shown_ms)
        h->shown_ms = e->event_ms;
    if (e->type == EVENT_IMPRESSION) {
        h->impressed_ms = e->event_ms;
        h->flags |= HISTORY_IMPRESSED;
    }
    if (e->type == EVENT_WATCH) {
        h->dwell_s += f->watched_s;
        uint8_t grade = watch_grade(f->s, h->dwell_s);
        rating = grade > rating ? grade : rating;
    }
    if (is_again(f, h, rating) && h->times < UINT8_MAX)
        h->times++;
    if (e->type == EVENT_RATING && kind == ENTITY_ITEM)
        fold_stars(f, h, name);
    if (e->type == EVENT_PROGRESS && e->percent > h->percent)
        h->percent = e->percent;
    if (negative)
        h->flags |= HISTORY_NEGATIVE;
    else if (rating > 1)
        h->flags &= (uint8_t)~HISTORY_NEGATIVE;
    if (e->type == EVENT_DISLIKE || e->type == EVENT_BLOCK)
        fold_set_rating(f, h, 0, name);
    else if (rating > h->rating)
        fold_set_rating(f, h, rating, name);
    for (uint32_t i = f->leaves; f->leaving;) {
        if (entity_kind_of(f->p->history[i].id) != kind) {
            i++;
            continue;
        }
        history_drop(f->p, i);
        f->leaving--;
    }
    f->joining = false;
}

bool owned_is_kept(const struct owned_item *o)
{
    return o->refunded < o->paid || o->paid == 0;
}

bool profile_keeps(const struct profile *p, entity_id item)
{
    for (uint32_t i = 0; i < p->owned_count; i++)
        if (p->owned[i].item == item && owned_is_kept(&p->owned[i]))
            return true;
    return false;
}

uint32_t profile_id_tag(struct slice id)
{
    return (uint32_t)hash64(id.at, id.size, 13) & ((1u << DEDUPE_BITS) - 1);
}

static bool is_duplicate(const struct profile *p, uint32_t tag)
{
    for (uint32_t i = 0; i < p->dedupe_count; i++)
        if (p->dedupe[i] == tag)
            return true;
    return false;
}

static void remember_id(struct profile *p, const struct profile_settings *s, uint32_t tag)
{
    if (s->dedupe == 0)
        return;
    uint32_t at = list_push((void **)&p->dedupe, &p->dedupe_count, s->dedupe, sizeof *p->dedupe);
    p->dedupe[at] = tag;
}

/* A record's timestamp may be any number: what is early is told before anything is subtracted from it. */
enum profile_refusal profile_judge_time(const struct profile_settings *s, const struct event *e, int64_t record_ms)
{
    if (record_ms < e->event_ms - s->early_ms_max)
        return PROFILE_EARLY;
    return record_ms - e->event_ms > s->late_ms_max ? PROFILE_LATE : PROFILE_APPLIED;
}

/* Removes follow or block; true when it was a follow. */
static bool unrelate(struct fold *f, entity_id id)
{
    struct profile *p = f->p;
    for (uint32_t i = 0; i < p->relation_count; i++) {
        if (p->relations[i].id != id)
            continue;
        bool followed = !p->relations[i].blocked;
        memmove(&p->relations[i], &p->relations[i + 1], (p->relation_count - i - 1) * sizeof *p->relations);
        p->relation_count--;
        return followed;
    }
    return false;
}

static void relate(struct fold *f, enum entity_kind kind, struct slice name, bool blocked)
{
    struct profile *p = f->p;
    entity_id id = entity_id_of(kind, name);
    unrelate(f, id);
    if (f->s->relations == 0)
        return;
    uint32_t at = list_push((void **)&p->relations, &p->relation_count, f->s->relations, sizeof *p->relations);
    p->relations[at] = (struct relation){id, blocked};
}

static void apply_relations(struct fold *f)
{
    const struct event *e = f->e;
    if (e->type == EVENT_FOLLOW) {
        f->follow = 1 - (int)unrelate(f, entity_id_of(ENTITY_HOST, e->host));
        relate(f, ENTITY_HOST, e->host, false);
    } else if (e->type == EVENT_UNFOLLOW) {
        f->follow = -(int)unrelate(f, entity_id_of(ENTITY_HOST, e->host));
    } else if (e->type == EVENT_BLOCK) {
        enum entity_kind kind = e->room.size ? ENTITY_ROOM : e->host.size ? ENTITY_HOST : ENTITY_ITEM;
        struct slice name = e->room.size ? e->room : e->host.size ? e->host : e->item;
        f->follow = -(int)unrelate(f, entity_id_of(kind, name));
        relate(f, kind, name, true);
    }
}

/* A visit is new when its tag is not in the list: then the visitor is counted. */
static struct visit *visit_of(struct fold *f, uint32_t tag, bool *out_new)
{
    struct profile *p = f->p;
    for (uint32_t i = p->visit_count; i-- > 0;)
        if (p->visits[i].tag == tag)
            return &p->visits[i];
    if (p->visit_count >= f->s->visits)
        p->visits_lost++;
    uint32_t at = list_push((void **)&p->visits, &p->visit_count, f->s->visits, sizeof *p->visits);
    p->visits[at] = (struct visit){tag, 0};
    *out_new = true;
    return &p->visits[at];
}

static void apply_visit(struct fold *f)
{
    const struct event *e = f->e;
    const struct profile_settings *s = f->s;
    f->watched_ms = e->dwell_ms < s->dwell_ms_max ? e->dwell_ms : s->dwell_ms_max;
    if (s->visits == 0 || e->room.size == 0 || (e->type != EVENT_ENTER && e->type != EVENT_WATCH && e->type != EVENT_LEAVE))
        return;
    struct visit *v = visit_of(f, visit_tag_of_room(entity_id_of(ENTITY_ROOM, e->room)), &f->new_visit);
    if (e->type == EVENT_WATCH) {
        uint32_t left = s->room_dwell_ms_max > v->dwell_ms ? s->room_dwell_ms_max - v->dwell_ms : 0;
        f->watched_ms = f->watched_ms < left ? f->watched_ms : left;
        v->dwell_ms += f->watched_ms;
    }
    f->short_view = e->type == EVENT_LEAVE && v->dwell_ms < s->short_view_ms;
    if (e->host.size) {
        int64_t day = (e->event_ms + s->day_offset_ms) / 86400000;
        visit_of(f, visit_tag_of_host(entity_id_of(ENTITY_HOST, e->host), day), &f->new_host_day);
    }
}

/* Whole seconds go to the history; the rest waits for the next event. */
static void apply_watched(struct fold *f)
{
    if (f->e->type != EVENT_WATCH)
        return;
    uint32_t ms = f->p->carry_ms + f->watched_ms;
    f->watched_s = ms / 1000;
    f->p->carry_ms = ms % 1000;
}

static void apply_totals(struct fold *f)
{
    struct profile *p = f->p;
    const struct event *e = f->e;
    if (p->events++ == 0)
        p->first_ms = e->event_ms;
    if (e->event_ms > p->last_ms)
        p->last_ms = e->event_ms;
    p->counts[e->type]++;
    if (e->type == EVENT_WATCH || f->s->room_counters_only)
        p->dwell_ms += f->watched_ms;
    if (e->type == EVENT_GIFT)
        p->gifted += f->amount;
}

enum profile_refusal profile_apply(struct profile *p, const struct profile_settings *s, const struct event *event,
                                   int64_t record_ms, struct effect_list *out)
{
    struct fold f = {.p = p, .s = s, .e = event, .out = out};
    enum profile_refusal refusal = profile_judge_time(s, event, record_ms);
    if (refusal != PROFILE_APPLIED)
        return refusal;
    bool tagged = s->dedupe || p->dedupe_count;
    uint32_t tag = tagged ? profile_id_tag(event->id) : 0;
    if (is_duplicate(p, tag))
        return PROFILE_DUPLICATE;
    refusal = fold_money(&f);
    if (refusal != PROFILE_APPLIED)
        return refusal;
    if (event->type == EVENT_FORGET) {
        fold_forget(&f);
        remember_id(p, s, tag);
        return PROFILE_APPLIED;
    }
    remember_id(p, s, tag);
    apply_visit(&f);
    apply_watched(&f);
    apply_relations(&f);
    apply_totals(&f);
    if (event->type != EVENT_REFUND) {
        apply_to(&f, ENTITY_ITEM, event->item);
        apply_to(&f, ENTITY_HOST, event->host);
        apply_to(&f, ENTITY_ROOM, event->room);
    }
    if (event->type == EVENT_PURCHASE && p->owned_count) {
        p->owned[p->owned_count - 1].source = (uint8_t)event->source;
        p->owned[p->owned_count - 1].attributed = f.attributed;
    }
    if (s->funnel)
        fold_counters(&f);
    return PROFILE_APPLIED;
}
