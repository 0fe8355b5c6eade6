/* Why an entity is recommended to a user, or is not: its score in parts and what made them, or the rule that keeps it out. */
#pragma once

#include "server/engine/recommend.h"

enum why {
    WHY_LISTED,           /* at `place`, when chance does not interfere */
    WHY_OUTRANKED,        /* could be shown; better ones fill the list */
    WHY_NOT_CANDIDATE,    /* could be shown; nothing in the user's history or in demand leads to it */
    WHY_HOST_CAP,         /* better rooms of its host are listed already */
    WHY_CATEGORY_CAP,
    WHY_SHOWN,            /* not again before `until_ms` */
    WHY_OWNED,
    WHY_BLOCKED,
    WHY_DISLIKED,         /* or left after moments */
    WHY_RESTRICTED,
    WHY_PREREQUISITE,     /* `because` is not owned */
    WHY_CLOSED,           /* rooms; hosts without a live one in this scene */
    WHY_OTHER_SCENE,
    WHY_NOTHING_ON_OFFER, /* a room without an item, a host without a room that may be offered now */
    WHY_UNKNOWN,          /* not in the catalog */
    WHYS
};

extern const char *const why_names[WHYS];
/* What each means, one sentence a reader understands. */
extern const char *const why_texts[WHYS];

#define WHY_SOURCES_MAX 64

/* A share of one part. All shares of a reason add up to the part. */
struct why_source {
    enum reason reason;  /* REASON_INTEREST or REASON_SIMILAR_ITEM */
    struct slice of;     /* a tag, or an item of the history; empty: the embeddings */
    double part;         /* of a tag or the embeddings, below 0 when it speaks against the item */
};

struct explanation {
    enum why why;
    uint32_t place;           /* from 1; 0: not listed */
    struct slice because;     /* the host, item or prerequisite at fault; borrowed from the catalog */
    int64_t until_ms;
    bool scored;              /* `entry` and what follows are there: also of what is kept out by a pause, a cap or better ones */
    struct recommended entry;
    float lifts[3];           /* popular: of room, host and item over everybody's; 1 where there is none */
    uint32_t source_count;
    struct why_source sources[WHY_SOURCES_MAX];
};

/*
 * What recommend() would say of `id` at this moment without exploration, by the same code. Costs some thirty rankings.
 * Borrowed texts are valid until the catalog changes.
 */
void recommend_why(struct recommender *r, const struct asker *a, struct slice scene, entity_id id, struct explanation *out);
