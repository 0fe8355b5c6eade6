#include "server/io/redis_views.h"

#include "common/check.h"
#include "common/hash.h"
#include "common/log.h"
#include "server/io/redis_keys.h"

#include <stdlib.h>

#define NODES_MAX 64
#define CLUSTER_SLOTS 16384
#define READS_MAX 2048 /* a task has one at a time */
#define INFO_INTERVAL_MS 5000
#define DECISIONS_TTL_S (30 * 86400)
#define SHARED_MEMBERS_MAX 128
#define CATALOGUE_INTERVAL_MS 3600000

struct node {
    struct redis_views *views;
    struct redis_connection *connection; /* owned */
    struct redis_address address;
    size_t bytes; /* of commands not yet answered, roughly */
};

struct read {
    struct view_read *read;
    size_t left;      /* answers missing */
    size_t *from;     /* owned; where each value begins in read->reply */
    int64_t since_ms;
    bool failed;
};

/* An answer under way: what it belongs to. */
struct ticket {
    struct node *node;
    struct read *read; /* NULL: a write */
    uint32_t index;    /* of the key */
    uint32_t count;    /* of keys in one MGET */
    size_t bytes;
    struct ticket *next_free;
};

struct redis_views {
    struct redis_shared *shared;
    struct node nodes[NODES_MAX];
    int node_count;
    bool is_cluster, map_due, map_asked;
    uint8_t owner_of[CLUSTER_SLOTS];
    struct read reads[READS_MAX]; /* a ring, oldest first */
    size_t first, count;
    struct ticket *free_tickets;
    struct writer key; /* owned: scratch */
    int seed;
    int64_t info_ms, catalogue_ms;
    uint64_t written, written_bytes, dropped, answered_reads, used_bytes, max_bytes, random;
};

enum { STEP_VIEW, STEP_MAP, STEP_INFO };

static bool pick(void *self, struct redis_address *out_address)
{
    struct node *n = self;
    struct redis_views *v = n->views;
    if (n == v->nodes && (!v->is_cluster || n->address.port == 0))
        n->address = n->address.port ? n->address : v->shared->seeds[v->seed++ % v->shared->seed_count];
    *out_address = n->address;
    return n->address.port != 0;
}

static void on_ready(void *self)
{
    struct node *n = self;
    redis_connection_confirm(n->connection);
    if (n == n->views->nodes)
        n->views->map_due = true;
}

static void on_down(void *self, enum redis_down why, const struct redis_address *primary)
{
    struct node *n = self;
    n->bytes = 0;
    n->views->map_asked = n == n->views->nodes ? false : n->views->map_asked;
    n->views->map_due = true;
    if (n == n->views->nodes)
        n->address = primary ? *primary : (struct redis_address){{0}, 0};
}

static struct node *node_of(struct redis_views *v, const struct redis_address *address)
{
    for (int i = 0; i < v->node_count; i++)
        if (redis_address_equal(&v->nodes[i].address, address))
            return &v->nodes[i];
    if (v->node_count == NODES_MAX)
        return NULL;
    struct node *n = &v->nodes[v->node_count++];
    struct redis_owner owner = {n, pick, on_ready, on_down};
    struct redis_greeting greeting = {true, {NULL, 0}};
    *n = (struct node){.views = v, .address = *address};
    n->connection = redis_connection_create(v->shared->base, v->shared->dns, &v->shared->settings->connection, &owner, &greeting);
    redis_connection_open(n->connection);
    return n;
}

struct redis_views *redis_views_create(struct redis_shared *shared)
{
    struct redis_views *v = calloc(1, sizeof *v);
    ASSERT(v);
    v->shared = shared;
    v->random = hash64(&shared, sizeof shared, (uint64_t)shared->seed_count);
    node_of(v, &shared->seeds[0]);
    v->seed = 1;
    return v;
}

void redis_views_close(struct redis_views *v)
{
    for (int i = 0; i < v->node_count; i++)
        redis_connection_close(v->nodes[i].connection);
}

void redis_views_destroy(struct redis_views *v)
{
    for (int i = 0; i < v->node_count; i++)
        redis_connection_destroy(v->nodes[i].connection);
    for (struct ticket *t = v->free_tickets, *next; t; t = next) {
        next = t->next_free;
        free(t);
    }
    for (size_t i = 0; i < READS_MAX; i++)
        free(v->reads[i].from);
    writer_fini(&v->key);
    free(v);
}

static struct slice full_key(struct redis_views *v, struct slice key)
{
    v->key.size = 0;
    put_bytes(&v->key, v->shared->settings->prefix, strlen(v->shared->settings->prefix));
    put_bytes(&v->key, ":", 1);
    put_bytes(&v->key, key.at, key.size);
    return (struct slice){(const char *)v->key.data, (uint32_t)v->key.size};
}

static struct node *node_for(struct redis_views *v, struct slice key)
{
    return v->is_cluster ? &v->nodes[v->owner_of[redis_slot(key.at, key.size)]] : &v->nodes[0];
}

static void value_read(struct read *r, uint32_t index, const struct redisReply *value)
{
    struct blob *b = &r->read->values[index];
    b->present = value->type == REDIS_REPLY_STRING;
    r->from[index] = r->read->reply.size;
    b->value = (struct slice){NULL, b->present ? (uint32_t)value->len : 0};
    if (b->present)
        put_bytes(&r->read->reply, value->str, (size_t)value->len);
}

static void read_answered(struct ticket *t, const struct redisReply *reply)
{
    struct read *r = t->read;
    r->left -= t->count;
    if (!reply || reply->type == REDIS_REPLY_ERROR || (reply->type == REDIS_REPLY_ARRAY && reply->elements != t->count))
        r->failed = true;
    else if (reply->type != REDIS_REPLY_ARRAY)
        value_read(r, t->index, reply);
    else
        for (uint32_t i = 0; i < t->count; i++)
            value_read(r, t->index + i, reply->element[i]);
}

static void on_reply(void *self, int step, const struct redisReply *reply)
{
    struct ticket *t = self;
    struct redis_views *v = t->node->views;
    t->node->bytes -= t->node->bytes < t->bytes ? t->node->bytes : t->bytes;
    enum redis_trouble trouble = redis_trouble_of(reply);
    if (trouble == TROUBLE_MOVED)
        v->map_due = true;
    if (trouble == TROUBLE_DEMOTED)
        redis_connection_drop(t->node->connection);
    v->dropped += trouble != TROUBLE_NONE && !t->read;
    if (t->read)
        read_answered(t, reply);
    t->next_free = v->free_tickets;
    v->free_tickets = t;
}

static void expect(struct node *n, struct read *read, uint32_t index, uint32_t count, size_t bytes)
{
    struct ticket *t = n->views->free_tickets ? n->views->free_tickets : calloc(1, sizeof *t);
    ASSERT(t);
    n->views->free_tickets = t->next_free;
    *t = (struct ticket){n, read, index, count, bytes, NULL};
    n->bytes += bytes;
    redis_connection_expect(n->connection, (struct redis_waiter){on_reply, t, STEP_VIEW});
}

bool redis_views_are_late(const struct redis_views *v)
{
    for (int i = 0; i < v->node_count; i++)
        if (v->nodes[i].bytes >= v->shared->settings->view_bytes_max / 2)
            return true;
    return false;
}

/* The writer of the node's connection, or NULL and the view is dropped. */
static struct writer *writer_for(struct redis_views *v, struct node *n)
{
    if (redis_connection_is_ready(n->connection) && n->bytes < v->shared->settings->view_bytes_max)
        return redis_connection_out(n->connection);
    v->dropped++;
    return NULL;
}

/* Up to a tenth more than asked for, so that what was written together does not expire together. */
static int64_t jittered(struct redis_views *v, uint32_t ttl_s)
{
    int64_t ttl = ttl_s ? ttl_s : v->shared->settings->view_ttl_s;
    v->random = hash_mix(v->random + 0x9e3779b97f4a7c15u);
    return ttl + (int64_t)(v->random % (uint64_t)(ttl / 10 + 1));
}

static void send_word(struct node *n, struct writer *out, const char *word)
{
    command_begin(out, 1);
    command_add_text(out, word);
    expect(n, NULL, 0, 0, 0);
}

static void expire(struct redis_views *v, struct writer *out, struct slice key, uint32_t ttl_s)
{
    command_begin(out, 3);
    command_add_text(out, "EXPIRE");
    command_add(out, key);
    command_add_int(out, jittered(v, ttl_s));
}

static void add_pairs(struct writer *out, struct slice key, const struct view_write *write)
{
    command_begin(out, (size_t)write->field_count + 2);
    command_add_text(out, write->sorted ? "ZADD" : "HSET");
    command_add(out, key);
    for (int i = 0; i < write->field_count; i++)
        command_add(out, write->fields[write->sorted ? i ^ 1 : i]); /* ZADD has the score first */
}

/* Replaces the whole hash or sorted set in one step, so that no reader sees it half or with fields of before. */
static void write_pairs(struct redis_views *v, struct node *n, struct writer *out, struct slice key, const struct view_write *write)
{
    if (!write->same_fields)
        send_word(n, out, "MULTI");
    if (write->drop_below) {
        command_begin(out, 4);
        command_add_text(out, "ZREMRANGEBYSCORE");
        command_add(out, key);
        command_add_text(out, "-inf");
        command_add_text(out, write->drop_below);
        expect(n, NULL, 0, 0, 0);
    } else if (!write->same_fields) {
        command_begin(out, 2);
        command_add_text(out, "DEL");
        command_add(out, key);
        expect(n, NULL, 0, 0, 0);
    }
    add_pairs(out, key, write);
    expect(n, NULL, 0, 0, 0);
    if (write->drop_below) {
        command_begin(out, 4);
        command_add_text(out, "ZREMRANGEBYRANK");
        command_add(out, key);
        command_add_int(out, 0);
        command_add_int(out, -SHARED_MEMBERS_MAX - 1);
        expect(n, NULL, 0, 0, 0);
    }
    expire(v, out, key, write->ttl_s);
    if (!write->same_fields) {
        expect(n, NULL, 0, 0, 0);
        command_begin(out, 1);
        command_add_text(out, "EXEC");
    }
}

void redis_views_write(struct redis_views *v, const struct view_write *write)
{
    struct slice key = full_key(v, write->key);
    struct node *n = node_for(v, key);
    struct writer *out = writer_for(v, n);
    if (!out)
        return;
    v->written++;
    size_t before = out->size;
    if (write->removed) {
        command_begin(out, 2);
        command_add_text(out, "DEL");
        command_add(out, key);
    } else if (write->field_count == 0) {
        command_begin(out, 5);
        command_add_text(out, "SET");
        command_add(out, key);
        command_add(out, write->value);
        command_add_text(out, "EX");
        command_add_int(out, jittered(v, write->ttl_s));
    } else {
        write_pairs(v, n, out, key, write);
    }
    v->written_bytes += out->size - before;
    expect(n, NULL, 0, 0, out->size - before);
}

void redis_views_decision(struct redis_views *v, const struct slice *fields, int count)
{
    struct slice key = full_key(v, slice_of("decisions"));
    struct node *n = node_for(v, key);
    struct writer *out = writer_for(v, n);
    if (!out)
        return;
    v->written++;
    size_t before = out->size;
    command_begin(out, (size_t)count + 6);
    command_add_text(out, "XADD");
    command_add(out, key);
    command_add_text(out, "MAXLEN");
    command_add_text(out, "~");
    command_add_int(out, v->shared->settings->decisions_max);
    command_add_text(out, "*");
    for (int i = 0; i < count; i++)
        command_add(out, fields[i]);
    expect(n, NULL, 0, 0, out->size - before);
    expire(v, out, key, DECISIONS_TTL_S);
    expect(n, NULL, 0, 0, 0);
}

static void send_read(struct redis_views *v, struct read *r)
{
    size_t count = r->read->count;
    if (!v->is_cluster) {
        struct writer *out = redis_connection_out(v->nodes[0].connection);
        command_begin(out, count + 1);
        command_add_text(out, "MGET");
        for (size_t i = 0; i < count; i++)
            command_add(out, full_key(v, r->read->keys[i]));
        expect(&v->nodes[0], r, 0, (uint32_t)count, 32 * count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct slice key = full_key(v, r->read->keys[i]);
        struct node *n = node_for(v, key);
        if (!redis_connection_is_ready(n->connection)) {
            r->failed = true;
            r->left--;
            continue;
        }
        struct writer *out = redis_connection_out(n->connection);
        command_begin(out, 2);
        command_add_text(out, "GET");
        command_add(out, key);
        expect(n, r, (uint32_t)i, 1, 32);
    }
}

void redis_views_read(struct redis_views *v, struct view_read *read)
{
    ASSERT(v->count < READS_MAX);
    struct read *r = &v->reads[(v->first + v->count++) % READS_MAX];
    free(r->from);
    *r = (struct read){.read = read, .left = read->count, .since_ms = v->shared->now_ms};
    r->from = calloc(read->count + 1, sizeof *r->from);
    ASSERT(r->from);
    read->reply.size = 0;
    if (!redis_connection_is_ready(v->nodes[0].connection)) {
        r->failed = true;
        r->left = 0;
        return;
    }
    send_read(v, r);
}

struct view_read *redis_views_done(struct redis_views *v)
{
    struct read *r = &v->reads[v->first];
    if (v->count == 0 || r->left > 0)
        return NULL;
    v->first = (v->first + 1) % READS_MAX;
    v->count--;
    v->answered_reads += r->read->count;
    r->read->failed = r->failed;
    for (size_t i = 0; i < r->read->count; i++) {
        struct blob *b = &r->read->values[i];
        if (r->failed)
            *b = (struct blob){.present = false};
        else
            b->value.at = (const char *)r->read->reply.data + r->from[i];
    }
    return r->read;
}

/* A node that lost its slots is left alone until it has some again; the first one also asks for the map. */
static void leave_idle_nodes(struct redis_views *v)
{
    bool owns[NODES_MAX] = {true};
    for (int s = 0; s < CLUSTER_SLOTS; s++)
        owns[v->owner_of[s]] = true;
    for (int i = 1; i < v->node_count; i++)
        (owns[i] ? redis_connection_open : redis_connection_close)(v->nodes[i].connection);
}

static void on_map(void *self, int step, const struct redisReply *reply)
{
    struct redis_views *v = self;
    struct redis_address address;
    v->map_asked = false;
    if (!reply || reply->type != REDIS_REPLY_ARRAY)
        return;
    v->is_cluster = true;
    for (size_t i = 0; i < reply->elements; i++) {
        const struct redisReply *range = reply->element[i];
        if (!redis_range_primary(range, redis_connection_address(v->nodes[0].connection), &address))
            continue;
        const struct node *n = node_of(v, &address);
        for (long long s = range->element[0]->integer; n && s >= 0 && s <= range->element[1]->integer && s < CLUSTER_SLOTS; s++)
            v->owner_of[s] = (uint8_t)(n - v->nodes);
    }
    leave_idle_nodes(v);
}

static void on_info(void *self, int step, const struct redisReply *reply)
{
    struct redis_views *v = self;
    struct slice used = redis_info_find(reply, "used_memory"), most = redis_info_find(reply, "maxmemory");
    if (used.size)
        v->used_bytes = strtoull(used.at, NULL, 10);
    if (most.size)
        v->max_bytes = strtoull(most.at, NULL, 10);
}

static void ask(struct redis_views *v)
{
    struct redis_connection *c = v->nodes[0].connection;
    if (!redis_connection_is_ready(c))
        return;
    if (v->map_due && !v->map_asked) {
        v->map_due = false;
        v->map_asked = true;
        command_begin(redis_connection_out(c), 2);
        command_add_text(redis_connection_out(c), "CLUSTER");
        command_add_text(redis_connection_out(c), "SLOTS");
        redis_connection_expect(c, (struct redis_waiter){on_map, v, STEP_MAP});
    }
    if (v->shared->now_ms - v->info_ms >= INFO_INTERVAL_MS) {
        v->info_ms = v->shared->now_ms;
        command_begin(redis_connection_out(c), 2);
        command_add_text(redis_connection_out(c), "INFO");
        command_add_text(redis_connection_out(c), "memory");
        redis_connection_expect(c, (struct redis_waiter){on_info, v, STEP_INFO});
    }
}

/* What the keys are, told where they are. */
static void write_catalogue(struct redis_views *v)
{
    struct slice fields[2 * REDIS_KEYS_MAX];
    if (!redis_connection_is_ready(v->nodes[0].connection) || (v->catalogue_ms && v->shared->now_ms - v->catalogue_ms < CATALOGUE_INTERVAL_MS))
        return;
    v->catalogue_ms = v->shared->now_ms;
    int count = redis_keys_fields(fields);
    redis_views_write(v, &(struct view_write){.key = slice_of("catalogue"), .fields = fields, .field_count = count});
}

void redis_views_turn(struct redis_views *v)
{
    for (int i = 0; i < v->node_count; i++)
        redis_connection_turn(v->nodes[i].connection, v->shared->now_ms);
    ask(v);
    write_catalogue(v);
}

void redis_views_flush(struct redis_views *v)
{
    for (int i = 0; i < v->node_count; i++)
        if (redis_connection_is_ready(v->nodes[i].connection))
            redis_connection_flush(v->nodes[i].connection);
}

void redis_views_stats(const struct redis_views *v, struct redis_store_stats *out_stats)
{
    out_stats->views_written = v->written;
    out_stats->views_written_bytes = v->written_bytes;
    out_stats->views_dropped = v->dropped;
    out_stats->views_read = v->answered_reads;
    out_stats->used_bytes = v->used_bytes;
    out_stats->max_bytes = v->max_bytes;
    for (int i = 0; i < v->node_count; i++)
        out_stats->reconnects += redis_connection_reconnects(v->nodes[i].connection);
}
