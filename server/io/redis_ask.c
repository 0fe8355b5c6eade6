#include "server/io/redis_ask.h"

#include "common/check.h"
#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>

#define NODES_MAX 64
#define REDIRECTS_MAX 4

struct redis_ask {
    const struct redis_store_settings *settings;
    int count, current;
    char addresses[NODES_MAX][280];
    redisContext *nodes[NODES_MAX]; /* owned */
};

static bool authenticate(redisContext *c, const struct redis_connection_settings *s, const struct redis_address *address)
{
    bool named = s->user && *s->user;
    const char *argv[] = {"AUTH", named ? s->user : s->password, s->password};
    if (!s->password || !*s->password)
        return true;
    redisReply *answer = redisCommandArgv(c, named ? 3 : 2, argv, NULL);
    bool good = answer && answer->type != REDIS_REPLY_ERROR;
    if (!good)
        log_error("redis_dial", "Redis at %s:%u refused AUTH: %.100s", address->host, address->port, answer ? answer->str : c->errstr);
    if (answer)
        freeReplyObject(answer);
    return good;
}

redisContext *redis_dial(const struct redis_connection_settings *s, const struct redis_address *address)
{
    struct timeval connect = {s->connect_timeout_ms / 1000, s->connect_timeout_ms % 1000 * 1000},
                   request = {s->request_timeout_ms / 1000, s->request_timeout_ms % 1000 * 1000};
    redisContext *c = redisConnectWithTimeout(address->host, address->port, connect);
    if (!c || c->err)
        log_error("redis_dial", "Redis at %s:%u: %s", address->host, address->port, c ? c->errstr : "out of memory");
    else if (redisSetTimeout(c, request) == REDIS_OK && authenticate(c, s, address))
        return c;
    redisFree(c);
    return NULL;
}

/* Index of the node, connected; -1. */
static int node_of(struct redis_ask *a, const char *address)
{
    for (int i = 0; i < a->count; i++)
        if (strcmp(a->addresses[i], address) == 0)
            return i;
    struct redis_address parsed;
    bool known = a->count < NODES_MAX && redis_address_parse(address, &parsed) == ERR_NONE;
    redisContext *c = known ? redis_dial(&a->settings->connection, &parsed) : NULL;
    if (!c)
        return -1;
    snprintf(a->addresses[a->count], sizeof a->addresses[0], "%s", address);
    a->nodes[a->count] = c;
    return a->count++;
}

struct redis_ask *redis_ask_open(const struct redis_store_settings *settings)
{
    struct redis_ask *a = calloc(1, sizeof *a);
    ASSERT(a);
    a->settings = settings;
    for (const char *at = settings->addresses; *at && a->count == 0;) {
        char one[280];
        size_t size = strcspn(at, ",");
        snprintf(one, sizeof one, "%.*s", (int)size, at);
        node_of(a, one);
        at += size + (at[size] == ',');
    }
    if (a->count)
        return a;
    free(a);
    return NULL;
}

void redis_ask_close(struct redis_ask *a)
{
    for (int i = 0; a && i < a->count; i++)
        redisFree(a->nodes[i]);
    free(a);
}

redisReply *redis_ask(struct redis_ask *a, int argc, const char *const *argv, const size_t *sizes)
{
    for (int tries = 0; tries < REDIRECTS_MAX; tries++) {
        redisReply *r = redisCommandArgv(a->nodes[a->current], argc, (const char **)(uintptr_t)argv, sizes);
        if (!r) {
            log_error("redis_ask", "%s: %s", a->addresses[a->current], a->nodes[a->current]->errstr);
            return NULL;
        }
        if (r->type != REDIS_REPLY_ERROR)
            return r;
        const char *address = strncmp(r->str, "MOVED ", 6) == 0 ? strrchr(r->str, ' ') : NULL;
        int node = address ? node_of(a, address + 1) : -1;
        if (node < 0)
            log_error("redis_ask", "%s: %s", argv[0], r->str);
        freeReplyObject(r);
        if (node < 0)
            return NULL;
        a->current = node;
    }
    return NULL;
}

redisReply *redis_ask_key(struct redis_ask *a, const char *command, const char *key)
{
    const char *argv[] = {command, key};
    const size_t sizes[] = {strlen(command), strlen(key)};
    return redis_ask(a, 2, argv, sizes);
}
