#include "server/codec/event_schema.h"

const char *const event_refusal_names[EVENT_REFUSALS] = {
    "accepted", "too_large", "malformed", "bad_version", "missing_field", "bad_id", "bad_type", "bad_value", "key_mismatch", "too_complex",
};

const char *const event_field_names[FIELDS] = {
    "v", "id", "ts", "type", "user", "scene", "room", "host", "item", "explaining", "rec", "order", "option", "currency", "source",
    "amount", "dwell_ms", "qty", "value", "percent", "pos",
};

#define BIT(field) (1u << (field))
#define TEXTS (BIT(FIELD_ID) | BIT(FIELD_TYPE) | BIT(FIELD_USER) | BIT(FIELD_SCENE) | BIT(FIELD_ROOM) | BIT(FIELD_HOST) | BIT(FIELD_ITEM) | \
               BIT(FIELD_EXPLAINING) | BIT(FIELD_REC) | BIT(FIELD_ORDER) | BIT(FIELD_OPTION) | BIT(FIELD_CURRENCY) | BIT(FIELD_SOURCE))
/* Ids that name entities, users and scenes: their characters are restricted. */
#define NAMES (BIT(FIELD_USER) | BIT(FIELD_SCENE) | BIT(FIELD_ROOM) | BIT(FIELD_HOST) | BIT(FIELD_ITEM) | BIT(FIELD_EXPLAINING))
#define ENTITIES (BIT(FIELD_ROOM) | BIT(FIELD_HOST) | BIT(FIELD_ITEM))

static const struct {
    uint32_t required;
    bool some; /* at least one entity */
    bool one;  /* exactly one entity */
} types[EVENT_TYPES] = {
    [EVENT_IMPRESSION] = {0, true, false},
    [EVENT_CLICK] = {0, true, false},
    [EVENT_ENTER] = {BIT(FIELD_ROOM), false, false},
    [EVENT_LEAVE] = {BIT(FIELD_ROOM), false, false},
    [EVENT_WATCH] = {BIT(FIELD_ROOM) | BIT(FIELD_DWELL_MS), false, false},
    [EVENT_CHAT] = {BIT(FIELD_ROOM), false, false},
    [EVENT_QUESTION] = {BIT(FIELD_ROOM), false, false},
    [EVENT_LIKE] = {0, true, false},
    [EVENT_SHARE] = {0, true, false},
    [EVENT_FOLLOW] = {BIT(FIELD_HOST), false, false},
    [EVENT_UNFOLLOW] = {BIT(FIELD_HOST), false, false},
    [EVENT_BROWSE] = {BIT(FIELD_ITEM), false, false},
    [EVENT_CART] = {BIT(FIELD_ITEM), false, false},
    [EVENT_VOTE] = {BIT(FIELD_ROOM) | BIT(FIELD_OPTION), false, false},
    [EVENT_GIFT] = {BIT(FIELD_ROOM) | BIT(FIELD_AMOUNT) | BIT(FIELD_CURRENCY), false, false},
    [EVENT_TRIAL] = {BIT(FIELD_ITEM), false, false},
    [EVENT_PURCHASE] = {BIT(FIELD_ITEM) | BIT(FIELD_ORDER) | BIT(FIELD_AMOUNT) | BIT(FIELD_CURRENCY), false, false},
    [EVENT_REFUND] = {BIT(FIELD_ORDER) | BIT(FIELD_AMOUNT), false, false},
    [EVENT_RATING] = {BIT(FIELD_ITEM) | BIT(FIELD_VALUE), false, false},
    [EVENT_PROGRESS] = {BIT(FIELD_ITEM) | BIT(FIELD_PERCENT), false, false},
    [EVENT_DISLIKE] = {0, false, true},
    [EVENT_BLOCK] = {0, false, true},
    [EVENT_FORGET] = {0, false, false},
};

static const struct {
    int64_t min, max;
} ranges[FIELDS] = {
    [FIELD_TS] = {1, EVENT_MS_MAX},      [FIELD_AMOUNT] = {0, 1ll << 53}, [FIELD_DWELL_MS] = {0, INT32_MAX}, [FIELD_QTY] = {1, 1000000},
    [FIELD_VALUE] = {1, 5},            [FIELD_PERCENT] = {0, 100},      [FIELD_POS] = {0, UINT16_MAX},
};

static bool is_name(struct slice s)
{
    for (uint32_t i = 0; i < s.size; i++) {
        unsigned char c = (unsigned char)s.at[i];
        bool letter = (unsigned)((c | 32) - 'a') < 26 || (unsigned)(c - '0') < 10;
        if (!letter && c != '_' && c != '.' && c != '-')
            return false;
    }
    return true;
}

static bool is_good_text(const struct event_fields *f, int field)
{
    struct slice text = f->value[field].text;
    if (text.size == 0 || text.size > EVENT_ID_BYTES)
        return false;
    return !(NAMES >> field & 1) || f->names >> field & 1 || is_name(text);
}

/* Kinds, sizes and ranges of what is there. */
static enum event_refusal check_fields(const struct event_fields *f)
{
    uint32_t present = event_present(f);
    if (!(f->integers & BIT(FIELD_V)) || f->value[FIELD_V].integer != 1)
        return present & BIT(FIELD_V) ? EVENT_BAD_VERSION : EVENT_MISSING_FIELD;
    for (uint32_t left = present & ~BIT(FIELD_V); left; left &= left - 1) {
        int i = __builtin_ctz(left);
        if (TEXTS >> i & 1) {
            if (!(f->texts >> i & 1) || !is_good_text(f, i))
                return EVENT_BAD_ID;
        } else if (!(f->integers >> i & 1) || f->value[i].integer < ranges[i].min || f->value[i].integer > ranges[i].max) {
            return EVENT_BAD_VALUE;
        }
    }
    return EVENT_ACCEPTED;
}

static enum event_type type_of(struct slice text)
{
#define IS(type, name) \
    if (memcmp(text.at, name, sizeof name - 1) == 0) \
        return type
    switch (text.size) {
    case 4:
        IS(EVENT_CHAT, "chat");
        IS(EVENT_LIKE, "like");
        IS(EVENT_CART, "cart");
        IS(EVENT_VOTE, "vote");
        IS(EVENT_GIFT, "gift");
        break;
    case 5:
        IS(EVENT_CLICK, "click");
        IS(EVENT_ENTER, "enter");
        IS(EVENT_LEAVE, "leave");
        IS(EVENT_WATCH, "watch");
        IS(EVENT_SHARE, "share");
        IS(EVENT_TRIAL, "trial");
        IS(EVENT_BLOCK, "block");
        break;
    case 6:
        IS(EVENT_FOLLOW, "follow");
        IS(EVENT_BROWSE, "browse");
        IS(EVENT_REFUND, "refund");
        IS(EVENT_RATING, "rating");
        IS(EVENT_FORGET, "forget");
        break;
    case 7:
        IS(EVENT_DISLIKE, "dislike");
        break;
    case 8:
        IS(EVENT_QUESTION, "question");
        IS(EVENT_UNFOLLOW, "unfollow");
        IS(EVENT_PURCHASE, "purchase");
        IS(EVENT_PROGRESS, "progress");
        break;
    case 10:
        IS(EVENT_IMPRESSION, "impression");
        break;
    default:
        break;
    }
#undef IS
    return EVENT_TYPES;
}

static bool is_complete(const struct event_rules *rules, enum event_type type, uint32_t present)
{
    uint32_t always = BIT(FIELD_ID) | BIT(FIELD_USER) | BIT(FIELD_TS) | (rules->reference ? 0 : BIT(FIELD_SCENE));
    uint32_t entities = present & ENTITIES;
    if ((present & always) != always)
        return false;
    if (rules->reference)
        return true;
    if ((present & types[type].required) != types[type].required || (types[type].some && !entities))
        return false;
    return !types[type].one || (entities && !(entities & (entities - 1)));
}

static bool read_currency(struct slice text, uint32_t *out)
{
    *out = 0;
    if (text.size == 0)
        return true;
    for (uint32_t i = 0; i < text.size; i++) {
        if (text.size != 3 || text.at[i] < 'A' || text.at[i] > 'Z')
            return false;
        *out = *out << 8 | (uint32_t)text.at[i];
    }
    return true;
}

static enum event_source source_of(const struct event_fields *f)
{
    if (!event_has(f, FIELD_SOURCE))
        return event_has(f, FIELD_REC) ? SOURCE_RECOMMENDATION : SOURCE_ORGANIC;
    for (int s = 0; s < SOURCE_OTHER; s++)
        if (slice_equal(f->value[FIELD_SOURCE].text, slice_of(event_source_name((enum event_source)s))))
            return (enum event_source)s;
    return SOURCE_OTHER;
}

enum event_refusal event_schema_apply(const struct event_rules *rules, struct slice key, const struct event_fields *f,
                                      struct event *out)
{
    uint32_t present = event_present(f), currency;
    enum event_refusal refusal = check_fields(f);
    if (refusal != EVENT_ACCEPTED)
        return refusal;
    if (!(present & BIT(FIELD_TYPE)))
        return EVENT_MISSING_FIELD;
    enum event_type type = type_of(f->value[FIELD_TYPE].text);
    if (type == EVENT_TYPES)
        return EVENT_BAD_TYPE;
    if (!is_complete(rules, type, present))
        return EVENT_MISSING_FIELD;
    if (!read_currency(f->value[FIELD_CURRENCY].text, &currency))
        return EVENT_BAD_VALUE;
    if (!slice_equal(key, f->value[FIELD_USER].text))
        return EVENT_KEY_MISMATCH;
    *out = (struct event){
        .type = type, .source = source_of(f), .source_given = event_has(f, FIELD_SOURCE), .event_ms = f->value[FIELD_TS].integer, .id = f->value[FIELD_ID].text, .user = f->value[FIELD_USER].text,
        .scene = f->value[FIELD_SCENE].text, .room = f->value[FIELD_ROOM].text, .host = f->value[FIELD_HOST].text, .item = f->value[FIELD_ITEM].text,
        .explaining = f->value[FIELD_EXPLAINING].text, .rec = f->value[FIELD_REC].text, .order = f->value[FIELD_ORDER].text,
        .option = f->value[FIELD_OPTION].text, .amount = f->value[FIELD_AMOUNT].integer, .currency = currency,
        .dwell_ms = (uint32_t)f->value[FIELD_DWELL_MS].integer, .qty = present & BIT(FIELD_QTY) ? (uint32_t)f->value[FIELD_QTY].integer : 1,
        .pos = (uint16_t)f->value[FIELD_POS].integer, .value = (uint8_t)f->value[FIELD_VALUE].integer,
        .percent = (uint8_t)f->value[FIELD_PERCENT].integer,
    };
    return EVENT_ACCEPTED;
}
