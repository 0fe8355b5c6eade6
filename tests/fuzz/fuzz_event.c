/* The event decoder against jansson: same verdict, same fields, for events from a grammar and damaged ones; no allocation. */
#include "common/text.h"
#include "server/codec/event_decode.h"
#include "server/codec/json_scan.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/heap.h"

#include <jansson.h>
#include <stdio.h>

static void complexity(const json_t *v, int depth, int *max_depth, int *keys)
{
    const char *name;
    json_t *one;
    size_t i;
    if (!json_is_object(v) && !json_is_array(v))
        return;
    *max_depth = depth > *max_depth ? depth : *max_depth;
    if (json_is_array(v))
        json_array_foreach(v, i, one)
            complexity(one, depth + 1, max_depth, keys);
    else
        json_object_foreach((json_t *)(uintptr_t)v, name, one) {
            ++*keys;
            complexity(one, depth + 1, max_depth, keys);
        }
}

static bool is_name(struct slice s)
{
    for (uint32_t i = 0; i < s.size; i++)
        if (!s.at[i] || !strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-", s.at[i]))
            return false;
    return true;
}

/* The reference: jansson's verdict, and whether the fields are the same. */
static bool agrees(struct slice value, enum event_refusal mine, const struct event_fields *f)
{
    int depth = 0, keys = 0;
    if (value.size > EVENT_BYTES_MAX)
        return mine == EVENT_TOO_LARGE;
    if (memchr(value.at, 0, value.size)) /* never JSON; but jansson overlooks one behind a number or a word */
        return mine == EVENT_MALFORMED || mine == EVENT_TOO_COMPLEX;
    json_t *root = json_loadb(value.at, value.size, JSON_REJECT_DUPLICATES, NULL);
    bool same = true;
    if (!json_is_object(root)) {
        same = mine == EVENT_MALFORMED || mine == EVENT_TOO_COMPLEX;
        json_decref(root);
        return same;
    }
    complexity(root, 1, &depth, &keys);
    if (depth > EVENT_DEPTH_MAX || keys > EVENT_KEYS_MAX) {
        json_decref(root);
        return mine == EVENT_TOO_COMPLEX;
    }
    same = mine == EVENT_ACCEPTED;
    for (int i = 0; same && i < FIELDS; i++) {
        const json_t *v = json_object_get(root, event_field_names[i]);
        bool text = json_is_string(v), integer = json_is_integer(v);
        same = (f->texts >> i & 1) == text && (f->integers >> i & 1) == integer && (f->others >> i & 1) == (v && !text && !integer) &&
               (!integer || json_integer_value(v) == f->value[i].integer) &&
               (!text || slice_equal((struct slice){json_string_value(v), (uint32_t)json_string_length(v)}, f->value[i].text)) &&
               (!(f->names >> i & 1) || is_name(f->value[i].text));
    }
    json_decref(root);
    return same;
}

static void make_text(struct writer *w)
{
    static const char *const pieces[] = {"a", "user", "r_102", "\\n", "\\u00e9", "\\ud83d\\ude00", "\\ud83d", "\\udc00", "\\ud83d\\ue000", "\\ud83d\\uffff", "\\u0000", "\\/", "\xc3\xa9",
                                         "\xf0\x9f\x98\x80", "\xed\xa0\x80", "\xc0\xaf", "\xf4\x90\x80\x80", "\\x", "\t", "\x7f", "\\\"", "abcdefghijklmnopqrstuvwxyz0123456789",
                                         "\xe0\x80\x80", "\\u12", "\xff", "v", "id"};
    text_add(w, "\"");
    for (uint64_t n = fuzz_draw(4); n > 0; n--)
        text_add(w, pieces[fuzz_draw(fuzz_draw(3) ? 3 : sizeof pieces / sizeof *pieces)]);
    text_add(w, "\"");
}

static void make_value(struct writer *w, int depth)
{
    static const char *const numbers[] = {"0", "-0", "1", "-1", "01", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
                                          "-9223372036854775809", "1.5", "1.", ".5", "1e5", "1E+5", "1e", "1e400", "-1e400", "1e-400", "-", "+1", "0x1", "1.5e3",
                                          "123456789012345678901234567890", "18446744073709551617", "-18446744073709551615", "99999999999999999999", "NaN", "Infinity", "00", "1e+"};
    static const char *const words[] = {"true", "false", "null", "tru", "nulll", "True"};
    switch (fuzz_draw(depth > 10 ? 4 : 8)) {
    case 0: case 1: make_text(w); break;
    case 2: text_add(w, fuzz_draw(2) ? "1732370000123" : numbers[fuzz_draw(sizeof numbers / sizeof *numbers)]); break;
    case 3: text_add(w, words[fuzz_draw(fuzz_draw(4) ? 3 : 6)]); break;
    case 4: case 5:
        text_add(w, "[");
        for (uint64_t n = fuzz_draw(4), i = 0; i < n; i++) {
            text_add(w, i ? "," : "");
            make_value(w, depth + 1);
        }
        text_add(w, fuzz_draw(50) ? "]" : "");
        break;
    default:
        text_add(w, "{");
        for (uint64_t n = fuzz_draw(fuzz_draw(40) ? 5 : 70), i = 0; i < n; i++) {
            text_add(w, i ? (fuzz_draw(60) ? "," : " ,,") : fuzz_draw(9) ? "" : "\r\n\t ");
            if (fuzz_draw(3))
                text_printf(w, "\"%s%s\"", event_field_names[fuzz_draw(FIELDS)], fuzz_draw(4) ? "" : "2");
            else if (fuzz_draw(2))
                text_printf(w, "\"k%d\"", (int)fuzz_draw(100));
            else
                make_text(w);
            text_add(w, fuzz_draw(80) ? ":" : fuzz_draw(2) ? " : " : "");
            make_value(w, depth + 1);
        }
        text_add(w, fuzz_draw(50) ? "}" : "");
    }
}

/* As many names and levels as are allowed, or a few more. */
static void make_large(struct writer *w)
{
    uint64_t names = fuzz_draw(2) ? EVENT_KEYS_MAX - 3 + fuzz_draw(8) : 0, levels = names ? 0 : EVENT_DEPTH_MAX - 3 + fuzz_draw(6);
    text_add(w, "{\"x\":");
    for (uint64_t i = 0; i < levels; i++)
        text_add(w, i % 2 ? "[" : "{\"a\":");
    text_add(w, names ? "{" : "0");
    for (uint64_t i = 0; i < names; i++)
        text_printf(w, "%s\"k%d\":0", i ? "," : "", (int)i);
    text_add(w, names ? "}" : "");
    for (uint64_t i = levels; i-- > 0;)
        text_add(w, i % 2 ? "]" : "}");
    text_add(w, "}");
}

static void make_event(struct writer *w)
{
    if (fuzz_draw(40) == 0) {
        make_large(w);
        return;
    }
    if (fuzz_draw(3) == 0)
        text_printf(w, "{\"v\":1,\"id\":\"e%d\",\"ts\":1732370000123,\"type\":\"watch\",\"user\":\"u_88\",\"room\":\"r_102\",\"host\":\"h_55\",\"item\":\"c_77\",\"scene\":\"home\",\"dwell_ms\":%d}",
                    (int)fuzz_draw(1000), (int)fuzz_draw(90000));
    else
        make_value(w, fuzz_draw(2) ? 0 : 4);
    if (fuzz_draw(200) == 0)
        for (int i = 0; i < 17000; i++)
            put_u8(w, ' ');
}

static bool run(struct slice input)
{
    static struct event_scratch scratch;
    struct event_fields fields;
    uint64_t requests = heap_watch.requests;
    enum event_refusal mine = event_scan(input, &scratch, &fields);
    FUZZ_CHECK(heap_watch.requests == requests);
    if (!agrees(input, mine, &fields))
        fprintf(stderr, "jansson disagrees with \"%s\" about\n%.*s\n", event_refusal_names[mine], (int)input.size, input.at);
    FUZZ_CHECK(agrees(input, mine, &fields));
    return mine == EVENT_ACCEPTED;
}

const struct fuzz_target fuzz_target = {"event", 20000, 16 << 20, 0, make_event, run};
