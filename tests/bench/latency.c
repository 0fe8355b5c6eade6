/*
 * Time from sending an event to receiving the recommendation it caused, at a fixed pace, and the same for an empty
 * relay that only consumes and produces, with the client settings of the daemon (server/io/kafka_conf.c).
 *
 * The load: every event is of any of the users, each equally likely, in any of the live rooms: two thirds enter, one
 * third like. Nobody stays where he is, so nearly every event changes the top of somebody's list: a hard case. How many
 * users there are decides how often one sends, so how much the throttle delays: the caller says.
 *   latency warm BROKERS IN USERS EVENTS PLACES            so many events of each user, half an hour old: state, but no answers
 *   latency measure BROKERS IN OUT RATE SECONDS PLACES USERS   PLACES: lines of "room host item", all live
 *   latency relay BROKERS IN OUT                           until SIGTERM
 * A recommendation names its event in `rec` and `version`: partition and offset. What the producer's acknowledgement
 * says of partition and offset of each event is joined with that at the end. p99_free_ms leaves out events whose user sent
 * another just before: a user gets at most one list in push.throttle_ms, so those may wait for as long.
 */
#include <librdkafka/rdkafka.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PARTITIONS 64
#define USERS_MAX 1000000
#define WARM_AGE_MS 2400000 /* older than push.active_ms */
#define WARMUP_S 3
#define THROTTLE_S 0.25 /* push.throttle_ms and a little: an event so soon after another of its user may have to wait by design */

struct track {
    int64_t base, count, capacity;
    double *sent, *received; /* owned; by offset - base; seconds, 0 = not; sent: negative when its user sent another THROTTLE_S before */
};

static struct track tracks[PARTITIONS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static volatile sig_atomic_t stopped;

static double wall_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
    fprintf(stderr, "latency: %s\n", what);
    exit(1);
}

static void on_signal(int number)
{
    stopped = 1;
}

static double *place(int32_t partition, int64_t offset, int received)
{
    struct track *t = &tracks[partition];
    if (t->capacity == 0)
        t->base = offset > 1000000 ? offset - 1000000 : 0; /* the first seen may not be the first sent */
    int64_t i = offset - t->base;
    if (i < 0)
        return NULL;
    if (i >= t->capacity) {
        int64_t capacity = (i + 1) * 2;
        t->sent = realloc(t->sent, (size_t)capacity * sizeof(double));
        t->received = realloc(t->received, (size_t)capacity * sizeof(double));
        if (!t->sent || !t->received)
            die("out of memory");
        memset(t->sent + t->capacity, 0, (size_t)(capacity - t->capacity) * sizeof(double));
        memset(t->received + t->capacity, 0, (size_t)(capacity - t->capacity) * sizeof(double));
        t->capacity = capacity;
    }
    t->count = i >= t->count ? i + 1 : t->count;
    return received ? &t->received[i] : &t->sent[i];
}

static void delivered(rd_kafka_t *k, const rd_kafka_message_t *m, void *opaque)
{
    if (m->err || m->partition < 0 || m->partition >= PARTITIONS)
        return;
    pthread_mutex_lock(&lock);
    double *at = place(m->partition, m->offset, 0);
    if (at)
        memcpy(at, &m->_private, sizeof *at);
    pthread_mutex_unlock(&lock);
}

static rd_kafka_t *client(rd_kafka_type_t type, const char *brokers)
{
    static const char *const common[] = {"socket.nagle.disable", "true", NULL};
    static const char *const produce[] = {"acks", "all", "enable.idempotence", "true", "linger.ms", "1", "batch.num.messages", "100000",
                                          "partitioner", "murmur2_random", "retry.backoff.ms", "50", NULL};
    static const char *const consume[] = {"group.id", "latency", "fetch.wait.max.ms", "10", "fetch.min.bytes", "1", "enable.auto.commit", "false",
                                          "queued.min.messages", "1000000", "queued.max.messages.kbytes", "32768", "fetch.error.backoff.ms", "50", NULL};
    const char *const *lists[] = {common, type == RD_KAFKA_PRODUCER ? produce : consume};
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", brokers, why, sizeof why);
    for (int l = 0; l < 2; l++)
        for (int i = 0; lists[l][i]; i += 2)
            if (rd_kafka_conf_set(conf, lists[l][i], lists[l][i + 1], why, sizeof why) != RD_KAFKA_CONF_OK)
                die(why);
    if (type == RD_KAFKA_PRODUCER)
        rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_t *k = rd_kafka_new(type, conf, why, sizeof why);
    if (!k)
        die(why);
    return k;
}

static rd_kafka_queue_t *start_reading(rd_kafka_t *k, const char *name)
{
    const struct rd_kafka_metadata *m;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(k, name, NULL);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(k);
    if (rd_kafka_metadata(k, 0, topic, &m, 10000) || m->topics[0].partition_cnt == 0)
        die("no such topic");
    for (int p = 0; p < m->topics[0].partition_cnt; p++)
        rd_kafka_consume_start_queue(topic, p, RD_KAFKA_OFFSET_END, queue);
    rd_kafka_metadata_destroy(m);
    return queue;
}

static void note(const rd_kafka_message_t *m, double now)
{
    char text[96];
    int partition;
    long long offset;
    size_t size = m->len < sizeof text - 1 ? m->len : sizeof text - 1;
    memcpy(text, m->payload, size);
    text[size] = 0;
    const char *rec = strstr(text, "\"rec\":\"");
    if (!rec || sscanf(rec + 7, "%d-%lld-", &partition, &offset) != 2 || partition < 0 || partition >= PARTITIONS)
        return;
    pthread_mutex_lock(&lock);
    double *at = place(partition, offset, 1);
    if (at && *at == 0)
        *at = now;
    pthread_mutex_unlock(&lock);
}

struct reading {
    rd_kafka_queue_t *queue;
    long received;
};

static void *read_answers(void *arg)
{
    struct reading *r = arg;
    while (!stopped) {
        rd_kafka_message_t *m = rd_kafka_consume_queue(r->queue, 20);
        if (!m)
            continue;
        if (!m->err && m->len) {
            note(m, wall_s());
            r->received++;
        }
        rd_kafka_message_destroy(m);
    }
    return NULL;
}

struct spot {
    char room[65], host[65], item[65];
};

static int read_places(const char *path, struct spot *out, int max)
{
    FILE *file = fopen(path, "r");
    int count = 0;
    while (file && count < max && fscanf(file, "%64s %64s %64s", out[count].room, out[count].host, out[count].item) == 3)
        count++;
    if (file)
        fclose(file);
    if (count == 0)
        die("no places");
    return count;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Events of the warm-up are left out; an event whose answer never came is no latency but lowers the share. */
static void report(double from, int users)
{
    size_t count = 0, capacity = 1 << 20, events = 0;
    double *ms = malloc(capacity * sizeof *ms), *free_ms = malloc(capacity * sizeof *ms);
    size_t free_count = 0, close = 0;
    for (int p = 0; p < PARTITIONS; p++)
        for (int64_t i = 0; i < tracks[p].count; i++) {
            double at = fabs(tracks[p].sent[i]);
            if (at < from)
                continue;
            events++;
            close += tracks[p].sent[i] < 0;
            if (tracks[p].received[i] == 0 || count == capacity)
                continue;
            ms[count++] = 1000 * (tracks[p].received[i] - at);
            if (tracks[p].sent[i] > 0)
                free_ms[free_count++] = ms[count - 1];
        }
    if (free_count == 0)
        die("nothing came back");
    qsort(free_ms, free_count, sizeof *ms, compare);
    qsort(ms, count, sizeof *ms, compare);
    printf("{\"users\":%d,\"events\":%zu,\"close_share\":%.4f,\"answers\":%zu,\"share\":%.4f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"p999_ms\":%.3f,\"p50_free_ms\":%.3f,\"p99_free_ms\":%.3f}\n",
           users, events, (double)close / (double)events, count, (double)count / (double)events, ms[count / 2], ms[count * 99 / 100], ms[count * 999 / 1000], free_ms[free_count / 2], free_ms[free_count * 99 / 100]);
    free(free_ms);
    free(ms);
}

struct load {
    rd_kafka_t *client;
    const char *topic;
    struct spot spots[4096];
    int spot_count, users;
    uint64_t random;
    long sent;
};

static void load_init(struct load *l, const char *brokers, const char *topic, const char *places, const char *users)
{
    l->client = client(RD_KAFKA_PRODUCER, brokers);
    l->topic = topic;
    l->spot_count = read_places(places, l->spots, 4096);
    l->users = atoi(users);
    if (l->users < 1 || l->users > USERS_MAX)
        die("so many users are not kept apart");
    l->random = (uint64_t)time(NULL) * 2654435761u + 88172645463325252ull;
}

static uint64_t draw(struct load *l)
{
    l->random ^= l->random << 13, l->random ^= l->random >> 7, l->random ^= l->random << 17;
    return l->random;
}

static bool send_event(struct load *l, int user, long long ms, void *opaque)
{
    char value[512], key[24];
    const struct spot *s = &l->spots[draw(l) % (uint64_t)l->spot_count];
    long n = l->sent++;
    int key_size = snprintf(key, sizeof key, "l_%d", user);
    int size = snprintf(value, sizeof value, "{\"v\":1,\"id\":\"%llx-%lx\",\"ts\":%lld,\"type\":\"%s\",\"user\":\"%s\",\"room\":\"%s\",\"host\":\"%s\",\"item\":\"%s\",\"scene\":\"home\"}",
                        ms, n, ms, n % 3 ? "enter" : "like", key, s->room, s->host, s->item);
    return !rd_kafka_producev(l->client, RD_KAFKA_V_TOPIC(l->topic), RD_KAFKA_V_KEY(key, (size_t)key_size), RD_KAFKA_V_VALUE(value, (size_t)size),
                              RD_KAFKA_V_TIMESTAMP(ms), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_OPAQUE(opaque), RD_KAFKA_V_END);
}

static long long wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void warm(char **argv)
{
    static struct load l;
    load_init(&l, argv[2], argv[3], argv[6], argv[4]);
    for (int k = 0; k < atoi(argv[5]); k++)
        for (int user = 0; user < l.users; user++)
            while (!send_event(&l, user, wall_ms() - WARM_AGE_MS, NULL))
                rd_kafka_poll(l.client, 10);
    if (rd_kafka_flush(l.client, 60000))
        die("not all was delivered");
    printf("{\"sent\":%ld}\n", (long)atoi(argv[5]) * l.users);
}

static void measure(char **argv)
{
    static double before[USERS_MAX];
    static struct load l;
    double rate = atof(argv[5]), seconds = atof(argv[6]);
    load_init(&l, argv[2], argv[3], argv[7], argv[8]);
    rd_kafka_t *consumer = client(RD_KAFKA_CONSUMER, argv[2]);
    struct reading reading = {start_reading(consumer, argv[4]), 0};
    pthread_t thread;
    pthread_create(&thread, NULL, read_answers, &reading);
    sleep(1);
    double start = wall_s();
    for (double now = start; now - start < seconds + WARMUP_S; now = wall_s()) {
        while ((double)l.sent < (now - start) * rate) {
            int user = (int)((draw(&l) >> 33) % (uint64_t)l.users);
            double sent_s = wall_s(), sent = sent_s - before[user] < THROTTLE_S ? -sent_s : sent_s;
            before[user] = sent_s;
            void *opaque;
            memcpy(&opaque, &sent, sizeof opaque);
            send_event(&l, user, wall_ms(), opaque);
        }
        rd_kafka_poll(l.client, 1);
    }
    rd_kafka_flush(l.client, 10000);
    sleep(2);
    stopped = 1;
    pthread_join(thread, NULL);
    report(start + WARMUP_S, l.users);
}

#define RELAY_BATCH 1000
#define RELAY_BYTES 1024 /* of what the relay sends for an event */

static void answer(rd_kafka_t *k, const char *topic, const rd_kafka_message_t *m)
{
    char value[RELAY_BYTES];
    int size = snprintf(value, sizeof value, "{\"v\":1,\"rec\":\"%d-%lld-0-0\"}", (int)m->partition, (long long)m->offset);
    memset(value + size, ' ', sizeof value - (size_t)size);
    rd_kafka_producev(k, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_KEY(m->key, m->key_len), RD_KAFKA_V_VALUE(value, sizeof value),
                      RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
}

static void relay(char **argv)
{
    static rd_kafka_message_t *batch[RELAY_BATCH];
    rd_kafka_t *consumer = client(RD_KAFKA_CONSUMER, argv[2]), *k = client(RD_KAFKA_PRODUCER, argv[2]);
    rd_kafka_queue_t *queue = start_reading(consumer, argv[3]);
    puts("ready");
    fflush(stdout);
    while (!stopped) {
        rd_kafka_message_t *first = rd_kafka_consume_queue(queue, 10);
        ssize_t count = first ? rd_kafka_consume_batch_queue(queue, 0, batch + 1, RELAY_BATCH - 1) + 1 : 0;
        batch[0] = first;
        for (ssize_t i = 0; i < count; i++) {
            if (!batch[i]->err)
                answer(k, argv[4], batch[i]);
            rd_kafka_message_destroy(batch[i]);
        }
        rd_kafka_poll(k, 0);
    }
    rd_kafka_flush(k, 5000);
}

int main(int argc, char **argv)
{
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    if (argc == 9 && strcmp(argv[1], "measure") == 0)
        measure(argv);
    else if (argc == 7 && strcmp(argv[1], "warm") == 0)
        warm(argv);
    else if (argc == 5 && strcmp(argv[1], "relay") == 0)
        relay(argv);
    else
        die("wrong usage; see the head of latency.c");
    return 0;
}
