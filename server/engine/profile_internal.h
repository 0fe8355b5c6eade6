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
    bool leaving;         /* the entry at `leaves` is one too many */
    uint32_t leaves;
    bool new_visit;       /* of the room */
    bool new_host_day;
    bool short_view;
    bool first_order;     /* of the item */
    bool first_refund;    /* of the order */
    int follow;           /* +1, 0, -1 */
    int stars_count;      /* change of the number of star ratings */
    int stars_sum;
    const struct owned_item *refunded; /* NULL unless a refund */
};

void fold_set_rating(struct fold *f, struct history_entry *h, uint8_t rating, struct slice name);
/* Removes follow or block; true when it was a follow. */
bool fold_unrelate(struct fold *f, entity_id id);
/* Amounts, owned items, refunds. Refusals change nothing. */
enum profile_refusal fold_money(struct fold *f);
void fold_stars(struct fold *f, struct history_entry *h, struct slice name);
/* Takes back what is still in the history from everything it went into, and empties the profile. */
void fold_forget(struct fold *f);
/* Funnel counters of the entities that the event names. */
void fold_counters(struct fold *f);
