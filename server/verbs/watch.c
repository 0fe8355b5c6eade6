/* The demo's screen: tails the topics, reads /metrics once a second, draws. Plain text when there is no terminal. */
#include "server/verbs/connect.h"
#include "server/verbs/verb.h"

#include "server/simulate/screen.h"

#include "common/check.h"

#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define METRICS_BYTES (1 << 20)
#define METRICS_WAIT_S 1
#define PLAIN_EVERY 5 /* pictures apart without a terminal */

const char watch_usage[] =
    "sluice watch --brokers LIST [--metrics HOST:PORT] [--redis HOST:PORT] [--key-file FILE] [--seconds N] [--json]\n"
    "\n"
    "Shows a running sluice: events/s, latency, live rooms with weights, one user's recommendations, and the kcat and\n"
    "redis-cli lines to look for oneself. Without a terminal it prints plain lines; --json prints the figures of the\n"
    "run as one object at the end, and nothing else on standard output. Without --metrics and --redis: where the daemon's\n"
    "defaults are.\n"
    "\n"
    "Example:\n"
    "  sluice watch --brokers 127.0.0.1:9092 --redis 127.0.0.1:6379 --seconds 60 --json\n";

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    stopped = 1;
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int dial(const char *address)
{
    char host[256];
    const char *colon = strrchr(address, ':');
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    if (!colon || (size_t)(colon - address) >= sizeof host)
        return -1;
    snprintf(host, sizeof host, "%.*s", (int)(colon - address), address);
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
        return -1;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval wait = {METRICS_WAIT_S, 0};
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    }
    if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
        close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

static void read_metrics(struct screen *s, const char *address, char *buffer)
{
    static const char request[] = "GET /metrics HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    int fd = dial(address);
    size_t size = 0;
    ssize_t got = fd >= 0 && write(fd, request, sizeof request - 1) == sizeof request - 1 ? 1 : 0;
    while (got > 0 && size < METRICS_BYTES) {
        got = read(fd, buffer + size, METRICS_BYTES - size);
        size += got > 0 ? (size_t)got : 0;
    }
    if (fd >= 0)
        close(fd);
    buffer[size] = 0;
    const char *body = strstr(buffer, "\r\n\r\n");
    screen_metrics(s, body ? body + 4 : "");
}

static void on_received(void *self, const struct link_record *record)
{
    screen_record(*(struct screen **)self, record, now_ms());
}

struct options {
    const char *brokers;
    const char *metrics;
    const char *redis;
    const char *key_file;
    int64_t seconds; /* 0: until a signal */
    bool json;
};

static bool read_options(struct options *o, int argc, char **argv)
{
    const struct number_option seconds = {"--seconds", 0, 100000000};
    const struct { const char *name; const char **to; } texts[] = {
        {"--brokers", &o->brokers}, {"--metrics", &o->metrics}, {"--redis", &o->redis}, {"--key-file", &o->key_file},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *value = take_option(&argc, argv, texts[i].name);
        *texts[i].to = value ? value : *texts[i].to;
    }
    o->json = take_flag(&argc, argv, "--json");
    if (!take_number(&argc, argv, &seconds, &o->seconds) || !is_all_taken(&argc, argv, 0))
        return false;
    if (!o->brokers)
        fputs("sluice watch: which --brokers?\n", stderr);
    return o->brokers != NULL;
}

static void draw(struct screen *s, bool terminal, bool with_commands)
{
    struct writer out = {0};
    if (terminal)
        text_add(&out, "\033[H\033[J");
    screen_render(s, now_ms(), &out);
    if (with_commands)
        screen_commands(s, &out);
    text_add(&out, "\n");
    fwrite(out.data, 1, out.size, stdout);
    fflush(stdout);
    writer_fini(&out);
}

static void watch(struct screen *s, struct link *l, const struct options *o)
{
    int64_t start = now_ms(), drawn = start;
    int pictures = 0;
    bool terminal = isatty(STDOUT_FILENO);
    char *buffer = malloc(METRICS_BYTES + 1);
    ASSERT(buffer);
    while (!stopped && (o->seconds == 0 || now_ms() - start < o->seconds * 1000)) {
        link_poll(l, 20);
        if (now_ms() - drawn < (terminal ? 1000 : 1000 * PLAIN_EVERY))
            continue;
        drawn = now_ms();
        read_metrics(s, o->metrics, buffer);
        if (!o->json)
            draw(s, terminal, terminal || pictures++ % 6 == 0);
    }
    read_metrics(s, o->metrics, buffer);
    free(buffer);
}

int verb_watch(int argc, char **argv)
{
    struct options o = {.metrics = "127.0.0.1:8099", .redis = "127.0.0.1:6379"};
    if (!read_options(&o, argc, argv))
        return EXIT_USAGE;
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    struct screen *screen = NULL;
    struct link_settings settings = {.brokers = o.brokers, .read = screen_topics, .self = &screen, .received = on_received};
    struct link *l = link_open(&settings);
    if (!l)
        return 1;
    struct screen_places places = {o.brokers, o.redis, o.key_file, link_partitions(l, "live.events")};
    screen = screen_create(&places, now_ms());
    watch(screen, l, &o);
    if (o.json) {
        struct writer out = {0};
        screen_json(screen, now_ms(), &out);
        fwrite(out.data, 1, out.size, stdout);
        writer_fini(&out);
    }
    link_close(l, 100);
    screen_destroy(screen);
    return 0;
}
