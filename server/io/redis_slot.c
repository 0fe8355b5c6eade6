/*
 * Requests of a slot are carried out one after the other. Commits rest on a standing WATCH of the position:
 *
 *   UNARMED --WATCH, GET sent--> ASKED --GET answered--> ARMED --MULTI … EXEC, WATCH, GET sent--> ASKED
 *
 * A large commit is handed to the connection piece by piece, as fast as it takes them, so that the loop is not held up
 * by copying all of it. What was begun is finished, or the connection goes down. A commit waits for ARMED and is sent only when the value read under the WATCH is the expected one; EXEC then fails
 * if anybody wrote the position since. A reset leaves the connection alone: what was sent before it is carried out
 * before what is sent after it, and its answers are unknown to the worker.
 */
#include "server/io/redis_slot.h"

#include "common/check.h"
#include "common/log.h"
#include "common/mutant.h"

#include <stdlib.h>

#define IDLE_CLOSE_MS 30000
#define PIECE_BYTES (256 * 1024) /* of commits, waiting in one connection */

enum arming { UNARMED, ASKED, ARMED };
enum step { STEP_LOAD, STEP_QUEUED, STEP_EXEC, STEP_GET };

struct entry {
    struct store_request *request;
    int64_t submitted_ms;
    size_t bytes;
    size_t blobs_sent;
    bool begun; /* a commit: some of it was handed to the connection */
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
    if (reply->type != REDIS_REPLY_ARRAY || FUZZ_MUTANT(load_elements, false, reply->elements != r->blob_count + 1)) {
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

static void add_key(struct redis_slot *s, struct writer *out, struct blob_key key)
{
    s->name.size = 0;
    redis_blob_id(key, &s->name);
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

static size_t present_of(const struct store_request *r)
{
    size_t present = 0;
    for (size_t i = 0; i < r->blob_count; i++)
        present += r->blobs[i].present;
    return present;
}

/* The deadline of the MSET runs from here. */
static void begin_commit(struct redis_slot *s, struct entry *e)
{
    struct writer *out = redis_connection_out(s->connection);
    const struct store_request *r = e->request;
    send_word(s, "MULTI", STEP_QUEUED);
    command_begin(out, 2 * present_of(r) + 3);
    command_add_text(out, "MSET");
    command_add(out, position_key(s));
    command_add(out, r->position);
    expect(s, STEP_QUEUED);
    e->begun = true;
}

static void end_commit(struct redis_slot *s, const struct store_request *r)
{
    struct writer *out = redis_connection_out(s->connection);
    size_t present = present_of(r);
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

/* False: the connection has enough for now. */
static bool send_commit(struct redis_slot *s, struct entry *e)
{
    const struct store_request *r = e->request;
    struct writer *out = redis_connection_out(s->connection);
    size_t waiting = redis_connection_unsent(s->connection);
    if (!e->begun)
        begin_commit(s, e);
    for (; e->blobs_sent < r->blob_count; e->blobs_sent++) {
        const struct blob *b = &r->blobs[e->blobs_sent];
        if (waiting + out->size >= PIECE_BYTES)
            return false;
        if (b->present) {
            add_key(s, out, b->key);
            command_add(out, b->value);
        }
    }
    end_commit(s, r);
    return true;
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
    if (e->begun)
        return e->sent = send_commit(s, e);
    if (!e->request->commit) {
        send_load(s, e->request);
    } else if (MUTANT(unchecked_commit, false, s->arming != ARMED)) {
        if (s->arming == UNARMED)
            arm(s);
        return false;
    } else if (MUTANT(unchecked_commit, true, is_expected(s, e->request))) {
        return e->sent = send_commit(s, e);
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
        if (entry_at(s, i)->cancelled && !entry_at(s, i)->begun) {
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
