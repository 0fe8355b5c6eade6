/*
 * The event decoder against jansson: same verdict, same fields, for events that are made from a grammar and then
 * damaged. fuzz_event [--seconds N] [--seed S]: prints executions; at the first difference the input in hex, exit 1.
 */
#include "common/hash.h"
#include "common/text.h"
#include "server/codec/event_decode.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t state;

static uint64_t draw(uint64_t below)
{
    state = hash_mix(state + 0x9e3779b97f4a7c15u);
    return state % below;
}

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
    static const char *const pieces[] = {"a", "user", "r_102", "\\n", "\\u00e9", "\\ud83d\\ude00", "\\ud83d", "\\udc00", "\\u0000", "\\/", "\xc3\xa9",
                                         "\xf0\x9f\x98\x80", "\xed\xa0\x80", "\xc0\xaf", "\xf4\x90\x80\x80", "\\x", "\t", "\x7f", "\\\"", "abcdefghijklmnopqrstuvwxyz0123456789",
                                         "\xe0\x80\x80", "\\u12", "\xff", "v", "id"};
    text_add(w, "\"");
    for (uint64_t n = draw(4); n > 0; n--)
        text_add(w, pieces[draw(draw(3) ? 3 : sizeof pieces / sizeof *pieces)]);
    text_add(w, "\"");
}

static void make_value(struct writer *w, int depth)
{
    static const char *const numbers[] = {"0", "-0", "1", "-1", "01", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
                                          "-9223372036854775809", "1.5", "1.", ".5", "1e5", "1E+5", "1e", "1e400", "-1e400", "1e-400", "-", "+1", "0x1", "1.5e3",
                                          "123456789012345678901234567890", "NaN", "Infinity", "00", "1e+"};
    static const char *const words[] = {"true", "false", "null", "tru", "nulll", "True"};
    switch (draw(depth > 10 ? 4 : 8)) {
    case 0: case 1: make_text(w); break;
    case 2: text_add(w, draw(2) ? "1732370000123" : numbers[draw(sizeof numbers / sizeof *numbers)]); break;
    case 3: text_add(w, words[draw(draw(4) ? 3 : 6)]); break;
    case 4: case 5:
        text_add(w, "[");
        for (uint64_t n = draw(4), i = 0; i < n; i++) {
            text_add(w, i ? "," : "");
            make_value(w, depth + 1);
        }
        text_add(w, draw(50) ? "]" : "");
        break;
    default:
        text_add(w, "{");
        for (uint64_t n = draw(draw(40) ? 5 : 70), i = 0; i < n; i++) {
            text_add(w, i ? (draw(60) ? "," : " ,,") : draw(9) ? "" : "\r\n\t ");
            if (draw(3))
                text_printf(w, "\"%s%s\"", event_field_names[draw(FIELDS)], draw(4) ? "" : "2");
            else if (draw(2))
                text_printf(w, "\"k%d\"", (int)draw(100));
            else
                make_text(w);
            text_add(w, draw(80) ? ":" : draw(2) ? " : " : "");
            make_value(w, depth + 1);
        }
        text_add(w, draw(50) ? "}" : "");
    }
}

static void make_event(struct writer *w)
{
    w->size = 0;
    if (draw(3) == 0)
        text_printf(w, "{\"v\":1,\"id\":\"e%d\",\"ts\":1732370000123,\"type\":\"watch\",\"user\":\"u_88\",\"room\":\"r_102\",\"host\":\"h_55\",\"item\":\"c_77\",\"scene\":\"home\",\"dwell_ms\":%d}",
                    (int)draw(1000), (int)draw(90000));
    else
        make_value(w, draw(2) ? 0 : 4);
    for (uint64_t n = draw(3) ? 0 : 1 + draw(3); n > 0 && w->size; n--) {
        size_t at = draw(w->size);
        if (draw(3) == 0)
            w->size = at + 1;
        else
            w->data[at] = (uint8_t)(draw(2) ? draw(256) : (uint64_t)"\"\\{}[],:0e.-u "[draw(14)]);
    }
    if (draw(200) == 0)
        for (int i = 0; i < 17000; i++)
            put_u8(w, ' ');
}

int main(int argc, char **argv)
{
    long seconds = 2;
    uint64_t executions = 0, accepted = 0;
    static struct event_scratch scratch;
    struct event_fields fields;
    struct writer w = {0};
    state = 1;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seconds") == 0)
            seconds = atol(argv[i + 1]);
        else if (strcmp(argv[i], "--seed") == 0)
            state = strtoull(argv[i + 1], NULL, 10);
    }
    for (time_t end = time(NULL) + seconds; time(NULL) < end;)
        for (int i = 0; i < 1000; i++, executions++) {
            make_event(&w);
            char *exact = malloc(w.size + 1); /* so that a sanitizer sees a read beyond the end */
            memcpy(exact, w.data, w.size);
            struct slice value = {exact, (uint32_t)w.size};
            enum event_refusal mine = event_scan(value, &scratch, &fields);
            accepted += mine == EVENT_ACCEPTED;
            if (!agrees(value, mine, &fields)) {
                printf("jansson disagrees with \"%s\" about ", event_refusal_names[mine]);
                for (uint32_t k = 0; k < value.size; k++)
                    printf("%02x", (unsigned char)exact[k]);
                printf("\n%.*s\n", (int)value.size, exact);
                return 1;
            }
            free(exact);
        }
    printf("%llu executions, %llu accepted, no difference\n", (unsigned long long)executions, (unsigned long long)accepted);
    writer_fini(&w);
    return executions > 1000 && accepted > 100 ? 0 : 1;
}
