/*
 * Public data through the engine: every row becomes an event of live.events, goes through the decoder and the profile
 * stage, its effects through the entity stage, and similarity lists are made of what that holds, as the views are; all in
 * memory. A ranking may be asked at any time: it is the daemon's recommender, over the daemon's bounded history and lists.
 * The simple methods beside it are plain and exact: they know everything.
 */
#pragma once

#include "server/codec/event_decode.h"
#include "server/engine/allocation.h"
#include "server/engine/entity.h"
#include "server/engine/learner.h"
#include "server/engine/profile.h"
#include "server/engine/recommend.h"
#include "server/engine/similarity.h"

enum method { METHOD_SLUICE, METHOD_POPULARITY, METHOD_DECAYED, METHOD_FREQUENCY, METHOD_ITEMITEM, METHODS };

extern const char *const method_names[METHODS];

struct stream_settings {
    struct event_rules rules;
    struct profile_settings profile;
    struct entity_settings entity;
    struct similarity_settings similarity;
    struct recommend_settings recommend;
    struct allocation_settings allocation;
    struct learner_settings learner;
    bool all_pairs;  /* lists are made of all pairs ever counted, not of what the bounded tables hold */
    bool lists_only; /* METHOD_SLUICE is the plain sum of the user's lists, all else of the ranker left out */
};

void stream_settings_default(struct stream_settings *s);
/* The profile's, entities', similarity and ranker's settings are set: now what all data sets need of them. */
void stream_settings_adapt(struct stream_settings *s);
uint64_t stream_settings_hash(const struct stream_settings *s);

struct stream;

struct stream *stream_create(const struct stream_settings *s);
void stream_destroy(struct stream *s);
/* Numbers of users and items, from 0, by their text. */
uint32_t stream_item(struct stream *s, const char *id);
uint32_t stream_user(struct stream *s, const char *id);
void stream_tag(struct stream *s, uint32_t item, const struct tag_list *tags);
uint32_t stream_items(const struct stream *s);
uint32_t stream_users(const struct stream *s);
const struct profile *stream_profile(const struct stream *s, uint32_t user); /* NULL: no event yet */
/* The user's strongest tags, as they stand in samples; answers how many. */
uint32_t stream_taste(struct stream *s, uint32_t user, int64_t now_ms, struct model_tag out[SAMPLE_TAGS]);
/* One event; false when it was refused. `fields` are further JSON members, "" or beginning with a comma. */
bool stream_event(struct stream *s, uint32_t user, const char *type, uint32_t item, int64_t ts_ms, const char *fields);
/* Whether the user had an event with the item. */
bool stream_has(const struct stream *s, uint32_t user, uint32_t item);
bool stream_seen(const struct stream *s, uint32_t item); /* anybody */
size_t stream_bytes(const struct stream *s); /* of all neighbours' tables, in memory */
/*
 * Scores of all items for every method: out[method][item], -1 for what is no candidate (not seen; without repeats the
 * user's own). Valid until the next call.
 */
float *const *stream_rank(struct stream *s, uint32_t user, int64_t now_ms, bool repeats);

/* The probability of every item to be the user's next, by item; valid until the next call. */
const float *stream_next(struct stream *s, uint32_t user, int64_t now_ms);
