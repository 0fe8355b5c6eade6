/* inspect: what is known of one user, room, host or item, as JSON: the views, and for a user the folded state. */
#include "common/hash.h"
#include "common/hmac.h"
#include "common/text.h"
#include "server/engine/profile.h"
#include "server/io/redis_ask.h"
#include "server/verbs/connect.h"
#include "server/verbs/inspect_why.h"
#include "server/verbs/state_json.h"
#include "server/verbs/verb.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define REAL_DIGITS 9 /* what is published has fewer; 17 would print .1 as .10000000000000001 */

struct inspection {
    struct settings settings;
    struct redis_ask *redis;
    json_t *out;
    const char *why, *scene; /* asked for, or NULL */
    bool failed;
};

static json_t *text_of(const redisReply *r)
{
    json_t *text = json_loadb(r->str, (size_t)r->len, 0, NULL);
    return text ? text : json_stringn(r->str, (size_t)r->len);
}

static json_t *number_or_text(const redisReply *r)
{
    char *end;
    long long number = strtoll(r->str, &end, 10);
    return r->len && *end == 0 ? json_integer(number) : json_stringn(r->str, (size_t)r->len);
}

/* NULL also when Redis refuses or goes away, which is noted (and said by redis_ask). */
static redisReply *ask_key(struct inspection *in, const char *command, const char *key)
{
    redisReply *reply = redis_ask_key(in->redis, command, key);
    in->failed |= !reply;
    return reply;
}

/* A hash as an object, a string as it is; left out when there is none. */
static void add_view(struct inspection *in, const char *name, const char *kind, const char *id)
{
    char key[300];
    snprintf(key, sizeof key, "%s:%s:%s", in->settings.daemon.redis.prefix, kind, id);
    redisReply *type = ask_key(in, "TYPE", key);
    bool hash = type && strcmp(type->str, "hash") == 0, string = type && strcmp(type->str, "string") == 0;
    redisReply *value = hash ? ask_key(in, "HGETALL", key) : string ? ask_key(in, "GET", key) : NULL;
    if (value && hash) {
        json_t *fields = json_object();
        for (size_t i = 0; i + 1 < value->elements; i += 2)
            json_object_set_new(fields, value->element[i]->str, number_or_text(value->element[i + 1]));
        json_object_set_new(in->out, name, fields);
    } else if (value && value->type == REDIS_REPLY_STRING) {
        json_object_set_new(in->out, name, text_of(value));
    }
    if (type)
        freeReplyObject(type);
    if (value)
        freeReplyObject(value);
}

/* The blob stands in the slot of one of the profile tasks. Answers the state, the caller's; NULL: there is none. */
static struct profile *add_state(struct inspection *in, const uint8_t key[USER_KEY_BYTES])
{
    struct blob_key blob = {.class = 'u'};
    memcpy(&blob.id, key, sizeof blob.id);
    for (int32_t p = 0; p < 1024; p++) {
        struct writer header = {0}, name = {0};
        redis_blob_name(in->settings.daemon.redis.prefix, STAGE_PROFILE, p, HEADER_KEY, &header);
        redisReply *have = ask_key(in, "EXISTS", text_cstr(&header));
        bool exists = have && have->integer;
        if (have)
            freeReplyObject(have);
        redis_blob_name(in->settings.daemon.redis.prefix, STAGE_PROFILE, p, blob, &name);
        redisReply *value = exists ? redis_ask(in->redis, 2, (const char *[]){"GET", (const char *)name.data}, (const size_t[]){3, name.size}) : NULL;
        struct profile *profile = NULL;
        if (value && value->type == REDIS_REPLY_STRING &&
            profile_decode((struct slice){value->str, (uint32_t)value->len}, &profile) == ERR_NONE) {
            json_object_set_new(in->out, "task", json_sprintf("profile.%d", (int)p));
            json_object_set_new(in->out, "state_bytes", json_integer((json_int_t)value->len));
            json_object_set_new(in->out, "state", profile_json(profile, &in->settings.daemon.worker.profile));
        }
        if (value)
            freeReplyObject(value);
        writer_fini(&header);
        writer_fini(&name);
        if (!exists || profile)
            return profile;
    }
    return NULL;
}

static void add_why(struct inspection *in, const char *user, const struct profile *profile)
{
    static const char *const seen[] = {"state", "view", "recommendations", "items"}; /* the answer alone is asked for */
    struct profile *none = profile ? NULL : profile_create(); /* of whom nothing is known is ranked too */
    struct why_question q = {&in->settings, in->redis, user, profile ? profile : none, json_object_get(in->out, "recommendations"), in->why, in->scene};
    json_t *answer = inspect_why(&q);
    in->failed |= !answer;
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++)
        json_object_del(in->out, seen[i]);
    if (answer)
        json_object_set_new(in->out, "why", answer);
    profile_destroy(none);
}

static void inspect_user(struct inspection *in, const char *user)
{
    uint8_t key[USER_KEY_BYTES];
    char text[USER_KEY_TEXT + 1];
    const struct worker_settings *w = &in->settings.daemon.worker;
    struct user_hmac *h = user_hmac_create((struct slice){(const char *)w->user_key, w->user_key_size});
    if (!h)
        return;
    user_hmac_of(h, slice_of(user), key);
    user_key_text(key, text);
    user_hmac_destroy(h);
    json_object_set_new(in->out, "key", json_string(text));
    struct profile *profile = add_state(in, key);
    add_view(in, "view", "user", text);
    add_view(in, "recommendations", "rec", text);
    add_view(in, "items", "history", text);
    if (in->why)
        add_why(in, user, profile);
    profile_destroy(profile);
}

static void print_plain(const json_t *value, const char *path)
{
    const char *key;
    json_t *one;
    char inner[400];
    size_t i;
    if (json_is_object(value)) {
        json_object_foreach((json_t *)value, key, one) {
            snprintf(inner, sizeof inner, "%s%s%s", path, *path ? "." : "", key);
            print_plain(one, inner);
        }
    } else if (json_is_array(value)) {
        json_array_foreach(value, i, one) {
            snprintf(inner, sizeof inner, "%s[%zu]", path, i);
            print_plain(one, inner);
        }
    } else {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(REAL_DIGITS));
        printf("%-40s %s\n", path, text);
        free(text);
    }
}

int verb_inspect(int argc, char **argv)
{
    struct inspection in = {.out = json_object()};
    if (!connect_options(&argc, argv, &in.settings))
        return EXIT_CONFIG;
    bool json = false;
    in.why = take_option(&argc, argv, "--why");
    in.scene = take_option(&argc, argv, "--scene");
    if (!take_json(&argc, argv, &json) || !is_all_taken(&argc, argv, 2))
        return EXIT_USAGE;
    const char *kind = argc == 3 ? argv[1] : "";
    bool user = strcmp(kind, "user") == 0;
    if (!user && strcmp(kind, "room") != 0 && strcmp(kind, "host") != 0 && strcmp(kind, "item") != 0) {
        fputs("sluice inspect: user, room, host or item, and its id\n", stderr);
        return EXIT_USAGE;
    }
    if ((in.why || in.scene) && (!user || !in.why)) {
        fputs("sluice inspect: --why, with or without --scene, is asked of a user\n", stderr);
        return EXIT_USAGE;
    }
    in.redis = redis_ask_open(&in.settings.daemon.redis);
    if (!in.redis)
        return 1;
    json_object_set_new(in.out, "id", json_string(argv[2]));
    if (user)
        inspect_user(&in, argv[2]);
    else
        add_view(&in, "card", kind, argv[2]);
    if (strcmp(kind, "room") == 0 || strcmp(kind, "item") == 0)
        add_view(&in, "audience", strcmp(kind, "room") == 0 ? "audience:room" : "audience:item", argv[2]);
    if (strcmp(kind, "item") == 0)
        add_view(&in, "similar", "sim", argv[2]);
    bool found = !in.failed && (in.why || json_object_size(in.out) > (user ? 2u : 1u));
    if (in.failed)
        fputs("sluice inspect: not all could be read\n", stderr);
    if (json) {
        json_dumpf(in.out, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(REAL_DIGITS));
        putchar('\n');
    } else {
        print_plain(in.out, "");
    }
    if (!found && !in.failed)
        fprintf(stderr, "sluice inspect: nothing is known of %s %s\n", kind, argv[2]);
    redis_ask_close(in.redis);
    json_decref(in.out);
    settings_fini(&in.settings);
    return found ? 0 : 1;
}
