#include "server/io/redis_scan.h"

#include "common/log.h"
#include "server/io/redis_ask.h"

#include <stdio.h>
#include <stdlib.h>

#define NODES_MAX 64
#define SCAN_COUNT "1000"

struct scan {
    const struct redis_store_settings *settings;
    struct redis_address nodes[NODES_MAX];
    int node_count;
    char pattern[300];
    redis_scan_each *each;
    void *arg;
};

static redisReply *ask(redisContext *c, int argc, const char **argv)
{
    redisReply *reply = redisCommandArgv(c, argc, argv, NULL);
    if (!reply || reply->type == REDIS_REPLY_ERROR) {
        log_error("redis_scan", "%s: %.100s", argv[0], reply ? reply->str : c->errstr);
        if (reply)
            freeReplyObject(reply);
        return NULL;
    }
    return reply;
}

/* False: there are more nodes than are looked at. */
static bool add_node(struct scan *s, const struct redis_address *a)
{
    for (int i = 0; i < s->node_count; i++)
        if (redis_address_equal(a, &s->nodes[i]))
            return true;
    if (s->node_count == NODES_MAX) {
        log_error("redis_scan", "the cluster has more than %d primaries; its state is not read", NODES_MAX);
        return false;
    }
    s->nodes[s->node_count++] = *a;
    return true;
}

static bool add_range(struct scan *s, const redisReply *range, const struct redis_address *asked)
{
    struct redis_address primary;
    if (redis_range_primary(range, asked, &primary))
        return add_node(s, &primary);
    log_error("redis_scan", "CLUSTER SLOTS: the answer is not understood");
    return false;
}

/* Where a server that is no cluster has its state: in its primary, or itself. */
static bool add_primary(struct scan *s, const redisReply *role, const struct redis_address *seed)
{
    struct redis_address a = *seed;
    bool replica = role->elements >= 3 && role->element[0]->type == REDIS_REPLY_STRING && strcmp(role->element[0]->str, "slave") == 0;
    if (replica && (role->element[1]->type != REDIS_REPLY_STRING || role->element[2]->type != REDIS_REPLY_INTEGER))
        return false;
    if (replica && (size_t)role->element[1]->len < sizeof a.host) {
        snprintf(a.host, sizeof a.host, "%s", role->element[1]->str);
        a.port = (uint16_t)role->element[2]->integer;
    }
    return add_node(s, &a);
}

/* The primaries: those of the cluster, else the primary behind `seed`. */
static enum err find_nodes(struct scan *s, const struct redis_address *seed)
{
    redisContext *c = redis_dial(&s->settings->connection, seed);
    if (!c)
        return ERR_IO;
    redisReply *role = ask(c, 1, (const char *[]){"ROLE"});
    redisReply *map = redisCommand(c, "CLUSTER SLOTS");
    bool cluster = map && map->type == REDIS_REPLY_ARRAY && map->elements > 0, good = cluster || role;
    for (size_t i = 0; good && cluster && i < map->elements; i++)
        good = add_range(s, map->element[i], seed);
    if (good && !cluster)
        good = add_primary(s, role, seed);
    if (role)
        freeReplyObject(role);
    if (map)
        freeReplyObject(map);
    redisFree(c);
    return good ? ERR_NONE : ERR_IO;
}

/* PREFIX:{STAGE.PARTITION}:NAME */
static bool parse_key(const struct scan *s, const redisReply *key, enum stage *out_stage, int32_t *out_partition,
                      struct blob_key *out_key)
{
    size_t prefix = strlen(s->settings->prefix) + 2;
    if (key->type != REDIS_REPLY_STRING || (size_t)key->len < prefix)
        return false;
    const char *at = key->str + prefix, *end = key->str + key->len;
    for (int i = 0; i < STAGES; i++) {
        size_t size = strlen(stage_names[i]);
        if ((size_t)(end - at) <= size || memcmp(at, stage_names[i], size) != 0 || at[size] != '.')
            continue;
        char *after;
        *out_stage = (enum stage)i;
        *out_partition = (int32_t)strtol(at + size + 1, &after, 10);
        return after + 2 < end && after[0] == '}' && after[1] == ':' &&
               redis_blob_parse((struct slice){after + 2, (uint32_t)(end - after - 2)}, out_key);
    }
    return false;
}

static enum err scan_page(struct scan *s, redisContext *c, const redisReply *keys)
{
    enum err err = ERR_NONE;
    for (size_t i = 0; i < keys->elements; i++) {
        const char *argv[] = {"GET", keys->element[i]->str};
        size_t sizes[] = {3, (size_t)keys->element[i]->len};
        redisAppendCommandArgv(c, 2, argv, sizes);
    }
    for (size_t i = 0; i < keys->elements; i++) {
        enum stage stage;
        int32_t partition;
        struct blob_key key;
        redisReply *value = NULL;
        if (redisGetReply(c, (void **)&value) != REDIS_OK) {
            log_error("redis_scan", "GET: %s", c->errstr);
            return ERR_IO;
        }
        if (value->type == REDIS_REPLY_STRING && parse_key(s, keys->element[i], &stage, &partition, &key))
            s->each(s->arg, stage, partition, key, (struct slice){value->str, (uint32_t)value->len});
        else if (value->type == REDIS_REPLY_ERROR && err == ERR_NONE) {
            log_error("redis_scan", "GET: %.100s", value->str);
            err = ERR_IO;
        }
        freeReplyObject(value);
    }
    return err;
}

static enum err scan_node(struct scan *s, const struct redis_address *address)
{
    char cursor[32] = "0";
    enum err err = ERR_NONE;
    redisContext *c = redis_dial(&s->settings->connection, address);
    if (!c)
        return ERR_IO;
    do {
        redisReply *page = ask(c, 6, (const char *[]){"SCAN", cursor, "MATCH", s->pattern, "COUNT", SCAN_COUNT});
        if (!page || page->elements != 2 || page->element[0]->type != REDIS_REPLY_STRING || page->element[1]->type != REDIS_REPLY_ARRAY) {
            if (page) {
                log_error("redis_scan", "SCAN: the answer is not understood");
                freeReplyObject(page);
            }
            err = ERR_IO;
            break;
        }
        snprintf(cursor, sizeof cursor, "%s", page->element[0]->str);
        err = scan_page(s, c, page->element[1]);
        freeReplyObject(page);
    } while (err == ERR_NONE && strcmp(cursor, "0") != 0);
    redisFree(c);
    return err;
}

enum err redis_scan(const struct redis_store_settings *settings, redis_scan_each *each, void *arg)
{
    struct scan s = {.settings = settings, .each = each, .arg = arg};
    char one[300];
    enum err err = ERR_IO;
    snprintf(s.pattern, sizeof s.pattern, "%s:{*", settings->prefix);
    for (const char *at = settings->addresses; *at && err != ERR_NONE;) {
        size_t size = strcspn(at, ",");
        struct redis_address seed;
        snprintf(one, sizeof one, "%.*s", (int)size, at);
        err = redis_address_parse(one, &seed);
        if (err == ERR_NONE)
            err = find_nodes(&s, &seed);
        at += size;
        at += *at == ',';
    }
    for (int i = 0; err == ERR_NONE && i < s.node_count; i++)
        err = scan_node(&s, &s.nodes[i]);
    return err;
}
