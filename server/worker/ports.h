/*
 * The two ports through which a worker acts on the world: the log (Kafka) and the store (Redis). Each has a real
 * implementation in server/io and one in memory (memory_log.h, memory_store.h). Calls never block and never call
 * back into the worker; what happened comes later as a call of worker.h.
 */
#pragma once

#include "common/bytes.h"
#include "common/err.h"
#include "common/slice.h"

#include <stddef.h>

enum topic {
    TOPIC_EVENTS, /* the first four are task inputs, in the order of enum stage */
    TOPIC_EFFECTS,
    TOPIC_ROLLUPS,
    TOPIC_SAMPLES,
    TOPIC_CATALOG, /* tables: read whole by every worker */
    TOPIC_MODELS,
    TOPIC_CONTROL,
    TOPIC_RECOMMENDATIONS, /* outputs */
    TOPIC_TRAFFIC,
    TOPIC_TRAFFIC_SNAPSHOT,
    TOPIC_SEGMENTS,
    TOPIC_HOSTS,
    TOPIC_ALERTS,
    TOPIC_DEADLETTER,
    TOPICS
};

#define TOPIC_INPUTS 4

/* One consumed record. The worker owns it from worker_records() until log->release(). */
struct record {
    enum topic topic;
    int32_t partition;
    int64_t offset;
    int64_t timestamp_ms; /* CreateTime or LogAppendTime, as Kafka has it */
    struct slice key;
    struct slice value;
    bool tombstone;       /* value absent */
    void *native;         /* the log's own handle */
    uint64_t local;       /* the task's: key in memory of the cell it is about; 0 = not known yet */
};

struct header {
    const char *name;
    struct slice value;
};

/* One record to produce; everything is copied before produce() returns. */
struct outgoing {
    enum topic topic;
    int32_t partition; /* -1: murmur2 of the key */
    struct slice key;
    struct slice value;
    bool tombstone;
    const struct header *headers; /* may be NULL */
    int header_count;
    const struct record *headers_of; /* copy that record's headers first; may be NULL */
    void *opaque; /* comes back in worker_acknowledged() */
};

/* Where a log begins and ends, the number of the question to which that was the answer, and the end as fetches tell it. */
struct log_ends {
    int64_t low, high;
    uint64_t asked;
    int64_t heard; /* at least `high`; of a log that was cut it may be the old end */
};

struct log_port {
    void *self;
    /* ERR_TOO_LARGE: never; ERR_MEMORY: the producer's queue is full, try again next turn. */
    enum err (*produce)(void *self, const struct outgoing *out);
    /* Begin (or begin again) delivering a partition at `offset`. Replaces an earlier start of it. */
    void (*start)(void *self, enum topic topic, int32_t partition, int64_t offset);
    void (*stop)(void *self, enum topic topic, int32_t partition);
    void (*pause)(void *self, enum topic topic, int32_t partition, bool paused);
    /* As last heard, which may be a while ago; false while unknown. */
    bool (*ends)(void *self, enum topic topic, int32_t partition, struct log_ends *out);
    /* Asks anew, soon. Answers whose `asked` is at least what this returns were asked for after this call. */
    uint64_t (*ask_ends)(void *self);
    /* Advisory: for lag tools only. */
    void (*commit_offset)(void *self, enum topic topic, int32_t partition, int64_t offset);
    void (*release)(void *self, struct record *record);
    int32_t (*partitions)(void *self, enum topic topic);
    const char *(*topic_name)(void *self, enum topic topic); /* as Kafka knows it */
};

enum stage { STAGE_PROFILE, STAGE_ENTITY, STAGE_ALLOCATION, STAGE_LEARNER, STAGES };

extern const char *const stage_names[STAGES]; /* "profile", … as in Redis keys */
extern const char *const topic_defaults[TOPICS];

/*
 * A blob of a task's slot. As a Redis key: PREFIX:{STAGE.PARTITION}:CLASS and the 8 bytes of id as they are: with the
 * usual prefix the name and its overhead are then 32 bytes of Redis instead of 40.
 */
struct blob_key {
    char class; /* 'p' position, 'h' header, 'x' chain, 'u' user, 'c' counters, 'n' neighbours, 's' scene … */
    uint64_t id;
};

struct blob {
    struct blob_key key;
    struct slice value;
    bool present; /* loads: found; writes: false deletes */
};

enum store_status {
    STORE_OK,
    STORE_CONFLICT, /* the position blob is not what was expected; nothing was written */
    STORE_UNKNOWN,  /* the connection or the shard went away: the outcome is not known */
    STORE_MEMORY,   /* the store is out of memory; nothing was written */
};

/*
 * One request to a task's slot. Owned by the worker, which keeps it (and all it points to) alive and unchanged
 * until worker_stored() hands it back. Requests of one slot are carried out in order.
 */
struct store_request {
    enum stage stage;
    int32_t partition;
    bool commit; /* else a load */
    /* load: keys in, values out (pointing into `reply`); the position blob is read in the same command. */
    struct blob *blobs;
    size_t blob_count;
    /* commit: write all blobs and `position` in one step, iff the stored position equals `expected`. */
    struct blob expected; /* present = false: must be absent */
    struct slice position;
    /* answer */
    enum store_status status;
    struct blob current; /* load: the position blob as read with the values */
    struct writer reply; /* owned by the request: holds what blobs[] and `current` point to */
    void *owner;         /* the worker's own */
};

struct view_write {
    struct slice key; /* without prefix, e.g. "rec:…" */
    struct slice value; /* a string value, or fields of a hash as alternating slices in `fields` */
    const struct slice *fields;
    int field_count;   /* 2 per field; 0: string */
    bool sorted;       /* a sorted set: fields alternate member and score */
    const char *drop_below; /* sorted: added to what is there, and lower scores dropped; NULL: replaces it */
    bool same_fields;  /* the hash always has just these: none of before can be left */
    bool removed;      /* delete it */
    uint32_t ttl_s;    /* 0: the port's default; the port adds jitter */
};

/* Views read in bulk: values of string keys, absent ones with present = false. */
struct view_read {
    struct slice *keys; /* without prefix; kept alive by the worker until worker_views_read() */
    struct blob *values; /* blob_key unused */
    size_t count;
    bool failed; /* answer: treat all as absent for now */
    struct writer reply;
    void *owner;
};

struct store_port {
    void *self;
    void (*submit)(void *self, struct store_request *request);
    /* Forget everything about a slot's connection; requests in flight come back as STORE_UNKNOWN. */
    void (*reset)(void *self, enum stage stage, int32_t partition);
    /* Best effort; dropped and counted when the store is behind. */
    void (*write_view)(void *self, const struct view_write *write);
    /* It is half way there: views that can wait should. */
    bool (*views_are_late)(void *self);
    /* Append to the capped stream of decisions; fields alternate name, value. */
    void (*append_decision)(void *self, const struct slice *fields, int count);
    void (*read_views)(void *self, struct view_read *read);
    /* Bytes sent and queued whose answer has not come: the worker stops folding above its limit. */
    size_t (*bytes_in_flight)(void *self);
};
