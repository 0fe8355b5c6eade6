/* Everything a worker needs to know; the table in server/settings fills it from the configuration. */
#pragma once

#include "server/codec/event_decode.h"
#include "server/engine/allocation.h"
#include "server/engine/catalog.h"
#include "server/engine/entity.h"
#include "server/engine/profile.h"
#include "server/engine/recommend.h"
#include "server/engine/experiment.h"
#include "server/engine/similarity.h"
#include "server/worker/push.h"
#include "server/worker/segments.h"

struct worker_settings {
    struct event_rules event_rules;  /* fold settings */
    struct profile_settings profile; /* fold settings */
    struct entity_settings entity;   /* fold settings */
    struct allocation_settings allocation; /* fold settings */
    struct recommend_settings recommend;
    struct experiment_settings experiment;
    struct similarity_settings similarity;
    struct push_settings push;
    struct learner_settings learner;
    struct segments_settings segments;
    struct catalog_limits catalog;   /* of the table that every worker keeps */
    uint64_t fold_hash;              /* over all fold settings, as it stands in slot headers */
    const struct worker_settings *const *before; /* borrowed for the worker's life; of whose fold settings earlier records were folded */
    uint32_t before_count;

    uint8_t user_key[64];            /* of the keyed hash of user ids (common/hmac.h) */
    uint32_t user_key_size;

    /* Cadences: from here on everything may change while running (worker_reload). */
    uint32_t profile_commit_ms;      /* 300 */
    uint32_t entity_commit_ms;       /* 10,000 */
    uint32_t allocation_commit_ms;   /* 1,000 */
    uint32_t learner_commit_ms;      /* 5,000 */
    uint32_t run_close_ms;           /* an effects run is sent at this age; 50 */
    uint32_t run_bytes_max;          /* or at this size; 65,536 */
    uint32_t rollup_ms;              /* rollups of changed entities; 1,000 */
    uint32_t list_ms;                /* between two similarity lists of one entity; 5,000 */
    bool rollups;                    /* off: no allocation; the entity stage writes room:<id> itself */
    uint32_t tick_ms;                /* of allocation; 1,000 */
    uint32_t mark_ms;                /* a mark to effects partitions without entries; 5,000 */
    uint32_t audit_ms;               /* re-reading the position of an idle task; 5,000 */
    uint32_t retry_ms;               /* before a slot is read again after a failure; 100 */
    uint32_t reclaim_ms;             /* before a task lost to another owner is claimed again; 3,000 */

    /* Limits. */
    uint32_t cut_keys_max;           /* dirty blobs that make a cut due; 500 */
    uint32_t entity_cut_keys_max;    /* likewise of entity tasks, whose blobs are large: the longer one waits the more changes a write covers; 12,000 */
    uint32_t cut_turn_bytes;         /* copied in one turn of cuts of entity tasks, all together; 262,144 */
    uint32_t cuts_in_flight_max;     /* 4 */
    uint32_t load_keys_max;          /* blobs read in one command; 1,000 */
    uint32_t queue_records_max;      /* records waiting in a task before its partition pauses; 20,000 */
    uint32_t turn_records_max;       /* records folded in one turn by all tasks together; 4,096 */
    uint32_t turn_ms;                /* how long a turn should take: the shell sets the pace; 5 */
    uint64_t cache_bytes;            /* cells of all tasks together; 512 MiB */
    uint64_t store_bytes_max;        /* sent to the store and not answered; 64 MiB */
    uint32_t claims_max;             /* claims with an unmoved position before folding one at a time; 8 */
    uint32_t beyond_max;             /* answers in a row, audit_ms apart, that a log ends before the position, before the task halts; 3 */
    uint32_t tries_max;              /* of one such record before the task halts; 3 */
    uint32_t steps;                  /* records folded one at a time before folding freely again; 100 */
};

void worker_settings_default(struct worker_settings *s);
