#include "server/io/slots.h"

#include "common/check.h"
#include "common/log.h"
#include "server/io/clock.h"

#include <event2/event.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define POLL_MS 20

struct init {
    struct event_base *base;
    int wakeup;
    struct kafka_log *kafka;
    struct redis_store *redis;
    struct steady_clock clock;
    int64_t until_ms;
    int outstanding;
    int written, existing;
    enum err err;
};

/* One slot: first a load that tells whether it is there, then the commit that makes it. */
struct slot_request {
    struct store_request request; /* first */
    struct blob blob;
    struct writer bytes; /* owned: header, then position */
    size_t header_size;
    bool creating;
};

static int64_t turn(struct init *n, const struct redis_store_events *events)
{
    static const struct kafka_log_events nothing;
    struct timeval wait = {0, POLL_MS * 1000};
    event_base_loopexit(n->base, &wait);
    event_base_loop(n->base, 0);
    int64_t now_ms = steady_clock_ms(&n->clock);
    kafka_log_turn(n->kafka, &nothing, n, 1);
    redis_store_turn(n->redis, events, n, now_ms);
    return now_ms;
}

static void slot_done(struct init *n, struct slot_request *s)
{
    writer_fini(&s->request.reply);
    writer_fini(&s->bytes);
    free(s);
    n->outstanding--;
}

static void create_slot(struct init *n, struct slot_request *s)
{
    const struct store_port *port = redis_store_port(n->redis);
    s->creating = true;
    s->request.commit = true;
    s->request.expected = (struct blob){.present = false};
    s->blob.present = true;
    s->blob.value = (struct slice){(const char *)s->bytes.data, (uint32_t)s->header_size};
    s->request.position = (struct slice){(const char *)s->bytes.data + s->header_size,
                                         (uint32_t)(s->bytes.size - s->header_size)};
    port->submit(port->self, &s->request);
}

static void on_stored(void *arg, struct store_request *request, int64_t now_ms)
{
    struct init *n = arg;
    struct slot_request *s = (struct slot_request *)request;
    const struct store_port *port = redis_store_port(n->redis);
    if (request->status == STORE_UNKNOWN && now_ms < n->until_ms) {
        s->creating = s->request.commit = false; /* look again: it may have been written */
        port->submit(port->self, request);
        return;
    }
    if (request->status != STORE_OK) {
        n->err = request->status == STORE_CONFLICT ? ERR_CONFLICT : request->status == STORE_MEMORY ? ERR_MEMORY : ERR_TIMEOUT;
    } else if (s->creating) {
        n->written++;
    } else if (s->blob.present || request->current.present) {
        n->existing++;
    } else {
        create_slot(n, s);
        return;
    }
    slot_done(n, s);
}

static void submit_slot(struct init *n, const struct daemon_settings *settings, enum stage stage, int32_t partition, int64_t origin)
{
    const struct store_port *port = redis_store_port(n->redis);
    struct slot_request *s = calloc(1, sizeof *s);
    ASSERT(s);
    struct slot_header header = worker_header_of(&settings->worker, kafka_log_port(n->kafka));
    struct position position = {.next = origin};
    header.origin = header.folds[0].from = origin;
    slot_header_encode(&header, &s->bytes);
    s->header_size = s->bytes.size;
    position_encode(&position, &s->bytes);
    s->request.stage = stage;
    s->request.partition = partition;
    s->request.blobs = &s->blob;
    s->request.blob_count = 1;
    s->blob.key = HEADER_KEY;
    n->outstanding++;
    port->submit(port->self, &s->request);
}

/* All partition counts and where every input log begins and ends; false while some are missing. */
static bool is_known(const struct log_port *log)
{
    struct log_ends ends;
    for (int t = 0; t < TOPIC_INPUTS; t++) {
        int32_t count = log->partitions(log->self, (enum topic)t);
        for (int32_t p = 0; p < count; p++)
            if (!log->ends(log->self, (enum topic)t, p, &ends))
                return false;
        if (count == 0)
            return false;
    }
    return true;
}

static enum err run(struct init *n, const struct daemon_settings *settings, bool from_end)
{
    static const struct redis_store_events events = {on_stored, NULL};
    const struct log_port *log = kafka_log_port(n->kafka);
    while (!is_known(log))
        if (turn(n, &events) >= n->until_ms) {
            log_error("init_kafka", "Kafka at %s did not tell the partitions of all topics in time; are they made?",
                      settings->kafka.brokers);
            return ERR_TIMEOUT;
        }
    for (int s = 0; s < STAGES; s++)
        for (int32_t p = 0; p < log->partitions(log->self, (enum topic)s); p++) {
            struct log_ends ends = {0};
            log->ends(log->self, (enum topic)s, p, &ends);
            submit_slot(n, settings, (enum stage)s, p, from_end ? ends.high : ends.low);
        }
    while (n->outstanding)
        turn(n, &events);
    if (n->err != ERR_NONE)
        log_error("init_redis", "not all slots could be written: %s", err_name(n->err));
    return n->err;
}

enum err slots_init(const struct daemon_settings *settings, bool from_end, int wait_ms, int *out_written, int *out_existing)
{
    static const struct redis_store_events events = {on_stored, NULL};
    struct kafka_log_settings kafka = settings->kafka;
    struct init n = {.base = event_base_new(), .wakeup = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    kafka.consume = kafka.tables = false;
    n.until_ms = steady_clock_ms(&n.clock) + wait_ms;
    n.kafka = kafka_log_create(&kafka, n.wakeup);
    n.redis = n.kafka ? redis_store_create(n.base, &settings->redis) : NULL;
    enum err err = n.redis ? run(&n, settings, from_end) : ERR_INVALID;
    n.until_ms = 0;
    redis_store_destroy(n.redis, &events, &n, 0);
    kafka_log_destroy(n.kafka, wait_ms);
    event_base_free(n.base);
    close(n.wakeup);
    *out_written = n.written;
    *out_existing = n.existing;
    return err;
}
