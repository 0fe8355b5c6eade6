/*
 *   CLOSED --open--> WAITING --backoff over--> CONNECTING --socket up--> GREETING --all answers good--> READY
 *      ^                ^______________________________|________________________|__________________________|
 *      '-close (any)                     any failure: waiters get NULL, backoff grows
 *
 * The backoff of attempt n is uniform in [b/2, b], b = min(backoff_max, backoff_min * 2^n); n returns to 0 only when
 * the owner confirms that the service answers, so that a server that greets well and then refuses work is not hammered.
 */
#include "server/io/redis_connection.h"

#include "common/check.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/mutant.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

#define READ_BYTES_ONCE (256 * 1024)
#define READER_IDLE_BYTES (64 * 1024)
/* A slot map of 16,384 ranges with three addresses each is the largest answer in elements, a load in bytes. */
#define REPLY_ELEMENTS_MAX (1 << 19)
#define REPLY_BYTES_MAX (256u << 20)
#define BACKOFF_DOUBLINGS_MAX 10

enum state { CLOSED, WAITING, CONNECTING, GREETING, READY };

enum greeting_step { GREET_AUTH, GREET_ROLE, GREET_NAME, GREET_MEMORY, GREET_WATCH, GREET_MULTI, GREET_EXEC, GREET_END };

struct pending {
    struct redis_waiter waiter;
    int64_t deadline_ms;
};

struct redis_connection {
    struct event_base *base;
    struct evdns_base *dns;
    const struct redis_connection_settings *settings;
    struct redis_owner owner;
    struct redis_greeting greeting;
    enum state state;
    struct redis_address address; /* of the present or last attempt */
    struct bufferevent *stream;   /* owned; NULL outside CONNECTING..READY */
    redisReader *reader;          /* owned, like the stream */
    redisReplyObjectFunctions make; /* the reader's, but bounded */
    const redisReplyObjectFunctions *make_any;
    size_t reply_elements, reply_bytes; /* announced and read of the answer under way */
    bool too_many; /* elements announced: the reader takes that for missing memory */
    struct writer out;
    struct pending *pending; /* owned ring, oldest at `first` */
    size_t first, count, capacity;
    int64_t now_ms;
    int64_t due_ms; /* WAITING: next attempt; CONNECTING, GREETING: deadline */
    int attempts;
    bool overdue; /* the oldest request was late at the last turn: one more pass of the loop reads what has come */
    uint64_t reconnects;
    uint64_t random;
    /* Facts recorded by callbacks and waiters. */
    bool connected;
    bool ended;
    const char *cause; /* of the end, where the system names one; a text that is not ours to free */
    bool dropping;
    bool refused;
    enum redis_down verdict; /* when refused */
    bool has_primary;
    struct redis_address primary;
};

static const char *const down_names[] = {"unreachable", "closed by the peer", "no answer in time", "not the Redis protocol",
                                         "refused",     "not a primary",      "evicts keys",       "dropped"};

static void set_state(struct redis_connection *c, enum state state)
{
    static const uint8_t from[] = {[CLOSED] = 0x1f, [WAITING] = 0x1f, [CONNECTING] = 1 << WAITING,
                                   [GREETING] = 1 << CONNECTING, [READY] = 1 << GREETING};
    ASSERT(from[state] & (1 << c->state));
    c->state = state;
}

struct redis_connection *redis_connection_create(struct event_base *base, struct evdns_base *dns,
                                                 const struct redis_connection_settings *settings,
                                                 const struct redis_owner *owner,
                                                 const struct redis_greeting *greeting)
{
    struct redis_connection *c = calloc(1, sizeof *c);
    ASSERT(c);
    c->base = base;
    c->dns = dns;
    c->settings = settings;
    c->owner = *owner;
    c->greeting = *greeting;
    evutil_secure_rng_get_bytes(&c->random, sizeof c->random);
    return c;
}

static void close_stream(struct redis_connection *c)
{
    if (c->stream)
        bufferevent_free(c->stream);
    if (c->reader)
        redisReaderFree(c->reader);
    c->stream = NULL;
    c->reader = NULL;
    c->out.size = 0;
    c->connected = c->ended = c->dropping = c->refused = c->has_primary = false;
    c->cause = NULL;
}

void redis_connection_destroy(struct redis_connection *c)
{
    if (!c)
        return;
    close_stream(c);
    writer_fini(&c->out);
    free(c->pending);
    free(c);
}

/* Answers all waiters with NULL. They may not send, for the connection is down. */
static void abandon(struct redis_connection *c)
{
    while (c->count > 0) {
        struct redis_waiter waiter = c->pending[c->first].waiter;
        c->first = (c->first + 1) & (c->capacity - 1);
        c->count--;
        if (waiter.on_reply)
            waiter.on_reply(waiter.self, waiter.step, NULL);
    }
}

static void wait_backoff(struct redis_connection *c)
{
    int doublings = c->attempts < BACKOFF_DOUBLINGS_MAX ? c->attempts : BACKOFF_DOUBLINGS_MAX;
    int64_t span = (int64_t)c->settings->backoff_min_ms << doublings;
    if (span > c->settings->backoff_max_ms)
        span = c->settings->backoff_max_ms;
    c->random = hash_mix(c->random + 0x9e3779b97f4a7c15u);
    c->due_ms = c->now_ms + span / 2 + (int64_t)(c->random % (uint64_t)(span / 2 + 1));
    c->attempts++;
}

static void fail(struct redis_connection *c, enum redis_down why)
{
    bool was_ready = c->state == READY;
    bool has_primary = c->has_primary;
    const char *cause = c->ended ? c->cause : why == DOWN_UNREACHABLE ? "no answer in time" : NULL;
    bool lacks_memory = why == DOWN_PROTOCOL && c->reader->err == REDIS_ERR_OOM && !c->too_many;
    ASSERT(!lacks_memory); /* the process ends, as everywhere; it is no fault of the peer */
    close_stream(c);
    set_state(c, WAITING);
    wait_backoff(c);
    if (was_ready)
        c->reconnects++;
    if (why != DOWN_DROPPED)
        log_warning("redis_down", "Redis at %s:%u: %s%s%s; next attempt in %lld ms", c->address.host, c->address.port,
                    down_names[why], cause ? ": " : "", cause ? cause : "", (long long)(c->due_ms - c->now_ms));
    abandon(c);
    c->owner.on_down(c->owner.self, why, has_primary ? &c->primary : NULL);
}

static void record_readable(struct bufferevent *stream, void *arg)
{
    /* The bytes stay in the buffer until the turn. */
}

static void record_event(struct bufferevent *stream, short what, void *arg)
{
    struct redis_connection *c = arg;
    if (what & BEV_EVENT_CONNECTED)
        c->connected = true;
    if (what & (BEV_EVENT_ERROR | BEV_EVENT_EOF))
        c->ended = true;
    if (what & BEV_EVENT_ERROR) {
        int unresolved = bufferevent_socket_get_dns_error(stream);
        c->cause = unresolved ? evutil_gai_strerror(unresolved) : evutil_socket_error_to_string(EVUTIL_SOCKET_ERROR());
    }
}

#if HIREDIS_MAJOR < 1
typedef int reader_count;
#else
typedef size_t reader_count;
#endif

/* The reader takes memory for as many elements as a header announces, before any has come. */
static void *make_array(const redisReadTask *task, reader_count count)
{
    struct redis_connection *c = task->privdata;
    c->too_many = (size_t)count > FUZZ_MUTANT(elements_unbounded, SIZE_MAX, REPLY_ELEMENTS_MAX) - c->reply_elements;
    if (c->too_many)
        return NULL;
    c->reply_elements += (size_t)count;
    return c->make_any->createArray(task, count);
}

static void create_reader(struct redis_connection *c)
{
    c->reader = redisReaderCreate();
    ASSERT(c->reader);
    c->reader->maxbuf = READER_IDLE_BYTES;
    c->make_any = c->reader->fn;
    c->make = *c->make_any;
    c->make.createArray = make_array;
    c->reader->fn = &c->make;
    c->reader->privdata = c;
    c->reply_elements = c->reply_bytes = 0;
    c->too_many = false;
}

static void start_attempt(struct redis_connection *c)
{
    if (!c->owner.pick(c->owner.self, &c->address)) {
        wait_backoff(c);
        c->attempts--;
        return;
    }
    set_state(c, CONNECTING);
    c->due_ms = c->now_ms + c->settings->connect_timeout_ms;
    create_reader(c);
    c->stream = bufferevent_socket_new(c->base, -1, BEV_OPT_CLOSE_ON_FREE);
    ASSERT(c->stream);
    bufferevent_set_max_single_read(c->stream, READ_BYTES_ONCE);
    bufferevent_set_max_single_write(c->stream, READ_BYTES_ONCE);
    bufferevent_setcb(c->stream, record_readable, NULL, record_event, c);
    if (bufferevent_socket_connect_hostname(c->stream, c->dns, AF_UNSPEC, c->address.host, c->address.port) != 0)
        c->ended = true;
}

static void refuse(struct redis_connection *c, enum redis_down verdict)
{
    if (!c->refused)
        c->verdict = verdict;
    c->refused = true;
}

static void judge_role(struct redis_connection *c, const struct redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 1 || reply->element[0]->type != REDIS_REPLY_STRING) {
        refuse(c, DOWN_REFUSED);
        return;
    }
    const char *role = reply->element[0]->str;
    if (strcmp(role, "master") == 0 || (!c->greeting.primary_only && strcmp(role, "slave") == 0))
        return;
    refuse(c, DOWN_REPLICA);
    if (reply->elements < FUZZ_MUTANT(role_short, 0, 3) || reply->element[1]->type != REDIS_REPLY_STRING ||
        reply->element[2]->type != REDIS_REPLY_INTEGER)
        return;
    const struct redisReply *host = reply->element[1];
    long long port = reply->element[2]->integer;
    if (host->len == 0 || (size_t)host->len >= FUZZ_MUTANT(host_long, SIZE_MAX, sizeof c->primary.host) || port < 1 || port > 65535)
        return;
    c->primary = (struct redis_address){.port = (uint16_t)port};
    memcpy(c->primary.host, host->str, (size_t)host->len);
    c->has_primary = true;
}

static void judge_memory(struct redis_connection *c, const struct redisReply *reply)
{
    struct slice policy = redis_info_find(reply, "maxmemory_policy");
    if (!c->greeting.primary_only || policy.size == 0 || slice_equal(policy, slice_of("noeviction")))
        return;
    log_error("redis_evicts", "Redis at %s:%u has maxmemory-policy %.*s, which deletes state; it is not used until it is noeviction",
              c->address.host, c->address.port, (int)policy.size, policy.at);
    refuse(c, DOWN_EVICTS);
}

static void on_greeting(void *self, int step, const struct redisReply *reply)
{
    struct redis_connection *c = self;
    if (!reply)
        return;
    bool good = reply->type != REDIS_REPLY_ERROR;
    if (!good && step != GREET_NAME && step != GREET_MEMORY && !c->refused) {
        log_error("redis_greeting", "Redis at %s:%u refused %s: %.100s; see redis.user, redis.password_file and what its ACL allows",
                  c->address.host, c->address.port, step == GREET_AUTH ? "AUTH" : step == GREET_ROLE ? "ROLE" : "WATCH, MULTI, EXEC",
                  reply->str);
        refuse(c, DOWN_REFUSED);
    }
    if (good && step == GREET_ROLE)
        judge_role(c, reply);
    if (good && step == GREET_MEMORY)
        judge_memory(c, reply);
    if (good && step == GREET_EXEC && (reply->type != REDIS_REPLY_ARRAY || reply->elements != 0))
        refuse(c, DOWN_REFUSED);
    if (step == GREET_END && !c->refused) {
        set_state(c, READY);
        c->owner.on_ready(c->owner.self);
    }
}

static void greet(struct redis_connection *c, enum greeting_step step, int argc, const char *const *argv)
{
    command_begin(&c->out, (size_t)argc);
    for (int i = 0; i < argc; i++)
        command_add_text(&c->out, argv[i]);
    redis_connection_expect(c, (struct redis_waiter){on_greeting, c, (int)step});
}

static void start_greeting(struct redis_connection *c)
{
    const struct redis_connection_settings *s = c->settings;
    set_state(c, GREETING);
    int on = 1;
    evutil_socket_t fd = bufferevent_getfd(c->stream);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    bufferevent_enable(c->stream, EV_READ | EV_WRITE);
    if (s->password && *s->password) {
        const char *const with_user[] = {"AUTH", s->user, s->password}, *const without[] = {"AUTH", s->password};
        bool named = s->user && *s->user;
        greet(c, GREET_AUTH, named ? 3 : 2, named ? with_user : without);
    }
    greet(c, GREET_ROLE, 1, (const char *const[]){"ROLE"});
    if (s->client_name && *s->client_name)
        greet(c, GREET_NAME, 3, (const char *const[]){"CLIENT", "SETNAME", s->client_name});
    greet(c, GREET_MEMORY, 2, (const char *const[]){"INFO", "memory"});
    if (c->greeting.watch_key.size) {
        command_begin(&c->out, 2);
        command_add_text(&c->out, "WATCH");
        command_add(&c->out, c->greeting.watch_key);
        /* A cluster may redirect this one key; what counts is whether the command is known and allowed. */
        redis_connection_expect(c, (struct redis_waiter){NULL, NULL, 0});
        greet(c, GREET_WATCH, 1, (const char *const[]){"UNWATCH"});
        greet(c, GREET_MULTI, 1, (const char *const[]){"MULTI"});
        greet(c, GREET_EXEC, 1, (const char *const[]){"EXEC"});
    }
    greet(c, GREET_END, 1, (const char *const[]){"PING"});
}

/* False: the connection failed on the way. */
static bool answer_waiters(struct redis_connection *c)
{
    for (;;) {
        void *object = NULL;
        if (redisReaderGetReply(c->reader, &object) != REDIS_OK || (object && c->count == 0)) {
            if (object)
                freeReplyObject(object);
            fail(c, DOWN_PROTOCOL);
            return false;
        }
        if (!object)
            return true;
        c->reply_elements = c->reply_bytes = 0;
        struct redis_waiter waiter = c->pending[c->first].waiter;
        c->first = (c->first + 1) & (c->capacity - 1);
        c->count--;
        if (waiter.on_reply)
            waiter.on_reply(waiter.self, waiter.step, object);
        freeReplyObject(object);
        if (c->refused || c->dropping) {
            fail(c, c->refused ? c->verdict : DOWN_DROPPED);
            return false;
        }
    }
}

static bool take_input(struct redis_connection *c)
{
    struct evbuffer *input = bufferevent_get_input(c->stream);
    struct evbuffer_iovec chunks[16];
    while (evbuffer_get_length(input) > 0) {
        int count = evbuffer_peek(input, -1, NULL, chunks, 16);
        size_t taken = 0;
        for (int i = 0; i < count && i < 16; i++) {
            c->reply_bytes += chunks[i].iov_len;
            if (c->reply_bytes > REPLY_BYTES_MAX || redisReaderFeed(c->reader, chunks[i].iov_base, chunks[i].iov_len) != REDIS_OK) {
                fail(c, DOWN_PROTOCOL);
                return false;
            }
            taken += chunks[i].iov_len;
        }
        evbuffer_drain(input, taken);
        if (!answer_waiters(c))
            return false;
    }
    return true;
}

/* A turn may itself have lasted longer than the deadline; so it counts only when it is passed at two in a row. */
static bool is_late(struct redis_connection *c)
{
    bool late = c->state == READY && c->count > 0 && c->now_ms >= c->pending[c->first].deadline_ms;
    bool again = late && c->overdue;
    c->overdue = late;
    return again;
}

void redis_connection_turn(struct redis_connection *c, int64_t now_ms)
{
    c->now_ms = now_ms;
    if (c->state == WAITING && now_ms >= c->due_ms)
        start_attempt(c);
    if (c->state == CONNECTING && c->connected && !c->ended)
        start_greeting(c);
    if (c->state >= GREETING && !take_input(c))
        return;
    if (c->state < CONNECTING)
        return;
    if (c->dropping)
        fail(c, DOWN_DROPPED);
    else if (c->ended)
        fail(c, c->state == CONNECTING ? DOWN_UNREACHABLE : DOWN_CLOSED);
    else if (c->state != READY && now_ms >= c->due_ms)
        fail(c, DOWN_UNREACHABLE);
    else if (is_late(c))
        fail(c, DOWN_TIMEOUT);
    else
        redis_connection_flush(c);
}

void redis_connection_open(struct redis_connection *c)
{
    if (c->state != CLOSED)
        return;
    set_state(c, WAITING);
    if (c->attempts == 0)
        c->due_ms = 0;
    else
        wait_backoff(c);
}

void redis_connection_close(struct redis_connection *c)
{
    close_stream(c);
    set_state(c, CLOSED);
    abandon(c);
}

void redis_connection_drop(struct redis_connection *c)
{
    if (c->state >= CONNECTING)
        c->dropping = true;
}

bool redis_connection_is_ready(const struct redis_connection *c)
{
    return c->state == READY && !c->dropping;
}

const struct redis_address *redis_connection_address(const struct redis_connection *c)
{
    return &c->address;
}

void redis_connection_confirm(struct redis_connection *c)
{
    c->attempts = 0;
}

struct writer *redis_connection_out(struct redis_connection *c)
{
    ASSERT(c->state >= GREETING);
    return &c->out;
}

void redis_connection_expect(struct redis_connection *c, struct redis_waiter waiter)
{
    ASSERT(c->state >= GREETING);
    if (c->count == c->capacity) {
        size_t capacity = c->capacity ? c->capacity * 2 : 16;
        struct pending *grown = malloc(capacity * sizeof *grown);
        ASSERT(grown);
        for (size_t i = 0; i < c->count; i++)
            grown[i] = c->pending[(c->first + i) & (c->capacity - 1)];
        free(c->pending);
        c->pending = grown;
        c->capacity = capacity;
        c->first = 0;
    }
    c->pending[(c->first + c->count) & (c->capacity - 1)] =
        (struct pending){waiter, c->now_ms + c->settings->request_timeout_ms};
    c->count++;
}

void redis_connection_flush(struct redis_connection *c)
{
    if (c->out.size == 0 || c->state < GREETING)
        return;
    evbuffer_add(bufferevent_get_output(c->stream), c->out.data, c->out.size);
    c->out.size = 0;
}

size_t redis_connection_unsent(const struct redis_connection *c)
{
    return c->stream ? evbuffer_get_length(bufferevent_get_output(c->stream)) : 0;
}

uint64_t redis_connection_reconnects(const struct redis_connection *c)
{
    return c->reconnects;
}
