/*
 * The HTTP server and what it says of a worker (http.c, metrics.c), each request for memory of a conversation refused
 * (lib/starve.h): every status and every body is the same as with all memory there, or the process ends with its line.
 */
#include "server/io/http.h"
#include "server/io/metrics.h"

#include "common/check.h"
#include "common/text.h"
#include "server/worker/memory_worker.h"
#include "tests/lib/heap.h"
#include "tests/lib/starve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURNS_MAX 20000
#define DESCRIPTORS 256

static const char *const asked[] = {
    "GET /livez HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /metrics HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n\r\n",
    "HEAD /metrics HTTP/1.0\r\n\r\n",
    "GET /nothing?of=this HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST /metrics HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
    "GET /livez HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 9999\r\n\r\n",
    "no HTTP at all\r\n\r\n",
};

static struct memory_worker pipeline;
static struct metrics_input told;

static void tell_metrics(void *self, struct writer *out)
{
    metrics_render(self, out);
}

static const char *tell_unready(void *self)
{
    return metrics_unready(self);
}

/* The port that this process listens on; 0: none. */
static uint16_t port_of_server(void)
{
    for (int fd = 0; fd < DESCRIPTORS; fd++) {
        struct sockaddr_in a;
        socklen_t size = sizeof a;
        int listens = 0;
        socklen_t flag_size = sizeof listens;
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &flag_size) == 0 && listens && getsockname(fd, (struct sockaddr *)&a, &size) == 0)
            return ntohs(a.sin_port);
    }
    return 0;
}

/* What the server sends until it hangs up; the client's own memory is none of the process that is tried. */
static void converse(struct event_base *base, uint16_t port, const char *text, struct writer *out)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char bytes[4096];
    ssize_t got = -1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ASSERT(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    ASSERT(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    bool sent = send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
    for (int turn = 0; sent && turn < TURNS_MAX && got != 0; turn++) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        struct pollfd p = {fd, POLLIN, 0};
        poll(&p, 1, 1);
        heap_watch.paused = true;
        while ((got = recv(fd, bytes, sizeof bytes, 0)) > 0)
            put_bytes(out, bytes, (size_t)got);
        heap_watch.paused = false;
    }
    close(fd);
    event_base_loop(base, EVLOOP_NONBLOCK);
}

/* An answer without what changes by itself: the headers with their date, and the size of the process, which must be known. */
static bool keep_what_stays(const struct writer *answer, struct writer *out)
{
    static const char resident[] = "\nsluice_resident_bytes ";
    char *text = (char *)answer->data, *body = strstr(text, "\r\n\r\n");
    text_printf(out, "%.*s\n", (int)strcspn(text, "\r\n"), text);
    if (!body)
        return true;
    char *size = strstr(body, resident);
    if (size) {
        size += sizeof resident - 1;
        text_add_slice(out, (struct slice){body, (uint32_t)(size - body)});
        body = size + strspn(size, "0123456789");
    }
    text_add(out, body);
    return !size || (*size != '0' && body > size);
}

static enum starve_result operation(void *arg)
{
    struct writer *usual = arg, answer = {0}, all = {0};
    struct http_source source = {&told, tell_metrics, tell_unready};
    struct event_base *base = event_base_new();
    struct http *http = http_create(base, "127.0.0.1:0", &source);
    if (!http) { /* names the cause in its log line, as the address may be taken too */
        event_base_free(base);
        return starve_said(strerror(ENOMEM)) ? STARVE_REFUSED : STARVE_WRONG;
    }
    bool right = true;
    uint16_t port = port_of_server();
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        told.draining = i == 0; /* why it is not ready is said too */
        converse(base, port, asked[i], &answer);
        heap_watch.paused = true;
        text_cstr(&answer);
        right &= keep_what_stays(&answer, &all);
        answer.size = 0;
        heap_watch.paused = false;
    }
    http_destroy(http);
    event_base_free(base);
    heap_watch.paused = true;
    writer_fini(&answer);
    if (!usual->size)
        put_bytes(usual, all.data, all.size);
    right &= usual->size == all.size && memcmp(usual->data, all.data, all.size) == 0;
    writer_fini(&all);
    heap_watch.paused = false;
    return right ? STARVE_RIGHT : STARVE_WRONG;
}

/* Tasks that fold, and one that halted over its header. */
static void open_pipeline(struct worker_settings *settings)
{
    static const struct topic_partition all[] = {{TOPIC_EVENTS, 0}, {TOPIC_EFFECTS, 0}, {TOPIC_ROLLUPS, 0}, {TOPIC_SAMPLES, 0}};
    static const char event[] = "{\"v\":1,\"id\":\"e1\",\"ts\":1732370000000,\"type\":\"enter\",\"user\":\"u\",\"scene\":\"home\",\"room\":\"r\",\"host\":\"h\"}";
    int64_t now_ms = 1732370000000;
    worker_settings_default(settings);
    settings->user_key_size = 16;
    memory_worker_open(&pipeline, NULL);
    memory_worker_start(&pipeline, settings, 1);
    memory_redis_init(pipeline.redis, settings, memory_log_port(pipeline.log));
    memory_redis_put(pipeline.redis, STAGE_LEARNER, 0, HEADER_KEY, slice_of("no header"));
    memory_append(pipeline.cluster, TOPIC_EVENTS, 0, slice_of("u"), slice_of(event), now_ms);
    memory_append(pipeline.cluster, TOPIC_EVENTS, 0, slice_of("u"), slice_of("no event"), now_ms);
    worker_assigned(pipeline.worker, all, 4, now_ms);
    worker_tables_ready(pipeline.worker);
    for (int i = 0; i < 40; i++, now_ms += 50) {
        memory_log_set_now(pipeline.log, now_ms);
        memory_log_deliver(pipeline.log, pipeline.worker, 1000, now_ms);
        memory_store_deliver(pipeline.store, pipeline.worker, 1000, now_ms);
        worker_turn(pipeline.worker, now_ms);
    }
    told = (struct metrics_input){.worker = pipeline.worker, .kafka.tables_ready = true, .now_ms = now_ms, .started_ms = now_ms - 2000};
}

int main(void)
{
    struct starved sum = {0};
    struct writer usual = {0};
    struct worker_settings settings;
    event_set_mem_functions(memory_take, memory_more, free); /* as in main.c */
    open_pipeline(&settings);
    starve("conversation", operation, &usual, &sum);
    static const char *const expected[] = {"200 OK\n\r\n\r\nalive\n", "503 Service Unavailable\n\r\n\r\nlearner.0 is halted: ", "sluice_tasks_halted{stage=\"learner\"", "\nsluice_dead_letters_total{",
                                           "404 Not Found"};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        if (!strstr(text_cstr(&usual), expected[i])) {
            fprintf(stderr, "the usual answers lack \"%s\"\n", expected[i]);
            sum.bad++;
        }
    writer_fini(&usual);
    memory_worker_close(&pipeline, told.now_ms);
    return starved_report("http and metrics", &sum);
}
