/*
 * What the group has read of the effects: a profile task that runs on while an entity task stands still would push effects
 * out of the log before they are folded. Committed offsets tell how far each entity task is, wherever it runs; its lag
 * is too long when records stand behind that offset which are older than settings.effects_lag_ms_max.
 */
#include "server/io/kafka_parts.h"

#include <time.h>

#define ANSWER_MS 2000

static int64_t wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static rd_kafka_topic_partition_list_t *effects_of(const struct kafka_log *log, int64_t offset)
{
    int32_t count = atomic_load(&log->counts[TOPIC_EFFECTS]);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(count > 0 ? count : 1);
    for (int32_t p = 0; p < count; p++)
        rd_kafka_topic_partition_list_add(list, log->settings.topics[TOPIC_EFFECTS], p)->offset = offset;
    return list;
}

bool kafka_is_late(const rd_kafka_topic_partition_list_t *committed, const rd_kafka_topic_partition_list_t *young)
{
    for (int i = 0; i < committed->cnt && i < young->cnt; i++) {
        const rd_kafka_topic_partition_t *c = &committed->elems[i], *y = &young->elems[i];
        if (!c->err && !y->err && c->offset >= 0 && y->offset >= 0 && c->offset < y->offset)
            return true;
    }
    return false;
}

bool kafka_log_effects_late(const struct kafka_log *log)
{
    return atomic_load_explicit(&log->effects_late, memory_order_relaxed);
}

/* What is not answered leaves the answer as it was. */
void kafka_ask_lateness(struct kafka_log *log)
{
    int64_t most_ms = log->settings.effects_lag_ms_max;
    if (!log->member || most_ms == 0 || atomic_load(&log->counts[TOPIC_EFFECTS]) == 0)
        return;
    rd_kafka_topic_partition_list_t *committed = effects_of(log, RD_KAFKA_OFFSET_INVALID), *young = effects_of(log, wall_ms() - most_ms);
    if (!rd_kafka_committed(log->member, committed, ANSWER_MS) && !rd_kafka_offsets_for_times(log->producers[KAFKA_BULK].client, young, ANSWER_MS))
        atomic_store(&log->effects_late, kafka_is_late(committed, young));
    rd_kafka_topic_partition_list_destroy(committed);
    rd_kafka_topic_partition_list_destroy(young);
}
