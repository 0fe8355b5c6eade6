/* What the parts of the profile fold share while one event is folded. */
#pragma once

#include "server/engine/profile.h"

struct fold {
    struct profile *p;
    const struct profile_settings *s;
    const struct event *e;
    struct effect_list *out;
    int64_t amount;       /* in settlement minor units */
    uint32_t watched_ms;  /* of this event, after caps */
    uint32_t watched_s;   /* what the history gets of it */
    int64_t before_ms;    /* the entity's last touch before this event; 0: it is new */
    bool joining;         /* the entity being touched was not among the paired: until its pairs are made there is one more of these */
    uint32_t leaving;     /* so many of the kind are too many; */
    uint32_t leaves;      /* the first is the one here */
    bool new_visit;       /* of the room */
    bool new_host_day;
    bool short_view;
    bool first_order;     /* of the item */
    uint8_t attributed;   /* bits by kind, the item first: organic, but a rec showed the entity not long before */
    int follow;           /* +1, 0, -1 */
    int stars_count;      /* change of the number of star ratings */
    int stars_sum;
};

/* Of the unique visitors. A host's tags of neighbouring days are neighbours, so that a tag and its host give the day. */
static inline uint32_t visit_tag_of_room(entity_id room)
{
    return (uint32_t)hash_mix(room);
}

static inline uint32_t visit_tag_of_host(entity_id host, int64_t day)
{
    return (uint32_t)(hash_mix(host) >> 32) + (uint32_t)day;
}

/* Of what is paired, with the effects; the rating of what is only remembered is nobody else's business. */
void fold_set_rating(struct fold *f, struct history_entry *h, uint8_t rating, struct slice name);
/* Amounts, owned items. Refusals change nothing. */
enum profile_refusal fold_money(struct fold *f);
/* A part of an order went back: `amount` in settlement minor units. */
void fold_count_refund(struct fold *f, const struct owned_item *o, int64_t amount, bool first);
void fold_stars(struct fold *f, struct history_entry *h, struct slice name);
/* Takes back what is still in the history from everything it went into, and empties the profile. */
void fold_forget(struct fold *f);
/* Funnel counters of the entities that the event names. */
void fold_counters(struct fold *f);
