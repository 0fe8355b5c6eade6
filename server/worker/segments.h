/*
 * What is known of a user beside the lists: segment, value tier, purchase intent, churn risk; published on
 * live.segments when it changed. And the samples from which the learner learns all but the tier. Soft (rule 9).
 */
#pragma once

#include "server/engine/learner.h"
#include "server/worker/task.h"

struct segments_settings {
    uint32_t sample_ms;   /* between two samples of one user; 60,000: closer ones share their future */
    uint32_t publish_ms;  /* between two records of one user; 10,000 */
    uint32_t turn_ms;     /* the same when the user enters, leaves, tries, puts into the cart, buys; 1,000 */
    uint32_t refresh_ms;  /* an unchanged one is sent again after; 600,000 */
    uint32_t step_permille; /* change of intent's or churn's log odds worth sending; 200: a fifth of a small chance */
    uint32_t session_gap_ms; /* a longer silence ends a visit; 600,000 */
    uint32_t conversions_max; /* items and hosts of which a worker remembers how readily they are bought; 200,000 */
    struct value_settings value;
};

void segments_settings_default(struct segments_settings *s);

/* Soft, one a user. */
struct standing {
    int64_t sampled_ms, published_ms, seen_ms, session_ms, known_ms;
    uint64_t acts, dwell_ms; /* of the profile when the visit began */
    uint32_t orders, shown;  /* likewise */
    uint32_t visits;
    struct conversion buyer;
    struct look look; /* what was on show when last watched; item 0: nothing, or owned */
    bool published;
    int16_t segment; /* -1: none */
    uint8_t value;   /* enum value_tier */
    float intent, churn; /* -1: unknown */
};

/* An event of the cell's user was applied. */
void segments_event(struct worker *w, struct task *t, const struct profile *p, struct standing *standing, const struct event *event,
                    const struct record *r, int64_t now_ms);
