/*
 * A recursive descent over the bytes. Only fields of the outermost object are taken; everything else is checked and
 * skipped. Keys of the objects that are open stand on a stack, so that a repeated key is found in any of them.
 */
#include "server/codec/event_decode.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

struct scan {
    const char *at, *end;
    char *arena; /* where unescaped text goes; never more than the input */
    struct event_fields *out;
    enum event_refusal refusal;
    int depth;
    int keys_seen;             /* in all */
    int keys;                  /* on the stack */
    struct slice key[EVENT_KEYS_MAX];
};

struct value {
    enum field_kind kind;
    struct slice text;
    int64_t integer;
};

static bool fail(struct scan *s, enum event_refusal why)
{
    s->refusal = why;
    return false;
}

static void skip_space(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

/* The first byte that ends or interrupts plain text: quote, backslash, control character, or not ASCII. */
static const char *plain_end(const char *at, const char *end)
{
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), space = _mm_set1_epi8(' ');
    for (; end - at >= 16; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        /* Signed: bytes from 0x80 on are less than a space too. */
        __m128i stop = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, slash)), _mm_cmplt_epi8(bytes, space));
        int mask = _mm_movemask_epi8(stop);
        if (mask)
            return at + __builtin_ctz((unsigned)mask);
    }
#endif
    while (at < end && *at != '"' && *at != '\\' && (signed char)*at >= ' ')
        at++;
    return at;
}

/* The length of the UTF-8 sequence at `at`, 0 when it is not one. */
static int utf8_length(const char *at, const char *end)
{
    const unsigned char *p = (const unsigned char *)at;
    int length = p[0] >= 0xc2 && p[0] <= 0xdf ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : 0;
    if (length == 0 || end - at < length)
        return 0;
    for (int i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return length;
}

/* Four hex digits behind \u; -1 when they are not. */
static int32_t hex4(const char *at, const char *end)
{
    int32_t value = 0;
    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

static char *put_utf8(char *to, int32_t c)
{
    if (c < 0x80) {
        *to++ = (char)c;
        return to;
    }
    int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = {0, 0xc0, 0xe0, 0xf0};
    *to++ = (char)(lead[more] | c >> (6 * more));
    while (more-- > 0)
        *to++ = (char)(0x80 | (c >> (6 * more) & 0x3f));
    return to;
}

/* Behind a backslash: appends what it stands for. NULL when it stands for nothing. */
static char *unescape(struct scan *s, char *to)
{
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    if (s->at == s->end)
        return NULL;
    char c = *s->at++;
    if (c != 'u') {
        const char *found = c ? strchr(from, c) : NULL;
        if (!found)
            return NULL;
        *to++ = into[found - from];
        return to;
    }
    int32_t value = hex4(s->at, s->end);
    s->at += 4;
    if (value <= 0 || (value >= 0xdc00 && value <= 0xdfff))
        return NULL;
    if (value >= 0xd800 && value <= 0xdbff) {
        int32_t low = s->end - s->at >= 6 && s->at[0] == '\\' && s->at[1] == 'u' ? hex4(s->at + 2, s->end) : -1;
        if (low < 0xdc00 || low > 0xdfff)
            return NULL;
        value = 0x10000 + ((value - 0xd800) << 10) + (low - 0xdc00);
        s->at += 6;
    }
    return put_utf8(to, value);
}

/* Behind the opening quote; ends behind the closing one. */
static bool scan_text(struct scan *s, struct slice *out)
{
    const char *start = s->at, *from = s->at;
    char *text = NULL, *to = NULL; /* set once there was an escape */
    for (;;) {
        s->at = plain_end(s->at, s->end);
        if (s->at == s->end)
            return fail(s, EVENT_MALFORMED);
        if (*s->at == '"' || *s->at == '\\') {
            if (*s->at == '\\' && !text)
                text = to = s->arena;
            if (text) {
                memcpy(to, from, (size_t)(s->at - from));
                to += s->at - from;
            }
            if (*s->at++ == '"')
                break;
            if (!(to = unescape(s, to)))
                return fail(s, EVENT_MALFORMED);
            from = s->at;
            continue;
        }
        int length = (unsigned char)*s->at >= 0x80 ? utf8_length(s->at, s->end) : 0;
        if (length == 0)
            return fail(s, EVENT_MALFORMED);
        s->at += length;
    }
    if (text) {
        *out = (struct slice){text, (uint32_t)(to - text)};
        s->arena = to;
    } else {
        *out = (struct slice){start, (uint32_t)(s->at - 1 - start)};
    }
    return true;
}

static bool is_digit(const struct scan *s)
{
    return s->at < s->end && (unsigned)(*s->at - '0') < 10;
}

static bool skip_digits(struct scan *s)
{
    if (!is_digit(s))
        return false;
    while (is_digit(s))
        s->at++;
    return true;
}

/* Fraction and exponent; the number must not be too large for a double. */
static bool scan_real(struct scan *s, const char *start, struct value *out)
{
    if (*s->at == '.') {
        s->at++;
        if (!skip_digits(s))
            return fail(s, EVENT_MALFORMED);
    }
    if (s->at < s->end && (*s->at | 32) == 'e') {
        s->at++;
        if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
            s->at++;
        if (!skip_digits(s))
            return fail(s, EVENT_MALFORMED);
    }
    if (s->at == s->end)
        return fail(s, EVENT_MALFORMED); /* so strtod() stops before the end */
    errno = 0;
    double value = strtod(start, NULL);
    if (errno == ERANGE && (value == HUGE_VAL || value == -HUGE_VAL))
        return fail(s, EVENT_MALFORMED);
    *out = (struct value){.kind = KIND_OTHER};
    return true;
}

static bool scan_number(struct scan *s, struct value *out)
{
    const char *start = s->at;
    bool negative = *s->at == '-', large = false;
    uint64_t value = 0;
    s->at += negative;
    if (!is_digit(s))
        return fail(s, EVENT_MALFORMED);
    if (*s->at == '0') {
        s->at++;
        if (is_digit(s))
            return fail(s, EVENT_MALFORMED);
    }
    for (; is_digit(s); s->at++) {
        uint64_t digit = (uint64_t)(*s->at - '0');
        large = large || value > (UINT64_MAX - digit) / 10;
        value = value * 10 + digit;
    }
    if (s->at < s->end && (*s->at == '.' || (*s->at | 32) == 'e'))
        return scan_real(s, start, out);
    if (large || value > (uint64_t)INT64_MAX + negative)
        return fail(s, EVENT_MALFORMED);
    *out = (struct value){.kind = KIND_INTEGER, .integer = (int64_t)(negative ? 0 - value : value)};
    return true;
}

static bool scan_word(struct scan *s, struct value *out)
{
    static const struct slice words[] = {{"true", 4}, {"false", 5}, {"null", 4}};
    for (int i = 0; i < 3; i++)
        if ((size_t)(s->end - s->at) >= words[i].size && memcmp(s->at, words[i].at, words[i].size) == 0) {
            s->at += words[i].size;
            *out = (struct value){.kind = KIND_OTHER};
            return true;
        }
    return fail(s, EVENT_MALFORMED);
}

static bool scan_value(struct scan *s, struct value *out);

static bool scan_array(struct scan *s)
{
    struct value ignored;
    s->at++;
    skip_space(s);
    if (s->at < s->end && *s->at == ']') {
        s->at++;
        return true;
    }
    for (;;) {
        if (!scan_value(s, &ignored))
            return false;
        skip_space(s);
        if (s->at == s->end || (*s->at != ',' && *s->at != ']'))
            return fail(s, EVENT_MALFORMED);
        if (*s->at++ == ']')
            return true;
    }
}

/* The field of that name; FIELDS when it is not one of ours. */
static enum event_field field_of(struct slice name)
{
#define IS(field, text) \
    if (memcmp(name.at, text, sizeof text - 1) == 0) \
        return field
    switch (name.size) {
    case 1: IS(FIELD_V, "v"); break;
    case 2: IS(FIELD_ID, "id"); IS(FIELD_TS, "ts"); break;
    case 3: IS(FIELD_POS, "pos"); IS(FIELD_REC, "rec"); IS(FIELD_QTY, "qty"); break;
    case 4: IS(FIELD_TYPE, "type"); IS(FIELD_USER, "user"); IS(FIELD_ROOM, "room"); IS(FIELD_HOST, "host"); IS(FIELD_ITEM, "item"); break;
    case 5: IS(FIELD_SCENE, "scene"); IS(FIELD_ORDER, "order"); IS(FIELD_VALUE, "value"); break;
    case 6: IS(FIELD_AMOUNT, "amount"); IS(FIELD_SOURCE, "source"); IS(FIELD_OPTION, "option"); break;
    case 7: IS(FIELD_PERCENT, "percent"); break;
    case 8: IS(FIELD_DWELL_MS, "dwell_ms"); IS(FIELD_CURRENCY, "currency"); break;
    case 10: IS(FIELD_EXPLAINING, "explaining"); break;
    default: break;
    }
#undef IS
    return FIELDS;
}

/* Puts a key of the object whose keys begin at `first` on the stack, unless it is there already. */
static bool take_key(struct scan *s, int first, struct slice *out)
{
    skip_space(s);
    if (s->at == s->end || *s->at++ != '"')
        return fail(s, EVENT_MALFORMED);
    if (!scan_text(s, out))
        return false;
    for (int i = first; i < s->keys; i++)
        if (s->key[i].size == out->size && memcmp(s->key[i].at, out->at, out->size) == 0)
            return fail(s, EVENT_MALFORMED);
    if (s->keys_seen++ == EVENT_KEYS_MAX)
        return fail(s, EVENT_TOO_COMPLEX);
    s->key[s->keys++] = *out;
    skip_space(s);
    if (s->at == s->end || *s->at++ != ':')
        return fail(s, EVENT_MALFORMED);
    return true;
}

static void keep(struct event_fields *f, struct slice name, const struct value *v)
{
    enum event_field field = field_of(name);
    if (field == FIELDS)
        return;
    f->kind[field] = v->kind;
    f->text[field] = v->text;
    f->integer[field] = v->integer;
}

static bool scan_object(struct scan *s)
{
    int first = s->keys;
    bool outermost = s->depth == 1;
    s->at++;
    skip_space(s);
    if (s->at < s->end && *s->at == '}') {
        s->at++;
        return true;
    }
    for (;;) {
        struct slice name;
        struct value value;
        if (!take_key(s, first, &name) || !scan_value(s, &value))
            return false;
        if (outermost)
            keep(s->out, name, &value);
        skip_space(s);
        if (s->at == s->end || (*s->at != ',' && *s->at != '}'))
            return fail(s, EVENT_MALFORMED);
        if (*s->at++ == '}')
            break;
    }
    s->keys = first;
    return true;
}

static bool scan_value(struct scan *s, struct value *out)
{
    skip_space(s);
    *out = (struct value){.kind = KIND_OTHER};
    if (s->at == s->end)
        return fail(s, EVENT_MALFORMED);
    switch (*s->at) {
    case '"':
        s->at++;
        out->kind = KIND_TEXT;
        return scan_text(s, &out->text);
    case '{':
    case '[':
        if (++s->depth > EVENT_DEPTH_MAX)
            return fail(s, EVENT_TOO_COMPLEX);
        if (!(*s->at == '{' ? scan_object(s) : scan_array(s)))
            return false;
        s->depth--;
        return true;
    case 't':
    case 'f':
    case 'n':
        return scan_word(s, out);
    default:
        return scan_number(s, out);
    }
}

enum event_refusal event_scan(struct slice value, struct event_scratch *scratch, struct event_fields *out)
{
    struct scan s;
    struct value root;
    if (value.size > EVENT_BYTES_MAX)
        return EVENT_TOO_LARGE;
    s.at = value.at;
    s.end = value.at + value.size;
    s.arena = scratch->bytes;
    s.out = out;
    s.refusal = EVENT_ACCEPTED;
    s.depth = s.keys_seen = s.keys = 0;
    *out = (struct event_fields){0};
    skip_space(&s);
    if (s.at == s.end || *s.at != '{')
        return EVENT_MALFORMED;
    if (!scan_value(&s, &root))
        return s.refusal;
    skip_space(&s);
    return s.at == s.end ? EVENT_ACCEPTED : EVENT_MALFORMED;
}

enum event_refusal event_decode(const struct event_rules *rules, struct slice key, struct slice value,
                                struct event_scratch *scratch, struct event *out)
{
    struct event_fields fields;
    enum event_refusal refusal = event_scan(value, scratch, &fields);
    return refusal == EVENT_ACCEPTED ? event_schema_apply(rules, key, &fields, out) : refusal;
}
