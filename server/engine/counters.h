/*
 * The funnel counters of an entity: additive integers only, so that the order of addition does not matter. Amounts
 * are minor units of the settlement currency (setting `money.settlement`, converted in the profile stage by integer
 * ratios that are fold settings).
 */
#pragma once

#include <stdint.h>

enum counter {
    COUNTER_EXPOSURE,     /* impressions */
    COUNTER_CLICK,
    COUNTER_ENTER,
    COUNTER_LEAVE,
    COUNTER_WATCH_MS,     /* saturating per visit, see profile.h */
    COUNTER_CHAT,
    COUNTER_INTERACTION,  /* chat, question, like, share, vote, gift, follow */
    COUNTER_CART,
    COUNTER_TRIAL,
    COUNTER_PURCHASE,     /* orders */
    COUNTER_UNITS,        /* sum of qty */
    COUNTER_GMV,          /* amount paid */
    COUNTER_REFUND,       /* orders with a refund */
    COUNTER_REFUND_AMOUNT,
    COUNTER_GIFT_AMOUNT,
    COUNTER_FOLLOW,       /* follows minus unfollows; like star ratings the same in every scene: see counters_scene */
    COUNTER_NEGATIVE,     /* dislikes, blocks, views under the short-view setting */
    COUNTER_RATING_COUNT, /* star ratings in force */
    COUNTER_RATING_SUM,
    COUNTER_VISITOR,      /* unique (user, room), and for hosts unique (user, host, day) */
    COUNTER_BUYER,        /* unique (user, entity) with at least one order */
    COUNTER_SHORT_VIEW,
    COUNTER_QUESTION,
    COUNTER_LIKE,
    COUNTER_VOTE,
    COUNTER_GIFT,
    COUNTERS
};

extern const char *const counter_names[COUNTERS];
