/* The parts of the verb audit: what users did, what was live, and what came out. */
#pragma once

#include "common/map.h"
#include "server/engine/entity_id.h"
#include "server/settings/settings.h"

#include <librdkafka/rdkafka.h>

#define GRACE_MS 3000 /* workers read the catalog at their own pace */

/* What was so about (user, entity), from which event on. */
enum fact_kind { FACT_OWNED, FACT_REFUNDED, FACT_REFUSED, FACT_ALLOWED, FACT_SHOWN };

struct fact {
    enum fact_kind kind;
    int64_t offset, ts_ms;
    struct fact *before;
};

/* Of a room or an item, as the catalog had it last. */
struct entry {
    int64_t closed_ms;     /* rooms: record timestamp of the first close; 0 = open */
    int64_t restricted_ms; /* items: since when; 0 = not */
    uint64_t category;     /* hash; 0 = none */
};

struct weight {
    int64_t offset, ts_ms; /* of the tick */
    uint64_t scene, room;
    int64_t at;            /* place in its partition, to say where */
    int32_t partition;
    uint32_t gaps;         /* records of the partition that compaction had removed before it */
    int32_t ppm;
    bool held;
};

struct gone {
    uint64_t scene;
    int64_t ts_ms;
};

struct audit {
    struct settings settings;
    struct map facts;   /* (user, entity) -> newest struct fact */
    struct map orders;  /* (user, order) -> newest struct bought */
    struct map forgets; /* user -> offset of the last forget + 1 */
    struct map recent;  /* user -> struct recent: the last event ids */
    struct map entries; /* (kind, id) -> struct entry */
    struct weight *weights; /* owned: every record of live.traffic */
    size_t weight_count, weight_capacity;
    struct gone *gone; /* owned: its tombstones */
    size_t gone_count, gone_capacity;
    uint32_t gaps;     /* of the partition being read */
    int64_t next;      /* offset expected in it */
    uint64_t recommendations, places, snapshots, shares, steps, mistaken, faults;
};

uint64_t audit_key(enum entity_kind kind, const char *id, size_t size);
void audit_fault(struct audit *a, const char *rule, const char *topic, int32_t partition, int64_t offset, const char *what);
void *audit_grow(void *list, size_t *capacity, size_t count, size_t size);

void audit_event(struct audit *a, const rd_kafka_message_t *m, int64_t ts_ms);
void audit_catalog(struct audit *a, const rd_kafka_message_t *m, int64_t ts_ms);
void audit_snapshot(struct audit *a, const rd_kafka_message_t *m, int64_t ts_ms);
void audit_weight(struct audit *a, const rd_kafka_message_t *m, int64_t ts_ms);
/* After all of live.traffic was read. */
void audit_steps(struct audit *a);
/* The newest fact of one of two kinds that the event at `offset` already had behind it; NULL when there is none. */
const struct fact *audit_fact(const struct audit *a, struct slice user, enum entity_kind kind, const char *id, int64_t offset,
                              enum fact_kind one, enum fact_kind other);
const struct entry *audit_entry(const struct audit *a, enum entity_kind kind, const char *id);
