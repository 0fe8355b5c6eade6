/*
 * A recursive descent that keeps nothing: every value is checked and skipped; text and integers are handed out. Names
 * in the objects that are open stand on a stack, so that a repeated one is found in any of them.
 */
#include "server/codec/json_scan.h"

#include "common/mutant.h"
#include "server/codec/text16.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

/* The first byte that ends or interrupts plain text: quote, backslash, control character, or not ASCII. */
static const char *plain_end(const char *at, const char *end)
{
    for (; end - at >= 16; at += 16) {
        uint32_t stop = text16_of(at).stop;
        if (stop)
            return at + __builtin_ctz(stop);
    }
    while (at < end && *at != '"' && *at != '\\' && (signed char)*at >= ' ')
        at++;
    return at;
}

/* The length of the UTF-8 sequence at `at`, 0 when it is not one. */
static int utf8_length(const char *at, const char *end)
{
    const unsigned char *p = (const unsigned char *)at;
    int length = p[0] >= FUZZ_MUTANT(utf8_overlong, 0xc0, 0xc2) && p[0] <= 0xdf ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : 0;
    if (length == 0 || FUZZ_MUTANT(utf8_cut, false, end - at < length))
        return 0;
    for (int i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > FUZZ_MUTANT(utf8_surrogate, 0xbf, 0x9f)) || (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return length;
}

/* Four hex digits behind \u; -1 when they are not. */
static int32_t hex4(const char *at, const char *end)
{
    int32_t value = 0;
    if (end - at < FUZZ_MUTANT(hex_cut, 3, 4))
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
static char *unescape(struct json_scan *s, char *to)
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
        if (low < 0xdc00 || FUZZ_MUTANT(low_surrogate, false, low > 0xdfff))
            return NULL;
        value = 0x10000 + ((value - 0xd800) << 10) + (low - 0xdc00);
        s->at += 6;
    }
    return put_utf8(to, value);
}

bool json_scan_text(struct json_scan *s, struct slice *out)
{
    const char *start = s->at, *from = s->at;
    char *text = NULL, *to = NULL; /* set once there was an escape */
    for (;;) {
        s->at = plain_end(s->at, s->end);
        if (s->at == s->end)
            return json_fail(s, EVENT_MALFORMED);
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
                return json_fail(s, EVENT_MALFORMED);
            from = s->at;
            continue;
        }
        int length = (unsigned char)*s->at >= 0x80 ? utf8_length(s->at, s->end) : 0;
        if (length == 0)
            return json_fail(s, EVENT_MALFORMED);
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

static bool is_digit(const struct json_scan *s)
{
    return s->at < s->end && (unsigned)(*s->at - '0') < 10;
}

static bool skip_digits(struct json_scan *s)
{
    if (!is_digit(s))
        return json_fail(s, EVENT_MALFORMED);
    while (is_digit(s))
        s->at++;
    return true;
}

/* Fraction and exponent; the number must not be too large for a double. */
static bool scan_real(struct json_scan *s, const char *start)
{
    if (*s->at == '.') {
        s->at++;
        if (!skip_digits(s))
            return false;
    }
    if (s->at < s->end && (*s->at | 32) == 'e') {
        s->at++;
        if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
            s->at++;
        if (!skip_digits(s))
            return false;
    }
    if (s->at == s->end)
        return json_fail(s, EVENT_MALFORMED); /* so strtod() stops before the end */
    errno = 0;
    double value = strtod(start, NULL);
    return !(errno == ERANGE && (value == HUGE_VAL || value == -HUGE_VAL)) || json_fail(s, EVENT_MALFORMED);
}

/* Eight digits that begin at `at` to their value; false when they are not all digits. */
static bool eight_digits(const char *at, uint64_t *out)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++) /* one load on little-endian machines */
        v |= (uint64_t)(unsigned char)at[i] << (8 * i);
    if (((v & 0xf0f0f0f0f0f0f0f0u) | ((v + 0x0606060606060606u) & 0xf0f0f0f0f0f0f0f0u) >> 4) != 0x3333333333333333u)
        return false;
    v = (v & 0x0f0f0f0f0f0f0f0fu) * 2561 >> 8; /* pairs, then fours, then all */
    v = (v & 0x00ff00ff00ff00ffu) * 6553601 >> 16;
    *out = (v & 0x0000ffff0000ffffu) * 42949672960001u >> 32;
    return true;
}

bool json_scan_number(struct json_scan *s, struct json_value *out)
{
    const char *const start = s->at, *const end = s->end, *const digits = start + (*start == '-'), *at = digits;
    bool negative = digits != start, large = false;
    uint64_t value = 0;
    if (end - at >= 8 && eight_digits(at, &value))
        at += 8;
    for (uint32_t digit; at < end && (digit = (uint32_t)(unsigned char)*at - '0') <= 9; at++) {
        large = large || (at - digits > FUZZ_MUTANT(integer_wraps, 99, 17) && value > (UINT64_MAX - digit) / 10);
        value = value * 10 + digit;
    }
    s->at = at;
    if (at == digits || (FUZZ_MUTANT(leading_zero, false, *digits == '0') && at - digits > 1))
        return json_fail(s, EVENT_MALFORMED);
    if (at < end && (*at == '.' || (*at | 32) == 'e'))
        return scan_real(s, start);
    if (large || value > (uint64_t)INT64_MAX + FUZZ_MUTANT(integer_edge, 1, negative))
        return json_fail(s, EVENT_MALFORMED);
    out->kind = KIND_INTEGER;
    out->integer = (int64_t)(negative ? 0 - value : value);
    return true;
}

static bool scan_word(struct json_scan *s)
{
    static const struct slice words[] = {{"true", 4}, {"false", 5}, {"null", 4}};
    for (int i = 0; i < 3; i++)
        if ((size_t)(s->end - s->at) >= words[i].size && memcmp(s->at, words[i].at, words[i].size) == 0) {
            s->at += words[i].size;
            return true;
        }
    return json_fail(s, EVENT_MALFORMED);
}

static bool scan_array(struct json_scan *s)
{
    struct json_value ignored;
    bool more = !json_scan_close(s, ']');
    while (more)
        if (!json_scan_value(s, &ignored) || !json_scan_next(s, ']', &more))
            return false;
    return true;
}

static bool scan_object(struct json_scan *s)
{
    int first = s->keys;
    struct slice name;
    struct json_value ignored;
    bool more = !json_scan_close(s, '}');
    while (more)
        if (!json_scan_name(s, &name) || !json_push_name(s, first, name) || !json_scan_colon(s) || !json_scan_value(s, &ignored) ||
            !json_scan_next(s, '}', &more))
            return false;
    s->keys = FUZZ_MUTANT(names_kept, s->keys, first);
    return true;
}

bool json_scan_name(struct json_scan *s, struct slice *out)
{
    json_skip_space(s);
    if (s->at == s->end || *s->at++ != '"')
        return json_fail(s, EVENT_MALFORMED);
    return json_scan_text(s, out);
}

bool json_push_name(struct json_scan *s, int first, struct slice name)
{
    for (int i = first; i < s->keys; i++)
        if (slice_equal(s->key[i], name))
            return json_fail(s, EVENT_MALFORMED);
    if (!json_count_key(s))
        return false;
    s->key[s->keys++] = name;
    return true;
}

bool json_scan_value(struct json_scan *s, struct json_value *out)
{
    json_skip_space(s);
    out->kind = KIND_OTHER;
    if (s->at == s->end)
        return json_fail(s, EVENT_MALFORMED);
    char c = *s->at;
    switch (c) {
    case '"':
        s->at++;
        out->kind = KIND_TEXT;
        return json_scan_text(s, &out->text);
    case '{':
    case '[':
        s->at++;
        if (++s->depth > FUZZ_MUTANT(depth_forgotten, INT32_MAX, EVENT_DEPTH_MAX))
            return json_fail(s, EVENT_TOO_COMPLEX);
        if (!(c == '{' ? scan_object(s) : scan_array(s)))
            return false;
        s->depth -= FUZZ_MUTANT(depth_kept, 0, 1);
        return true;
    case 't':
    case 'f':
    case 'n':
        return scan_word(s);
    default:
        return json_scan_number(s, out);
    }
}
