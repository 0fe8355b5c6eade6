/* What the schema asks of each type, and the limits. The JSON itself is held against jansson by tests/fuzz. */
#include "tests/unit/check.h"

#include "server/codec/event_decode.h"

static struct event_scratch scratch;

static enum event_refusal decode(const char *rest, struct event *out)
{
    char text[1024];
    static const struct event_rules rules;
    int size = snprintf(text, sizeof text, "{\"v\":1,\"id\":\"e1\",\"ts\":1732370000123,\"user\":\"u\",\"scene\":\"home\"%s}", rest);
    return event_decode(&rules, slice_of("u"), (struct slice){text, (uint32_t)size}, &scratch, out);
}

static void test_types(void)
{
    static const struct {
        const char *rest;
        enum event_refusal refusal;
    } rows[] = {
        {",\"type\":\"watch\",\"room\":\"r\",\"dwell_ms\":1", EVENT_ACCEPTED},
        {",\"type\":\"watch\",\"room\":\"r\"", EVENT_MISSING_FIELD},
        {",\"type\":\"watch\",\"dwell_ms\":1", EVENT_MISSING_FIELD},
        {",\"type\":\"watch\",\"room\":\"r\",\"dwell_ms\":-1", EVENT_BAD_VALUE},
        {",\"type\":\"watch\",\"room\":\"r\",\"dwell_ms\":1.0", EVENT_BAD_VALUE},
        {",\"type\":\"enter\",\"room\":\"r 1\"", EVENT_BAD_ID},
        {",\"type\":\"enter\",\"room\":\"\"", EVENT_BAD_ID},
        {",\"type\":\"enter\",\"room\":5", EVENT_BAD_ID},
        {",\"type\":\"enter\",\"room\":\"r\\u0031\"", EVENT_ACCEPTED},
        {",\"type\":\"dance\",\"room\":\"r\"", EVENT_BAD_TYPE},
        {"", EVENT_MISSING_FIELD},
        {",\"type\":\"rating\",\"item\":\"c\",\"value\":5", EVENT_ACCEPTED},
        {",\"type\":\"rating\",\"item\":\"c\",\"value\":6", EVENT_BAD_VALUE},
        {",\"type\":\"rating\",\"item\":\"c\",\"value\":0", EVENT_BAD_VALUE},
        {",\"type\":\"progress\",\"item\":\"c\",\"percent\":100", EVENT_ACCEPTED},
        {",\"type\":\"progress\",\"item\":\"c\",\"percent\":101", EVENT_BAD_VALUE},
        {",\"type\":\"purchase\",\"item\":\"c\",\"order\":\"o\",\"amount\":1,\"currency\":\"CNY\"", EVENT_ACCEPTED},
        {",\"type\":\"purchase\",\"item\":\"c\",\"order\":\"o\",\"amount\":1", EVENT_MISSING_FIELD},
        {",\"type\":\"purchase\",\"item\":\"c\",\"order\":\"o\",\"amount\":1,\"currency\":\"yuan\"", EVENT_BAD_VALUE},
        {",\"type\":\"block\",\"host\":\"h\"", EVENT_ACCEPTED},
        {",\"type\":\"block\",\"host\":\"h\",\"room\":\"r\"", EVENT_MISSING_FIELD},
        {",\"type\":\"dislike\"", EVENT_MISSING_FIELD},
        {",\"type\":\"impression\"", EVENT_MISSING_FIELD},
        {",\"type\":\"forget\"", EVENT_ACCEPTED},
        {",\"type\":\"forget\",\"type\":\"forget\"", EVENT_MALFORMED},
        {",\"type\":\"forget\",\"x\":{\"a\":[1,{\"b\":null}]}", EVENT_ACCEPTED},
        {",\"type\":\"forget\",\"x\":[[[[[[[1]]]]]]]", EVENT_ACCEPTED},
        {",\"type\":\"forget\",\"x\":[[[[[[[[1]]]]]]]]", EVENT_TOO_COMPLEX},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct event e;
        enum event_refusal have = decode(rows[i].rest, &e);
        if (have != rows[i].refusal)
            fprintf(stderr, "%s: %s\n", rows[i].rest, event_refusal_names[have]);
        CHECK_INT(have, rows[i].refusal);
    }
}

static void test_every_type_has_a_name(void)
{
    for (int t = 0; t < EVENT_TYPES; t++) {
        char rest[256];
        struct event e;
        bool one = t == EVENT_DISLIKE || t == EVENT_BLOCK;
        snprintf(rest, sizeof rest, ",\"type\":\"%s\",\"item\":\"c\"%s", event_type_name((enum event_type)t),
                 one ? "" : ",\"room\":\"r\",\"host\":\"h\",\"dwell_ms\":1,\"option\":\"a\",\"order\":\"o\",\"amount\":1,\"currency\":\"CNY\",\"value\":1,\"percent\":1");
        CHECK_INT(decode(rest, &e), EVENT_ACCEPTED);
        CHECK_INT(e.type, t);
    }
}

static void test_key_and_size(void)
{
    static const struct event_rules rules;
    static char large[EVENT_BYTES_MAX + 1];
    struct event e;
    const char *text = "{\"v\":1,\"id\":\"e\",\"ts\":1,\"type\":\"forget\",\"user\":\"u\",\"scene\":\"home\"}";
    memset(large, ' ', sizeof large);
    memcpy(large, text, strlen(text));
    CHECK_INT(event_decode(&rules, slice_of("other"), slice_of(text), &scratch, &e), EVENT_KEY_MISMATCH);
    CHECK_INT(event_decode(&rules, slice_of("u"), (struct slice){large, EVENT_BYTES_MAX}, &scratch, &e), EVENT_ACCEPTED);
    CHECK_INT(event_decode(&rules, slice_of("u"), (struct slice){large, EVENT_BYTES_MAX + 1}, &scratch, &e), EVENT_TOO_LARGE);
    CHECK_INT(event_decode(&rules, slice_of("u"), slice_of("{\"v\":2}"), &scratch, &e), EVENT_BAD_VERSION);
    CHECK_INT(event_decode(&rules, slice_of("u"), slice_of(""), &scratch, &e), EVENT_MALFORMED);
}

static void test_keys(void)
{
    char text[2048] = "{\"v\":1,\"id\":\"e\",\"ts\":1,\"type\":\"forget\",\"user\":\"u\",\"scene\":\"home\"";
    static const struct event_rules rules;
    struct event e;
    size_t size = strlen(text);
    for (int i = 6; i < EVENT_KEYS_MAX; i++)
        size += (size_t)sprintf(text + size, ",\"k%d\":0", i);
    text[size] = '}';
    CHECK_INT(event_decode(&rules, slice_of("u"), (struct slice){text, (uint32_t)size + 1}, &scratch, &e), EVENT_ACCEPTED);
    size += (size_t)sprintf(text + size, ",\"more\":0}");
    CHECK_INT(event_decode(&rules, slice_of("u"), (struct slice){text, (uint32_t)size}, &scratch, &e), EVENT_TOO_COMPLEX);
}

int main(void)
{
    test_types();
    test_every_type_has_a_name();
    test_key_and_size();
    test_keys();
    return checks_failed != 0;
}
