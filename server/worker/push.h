/*
 * Recommendations on their way out: when to rank for a user, and what was sent last. All of it is soft (rule 9): lost
 * at a takeover, it only costs a list sent again.
 */
#pragma once

#include "server/engine/model.h"
#include "server/engine/recommend.h"
#include "server/worker/task.h"

struct push;
struct question;

struct push_settings {
    bool enabled;          /* off: nothing is ranked, sent or viewed */
    uint32_t throttle_ms;  /* between two rankings for one user; 200 */
    uint32_t refresh_ms;   /* an unchanged list is sent again after; 30,000 */
    uint32_t valid_ms;     /* how long a list may be used; 120,000 */
    uint32_t active_ms;    /* an event older than this is of a user who is gone: nothing is sent; 1,800,000 */
    uint32_t top;          /* places whose change is worth sending; 5 */
    uint32_t reasons;      /* of an entry, `other` included; 3 */
    uint32_t view_ms;      /* between two views of one user; 5,000 */
    uint64_t view_bytes;   /* of views that wait for that; beyond it they are written early; 64 MiB */
    uint32_t behind_ms_max; /* longest throttle of a task that is behind; 10,000 */
    uint32_t pending_max;  /* users waiting out their throttle; 200,000 */
    uint32_t list_max;     /* similarity lists kept; 100,000 */
    uint32_t list_age_ms;  /* and for how long; 30,000 */
};

void push_settings_default(struct push_settings *s);

struct push *push_create(struct worker *w);
void push_destroy(struct push *p);
/* Asks for the memory of a cell's soft part, which the next event of its user needs. */
void push_fetch(const void *soft);
/* An event of the cell's user is about to be folded: what it may have chosen from is noted as it stands before. */
void push_before(struct push *p, struct cell *cell, const struct event *event, const struct record *r, int64_t now_ms);
/* An event of the cell's user was applied; push_before() was told of it. */
void push_event(struct push *p, struct task *t, struct cell *cell, const struct event *event, const struct record *r,
                int64_t now_ms);
/* What worker_ask(), worker_ask_items() and worker_ask_given() answer. */
void push_ask(struct push *p, const struct question *q, struct recommendation *out);
void push_ask_items(struct push *p, const struct question *q, float *out);
uint32_t push_ask_given(struct push *p, const struct question *q, const struct given *given, struct list_place *out);
/* Click and purchase rate of an entity over everybody's, as recommender_lift(). */
float push_lift(const struct push *p, entity_id id, int64_t now_ms);
/* The strongest tags the user likes, for samples; at most SAMPLE_TAGS. Answers how many. */
uint32_t push_taste(const struct push *p, const struct profile *profile, int64_t now_ms, struct model_tag *out);
/* Ranks for those whose throttle ended. */
void push_turn(struct push *p, int64_t now_ms);
/* Views that wait are written now. */
void push_drain(struct push *p, int64_t now_ms);
/* Similarity lists that were asked for. */
void push_views_read(struct push *p, struct view_read *read, int64_t now_ms);
