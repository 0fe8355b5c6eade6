#include "tests/unit/check.h"

#include "common/bytes.h"
#include "common/hash.h"
#include "common/hmac.h"
#include "common/map.h"
#include "common/text.h"

#include <stdlib.h>

static void test_varint_of_every_size_comes_back(void)
{
    struct writer w = {0};
    for (int bit = 0; bit < 64; bit++) {
        put_varint(&w, 1ull << bit);
        put_signed(&w, (int64_t)(0 - (1ull << bit)));
    }
    struct reader r = reader_of(w.data, w.size);
    for (int bit = 0; bit < 64; bit++) {
        CHECK(get_varint(&r) == 1ull << bit);
        CHECK(get_signed(&r) == (int64_t)(0 - (1ull << bit)));
    }
    CHECK(!r.failed && reader_left(&r) == 0);
    CHECK(get_u8(&r) == 0 && r.failed);
    writer_fini(&w);
}

static void test_reader_of_a_short_field_fails(void)
{
    struct reader r = reader_of("\x05" "abc", 4);
    CHECK(get_slice(&r, 64).size == 0 && r.failed);
    r = reader_of("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11);
    get_varint(&r);
    CHECK(r.failed);
}

static void test_murmur2_agrees_with_the_java_client(void)
{
    /* Values of org.apache.kafka.common.utils.Utils.murmur2 as its own unit test lists them. */
    static const struct { const char *key; int32_t hash; } cases[] = {
        {"21", -973932308}, {"foobar", -790332482}, {"a-little-bit-long-string", -985981536},
        {"a-little-bit-longer-string", -1486304829}, {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
        {"abc", 479470107},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_INT((int32_t)murmur2(cases[i].key, strlen(cases[i].key)), cases[i].hash);
}

static void test_redis_slot_hashes_the_tag_only(void)
{
    CHECK_INT(redis_slot("123456789", 9), 0x31c3 % 16384); /* CRC16/XMODEM check value */
    CHECK_INT(redis_slot("a:{user1000}.b", 14), redis_slot("user1000", 8));
    CHECK(redis_slot("foo{}bar", 8) != redis_slot("", 0));
}

static void test_user_key_agrees_with_rfc_4231_case_2(void)
{
    struct user_hmac *h = user_hmac_create(slice_of("Jefe"));
    uint8_t key[USER_KEY_BYTES];
    char text[USER_KEY_TEXT + 1];
    CHECK(h);
    user_hmac_of(h, slice_of("what do ya want for nothing?"), key);
    CHECK(memcmp(key, "\x5b\xdc\xc1\x46\xbf\x60\x75\x4e\x6a\x04\x24\x26\x08\x95\x75\xc7", 16) == 0);
    user_key_text(key, text);
    CHECK(strcmp(text, "W9zBRr9gdU5qBCQmCJV1xw") == 0);
    user_hmac_destroy(h);
}

static void test_map_against_a_plain_array(void)
{
    enum { KEYS = 512, STEPS = 200000 };
    struct map m = {0};
    static char present[KEYS];
    uint64_t seed = 7;
    size_t count = 0;
    for (int i = 0; i < STEPS; i++) {
        seed = hash_mix(seed + 1);
        uint64_t key = hash_mix(seed % KEYS + 1);
        size_t k = seed % KEYS;
        if (seed >> 40 & 1) {
            map_put(&m, key, &present[k]);
            count += !present[k];
            present[k] = 1;
        } else {
            CHECK((map_remove(&m, key) != NULL) == present[k]);
            count -= (size_t)present[k];
            present[k] = 0;
        }
        CHECK(m.count == count);
        CHECK((map_find(&m, key) != NULL) == present[k]);
    }
    size_t at = 0, walked = 0;
    struct map_slot slot;
    while (map_next(&m, &at, &slot))
        walked++;
    CHECK_INT(walked, count);
    map_fini(&m);
}

static void test_text_of_json_escapes_and_replaces(void)
{
    struct writer w = {0};
    text_add_json(&w, slice_of("a\"\\\n\x01\xff" "\xe4\xb8\xad"));
    CHECK(strcmp(text_cstr(&w), "\"a\\\"\\\\\\u000a\\u0001\xef\xbf\xbd\xe4\xb8\xad\"") == 0);
    w.size = 0;
    text_add_decimal(&w, -1.2350001, 2);
    text_add(&w, " ");
    text_add_decimal(&w, 3.0, 4);
    text_add(&w, " ");
    text_add_int(&w, INT64_MIN);
    CHECK(strcmp(text_cstr(&w), "-1.24 3 -9223372036854775808") == 0);
    writer_fini(&w);
}

int main(void)
{
    test_varint_of_every_size_comes_back();
    test_reader_of_a_short_field_fails();
    test_murmur2_agrees_with_the_java_client();
    test_redis_slot_hashes_the_tag_only();
    test_user_key_agrees_with_rfc_4231_case_2();
    test_map_against_a_plain_array();
    test_text_of_json_escapes_and_replaces();
    return checks_failed != 0;
}
