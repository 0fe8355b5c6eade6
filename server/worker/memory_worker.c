#include "server/worker/memory_worker.h"

const int32_t memory_input_partitions[TOPIC_INPUTS] = {16, 16, 4, 1};

void memory_worker_open(struct memory_worker *m, const int32_t inputs[TOPIC_INPUTS])
{
    *m = (struct memory_worker){0};
    for (int t = 0; t < TOPICS; t++)
        m->partitions[t] = inputs && t < TOPIC_INPUTS ? inputs[t] : 1;
    m->cluster = memory_cluster_create(m->partitions);
    m->redis = memory_redis_create();
}

void memory_worker_start(struct memory_worker *m, const struct worker_settings *settings, uint64_t random)
{
    m->log = memory_log_create(m->cluster);
    m->store = memory_store_create(m->redis);
    m->worker = worker_create(settings, memory_log_port(m->log), memory_store_port(m->store), random);
}

void memory_worker_stop(struct memory_worker *m, int64_t now_ms)
{
    worker_assigned(m->worker, NULL, 0, now_ms);
    memory_store_abandon(m->store, m->worker, now_ms);
    memory_log_deliver(m->log, m->worker, 0, now_ms);
    worker_destroy(m->worker);
    memory_store_destroy(m->store);
    memory_log_destroy(m->log);
    m->worker = NULL;
}

void memory_worker_close(struct memory_worker *m, int64_t now_ms)
{
    if (m->worker)
        memory_worker_stop(m, now_ms);
    memory_redis_destroy(m->redis);
    memory_cluster_destroy(m->cluster);
}

void memory_worker_hear_models(struct memory_worker *m, int64_t *heard, int64_t now_ms)
{
    for (; *heard < memory_end(m->cluster, TOPIC_MODELS, 0); ++*heard) {
        struct record copy = *memory_find(m->cluster, TOPIC_MODELS, 0, *heard);
        worker_table_record(m->worker, &copy, now_ms);
    }
}
