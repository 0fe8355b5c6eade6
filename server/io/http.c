#include "server/io/http.h"

#include "common/check.h"
#include "common/err.h"
#include "common/log.h"
#include "server/io/redis_command.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdlib.h>
#include <sys/socket.h>

#define HEADER_BYTES_MAX 8192
#define BODY_BYTES_MAX 1024
#define IDLE_S 5
#define AGE_MAX_S 15 /* of a connection, however busy: nobody drips headers for ever */
#define CONNECTIONS_MAX 64
#define TRACKED_MAX (CONNECTIONS_MAX * 2) /* with those that are being turned away */

/* evhttp tells nobody when it is done with a connection, so each is held by a reference of ours until it is. */
struct tracked {
    struct bufferevent *stream;
    int age_s;
};

struct http {
    struct evhttp *server;
    struct http_source source;
    struct event *sweep;
    struct tracked tracked[TRACKED_MAX];
    int count;
    struct writer text; /* owned: scratch */
};

static bool is_done(struct bufferevent *stream)
{
    bufferevent_data_cb on_read, on_write;
    bufferevent_event_cb on_event;
    void *arg;
    bufferevent_getcb(stream, &on_read, &on_write, &on_event, &arg);
    return !on_read && !on_write && !on_event;
}

/* Every second: lets go of what is done, ends what is too old or one too many. */
static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
    struct http *h = arg;
    int kept = 0;
    for (int i = 0; i < h->count; i++) {
        struct tracked t = h->tracked[i];
        if (is_done(t.stream)) {
            bufferevent_decref(t.stream);
            continue;
        }
        if (++t.age_s > AGE_MAX_S || kept >= CONNECTIONS_MAX)
            shutdown(bufferevent_getfd(t.stream), SHUT_RDWR);
        h->tracked[kept++] = t;
    }
    h->count = kept;
}

static struct bufferevent *on_connection(struct event_base *base, void *arg)
{
    struct http *h = arg;
    if (h->count == TRACKED_MAX)
        on_sweep(-1, 0, h);
    struct bufferevent *stream = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    ASSERT(stream);
    if (h->count < TRACKED_MAX) {
        bufferevent_incref(stream);
        h->tracked[h->count++] = (struct tracked){stream, 0};
    } else {
        evhttp_set_timeout(h->server, 1); /* under siege: what is not tracked does not linger */
    }
    return stream;
}

static void answer(struct evhttp_request *request, int code, const char *phrase, const char *type, const void *bytes, size_t size)
{
    struct evbuffer *body = evbuffer_new();
    ASSERT(body);
    evbuffer_add(body, bytes, size);
    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", type);
    evhttp_add_header(evhttp_request_get_output_headers(request), "Connection", "close");
    evhttp_send_reply(request, code, phrase, body);
    evbuffer_free(body);
}

static void answer_text(struct evhttp_request *request, int code, const char *phrase, const char *text)
{
    answer(request, code, phrase, "text/plain; charset=utf-8", text, strlen(text));
}

static void on_live(struct evhttp_request *request, void *arg)
{
    answer_text(request, 200, "OK", "alive\n");
}

static void on_ready(struct evhttp_request *request, void *arg)
{
    struct http *h = arg;
    const char *why = h->source.unready(h->source.self);
    h->text.size = 0;
    put_bytes(&h->text, why ? why : "ready", strlen(why ? why : "ready"));
    put_u8(&h->text, '\n');
    answer(request, why ? 503 : 200, why ? "Service Unavailable" : "OK", "text/plain; charset=utf-8", h->text.data, h->text.size);
}

static void on_metrics(struct evhttp_request *request, void *arg)
{
    struct http *h = arg;
    h->text.size = 0;
    h->source.metrics(h->source.self, &h->text);
    answer(request, 200, "OK", "text/plain; version=0.0.4; charset=utf-8", h->text.data, h->text.size);
}

static void on_other(struct evhttp_request *request, void *arg)
{
    answer_text(request, 404, "Not Found", "there are /livez, /readyz and /metrics\n");
}

/* Any port is one that Redis' addresses do not have. */
static bool parse_address(const char *text, struct redis_address *out)
{
    char copy[300];
    size_t size = strlen(text);
    if (size < 2 || size >= sizeof copy)
        return false;
    memcpy(copy, text, size + 1);
    bool any_port = strcmp(copy + size - 2, ":0") == 0;
    if (any_port)
        copy[size - 1] = '1';
    if (redis_address_parse(copy, out) != ERR_NONE)
        return false;
    out->port = any_port ? 0 : out->port;
    return true;
}

bool http_address_is_valid(const char *address)
{
    struct redis_address where;
    return parse_address(address, &where);
}

struct http *http_create(struct event_base *base, const char *address, const struct http_source *source)
{
    struct redis_address where;
    bool valid = parse_address(address, &where);
    ASSERT(valid);
    struct http *h = calloc(1, sizeof *h);
    ASSERT(h);
    h->source = *source;
    h->server = evhttp_new(base);
    ASSERT(h->server);
    evhttp_set_max_headers_size(h->server, HEADER_BYTES_MAX);
    evhttp_set_max_body_size(h->server, BODY_BYTES_MAX);
    evhttp_set_timeout(h->server, IDLE_S);
    evhttp_set_allowed_methods(h->server, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
    evhttp_set_bevcb(h->server, on_connection, h);
    evhttp_set_cb(h->server, "/livez", on_live, h);
    evhttp_set_cb(h->server, "/readyz", on_ready, h);
    evhttp_set_cb(h->server, "/metrics", on_metrics, h);
    evhttp_set_gencb(h->server, on_other, h);
    struct timeval second = {1, 0};
    h->sweep = event_new(base, -1, EV_PERSIST, on_sweep, h);
    ASSERT(h->sweep);
    event_add(h->sweep, &second);
    errno = 0;
    if (evhttp_bind_socket(h->server, where.host, where.port) == 0)
        return h;
    log_error("http_bind", "HTTP cannot listen on %s: %s; not started", address, errno ? strerror(errno) : "the host is not known");
    http_destroy(h);
    return NULL;
}

void http_destroy(struct http *h)
{
    if (!h)
        return;
    evhttp_free(h->server);
    event_free(h->sweep);
    for (int i = 0; i < h->count; i++)
        bufferevent_decref(h->tracked[i].stream);
    writer_fini(&h->text);
    free(h);
}
