/*
 * The Redis client against a server that answers anything: whatever comes, every request is handed back once, with
 * values only when it was answered well. An input is the answers to the commands in their order, each ended by 0x1e:
 * those of the first, third … connection (the task's, if all goes well), 0x1d, those of the others (the views').
 */
#include "common/log.h"
#include "common/text.h"
#include "server/io/redis_store.h"
#include "tests/fuzz/fuzz.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_END 0x1e
#define STREAM_END 0x1d
#define CLIENTS 4
#define TURNS 80 /* of 100 ms: more than the timeouts below */

struct client {
    int fd;           /* -1: none */
    int stream;
    struct writer in; /* owned; commands not yet complete */
};

struct server {
    int listener;
    uint64_t accepted;
    struct slice left[2]; /* of the input */
    struct client clients[CLIENTS];
};

struct asked {
    struct store_request load, commit;
    struct blob load_blobs[2], commit_blobs[2];
    int loaded, committed, read;
    struct view_read views;
};

static void make(struct writer *w)
{
    static const char *const greeting[] = {"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n", "+OK\r\n", "$29\r\nmaxmemory_policy:noeviction\r\n\r\n", "+OK\r\n", "+OK\r\n", "+OK\r\n", "*0\r\n",
                                           "+PONG\r\n"};
    static const char *const work[] = {"*3\r\n$1\r\np\r\n$4\r\nblob\r\n$-1\r\n", "+OK\r\n", "$1\r\np\r\n", "+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "*2\r\n+OK\r\n:1\r\n", "+OK\r\n",
                                       "$1\r\nq\r\n"};
    static const char *const odd[] = {"-MOVED 3999 127.0.0.1:1\r\n", "-MOVED 1 :99999\r\n", "-MOVED\r\n", "-ASK 1 :7\r\n", "-OOM no\r\n", "-EXECABORT OOM \r\n", "-LOADING\r\n",
                                      "*-1\r\n", "$-1\r\n", ":9223372036854775807\r\n", "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", "*3\r\n$5\r\nslave\r\n$1\r\nh\r\n:7\r\n", "*1\r\n$5\r\nslave\r\n", "*9\r\n$1\r\np\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n$1\r\n5\r\n$1\r\n6\r\n$1\r\n7\r\n$1\r\n8\r\n",
                                      "$5\r\nab", "*4\r\n$1\r\n", "-\r\n", "+\r\n", "*2\r\n:1\r\n", "*0\r\n", "%1\r\n", "\r\n", "*1\r\n-ERR x\r\n", "$70000\r\n",
                                      "*2147483647\r\n", "*500000\r\n*500000\r\n*500000\r\n"};
    if (fuzz_draw(30) == 0) /* a replica whose primary has a long name */
        text_printf(w, "*3\r\n$5\r\nslave\r\n$5000\r\n%05000d\r\n:7\r\n%c", 7, ANSWER_END);
    for (size_t i = 0; i < sizeof greeting / sizeof *greeting; i++, put_u8(w, ANSWER_END))
        text_add(w, fuzz_draw(60) ? greeting[i] : odd[fuzz_draw(sizeof odd / sizeof *odd)]);
    for (size_t i = 0; i < sizeof work / sizeof *work; i++, put_u8(w, ANSWER_END))
        text_add(w, fuzz_draw(8) ? work[i] : odd[fuzz_draw(sizeof odd / sizeof *odd)]);
    put_u8(w, STREAM_END);
    for (size_t i = 0; i < 4; i++, put_u8(w, ANSWER_END))
        text_add(w, greeting[i < 3 ? i : 7]);
    for (size_t i = 0; i < 3; i++, put_u8(w, ANSWER_END))
        text_add(w, fuzz_draw(4) ? "*2\r\n$-1\r\n$5\r\na 1 b\r\n" : odd[fuzz_draw(sizeof odd / sizeof *odd)]);
}

static int listen_somewhere(uint16_t *out_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    FUZZ_CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&a, size) == 0 && listen(fd, 16) == 0 && getsockname(fd, (struct sockaddr *)&a, &size) == 0);
    *out_port = ntohs(a.sin_port);
    return fd;
}

/* The length of the first command in the bytes, 0 while it is incomplete. What our own client sends is well formed. */
static size_t command_size(const struct writer *in)
{
    const char *at = (const char *)in->data, *end = at + in->size;
    long parts = in->size ? strtol(at + 1, NULL, 10) : 0;
    at = in->size ? memchr(at, '\n', in->size) : NULL;
    for (; at && parts > 0; parts--) {
        if (++at >= end)
            return 0;
        long size = strtol(at + 1, NULL, 10);
        at = memchr(at, '\n', (size_t)(end - at));
        at = at && end - at > size + 2 ? at + size + 2 : NULL;
    }
    return at ? (size_t)(at + 1 - (const char *)in->data) : 0;
}

static void answer(struct server *s, struct client *c)
{
    struct slice *left = &s->left[c->stream];
    const char *stop = left->size ? memchr(left->at, ANSWER_END, left->size) : NULL;
    size_t size = stop ? (size_t)(stop - left->at) : left->size;
    if (size && send(c->fd, left->at, size, MSG_NOSIGNAL) < 0)
        return;
    size += stop != NULL;
    *left = (struct slice){left->at + size, (uint32_t)(left->size - size)};
}

/* Of a run whose process ended in the middle. */
static void turn_away(int listener)
{
    for (int fd; (fd = accept(listener, NULL, NULL)) >= 0;)
        close(fd);
}

static void hang_up(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->in.size = 0;
}

static void admit(struct server *s)
{
    int fd;
    while ((fd = accept(s->listener, NULL, NULL)) >= 0) {
        struct client *c = &s->clients[s->accepted % CLIENTS];
        hang_up(c);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        c->fd = fd;
        c->stream = (int)(s->accepted++ % 2);
    }
}

static void serve(struct server *s, struct client *c)
{
    uint8_t bytes[4096];
    ssize_t got;
    while (c->fd >= 0 && (got = recv(c->fd, bytes, sizeof bytes, 0)) > 0)
        put_bytes(&c->in, bytes, (size_t)got);
    for (;;) {
        put_u8(&c->in, 0); /* for strtol */
        c->in.size--;
        size_t size = command_size(&c->in);
        if (c->fd < 0 || size == 0)
            break;
        answer(s, c);
        memmove(c->in.data, c->in.data + size, c->in.size - size);
        c->in.size -= size;
    }
    if (fuzz_draw(200) == 0)
        hang_up(c);
}

static void stored(void *arg, struct store_request *request, int64_t now_ms)
{
    struct asked *a = arg;
    (request == &a->load ? a->loaded++ : a->committed++);
    for (size_t i = 0; i < 2 && request == &a->load && request->status == STORE_OK; i++) {
        const struct blob *b = &a->load_blobs[i];
        FUZZ_CHECK(!b->present || b->value.size == 0 ||
                   (b->value.at >= (char *)request->reply.data && b->value.at + b->value.size <= (char *)request->reply.data + request->reply.size));
    }
}

static void views_read(void *arg, struct view_read *read, int64_t now_ms)
{
    ((struct asked *)arg)->read++;
}

static void ask(struct asked *a, const struct store_port *port)
{
    static struct slice keys[] = {{"sim:a", 5}, {"sim:b", 5}};
    static struct blob values[2];
    *a = (struct asked){.load_blobs = {{.key = {'u', 1}}, {.key = {'u', 2}}},
                        .commit_blobs = {{.key = {'u', 1}, .value = {"new", 3}, .present = true}, {.key = {'u', 2}}}};
    a->load = (struct store_request){.stage = STAGE_PROFILE, .blobs = a->load_blobs, .blob_count = 2};
    a->commit = (struct store_request){.stage = STAGE_PROFILE, .commit = true, .blobs = a->commit_blobs, .blob_count = 2,
                                       .expected = {.value = {"p", 1}, .present = true}, .position = {"q", 1}};
    a->views = (struct view_read){.keys = keys, .values = values, .count = 2};
    port->submit(port->self, &a->load);
    port->submit(port->self, &a->commit);
    if (fuzz_draw(4) == 0)
        port->read_views(port->self, &a->views);
    else
        a->read = 1;
}

static bool run(struct slice input)
{
    static struct event_base *base;
    static struct server s;
    static char address[32];
    static const struct redis_store_events events = {stored, views_read};
    struct asked asked;
    uint16_t port;
    if (!base) {
        base = event_base_new();
        s.listener = listen_somewhere(&port);
        snprintf(address, sizeof address, "127.0.0.1:%u", port);
        log_set_level((enum log_level)(LOG_ERROR + 1)); /* nothing */
    }
    struct redis_store_settings settings = redis_store_settings_default();
    settings.addresses = address;
    settings.connection.backoff_max_ms = 50;
    const char *cut = input.size ? memchr(input.at, STREAM_END, input.size) : NULL;
    s.left[0] = (struct slice){input.at, cut ? (uint32_t)(cut - input.at) : input.size};
    s.left[1] = (struct slice){cut ? cut + 1 : input.at, cut ? (uint32_t)(input.at + input.size - cut - 1) : 0};
    s.accepted = 0;
    turn_away(s.listener);
    for (int i = 0; i < CLIENTS; i++)
        s.clients[i].fd = -1;
    struct redis_store *store = redis_store_create(base, &settings);
    int64_t now_ms = 1000;
    ask(&asked, redis_store_port(store));
    for (int i = 0; i < TURNS && !(asked.loaded && asked.committed && asked.read); i++, now_ms += 100) {
        redis_store_turn(store, &events, &asked, now_ms);
        redis_store_flush(store);
        event_base_loop(base, EVLOOP_NONBLOCK);
        admit(&s);
        for (int k = 0; k < CLIENTS; k++)
            serve(&s, &s.clients[k]);
        event_base_loop(base, EVLOOP_NONBLOCK);
    }
    redis_store_destroy(store, &events, &asked, now_ms);
    event_base_loop(base, EVLOOP_NONBLOCK); /* libevent frees later */
    for (int i = 0; i < CLIENTS; i++)
        hang_up(&s.clients[i]);
    FUZZ_CHECK(asked.loaded == 1 && asked.committed == 1 && asked.read == 1);
    writer_fini(&asked.load.reply);
    writer_fini(&asked.commit.reply);
    writer_fini(&asked.views.reply);
    return asked.load.status == STORE_OK || asked.commit.status == STORE_OK;
}

const struct fuzz_target fuzz_target = {"replies", 80000, 12 << 20, 64, make, run, .timed = true};
