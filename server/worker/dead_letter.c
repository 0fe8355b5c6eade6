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

void dead_letter(struct task *t, const struct record *r, const char *reason, int64_t now_ms)
{
    char partition[16], offset[24], timestamp[24];
    count(t->worker, reason);
    snprintf(partition, sizeof partition, "%d", (int)r->partition);
    snprintf(offset, sizeof offset, "%lld", (long long)r->offset);
    snprintf(timestamp, sizeof timestamp, "%lld", (long long)r->timestamp_ms);
    const struct header headers[] = {
        {"__errors.reason", slice_of(reason)},
        {"__errors.topic", slice_of(topic_defaults[r->topic])},
        {"__errors.partition", slice_of(partition)},
        {"__errors.offset", slice_of(offset)},
        {"__errors.timestamp", slice_of(timestamp)},
    };
    task_produce(t, &(struct outgoing){.topic = TOPIC_DEADLETTER,
                                       .partition = -1,
                                       .key = r->key,
                                       .value = r->value,
                                       .tombstone = r->tombstone,
                                       .headers = headers,
                                       .header_count = sizeof headers / sizeof *headers,
                                       .headers_of = r},
                 now_ms);
}
