#include "server/worker/dead_letter.h"

#include "server/worker/worker_internal.h"

#include <stdio.h>

static void count(struct worker *w, const char *reason)
{
    w->counts.dead_letters++;
    for (int i = 0; i < DEAD_REASONS_MAX; i++) {
        struct dead_count *c = &w->counts.dead[i];
        if (!c->reason)
            c->reason = reason;
        if (strcmp(c->reason, reason) == 0) {
            c->count++;
            return;
        }
    }
}

struct letter {
    char partition[16], offset[24], timestamp[24];
    struct header headers[5];
    struct outgoing out;
};

static void letter_fill(struct letter *l, const struct record *r, const char *reason)
{
    snprintf(l->partition, sizeof l->partition, "%d", (int)r->partition);
    snprintf(l->offset, sizeof l->offset, "%lld", (long long)r->offset);
    snprintf(l->timestamp, sizeof l->timestamp, "%lld", (long long)r->timestamp_ms);
    l->headers[0] = (struct header){"__errors.reason", slice_of(reason)};
    l->headers[1] = (struct header){"__errors.topic", slice_of(topic_defaults[r->topic])};
    l->headers[2] = (struct header){"__errors.partition", slice_of(l->partition)};
    l->headers[3] = (struct header){"__errors.offset", slice_of(l->offset)};
    l->headers[4] = (struct header){"__errors.timestamp", slice_of(l->timestamp)};
    l->out = (struct outgoing){.topic = TOPIC_DEADLETTER, .partition = -1, .key = r->key, .value = r->value,
                               .tombstone = r->tombstone, .headers = l->headers, .header_count = 5, .headers_of = r};
}

void dead_letter(struct task *t, const struct record *r, const char *reason, int64_t now_ms)
{
    struct letter l;
    count(t->worker, reason);
    letter_fill(&l, r, reason);
    task_produce(t, &l.out, now_ms);
}

void dead_letter_table(struct worker *w, const struct record *r, const char *reason, bool send)
{
    struct letter l;
    count(w, reason);
    letter_fill(&l, r, reason);
    l.out.headers_of = NULL; /* the record is released at once; its own headers stay with the original */
    if (send)
        worker_produce(w, &l.out, NULL);
}
