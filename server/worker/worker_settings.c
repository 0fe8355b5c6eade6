#include "server/worker/worker_settings.h"

void worker_settings_default(struct worker_settings *s)
{
    *s = (struct worker_settings){
        .profile_commit_ms = 300,
        .entity_commit_ms = 10000,
        .allocation_commit_ms = 1000,
        .learner_commit_ms = 5000,
        .run_close_ms = 50,
        .run_bytes_max = 65536,
        .rollup_ms = 1000,
        .list_ms = 5000,
        .rollups = true,
        .tick_ms = 1000,
        .mark_ms = 5000,
        .audit_ms = 5000,
        .retry_ms = 100,
        .reclaim_ms = 3000,
        .cut_keys_max = 500,
        .entity_cut_keys_max = 12000,
        .cut_turn_bytes = 262144,
        .cuts_in_flight_max = 4,
        .load_keys_max = 1000,
        .queue_records_max = 20000,
        .turn_records_max = 4096,
        .turn_ms = 5,
        .cache_bytes = 512ull << 20,
        .store_bytes_max = 64 << 20,
        .claims_max = 8,
        .beyond_max = 3,
        .tries_max = 3,
        .steps = 100,
        .catalog = {20000, 200000, 1000000, 200000},
    };
    profile_settings_default(&s->profile);
    entity_settings_default(&s->entity);
    allocation_settings_default(&s->allocation);
    recommend_settings_default(&s->recommend);
    experiment_settings_default(&s->experiment);
    similarity_settings_default(&s->similarity);
    push_settings_default(&s->push);
    learner_settings_default(&s->learner);
    segments_settings_default(&s->segments);
}
