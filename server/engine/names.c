/* The names of event types, sources and counters, in the order of their enums; and of what letters ids are. */
#include "server/engine/counters.h"

#include "server/engine/event.h"

const char *const counter_names[COUNTERS] = {
    "exposure", "click",  "enter",         "leave",       "watch_ms", "chat",     "interaction",   "cart",
    "trial",    "purchase", "units",       "gmv",         "refund",   "refund_amount", "gift_amount", "follow",
    "negative", "rating_count", "rating_sum", "visitor",  "buyer",    "short_view", "question", "like",     "vote",       "gift",
};

const char *event_type_name(enum event_type type)
{
    static const char *const names[EVENT_TYPES] = {
        "impression", "click", "enter", "leave", "watch",    "chat",   "question", "like",     "share",   "follow", "unfollow", "browse",
        "cart",       "vote",  "gift",  "trial", "purchase", "refund", "rating",   "progress", "dislike", "block",  "forget",
    };
    return names[type];
}

const char *event_source_name(enum event_source source)
{
    static const char *const names[SOURCES] = {"organic", "recommendation", "feed", "follow", "search", "ad", "other"};
    return names[source];
}

bool event_is_id(struct slice s)
{
    for (uint32_t i = 0; i < s.size; i++) {
        unsigned char c = (unsigned char)s.at[i], small = c | 0x20;
        bool letter = (small >= 'a' && small <= 'z') || (c >= '0' && c <= '9');
        if (!letter && c != '_' && c != '.' && c != '-')
            return false;
    }
    return s.size > 0 && s.size <= EVENT_ID_BYTES;
}
