/*
 * Partition counts and watermarks can only be asked for by waiting, so a thread of its own asks and writes down the
 * answers. It touches nothing else: counts are atomic, the rest is under its lock, and it wakes the loop when the
 * first answers are there. Cost: one metadata request and two offset requests a broker per refresh.
 */
#include "server/io/kafka_parts.h"

#include "common/check.h"

#include <stdlib.h>
#include <time.h>

#define ANSWER_MS 2000   /* how long one question may wait; also the longest that stopping takes */
#define LATENESS_MS 10000
#define IMPATIENT_MS 200 /* refresh while something is still unknown */

int64_t kafka_clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Under the lock. A leader that is away is no change yet: the next one is. */
static void note_leaders(struct monitor *m, enum topic topic, const struct rd_kafka_metadata_topic *answer)
{
    for (int i = 0; i < answer->partition_cnt; i++) {
        int32_t partition = answer->partitions[i].id, leader = answer->partitions[i].leader + 1;
        if (leader <= 0 || partition < 0 || partition >= MOVED_MAX)
            continue;
        int32_t *known = &m->leaders[topic][partition];
        if (*known && *known != leader && m->moved_count < MOVED_MAX)
            m->moved[m->moved_count++] = (struct place){topic, partition};
        *known = leader;
    }
}

static void ask_counts(struct monitor *m)
{
    struct kafka_log *log = m->log;
    const struct rd_kafka_metadata *answer = NULL;
    rd_kafka_resp_err_t err = rd_kafka_metadata(log->producers[KAFKA_BULK].client, 0, NULL, &answer, ANSWER_MS);
    pthread_mutex_lock(&m->lock);
    m->connected = !err;
    pthread_mutex_unlock(&m->lock);
    if (err)
        return;
    for (int i = 0; i < answer->topic_cnt; i++)
        for (int t = 0; t < TOPICS; t++)
            if (!answer->topics[i].err && strcmp(answer->topics[i].topic, log->settings.topics[t]) == 0)
                atomic_store(&log->counts[t], answer->topics[i].partition_cnt);
    pthread_mutex_lock(&m->lock);
    for (int i = 0; i < answer->topic_cnt; i++)
        for (int t = 0; t < TOPIC_INPUTS; t++)
            if (!answer->topics[i].err && strcmp(answer->topics[i].topic, log->settings.topics[t]) == 0)
                note_leaders(m, (enum topic)t, &answer->topics[i]);
    pthread_mutex_unlock(&m->lock);
    rd_kafka_metadata_destroy(answer);
}

static bool is_watched(const struct kafka_log *log, int topic)
{
    bool table = topic >= TOPIC_CATALOG && topic < TOPIC_CATALOG + TABLE_TOPICS;
    return topic < TOPIC_INPUTS || (table && log->settings.tables);
}

static void make_room(struct monitor *m, int topic, int32_t count)
{
    if (m->sized[topic] >= count)
        return;
    m->marks[topic] = realloc(m->marks[topic], (size_t)count * sizeof *m->marks[topic]);
    ASSERT(m->marks[topic]);
    for (int32_t p = m->sized[topic]; p < count; p++)
        m->marks[topic][p] = (struct watermarks){0};
    m->sized[topic] = count;
}

/* Under the lock. */
static void note_mark(struct monitor *m, int topic, const rd_kafka_topic_partition_t *e, int64_t which, uint64_t asked)
{
    make_room(m, topic, e->partition + 1);
    struct watermarks *w = &m->marks[topic][e->partition];
    if (which == RD_KAFKA_OFFSET_BEGINNING) {
        w->low = e->offset;
        w->low_asked = asked;
    } else {
        w->high = e->offset;
        w->high_asked = asked;
    }
}

/* `which` is RD_KAFKA_OFFSET_BEGINNING or _END. False when a partition did not answer. */
static bool ask_offsets(struct monitor *m, int64_t which, uint64_t asked, rd_kafka_topic_partition_list_t *list)
{
    struct kafka_log *log = m->log;
    for (int i = 0; i < list->cnt; i++)
        list->elems[i].offset = which;
    if (rd_kafka_offsets_for_times(log->producers[KAFKA_BULK].client, list, ANSWER_MS))
        return false;
    bool all = true;
    pthread_mutex_lock(&m->lock);
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *e = &list->elems[i];
        if (e->err || e->offset < 0) {
            all = false;
            continue;
        }
        for (int t = 0; t < TOPICS; t++)
            if (is_watched(log, t) && strcmp(e->topic, log->settings.topics[t]) == 0)
                note_mark(m, t, e, which, asked);
    }
    pthread_mutex_unlock(&m->lock);
    return all;
}

/* True when every watched topic is known and all its partitions answered. */
static bool ask_watermarks(struct monitor *m)
{
    struct kafka_log *log = m->log;
    bool all = true, tables = log->settings.tables;
    pthread_mutex_lock(&m->lock);
    uint64_t asked = ++m->asking;
    pthread_mutex_unlock(&m->lock);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(64);
    for (int t = 0; t < TOPICS; t++) {
        if (!is_watched(log, t))
            continue;
        int32_t count = atomic_load(&log->counts[t]);
        all = all && count > 0;
        tables = tables && (t < TOPIC_INPUTS || count > 0);
        for (int32_t p = 0; p < count; p++)
            rd_kafka_topic_partition_list_add(list, log->settings.topics[t], p);
    }
    bool answered = list->cnt > 0 && ask_offsets(m, RD_KAFKA_OFFSET_BEGINNING, asked, list);
    answered = list->cnt > 0 && ask_offsets(m, RD_KAFKA_OFFSET_END, asked, list) && answered;
    rd_kafka_topic_partition_list_destroy(list);
    pthread_mutex_lock(&m->lock);
    bool news = answered && tables && !m->tables_known;
    m->tables_known = m->tables_known || news;
    pthread_mutex_unlock(&m->lock);
    if (news)
        kafka_log_wake(log);
    return all && answered;
}

/* Until then, until somebody hurries or until it is to stop, which is true. */
static bool sleep_or_stop(struct monitor *m, int64_t wait_ms, bool *out_hurry)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += wait_ms / 1000;
    until.tv_nsec += wait_ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&m->lock);
    while (!m->stop && !m->hurry && pthread_cond_timedwait(&m->wake, &m->lock, &until) == 0) {
    }
    bool stop = m->stop;
    *out_hurry = m->hurry;
    m->hurry = false;
    pthread_mutex_unlock(&m->lock);
    return stop;
}

static void *watch(void *arg)
{
    struct monitor *m = arg;
    const struct kafka_log_settings *s = &m->log->settings;
    int64_t counts_due = 0, marks_due = 0, soonest = 0, lateness_due = kafka_clock_ms() + LATENESS_MS, wait_ms = 0;
    bool hurry;
    while (!sleep_or_stop(m, wait_ms, &hurry)) {
        int64_t now = kafka_clock_ms();
        bool complete = true;
        if (hurry && soonest < marks_due)
            counts_due = marks_due = soonest; /* who leads is asked too: an answer of the former leader is of no use */
        if (now >= counts_due) {
            ask_counts(m);
            for (int t = 0; t < TOPICS; t++)
                complete = complete && atomic_load(&m->log->counts[t]) > 0;
            counts_due = now + (complete ? s->metadata_refresh_ms : IMPATIENT_MS);
        }
        if (now >= marks_due) {
            soonest = now + IMPATIENT_MS;
            marks_due = now + (ask_watermarks(m) ? s->watermark_refresh_ms : IMPATIENT_MS);
        }
        if (now >= lateness_due) {
            kafka_ask_lateness(m->log);
            lateness_due = now + LATENESS_MS;
        }
        int64_t due = counts_due < marks_due ? counts_due : marks_due;
        wait_ms = due > kafka_clock_ms() ? due - kafka_clock_ms() : 1;
    }
    return NULL;
}

bool monitor_start(struct monitor *m, struct kafka_log *log)
{
    pthread_condattr_t attributes;
    m->log = log;
    pthread_mutex_init(&m->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&m->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    m->running = pthread_create(&m->thread, NULL, watch, m) == 0;
    return m->running;
}

void monitor_stop(struct monitor *m)
{
    if (m->running) {
        pthread_mutex_lock(&m->lock);
        m->stop = true;
        pthread_cond_signal(&m->wake);
        pthread_mutex_unlock(&m->lock);
        pthread_join(m->thread, NULL);
        m->running = false;
    }
    for (int t = 0; t < TOPICS; t++) {
        free(m->marks[t]);
    }
}

int32_t monitor_take_moved(struct monitor *m, struct place out[MOVED_MAX])
{
    pthread_mutex_lock(&m->lock);
    int32_t count = m->moved_count;
    memcpy(out, m->moved, (size_t)count * sizeof *out);
    m->moved_count = 0;
    pthread_mutex_unlock(&m->lock);
    return count;
}

bool monitor_ends(struct monitor *m, enum topic topic, int32_t partition, struct log_ends *out)
{
    pthread_mutex_lock(&m->lock);
    const struct watermarks *w = partition < m->sized[topic] ? &m->marks[topic][partition] : NULL;
    bool known = w && w->low_asked && w->high_asked;
    if (known)
        *out = (struct log_ends){w->low, w->high, w->low_asked < w->high_asked ? w->low_asked : w->high_asked, w->high};
    pthread_mutex_unlock(&m->lock);
    return known;
}

uint64_t monitor_ask(struct monitor *m)
{
    pthread_mutex_lock(&m->lock);
    uint64_t next = m->asking + 1;
    m->hurry = true;
    pthread_cond_signal(&m->wake);
    pthread_mutex_unlock(&m->lock);
    return next;
}
