/*
 * What another configuration would have earned, from the log of one that was running, which is folded again under the other
 * configuration; the estimates are those of estimate.h. It holds for one decision at a time, in the states that the log has: the
 * longer a policy runs and changes users and rooms, the less.
 *
 *   lists    the lists that were sent, whose rooms carry the probability with which each was drawn for its place. The ranker is asked
 *            for the probability of every logged room in its place.
 *   traffic  the weights that were sent. A screen's rooms are taken as drawn one after another, none twice, in proportion to the
 *            weights in force (a room without one in force counts as the mean one); those that came by a recommendation stand where
 *            they stand. Weights under the other configuration follow from what the log says of the rooms. A consumer that mixes the
 *            weights with something else of its own draws otherwise: then the mean weight of a log under the configuration that wrote
 *            it is one all the same, but that of another drifts from one, and only SNIPS is to be looked at.
 */
#pragma once

#include "server/codec/event_decode.h"
#include "server/rehearse/estimate.h"
#include "server/rehearse/journal.h"
#include "server/worker/worker_settings.h"

struct offpolicy_settings {
    const struct worker_settings *worker; /* borrowed: the configuration to be judged */
    enum event_type reward;               /* click, enter or purchase; of a room on a screen within `within_ms` */
    uint32_t places;                      /* of a list or screen the first so many count; at most DRAWS_MAX */
    double clip;                          /* of weights */
    int64_t within_ms;                    /* traffic */
};

struct offpolicy_answer {
    struct estimated estimated;
    uint64_t decisions; /* lists, or weights, in the log */
};

struct shadow;

enum offpolicy_record { OFFPOLICY_STUCK, OFFPOLICY_EVENT, OFFPOLICY_OTHER };

/*
 * Folds the record. OFFPOLICY_EVENT: it is an event that was applied, decoded into *out_event until the next call.
 * OFFPOLICY_STUCK: a task halted (said on standard error).
 */
enum offpolicy_record offpolicy_fold(const struct offpolicy_settings *s, struct shadow *shadow, const struct journal *j,
                                     const struct journal_record *r, struct event *out_event);

/* False: a task halted (said). */
bool offpolicy_lists(const struct offpolicy_settings *s, struct journal *j, struct offpolicy_answer *out);
bool offpolicy_traffic(const struct offpolicy_settings *s, struct journal *j, struct offpolicy_answer *out);
