/*
 * Who there is to be reached: the users of each segment by value tier, what they are about to do, and the formats that
 * worked for them. Counted by the learner from samples, read by everybody with the models. Soft, as they are.
 */
#pragma once

#include "server/engine/catalog.h"
#include "server/engine/user_features.h"

struct model;

struct audience_tier {
    uint32_t users;
    float intent, churn; /* means over the users of whom they are known; -1: of none */
};

struct audience_format {
    uint32_t looks; /* samples of users before whom an item of it was on show */
    uint32_t buys;
};

struct segment_audience {
    struct audience_tier tiers[VALUE_TIERS];
    struct audience_format formats[FORMATS];
};

struct audience_settings {
    uint32_t users_max; /* remembered; 200,000, some 7 MB; when full, those unseen for long leave first */
    int64_t keep_ms;    /* an unseen user is forgotten after; 90 days */
    int64_t away_ms;    /* and counts as dormant after; 30 days */
};

void audience_settings_default(struct audience_settings *s);

/* As last seen. */
struct audience_user {
    uint64_t user; /* keyed hash */
    int64_t seen_ms;
    float intent, churn; /* -1: unknown */
    int8_t segment;      /* -1: none, then not counted */
    uint8_t value;       /* enum value_tier */
};

struct audience;

struct audience *audience_create(const struct audience_settings *s);
void audience_destroy(struct audience *a);
void audience_see(struct audience *a, const struct audience_user *u);
/* NULL when the user is not remembered. Valid until the next call. */
const struct audience_user *audience_find(const struct audience *a, uint64_t user);
/* Sets the tiers of all segments; forgets who is too old. Reads every user. */
void audience_count(struct audience *a, int64_t now_ms, struct model *out);
/* A look at an item of the format, or a purchase. */
void audience_format_seen(struct segment_audience *s, enum item_format format, bool bought);

/* How much better than other formats this one does in the segment: purchases a look, shrunk; 1: as well, or unknown. */
double audience_lift(const struct segment_audience *s, enum item_format format);

/* What is to find its audience. */
struct audience_target {
    enum item_format format;
    uint32_t tag_count;
    struct slice tags[SCENE_TAGS_MAX];
};

struct audience_reach {
    int segment;
    float match; /* cosine of the target's tags and the segment's */
    float worth; /* match x lift of the format x sum over the tiers of users x intent (1 where unknown) */
};

/* Keeps those that match a quarter as well as the best one, or better. Answers how many. */
uint32_t audience_suited(struct audience_reach *reach, uint32_t count);
/* The segments that suit it, worth most first; at most `max`. Answers how many. */
uint32_t audience_reach(const struct model *m, const struct audience_target *t, struct audience_reach *out, uint32_t max);

/* Users to be invited back. */
struct audience_invite {
    int segment;
    enum value_tier value;
    float churn; /* mean; dormant ones are gone: 1 */
    float worth; /* match x users x churn */
};

/* Of the segments in `reach`, worth most first; at most `max`. Answers how many. */
uint32_t audience_invite(const struct model *m, const struct audience_reach *reach, uint32_t count, struct audience_invite *out, uint32_t max);
