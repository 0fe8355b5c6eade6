/*
 * Requests of a slot are carried out one after the other. Commits rest on a standing WATCH of the position:
 *
 *   UNARMED --WATCH, GET sent--> ASKED --GET answered--> ARMED --MULTI … EXEC, WATCH, GET sent--> ASKED
 *
 * A commit waits for ARMED and is sent only when the value read under the WATCH is the expected one; EXEC then fails
 * if anybody wrote the position since. A reset leaves the connection alone: what was sent before it is carried out
 * before what is sent after it, and its answers are unknown to the worker.
 */
#include "server/io/redis_slot.h"

#include "common/check.h"
#include "common/log.h"
#include "common/mutant.h"

#include <stdlib.h>

#define IDLE_CLOSE_MS 30000

enum arming { UNARMED, ASKED, ARMED };
enum step { STEP_LOAD, STEP_QUEUED, STEP_EXEC, STEP_GET };

struct entry {
    struct store_request *request;
    int64_t submitted_ms;
    size_t bytes;
    bool sent;
    bool cancelled;
    bool out_of_memory;
};

struct redis_slot {
    struct redis_shared *shared;
    enum stage stage;
    int32_t partition;
    struct writer prefix;   /* owned: PREFIX:{STAGE.PARTITION}: */
    struct writer position; /* owned: the position's key */
    struct writer name;     /* owned: scratch */
    struct redis_connection *connection;
    struct redis_address address; /* learned from MOVED or ROLE */
    bool has_address;
    int seed;
    enum arming arming;
    bool known_present;
    struct writer known;   /* owned: the position as read under the WATCH */
    struct entry *entries; /* owned ring, oldest first */
    size_t first, count, capacity;
    int64_t used_ms;
    int64_t down_since_ms; /* 0: up or never wanted */
    bool open;
};

static struct entry *entry_at(struct redis_slot *s, size_t i)
{
    return &s->entries[(s->first + i) & (s->capacity - 1)];
}

static void finish(struct redis_shared *g, struct store_request *request, enum store_status status, size_t bytes)
{
    request->status = status;
    g->bytes -= bytes;
    if (g->done_count == g->done_capacity) {
        g->done_capacity = g->done_capacity ? g->done_capacity * 2 : 64;
        g->done = realloc(g->done, g->done_capacity * sizeof(struct store_request *));
        ASSERT(g->done);
    }
    g->done[g->done_count++] = request;
}

/* Answers the oldest request. */
static void answer(struct redis_slot *s, enum store_status status)
{
    struct entry *e = entry_at(s, 0);
    s->shared->memory_refusals += status == STORE_MEMORY;
    finish(s->shared, e->request, e->cancelled ? STORE_UNKNOWN : status, e->bytes);
    s->first = (s->first + 1) & (s->capacity - 1);
    s->count--;
}

static void answer_all_unknown(struct redis_slot *s)
{
    while (s->count)
        answer(s, STORE_UNKNOWN);
    s->arming = UNARMED;
}

static bool pick(void *self, struct redis_address *out_address)
{
    struct redis_slot *s = self;
    *out_address = s->has_address ? s->address : s->shared->seeds[s->seed++ % s->shared->seed_count];
    s->has_address = false; /* tried once; then the seeds again */
    return true;
}

static void on_ready(void *self)
{
    struct redis_slot *s = self;
    s->arming = UNARMED;
    s->down_since_ms = 0;
}

static void on_down(void *self, enum redis_down why, const struct redis_address *primary)
{
    struct redis_slot *s = self;
    if (primary) {
        s->address = *primary;
        s->has_address = true;
    }
    if (!s->down_since_ms)
        s->down_since_ms = s->shared->now_ms;
    answer_all_unknown(s);
}

struct redis_slot *redis_slot_create(struct redis_shared *shared, enum stage stage, int32_t partition)
{
    struct redis_slot *s = calloc(1, sizeof *s);
    ASSERT(s);
    s->shared = shared;
    s->stage = stage;
    s->partition = partition;
    redis_blob_name(shared->settings->prefix, stage, partition, POSITION_KEY, &s->position);
    const char *end = memchr(s->position.data, '}', s->position.size);
    ASSERT(end);
    put_bytes(&s->prefix, s->position.data, (size_t)(end + 2 - (const char *)s->position.data));
    struct redis_owner owner = {s, pick, on_ready, on_down};
    struct redis_greeting greeting = {true, {(const char *)s->position.data, (uint32_t)s->position.size}};
    s->connection = redis_connection_create(shared->base, shared->dns, &shared->settings->connection, &owner, &greeting);
    return s;
}

void redis_slot_destroy(struct redis_slot *s)
{
    answer_all_unknown(s);
    redis_connection_destroy(s->connection);
    writer_fini(&s->prefix);
    writer_fini(&s->position);
    writer_fini(&s->name);
    writer_fini(&s->known);
    free(s->entries);
    free(s);
}

static size_t bytes_of(const struct store_request *r)
{
    size_t bytes = r->position.size;
    for (size_t i = 0; i < r->blob_count; i++)
        bytes += 48 + (r->commit ? r->blobs[i].value.size : 0);
    return bytes;
}

void redis_slot_submit(struct redis_slot *s, struct store_request *request)
{
    if (s->count == s->capacity) {
        size_t capacity = s->capacity ? s->capacity * 2 : 8;
        struct entry *grown = malloc(capacity * sizeof *grown);
        ASSERT(grown);
        for (size_t i = 0; i < s->count; i++)
            grown[i] = *entry_at(s, i);
        free(s->entries);
        s->entries = grown;
        s->capacity = capacity;
        s->first = 0;
    }
    size_t bytes = bytes_of(request);
    s->shared->bytes += bytes;
    s->count++;
    *entry_at(s, s->count - 1) = (struct entry){.request = request, .submitted_ms = s->shared->now_ms, .bytes = bytes};
    s->used_ms = s->shared->now_ms;
    if (!s->open) {
        s->open = true;
        s->down_since_ms = s->shared->now_ms;
        redis_connection_open(s->connection);
    }
}

void redis_slot_reset(struct redis_slot *s)
{
    for (size_t i = 0; i < s->count; i++)
        entry_at(s, i)->cancelled = true;
}

/* What the answer of a command says about the connection; false: it is dropped or of no more use. */
static bool is_fine(struct redis_slot *s, const struct redisReply *reply)
{
    enum redis_trouble trouble = redis_trouble_of(reply);
    if (trouble == TROUBLE_NONE || trouble == TROUBLE_MEMORY)
        return true;
    if (trouble == TROUBLE_MOVED || trouble == TROUBLE_ASK)
        s->has_address = trouble == TROUBLE_MOVED &&
                         redis_trouble_address(reply, redis_connection_address(s->connection), &s->address);
    else if (trouble != TROUBLE_LOST)
        log_warning("redis_refused", "%s.%d: Redis answered \"%.80s\"; connecting again", stage_names[s->stage],
                    (int)s->partition, reply->str);
    if (trouble == TROUBLE_MOVED && s->has_address)
        redis_connection_confirm(s->connection); /* the next attempt goes elsewhere: at once */
    redis_connection_drop(s->connection);
    return false;
}

static bool take_blob(struct writer *reply, struct blob *b, const struct redisReply *value)
{
    b->present = value->type == REDIS_REPLY_STRING;
    b->value = (struct slice){(const char *)reply->data + reply->size, b->present ? (uint32_t)value->len : 0};
    if (b->present)
        put_bytes(reply, value->str, (size_t)value->len);
    return b->present || value->type == REDIS_REPLY_NIL;
}

static void on_load(struct redis_slot *s, const struct redisReply *reply)
{
    struct store_request *r = entry_at(s, 0)->request;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != r->blob_count + 1) {
        redis_connection_drop(s->connection);
        return;
    }
    size_t size = 0;
    for (size_t i = 0; i < reply->elements; i++)
        size += (size_t)reply->element[i]->len;
    r->reply.size = 0;
    writer_reserve(&r->reply, size + 1);
    bool good = take_blob(&r->reply, &r->current, reply->element[0]);
    for (size_t i = 0; i < r->blob_count; i++)
        good = take_blob(&r->reply, &r->blobs[i], reply->element[i + 1]) && good;
    redis_connection_confirm(s->connection);
    answer(s, good ? STORE_OK : STORE_UNKNOWN);
}

static void on_exec(struct redis_slot *s, const struct redisReply *reply)
{
    bool memory = entry_at(s, 0)->out_of_memory || redis_trouble_of(reply) == TROUBLE_MEMORY;
    if (memory && reply->type == REDIS_REPLY_ERROR) {
        answer(s, STORE_MEMORY);
        return;
    }
    if (!is_fine(s, reply))
        return;
    bool written = reply->type == REDIS_REPLY_ARRAY && reply->elements > 0;
    for (size_t i = 0; written && i < reply->elements; i++)
        written = reply->element[i]->type != REDIS_REPLY_ERROR;
    if (!written && reply->type != REDIS_REPLY_NIL) {
        log_error("redis_exec", "%s.%d: EXEC answered what it should not; connecting again", stage_names[s->stage],
                  (int)s->partition);
        redis_connection_drop(s->connection);
        return;
    }
    redis_connection_confirm(s->connection);
    answer(s, written ? STORE_OK : STORE_CONFLICT);
}

static void on_get(struct redis_slot *s, const struct redisReply *reply)
{
    s->known_present = reply->type == REDIS_REPLY_STRING;
    s->known.size = 0;
    if (s->known_present)
        put_bytes(&s->known, reply->str, (size_t)reply->len);
    s->arming = ARMED;
}

static void on_reply(void *self, int step, const struct redisReply *reply)
{
    struct redis_slot *s = self;
    if (!reply)
        return; /* on_down answers */
    s->shared->answer_ms = s->shared->now_ms;
    if (step == STEP_EXEC) {
        on_exec(s, reply);
    } else if (step == STEP_QUEUED && reply->type == REDIS_REPLY_ERROR) {
        /* EXEC says what became of it; a redirection is learned here. */
        if (redis_trouble_of(reply) == TROUBLE_MEMORY && s->count)
            entry_at(s, 0)->out_of_memory = true;
        else
            is_fine(s, reply);
    } else if (is_fine(s, reply)) {
        if (step == STEP_LOAD)
            on_load(s, reply);
        else if (step == STEP_GET)
            on_get(s, reply);
    }
}

static void expect(struct redis_slot *s, enum step step)
{
    redis_connection_expect(s->connection, (struct redis_waiter){on_reply, s, step});
}

static void send_word(struct redis_slot *s, const char *word, enum step step)
{
    struct writer *out = redis_connection_out(s->connection);
    command_begin(out, 1);
    command_add_text(out, word);
    expect(s, step);
}

static struct slice position_key(const struct redis_slot *s)
{
    return (struct slice){(const char *)s->position.data, (uint32_t)s->position.size};
}

static void arm(struct redis_slot *s)
{
    struct writer *out = redis_connection_out(s->connection);
    command_begin(out, 2);
    command_add_text(out, "WATCH");
    command_add(out, position_key(s));
    expect(s, STEP_QUEUED);
    command_begin(out, 2);
    command_add_text(out, "GET");
    command_add(out, position_key(s));
    expect(s, STEP_GET);
    s->arming = ASKED;
}

static void blob_name(struct blob_key key, struct writer *out);

static void add_key(struct redis_slot *s, struct writer *out, struct blob_key key)
{
    s->name.size = 0;
    blob_name(key, &s->name);
    command_add_joined(out, (struct slice){(const char *)s->prefix.data, (uint32_t)s->prefix.size},
                       (struct slice){(const char *)s->name.data, (uint32_t)s->name.size});
}

static void send_load(struct redis_slot *s, const struct store_request *r)
{
    struct writer *out = redis_connection_out(s->connection);
    command_begin(out, r->blob_count + 2);
    command_add_text(out, "MGET");
    command_add(out, position_key(s));
    for (size_t i = 0; i < r->blob_count; i++)
        add_key(s, out, r->blobs[i].key);
    expect(s, STEP_LOAD);
}

static void send_commit(struct redis_slot *s, const struct store_request *r)
{
    struct writer *out = redis_connection_out(s->connection);
    size_t present = 0;
    for (size_t i = 0; i < r->blob_count; i++)
        present += r->blobs[i].present;
    send_word(s, "MULTI", STEP_QUEUED);
    command_begin(out, 2 * present + 3);
    command_add_text(out, "MSET");
    command_add(out, position_key(s));
    command_add(out, r->position);
    for (size_t i = 0; i < r->blob_count; i++)
        if (r->blobs[i].present) {
            add_key(s, out, r->blobs[i].key);
            command_add(out, r->blobs[i].value);
        }
    expect(s, STEP_QUEUED);
    if (present < r->blob_count) {
        command_begin(out, r->blob_count - present + 1);
        command_add_text(out, "DEL");
        for (size_t i = 0; i < r->blob_count; i++)
            if (!r->blobs[i].present)
                add_key(s, out, r->blobs[i].key);
        expect(s, STEP_QUEUED);
    }
    send_word(s, "EXEC", STEP_EXEC);
    if (MUTANT(unchecked_commit, false, true))
        arm(s);
}

static bool is_expected(const struct redis_slot *s, const struct store_request *r)
{
    if (!r->expected.present)
        return !s->known_present;
    return s->known_present && s->known.size == r->expected.value.size &&
           memcmp(s->known.data, r->expected.value.at, s->known.size) == 0;
}

/* False: wait for an answer first. */
static bool send_one(struct redis_slot *s, size_t i)
{
    struct entry *e = entry_at(s, i);
    if (!e->request->commit) {
        send_load(s, e->request);
    } else if (MUTANT(unchecked_commit, false, s->arming != ARMED)) {
        if (s->arming == UNARMED)
            arm(s);
        return false;
    } else if (MUTANT(unchecked_commit, true, is_expected(s, e->request))) {
        send_commit(s, e->request);
    } else if (i > 0) {
        return false; /* answers keep the order of the requests */
    } else {
        send_word(s, "UNWATCH", STEP_QUEUED);
        s->arming = UNARMED;
        answer(s, STORE_CONFLICT);
        return true;
    }
    e->sent = true;
    return true;
}

void redis_slot_flush(struct redis_slot *s)
{
    if (!redis_connection_is_ready(s->connection))
        return;
    for (size_t i = 0; i < s->count;) {
        size_t count = s->count;
        if (entry_at(s, i)->sent) {
            i++;
            continue;
        }
        if (entry_at(s, i)->cancelled) {
            if (i > 0)
                break;
            answer(s, STORE_UNKNOWN);
            continue;
        }
        if (!send_one(s, i))
            break;
        i += s->count == count;
    }
    redis_connection_flush(s->connection);
}

void redis_slot_turn(struct redis_slot *s)
{
    const struct redis_shared *g = s->shared;
    redis_connection_turn(s->connection, g->now_ms);
    if (s->count && !redis_connection_is_ready(s->connection) &&
        g->now_ms - entry_at(s, 0)->submitted_ms >= g->settings->connection.request_timeout_ms)
        answer_all_unknown(s);
    if (s->open && s->count == 0 && g->now_ms - s->used_ms >= IDLE_CLOSE_MS) {
        redis_connection_close(s->connection);
        s->open = false;
        s->down_since_ms = 0;
        s->arming = UNARMED;
    }
    redis_slot_flush(s);
}

bool redis_slot_is_wanted(const struct redis_slot *s)
{
    return s->open;
}

bool redis_slot_is_ready(const struct redis_slot *s)
{
    return redis_connection_is_ready(s->connection);
}

int64_t redis_slot_down_ms(const struct redis_slot *s)
{
    return s->open && s->down_since_ms ? s->shared->now_ms - s->down_since_ms : 0;
}

uint64_t redis_slot_reconnects(const struct redis_slot *s)
{
    return redis_connection_reconnects(s->connection);
}

static void blob_name(struct blob_key key, struct writer *out)
{
    if (key.class == 'p' || key.class == 'h' || key.class == 'x') {
        const char *name = key.class == 'p' ? "position" : key.class == 'h' ? "header" : "chain";
        put_bytes(out, name, strlen(name));
        return;
    }
    put_u8(out, (uint8_t)key.class);
    put_u64(out, key.id);
}

void redis_blob_name(const char *prefix, enum stage stage, int32_t partition, struct blob_key key, struct writer *out)
{
    char tag[64];
    int size = snprintf(tag, sizeof tag, ":{%s.%d}:", stage_names[stage], (int)partition);
    put_bytes(out, prefix, strlen(prefix));
    put_bytes(out, tag, (size_t)size);
    blob_name(key, out);
}

bool redis_blob_parse(struct slice name, struct blob_key *out_key)
{
    static const struct blob_key *const fixed[] = {&POSITION_KEY, &HEADER_KEY, &CHAIN_KEY};
    static const char *const names[] = {"position", "header", "chain"};
    for (int i = 0; i < 3; i++)
        if (slice_equal(name, slice_of(names[i]))) {
            *out_key = *fixed[i];
            return true;
        }
    if (name.size != 9)
        return false;
    struct reader r = reader_of(name.at + 1, 8);
    *out_key = (struct blob_key){name.at[0], get_u64(&r)};
    return true;
}
