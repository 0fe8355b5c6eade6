#include "common/log.h"

#include "common/err.h"
#include "common/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define CODES_MAX 64
#define BURST 10
#define BURST_MS 10000

struct burst {
    const char *code;
    int64_t since_ms;
    int count;
};

static enum log_level threshold = LOG_INFO;
static struct burst bursts[CODES_MAX];

void log_set_level(enum log_level level)
{
    threshold = level;
}

/* How many were held back before this one may be written; -1 when this one is held back too. */
static int burst_take(const char *code, int64_t now_ms)
{
    struct burst *b = NULL;
    for (int i = 0; i < CODES_MAX; i++) {
        if (!bursts[i].code)
            bursts[i] = (struct burst){code, now_ms, 0};
        if (strcmp(bursts[i].code, code) == 0) {
            b = &bursts[i];
            break;
        }
    }
    if (!b)
        return 0;
    int held = 0;
    if (now_ms - b->since_ms > BURST_MS) {
        held = b->count > BURST ? b->count - BURST : 0;
        *b = (struct burst){b->code, now_ms, 0};
    }
    return ++b->count > BURST ? -1 : held;
}

void log_line(enum log_level level, const char *code, const char *format, ...)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    if (level < threshold)
        return;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    int held = burst_take(code, now_ms);
    if (held < 0)
        return;
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct writer w = {0};
    text_printf(&w, "{\"ts\":%lld,\"level\":\"%s\",\"code\":\"%s\",\"text\":", (long long)now_ms, names[level], code);
    text_add_json(&w, slice_of(text));
    if (held)
        text_printf(&w, ",\"held_back\":%d", held);
    text_add(&w, "}\n");
    if (write(STDERR_FILENO, w.data, w.size) < 0) {
        /* Nowhere left to say it. */
    }
    writer_fini(&w);
}

const char *err_name(enum err err)
{
    static const char *const names[] = {"none", "invalid", "not_found", "conflict", "too_large",
                                        "version", "timeout", "io", "memory", "fatal"};
    return names[err];
}
