/*
 * One live-room event, decoded: the input of the profile stage. Ids are borrowed from the record's bytes and are
 * 1-64 bytes of [A-Za-z0-9_.-]; an absent id has size 0. The decoder guarantees that what a type requires is there.
 */
#pragma once

#include "common/slice.h"

#define EVENT_ID_BYTES 64
#define EVENT_MS_MAX (1ll << 53) /* of `ts`, which begins at 1 */

enum event_type {
    EVENT_IMPRESSION,
    EVENT_CLICK,
    EVENT_ENTER,
    EVENT_LEAVE,
    EVENT_WATCH,
    EVENT_CHAT,
    EVENT_QUESTION,
    EVENT_LIKE,
    EVENT_SHARE,
    EVENT_FOLLOW,
    EVENT_UNFOLLOW,
    EVENT_BROWSE,
    EVENT_CART,
    EVENT_VOTE,
    EVENT_GIFT,
    EVENT_TRIAL,
    EVENT_PURCHASE,
    EVENT_REFUND,
    EVENT_RATING,
    EVENT_PROGRESS,
    EVENT_DISLIKE,
    EVENT_BLOCK,
    EVENT_FORGET,
    EVENT_TYPES
};

/* Where an exposure came from. Absent: recommendation when `rec` is set, else organic. */
enum event_source {
    SOURCE_ORGANIC,
    SOURCE_RECOMMENDATION,
    SOURCE_FEED,
    SOURCE_FOLLOW,
    SOURCE_SEARCH,
    SOURCE_AD,
    SOURCE_OTHER,
    SOURCES
};

struct event {
    enum event_type type;
    enum event_source source;
    bool source_given;      /* the event says it itself: no rec that showed its entity before changes it */
    int64_t event_ms;       /* `ts`: when it happened, UTC epoch milliseconds */
    struct slice id;        /* unique per user */
    struct slice user;
    struct slice scene;
    struct slice room;
    struct slice host;
    struct slice item;
    struct slice explaining; /* item on show at that moment */
    struct slice rec;        /* id of the recommendation that led here */
    struct slice order;      /* purchase, refund */
    struct slice option;     /* vote */
    int64_t amount;          /* minor units; gift, purchase, refund; >= 0 */
    uint32_t currency;       /* ISO 4217, three letters packed big-endian, e.g. 'C'<<16|'N'<<8|'Y'; 0 = absent */
    uint32_t dwell_ms;       /* watch: since the last watch event */
    uint32_t qty;            /* purchase; default 1 */
    uint16_t pos;            /* place in the recommendation, from 0 */
    uint8_t value;           /* rating: 1-5 */
    uint8_t percent;         /* progress: 0-100 */
};

/* 1 to EVENT_ID_BYTES letters of an id. */
bool event_is_id(struct slice s);
const char *event_type_name(enum event_type type);
const char *event_source_name(enum event_source source);
