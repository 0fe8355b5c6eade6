/* What is written is JSON as the contract has it, and printed parts add up to the printed score exactly. */
#include "tests/unit/check.h"

#include "server/codec/recommendation_encode.h"

#include <jansson.h>
#include <stdlib.h>

static struct recommendation list;

static struct recommended entry(const char *name, const double parts[REASONS])
{
    struct recommended r = {.name = slice_of(name), .host = slice_of("h_1"), .item = slice_of("c_1"), .of = slice_of("c_9"), .propensity = 0.9525};
    for (int i = 0; i < REASONS; i++)
        r.score += r.parts[i] = parts[i];
    return r;
}

static json_t *encoded(uint32_t reasons_max)
{
    struct recommendation_text text = {0};
    struct recommendation_head head = {7, 918273, 4, 1, slice_of("u_88"), slice_of("home"), "b", 1732370000123, 1732370120123};
    recommendation_encode(&head, &list, reasons_max, &text);
    json_t *root = json_loadb((const char *)text.bytes.data, text.bytes.size, JSON_REJECT_DUPLICATES, NULL);
    CHECK(root != NULL);
    writer_fini(&text.bytes);
    return root;
}

static long long units(const json_t *number)
{
    double x = json_number_value(number) * 10000;
    return (long long)(x + 0.5);
}

static void test_head(void)
{
    list = (struct recommendation){0};
    json_t *root = encoded(3), *version = json_object_get(root, "version");
    CHECK(strcmp(json_string_value(json_object_get(root, "rec")), "7-918273-4-1") == 0);
    CHECK(strcmp(json_string_value(json_object_get(root, "user")), "u_88") == 0);
    CHECK_INT(json_integer_value(json_object_get(root, "valid_until")), 1732370120123);
    CHECK_INT(json_array_size(version), 3);
    CHECK_INT(json_integer_value(json_array_get(version, 0)), 918273);
    CHECK_INT(json_array_size(json_object_get(root, "rooms")), 0);
    json_decref(root);
}

/* Random parts, every limit: none lost, none beyond the limit, the strongest first, `other` last. */
static int descending(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return *x < *y ? 1 : *x > *y ? -1 : 0;
}

/* And those that are named are the largest. */
static void test_parts_add_up_under_every_limit(void)
{
    srand(4);
    for (uint32_t max = 1; max <= REASONS + 1; max++)
        for (int run = 0; run < 200; run++) {
            double parts[REASONS];
            int nonzero = 0;
            for (int i = 0; i < REASONS; i++) {
                parts[i] = rand() % 3 ? (double)(rand() % 4001) / 10000 : 0;
                nonzero += parts[i] > 0;
            }
            list = (struct recommendation){.item_count = 1, .items = {entry("c_5", parts)}};
            json_t *root = encoded(max), *item = json_array_get(json_object_get(root, "items"), 0);
            json_t *reasons = json_object_get(item, "reasons");
            long long sum = 0, before = 100000;
            size_t count = json_array_size(reasons);
            double largest[REASONS];
            memcpy(largest, parts, sizeof largest);
            qsort(largest, REASONS, sizeof *largest, descending);
            CHECK_INT(count, nonzero < (int)max ? nonzero : (int)max);
            for (size_t i = 0; i < count; i++) {
                json_t *reason = json_array_get(reasons, i);
                const char *code = json_string_value(json_object_get(reason, "code"));
                long long part = units(json_object_get(reason, "part"));
                sum += part;
                CHECK((strcmp(code, "other") == 0) == (i == max - 1 && nonzero > (int)max));
                CHECK(strcmp(code, "other") == 0 || part <= before);
                CHECK(strcmp(code, "other") == 0 || part == (long long)(largest[i] * 10000 + 0.5));
                CHECK((json_object_get(reason, "of") != NULL) == (strcmp(code, "similar_item") == 0));
                before = part;
            }
            CHECK_INT(sum, units(json_object_get(item, "score")));
            json_decref(root);
        }
}

static void test_only_rooms_have_host_and_propensity(void)
{
    const double parts[REASONS] = {0.4, 0.05};
    list = (struct recommendation){.room_count = 2, .host_count = 1, .rooms = {entry("r_1", parts), entry("r_2", parts)}, .hosts = {entry("h_1", parts)}};
    list.rooms[1].item = (struct slice){0};
    json_t *root = encoded(3), *rooms = json_object_get(root, "rooms"), *host = json_array_get(json_object_get(root, "hosts"), 0);
    CHECK_INT(json_array_size(rooms), 2);
    CHECK(strcmp(json_string_value(json_object_get(json_array_get(rooms, 0), "item")), "c_1") == 0);
    CHECK(json_object_get(json_array_get(rooms, 1), "item") == NULL);
    CHECK_INT(units(json_object_get(json_array_get(rooms, 0), "propensity")), 9525);
    CHECK(json_object_get(host, "propensity") == NULL && json_object_get(host, "host") == NULL);
    json_decref(root);
}

/* A full list with usual ids is a view as it is; with long ones only its rooms are. Never the user. */
static void view_of(const char *name, bool whole)
{
    const double parts[REASONS] = {0.1234, 0.1234, 0.1234, 0.1234, 0.1234, 0.1234, 0.1234, 0.1234};
    struct recommendation_text text = {0};
    struct writer view = {0};
    struct recommendation_head head = {.user = slice_of("u_88"), .scene = slice_of("home"), .arm = "a"};
    list = (struct recommendation){RECOMMEND_ROOMS, RECOMMEND_ITEMS, RECOMMEND_HOSTS, {{0}}, {{0}}, {{0}}};
    for (int i = 0; i < RECOMMEND_ROOMS; i++)
        list.rooms[i] = list.items[i] = list.hosts[i % RECOMMEND_HOSTS] = entry(name, parts);
    recommendation_encode(&head, &list, 3, &text);
    CHECK(recommendation_view(&text, 10000, &view));
    json_t *root = json_loadb((const char *)view.data, view.size, JSON_REJECT_DUPLICATES, NULL);
    CHECK(root && view.size <= 10000);
    CHECK(json_object_get(root, "user") == NULL && strcmp(json_string_value(json_object_get(root, "scene")), "home") == 0);
    CHECK_INT(json_array_size(json_object_get(root, "rooms")), RECOMMEND_ROOMS);
    CHECK((json_object_get(root, "items") != NULL) == whole && (json_object_get(root, "hosts") != NULL) == whole);
    CHECK(!recommendation_view(&text, 1000, &view) && view.size == 0);
    json_decref(root);
    writer_fini(&text.bytes);
    writer_fini(&view);
}

static void test_view(void)
{
    view_of("a_usual_name_016", true);
    view_of("a_name_of_36_bytes_like_those_of_uuid", false);
}

int main(void)
{
    test_head();
    test_parts_add_up_under_every_limit();
    test_only_rooms_have_host_and_propensity();
    test_view();
    return checks_failed != 0;
}
