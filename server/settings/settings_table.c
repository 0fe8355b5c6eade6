/* One row a setting. Amounts of currencies and properties of Kafka's client, which have keys of their own, are read in settings.c. */
#include "server/settings/settings.h"

static const char *event_name(int i)
{
    return event_type_name((enum event_type)i);
}

static const char *format_name(int i)
{
    return item_format_names[i];
}

static const char *reason_name(int i)
{
    return reason_names[i];
}

static const char *arm_name(int i)
{
    return arm_names[i + 1];
}

static const char *part_name(int i)
{
    return score_part_names[i];
}

static const char *host_name(int i)
{
    return host_part_names[i];
}

static const char *tier_name(int i)
{
    return tier_names[i];
}

static const char *step_name(int i)
{
    return funnel_step_names[i];
}

static const char *topic_name(int i)
{
    static const char *const names[TOPICS] = {"events",  "effects",         "rollups", "samples",          "catalog",
                                              "models",  "control",         "recommendations", "traffic",  "traffic_snapshot",
                                              "segments", "hosts",          "alerts",  "deadletter"};
    return names[i];
}

#define AT(member) offsetof(struct daemon_settings, member)
#define U32(path, member, unit, min, max, flags, text) {path, SETTING_U32, unit, min, max, flags, AT(member), text, 0, NULL}
#define I32(path, member, unit, min, max, flags, text) {path, SETTING_I32, unit, min, max, flags, AT(member), text, 0, NULL}
#define I64(path, member, unit, min, max, flags, text) {path, SETTING_I64, unit, min, max, flags, AT(member), text, 0, NULL}
#define U64(path, member, unit, min, max, flags, text) {path, SETTING_U64, unit, min, max, flags, AT(member), text, 0, NULL}
#define FLAG(path, member, flags, text) {path, SETTING_BOOL, "", 0, 1, flags, AT(member), text, 0, NULL}
#define TEXT(path, member, text) {path, SETTING_TEXT, "", 0, 0, 0, AT(member), text, 0, NULL}
#define NAMED_FILE(path, text) {path, SETTING_TEXT, "", 0, 0, SETTING_FILE, 0, text, 0, NULL}
#define MANY(path, kind, member, unit, min, max, flags, text, count, name) {path, kind, unit, min, max, flags, AT(member), text, count, name}
#define FOLD SETTING_FOLD
#define SHAPE (SETTING_FOLD | SETTING_SHAPE)
#define RELOAD SETTING_RELOAD
#define DAY 86400000.0

const struct setting settings_table[] = {
    TEXT("http", http, "Address for /livez, /readyz and /metrics, HOST:PORT; empty: none."),
    NAMED_FILE("user_key_file", "File with the 16 to 64 bytes that key the hash of user ids; without it the published key of the demo."),
    I32("drain_ms", drain_ms, "ms", 100, 600000, 0, "SIGTERM: the longest that finishing may take."),

    TEXT("kafka.brokers", kafka.brokers, "Bootstrap list, HOST:PORT,…"),
    TEXT("kafka.group", kafka.group, "Consumer group; all workers of one deployment share it."),
    TEXT("kafka.client_id", kafka.client_id, "Name shown by brokers."),
    MANY("kafka.topics", SETTING_TEXT, kafka.topics, "", 0, 0, 0, "Names of the topics.", TOPICS, topic_name),
    I32("kafka.fetch_queue_kb", kafka.fetch_queue_kb, "KiB", 64, 2097151, 0, "Prefetched bytes the consumer keeps."),
    I32("kafka.fetch_wait_ms", kafka.fetch_wait_ms, "ms", 1, 10000, 0, "How long a broker may hold an empty fetch of events and tables."),
    I32("kafka.bulk_fetch_wait_ms", kafka.bulk_fetch_wait_ms, "ms", 1, 10000, 0, "How long it may hold a fetch of what only tasks fold, effects above all."),
    I32("kafka.bulk_fetch_bytes", kafka.bulk_fetch_bytes, "bytes", 1, 16777216, 0, "Unless so much is there."),
    I32("kafka.session_timeout_ms", kafka.session_timeout_ms, "ms", 1000, 3600000, 0, "A worker not heard of for so long loses its partitions."),
    I32("kafka.heartbeat_ms", kafka.heartbeat_ms, "ms", 100, 3600000, 0, "Between heartbeats; at most a third of the session timeout."),
    {"kafka.linger_ms", SETTING_DOUBLE, "ms", 0, 1000, 0, AT(kafka.linger_ms), "How long a list, weight, alert or dead letter waits for others before it is sent.", 0, NULL},
    {"kafka.bulk_linger_ms", SETTING_DOUBLE, "ms", 0, 1000, 0, AT(kafka.bulk_linger_ms), "The same of what only tasks fold, of segments and of host rankings.", 0, NULL},
    I32("kafka.produce_queue_records", kafka.produce_queue_messages, "records", 1000, 10000000, 0, "Records sent and not acknowledged; at the limit folding waits."),
    I32("kafka.produce_queue_kb", kafka.produce_queue_kb, "KiB", 1024, 2097151, 0, "The same in bytes."),
    I32("kafka.message_bytes_max", kafka.message_bytes_max, "bytes", 32768, 16777216, 0, "Largest record sent."),
    I32("kafka.metadata_refresh_ms", kafka.metadata_refresh_ms, "ms", 100, 3600000, 0, "Between looks at partition counts."),
    I64("kafka.retention_ms_min", kafka.retention_ms_min, "ms", 60000, 3650 * DAY, 0, "Least retention of the input logs: longer than the oldest snapshot of Redis that may have to be restored."),
    I64("kafka.effects_lag_ms_max", kafka.effects_lag_ms_max, "ms", 0, 3650 * DAY, 0, "Profile tasks wait while an entity task is further behind than this, lest its effects leave the log unread; 0: never."),
    I32("kafka.watermark_refresh_ms", kafka.watermark_refresh_ms, "ms", 100, 3600000, 0, "Between looks at the ends of logs."),

    TEXT("redis.addresses", redis.addresses, "HOST:PORT,… of a single Redis, its replicas, or nodes of a cluster."),
    TEXT("redis.prefix", redis.prefix, "Of every key."),
    TEXT("redis.user", redis.connection.user, "ACL user; empty: the default user."),
    NAMED_FILE("redis.password_file", "File with the password; without it no AUTH is sent."),
    I32("redis.connect_timeout_ms", redis.connection.connect_timeout_ms, "ms", 50, 60000, 0, "Until a new connection has been greeted."),
    I32("redis.request_timeout_ms", redis.connection.request_timeout_ms, "ms", 50, 60000, 0, "Until an answer; then the connection is dropped."),
    I32("redis.backoff_min_ms", redis.connection.backoff_min_ms, "ms", 1, 60000, 0, "First pause before connecting again."),
    I32("redis.backoff_max_ms", redis.connection.backoff_max_ms, "ms", 1, 600000, 0, "Longest pause before connecting again."),
    U64("redis.view_bytes_max", redis.view_bytes_max, "bytes", 65536, 1e10, 0, "Views queued for one node; beyond it they are dropped and counted."),
    U32("redis.view_ttl_s", redis.view_ttl_s, "s", 10, 31536000, 0, "Time to live of views that name none."),
    U32("redis.decisions_max", redis.decisions_max, "entries", 100, 10000000, 0, "Length of the stream of decisions."),

    U32("worker.profile_commit_ms", worker.profile_commit_ms, "ms", 10, 600000, RELOAD, "Between commits of a profile task."),
    U32("worker.entity_commit_ms", worker.entity_commit_ms, "ms", 10, 600000, RELOAD, "Between commits of an entity task."),
    U32("worker.allocation_commit_ms", worker.allocation_commit_ms, "ms", 10, 600000, RELOAD, "Between commits of an allocation task."),
    U32("worker.learner_commit_ms", worker.learner_commit_ms, "ms", 10, 600000, RELOAD, "Between commits of the learner."),
    U32("worker.run_close_ms", worker.run_close_ms, "ms", 1, 10000, RELOAD, "Age at which a run of effects is sent."),
    U32("worker.run_bytes_max", worker.run_bytes_max, "bytes", 1024, 900000, RELOAD, "Size at which it is sent."),
    U32("worker.rollup_ms", worker.rollup_ms, "ms", 10, 60000, RELOAD, "Between rollups of one entity."),
    U32("worker.list_ms", worker.list_ms, "ms", 10, 3600000, RELOAD, "Between two similarity lists of one entity."),
    FLAG("worker.rollups", worker.rollups, 0, "Send rollups to allocation; off: the entity stage writes room:<id> itself."),
    U32("worker.tick_ms", worker.tick_ms, "ms", 100, 60000, RELOAD, "Between ticks of allocation."),
    U32("worker.mark_ms", worker.mark_ms, "ms", 100, 600000, RELOAD, "Between marks to effects partitions without entries."),
    U32("worker.audit_ms", worker.audit_ms, "ms", 100, 600000, RELOAD, "Between looks at the position of an idle task."),
    U32("worker.retry_ms", worker.retry_ms, "ms", 10, 60000, RELOAD, "Before a slot is read again after a failure."),
    U32("worker.reclaim_ms", worker.reclaim_ms, "ms", 10, 600000, RELOAD, "Before a task lost to another owner is claimed again."),
    U32("worker.cut_keys_max", worker.cut_keys_max, "keys", 1, 100000, RELOAD, "Changed blobs that make a commit due."),
    U32("worker.entity_cut_keys_max", worker.entity_cut_keys_max, "keys", 1, 1000000, RELOAD, "Changed blobs that make a commit of an entity task due: more are written less often and hold up Redis for longer."),
    U32("worker.cut_turn_bytes", worker.cut_turn_bytes, "bytes", 1, 1000000000, RELOAD, "State that entity tasks, all together, copy for their commits in one turn; a task whose commit has more folds nothing until it is copied, while events are ranked in between."),
    U32("worker.cuts_in_flight_max", worker.cuts_in_flight_max, "commits", 1, 64, RELOAD, "Commits of one task under way."),
    U32("worker.load_keys_max", worker.load_keys_max, "keys", 1, 100000, RELOAD, "Blobs read in one command."),
    U32("worker.queue_records_max", worker.queue_records_max, "records", 10, 10000000, RELOAD, "Records waiting in a task before its partition pauses."),
    U32("worker.turn_records_max", worker.turn_records_max, "records", 1, 1000000, RELOAD, "Most records folded in one turn."),
    U32("worker.turn_ms", worker.turn_ms, "ms", 1, 1000, 0, "How long a turn should take: fewer records a turn when they take longer, so that no list waits behind folding."),
    U64("worker.cache_bytes", worker.cache_bytes, "bytes", 1048576, 1e12, RELOAD, "State kept in memory, all tasks together."),
    U64("worker.store_bytes_max", worker.store_bytes_max, "bytes", 65536, 1e10, RELOAD, "Sent to Redis and not answered; beyond it folding waits."),
    U32("worker.beyond_max", worker.beyond_max, "answers", 1, 100, RELOAD, "By which a log ends before a task's position, worker.audit_ms apart, before the task halts: a broker that lost its leadership gives old ends for a while."),
    U32("worker.claims_max", worker.claims_max, "claims", 1, 100, RELOAD, "Takeovers with an unmoved position before records are folded one at a time."),
    U32("worker.tries_max", worker.tries_max, "tries", 1, 100, RELOAD, "Of one such record before its task halts."),
    U32("worker.steps", worker.steps, "records", 1, 100000, RELOAD, "Records folded one at a time before folding freely again."),

    U32("catalog.rooms_max", worker.catalog.rooms_max, "rooms", 1, 10000000, 0, "Rooms in the table every worker keeps."),
    U32("catalog.hosts_max", worker.catalog.hosts_max, "hosts", 1, 10000000, 0, "Hosts in it."),
    U32("catalog.items_max", worker.catalog.items_max, "items", 1, 100000000, 0, "Items in it; about 250 bytes each."),
    U32("catalog.names_max", worker.catalog.names_max, "names", 1, 10000000, 0, "Distinct tags, categories, series, currencies and scenes."),

    FLAG("profile.reference", worker.event_rules.reference, SHAPE, "Events need only id, user, type and ts: the reference job."),
    MANY("profile.weights", SETTING_U8, worker.profile.weights, "", 0, 5, FOLD, "Implicit rating by event type; 0 touches without rating.", EVENT_TYPES, event_name),
    U32("profile.history", worker.profile.history, "items", 1, 100, FOLD, "Items that are paired with what comes, those named last: by any event but refund and forget, in the order of the log. Who leaves was paired before."),
    U32("profile.past", worker.profile.past, "items", 0, 130, FOLD, "Items remembered behind them, for ranking alone: what comes back from there is rated anew."),
    U32("profile.history_hosts", worker.profile.history_hosts, "hosts", 0, 32, FOLD, "Hosts remembered; 0: no similarity of hosts."),
    U32("profile.history_rooms", worker.profile.history_rooms, "rooms", 0, 64, FOLD, "Rooms remembered."),
    U32("profile.dedupe", worker.profile.dedupe, "events", 0, PROFILE_DEDUPE_MAX, FOLD, "Last event ids among which duplicates are found, by 24 bits of a hash each (among 64 one event in 262,144 is taken for another); what is refused is not among them. A duplicate counts for nothing."),
    U32("profile.owned", worker.profile.owned, "items", 0, PROFILE_OWNED_MAX, FOLD, "Purchases (an item of an order) remembered, for refunds and for never offering twice."),
    U32("profile.relations", worker.profile.relations, "entities", 0, PROFILE_RELATIONS_MAX, FOLD, "Follows and blocks remembered; one beyond pushes out the oldest, uncounted."),
    U32("profile.visits", worker.profile.visits, "visits", 0, PROFILE_VISITS_MAX, FOLD, "Visits within which unique visitors are exact: (room) and (host, day) of enter, leave and watch; a room is one visit for ever, in all scenes."),
    I64("profile.late_ms_max", worker.profile.late_ms_max, "ms", 0, 365 * DAY, FOLD, "An event later than this is a dead letter."),
    I64("profile.early_ms_max", worker.profile.early_ms_max, "ms", 0, DAY, FOLD, "An event ahead of its record by more is a dead letter."),
    U32("profile.dwell_ms_max", worker.profile.dwell_ms_max, "ms", 1, 86400000, FOLD, "Most that one watch event adds."),
    U32("profile.room_dwell_ms_max", worker.profile.room_dwell_ms_max, "ms", 1, 86400000, FOLD, "Most that one visit adds."),
    U32("profile.short_view_ms", worker.profile.short_view_ms, "ms", 0, 600000, FOLD, "A leave before so much was watched of the room counts against it."),
    MANY("profile.watch_step_ms", SETTING_U32, worker.profile.watch_step_ms, "ms", 0, 86400000, FOLD, "Watch time that raises the rating to 1, 2, 3, 4; 0: off. In whole seconds; what is left of one goes to the user's next watch.", 4, NULL),
    I64("profile.attribution_ms", worker.profile.attribution_ms, "ms", 0, DAY, FOLD, "A result counts for what was shown within this time: an event without source and rec, but no impression, counts as the recommendation's for each entity in the history that a rec showed last no longer ago, and not later, by ts."),
    I32("profile.day_offset_ms", worker.profile.day_offset_ms, "ms", -DAY, DAY, FOLD, "Days are cut at UTC midnight minus this, those of counters in whole minutes of it; Asia/Shanghai 28800000."),
    I64("profile.again_ms", worker.profile.again_ms, "ms", 0, 365 * DAY, FOLD, "Rated again after so long without a touch counts as another occasion, as does the purchase of what is rated as bought."),
    U32("profile.next_steps", worker.profile.next_steps, "items", 0, PAIR_STEPS, FOLD, "Steps of directed pairs: an item or host whose rating rises from 0 follows the so many rated ones in the history that were touched last."),
    FLAG("profile.funnel", worker.profile.funnel, FOLD, "Count funnels of rooms, hosts and items."),
    FLAG("profile.room_counters_only", worker.profile.room_counters_only, FOLD, "Of rooms only, without unique visitors: the reference job."),

    U32("entity.neighbours", worker.entity.neighbours, "entities", 1, 256, SHAPE, "Neighbours kept of one entity."),
    U32("entity.pair_bucket_ms", worker.entity.pair_bucket_ms, "ms", 0, 4e9, SHAPE, "Width of a bucket of pair counts; 0: one for ever."),
    U32("entity.pair_buckets", worker.entity.pair_buckets, "buckets", 1, 8, SHAPE, "Buckets of pair counts in the window."),
    U32("entity.minutes", worker.entity.minutes, "minutes", 1, 1440, SHAPE, "Minute buckets of counters kept, by scene: those so far back from the entity's greatest ts."),
    U32("entity.hours", worker.entity.hours, "hours", 1, 720, SHAPE, "Hour buckets, by scene and source."),
    U32("entity.days", worker.entity.days, "days", 1, 400, SHAPE, "Day buckets, likewise, cut by profile.day_offset_ms; results by source are those of these days."),

    U32("allocation.rooms_max", worker.allocation.rooms_max, "rooms", 1, 100000, FOLD, "Rooms of a scene, live and retired."),
    U32("allocation.hosts_max", worker.allocation.hosts_max, "hosts", 1, 100000, FOLD, "Hosts of a scene."),
    U32("allocation.items_max", worker.allocation.items_max, "items", 1, 1000000, FOLD, "Items of a scene."),
    I64("allocation.silent_ms", worker.allocation.silent_ms, "ms", 1000, DAY, FOLD, "Without a sign for so long a room is retired."),
    I64("allocation.retired_ms", worker.allocation.retired_ms, "ms", 1000, 30 * DAY, FOLD, "A retired room is forgotten after."),
    I64("allocation.tick_gap_ms", worker.allocation.tick_gap_ms, "ms", 1000, 3600000, FOLD, "A longer gap between ticks counts as this much silence."),
    MANY("allocation.age_ms", SETTING_I64, worker.allocation.age_ms, "ms", 1000, DAY, FOLD, "Bounds of the age cohorts.", 2, NULL),
    U32("allocation.cohort_rooms", worker.allocation.cohort_rooms, "rooms", 1, 1000, FOLD, "A smaller cohort is judged against the scene."),
    MANY("allocation.window_ppm", SETTING_U32, worker.allocation.window_ppm, "ppm", 0, 4000000, FOLD, "What the last 5, 30 and 60 minutes add to a count's weight.", 3, NULL),
    MANY("allocation.prior", SETTING_U32, worker.allocation.prior, "trials", 0, 1000000, FOLD, "Trials at the cohort's rate mixed in.", SCORE_PARTS, part_name),
    MANY("allocation.part_ppm", SETTING_U32, worker.allocation.part_ppm, "ppm", 0, 1000000, FOLD, "Share of each ratio in a room's score.", SCORE_PARTS, part_name),
    U32("allocation.ratio_max_ppm", worker.allocation.ratio_max_ppm, "ppm", 1000000, 100000000, FOLD, "A ratio stays within one over this and this."),
    U32("allocation.score_power", worker.allocation.score_power, "", 0, 8, FOLD, "Weights go by this power of the score: 0 by tier alone, more concentrates the traffic on what does best."),
    I32("allocation.cap_ppm", worker.allocation.cap_ppm, "ppm", 1, 1000000, FOLD, "Largest weight."),
    I32("allocation.floor_ppm", worker.allocation.floor_ppm, "ppm", 0, 500000, FOLD, "Least weight of a new room."),
    I64("allocation.explore_ms", worker.allocation.explore_ms, "ms", 0, DAY, FOLD, "A room is new for so long."),
    U32("allocation.explore_ppm", worker.allocation.explore_ppm, "ppm", 0, 1000000, FOLD, "Share of the traffic that goes by the probability of being among the best rooms of the scene, as many as the cap leaves; the rest by score, and no more than it to the floors of new rooms."),
    U32("allocation.explore_bold_ppm", worker.allocation.explore_bold_ppm, "ppm", 0, 10000000, FOLD, "How much of what is not known of a score the draws for it take; less settles earlier."),
    I32("allocation.step_ppm", worker.allocation.step_ppm, "ppm", 1, 1000000, FOLD, "Largest change of a weight in one tick."),
    I32("allocation.hold_ppm", worker.allocation.hold_ppm, "ppm", 0, 1000000, FOLD, "The weights of a scene stay, and are not sent again, while less of its traffic would move."),
    I32("allocation.guarantee_max_ppm", worker.allocation.guarantee_max_ppm, "ppm", 0, 1000000, FOLD, "Largest floor a guarantee may ask for."),
    MANY("allocation.guarantee_gain_ppm", SETTING_U32, worker.allocation.guarantee_gain_ppm, "ppm", 0, 10000000, FOLD, "Gains of a guarantee's controller: proportional, integral, derivative.", 3, NULL),
    MANY("allocation.tier_factor_ppm", SETTING_U32, worker.allocation.tier_factor_ppm, "ppm", 1, 10000000, FOLD, "Factor on the score.", TIERS, tier_name),
    MANY("allocation.tier_rise_ppm", SETTING_U32, worker.allocation.tier_rise_ppm, "ppm", 0, 10000000, FOLD, "Score at which a tier is left upwards.", TIERS, tier_name),
    MANY("allocation.tier_fall_ppm", SETTING_U32, worker.allocation.tier_fall_ppm, "ppm", 0, 10000000, FOLD, "Score below which it is left downwards.", TIERS, tier_name),
    U32("allocation.tier_streak", worker.allocation.tier_streak, "minutes", 1, 60, FOLD, "Evaluations in a row that it takes."),
    U32("allocation.tier_exposures", worker.allocation.tier_exposures, "exposures", 0, 1000000, FOLD, "Within the hour, before a room may change tier."),
    MANY("allocation.host_part_ppm", SETTING_U32, worker.allocation.host_part_ppm, "ppm", 0, 1000000, FOLD, "Share of each part in a host's score.", HOST_PARTS, host_name),
    U32("allocation.host_fade_ppm", worker.allocation.host_fade_ppm, "ppm", 0, 1000000, FOLD, "Of a host's results, forgotten each day."),
    U32("allocation.rank_top", worker.allocation.rank_top, "hosts", 1, RANK_MAX, FOLD, "Hosts in a ranking."),
    U32("allocation.rank_items", worker.allocation.rank_items, "items", 1, 10000, FOLD, "Items ranked again in one tick."),
    I64("allocation.rank_refresh_ms", worker.allocation.rank_refresh_ms, "ms", 1000, DAY, FOLD, "An unchanged ranking is sent again after, and holds twice as long."),
    I64("allocation.alert_period_ms", worker.allocation.alert_period_ms, "ms", 1000, 3600000, FOLD, "Between evaluations of funnels."),
    U32("allocation.alert_streak", worker.allocation.alert_streak, "evaluations", 1, 100, FOLD, "In a row before an alert."),
    U32("allocation.alert_z_milli", worker.allocation.alert_z_milli, "1/1000", 0, 100000, FOLD, "Standard errors below what came before."),
    U32("allocation.alert_prior", worker.allocation.alert_prior, "events", 1, 1000000, FOLD, "At the cohort's rate that count as a room's past."),
    U32("allocation.alert_ratio_ppm", worker.allocation.alert_ratio_ppm, "ppm", 0, 1000000, FOLD, "And below this share of the rest of the cohort."),
    U32("allocation.alert_past_ppm", worker.allocation.alert_past_ppm, "ppm", 0, 1000000, FOLD, "And below this share of its own past."),
    MANY("allocation.alert_spread_milli", SETTING_U32, worker.allocation.alert_spread_milli, "1/1000", 1000, 100000, FOLD, "Variance over Poisson's.", FUNNEL_STEPS, step_name),
    I64("allocation.refresh_ms", worker.allocation.refresh_ms, "ms", 100, 3600000, FOLD, "An unchanged weight is sent again after."),
    I64("allocation.valid_ms", worker.allocation.valid_ms, "ms", 1000, 3600000, FOLD, "How long a weight may be used."),
    I64("allocation.snapshot_ms", worker.allocation.snapshot_ms, "ms", 100, 3600000, FOLD, "Between snapshots."),
    I64("allocation.card_ms", worker.allocation.card_ms, "ms", 100, 3600000, FOLD, "Between two cards of one entity."),

    U32("similarity.length", worker.similarity.length, "entities", 1, SIMILAR_MAX, 0, "Length of a similarity list."),
    U32("similarity.from", worker.similarity.from, "entities", 1, SIMILAR_FROM_MAX, 0, "Strongest pairs among which it is chosen."),
    U32("similarity.prior", worker.similarity.prior, "ratings", 0, 1000000, 0, "Added under the cosine: what few ratings say counts less."),
    U32("similarity.next_weight_permille", worker.similarity.next_weight_permille, "1/1000", 0, 100000, 0, "What the share of users who come right after is worth beside the cosine."),
    U32("similarity.next_prior", worker.similarity.next_prior, "transitions", 0, 1000, 0, "Added to all transitions of an entity before shares are taken."),
    U32("similarity.user_cosine", worker.similarity.user_cosine, "1 or more", 0, 1000000000, 0, "0: by the cosine of items. Else by the cosine of users, scaled by this: about the count of a usual item."),
    MANY("recommend.weights", SETTING_U32, worker.recommend.weights, "1/1000", 0, 10000, 0, "Weight of each reason.", REASONS, reason_name),
    U32("recommend.learned_permille", worker.recommend.learned_permille, "1/1000", 0, 1000, 0, "How far what the learner finds the sources to be worth moves their weights: the power of its factors, which are within 1/4 and 4. 0: not at all."),
    U32("recommend.explore_ppm", worker.recommend.explore_ppm, "ppm", 0, 500000, 0, "Probability that a place goes to any candidate."),
    I64("recommend.pause_ms", worker.recommend.pause_ms, "ms", 0, DAY, 0, "Not shown again after an impression."),
    U32("recommend.per_host", worker.recommend.per_host, "rooms", 1, 20, 0, "Rooms of one host in a list."),
    U32("recommend.per_category", worker.recommend.per_category, "rooms", 1, 20, 0, "Rooms of one category in a list."),
    I64("recommend.half_life_short_ms", worker.recommend.half_life_short_ms, "ms", 60000, 365 * DAY, 0, "Of the short-term taste."),
    I64("recommend.half_life_long_ms", worker.recommend.half_life_long_ms, "ms", 60000, 3650 * DAY, 0, "Of the long-term taste."),
    I64("recommend.trend_half_life_ms", worker.recommend.trend_half_life_ms, "ms", 1000, DAY, 0, "Of what is trending."),
    I64("recommend.popular_half_life_ms", worker.recommend.popular_half_life_ms, "ms", 60000, 3650 * DAY, 0, "Of what was taken, for what is popular."),
    U32("recommend.similar_prior_permille", worker.recommend.similar_prior_permille, "1/1000", 1, 100000, 0, "Added to the greatest similarity sum before the others are divided by it: lists that say little count less."),
    U32("recommend.recent_items", worker.recommend.recent_items, "items", 1, 256, 0, "Newest of the history whose similarity lists are read."),
    U32("recommend.list_items", worker.recommend.list_items, "items", 1, SIMILAR_MAX, 0, "Places of a list that are read."),
    U32("recommend.full_lists", worker.recommend.full_lists, "lists", 0, 256, 0, "So many of the newest are read whole, the others half."),
    U32("recommend.next_permille", worker.recommend.next_permille, "1/1000", 0, 100000, 0, "Weight in the similarity sum of what comes right after the newest item; half for each item before it."),
    U32("recommend.place_permille", worker.recommend.place_permille, "1/1000", 1, 1000, 0, "What each place further back in the history is worth of the one before, above the floor."),
    U32("recommend.place_floor_permille", worker.recommend.place_floor_permille, "1/1000", 0, 1000, 0, "What any place of the history is worth."),
    MANY("recommend.returning", SETTING_U32, worker.recommend.returning, "0 or 1", 0, 1, 0, "What was bought of this format may be offered again; courses are had once.", FORMATS, format_name),
    U32("recommend.funnel_max", worker.recommend.funnel_max, "entities", 100, 10000000, 0, "Entities whose funnel a worker remembers, for each arm in use."),

    U32("experiment.salt", worker.experiment.salt, "", 0, 4294967295.0, 0, "Deals the users to the arms anew."),
    MANY("experiment.from", SETTING_U32, worker.experiment.from, "1/1000 of the users", 0, 1000, 0, "Where an arm's users begin; each arm in use has its own range of the thousand.", ARMS_TOLD, arm_name),
    MANY("experiment.share", SETTING_U32, worker.experiment.share, "1/1000 of the users", 0, 1000, 0, "How many it has; 0: the arm is not in use. Who is in none is in arm a, ranked by `recommend`.", ARMS_TOLD, arm_name),
    MANY("experiment.explore_ppm", SETTING_I32, worker.experiment.explore_ppm, "ppm", -1, 500000, 0, "recommend.explore_ppm of an arm; -1: as there.", ARMS_TOLD, arm_name),
    MANY("experiment.weights_b", SETTING_I32, worker.experiment.weights[0], "1/1000", -1, 10000, 0, "recommend.weights of arm b; -1: as there.", REASONS, reason_name),
    MANY("experiment.weights_c", SETTING_I32, worker.experiment.weights[1], "1/1000", -1, 10000, 0, "recommend.weights of arm c; -1: as there.", REASONS, reason_name),
    MANY("experiment.weights_d", SETTING_I32, worker.experiment.weights[2], "1/1000", -1, 10000, 0, "recommend.weights of arm d; -1: as there.", REASONS, reason_name),
    MANY("experiment.weights_e", SETTING_I32, worker.experiment.weights[3], "1/1000", -1, 10000, 0, "recommend.weights of arm e; -1: as there.", REASONS, reason_name),
    MANY("experiment.weights_f", SETTING_I32, worker.experiment.weights[4], "1/1000", -1, 10000, 0, "recommend.weights of arm f; -1: as there.", REASONS, reason_name),
    MANY("experiment.weights_g", SETTING_I32, worker.experiment.weights[5], "1/1000", -1, 10000, 0, "recommend.weights of arm g; -1: as there.", REASONS, reason_name),
    MANY("experiment.weights_h", SETTING_I32, worker.experiment.weights[6], "1/1000", -1, 10000, 0, "recommend.weights of arm h; -1: as there.", REASONS, reason_name),

    FLAG("push.enabled", worker.push.enabled, 0, "Rank and send recommendations and user views."),
    U32("push.throttle_ms", worker.push.throttle_ms, "ms", 0, 600000, 0, "Between two rankings for one user."),
    U32("push.refresh_ms", worker.push.refresh_ms, "ms", 1000, 3600000, 0, "An unchanged list is sent again after."),
    U32("push.valid_ms", worker.push.valid_ms, "ms", 1000, 86400000, 0, "How long a list may be used."),
    U32("push.active_ms", worker.push.active_ms, "ms", 1000, 86400000, 0, "A user whose event is older has gone: nothing is sent."),
    U32("push.top", worker.push.top, "places", 1, 20, 0, "Places whose change is worth sending."),
    U32("push.reasons", worker.push.reasons, "reasons", 1, 9, 0, "Reasons of one entry; the weaker ones are summed up as `other`."),
    U32("push.view_ms", worker.push.view_ms, "ms", 0, 3600000, 0, "Between two views of one user."),
    U64("push.view_bytes", worker.push.view_bytes, "bytes", 65536, 1e10, 0, "Views that wait for that; beyond it the oldest are written early."),
    U32("push.behind_ms_max", worker.push.behind_ms_max, "ms", 0, 600000, 0, "A task that is behind ranks a user no more often than it is late, but once in this time."),
    U32("push.pending_max", worker.push.pending_max, "users", 100, 10000000, 0, "Users waiting out their throttle."),
    U32("push.list_max", worker.push.list_max, "lists", 100, 10000000, 0, "Similarity lists kept."),
    U32("push.list_age_ms", worker.push.list_age_ms, "ms", 100, 3600000, 0, "And for how long."),

    I64("learner.intent_ms", worker.learner.intent_ms, "ms", 1000, 365 * DAY, 0, "Horizon of purchase intent."),
    I64("learner.churn_ms", worker.learner.churn_ms, "ms", 1000, 365 * DAY, 0, "Horizon of churn: away in its second half."),
    U32("learner.examples_max", worker.learner.examples_max, "examples", 100, 100000000, 0, "Of intent and of churn each, waiting for their labels; when more come, a fair share of all is kept. About 200 bytes each."),
    U32("learner.segments", worker.learner.segments, "segments", 1, SEGMENTS_MAX, 0, "At most so many."),
    U32("learner.found_permille", worker.learner.found_permille, "1/1000", 0, 1000, 0, "A user whose best cosine is below this founds a segment."),
    U32("learner.step_ppm", worker.learner.step_ppm, "ppm", 1, 1000000, 0, "Least step of a centroid."),
    U32("learner.audience_users_max", worker.learner.audience.users_max, "users", 1, 100000000, 0, "Of whom audiences are counted; those unseen for long leave first."),
    I64("learner.audience_keep_ms", worker.learner.audience.keep_ms, "ms", 1000, 3650 * DAY, 0, "A user unseen for so long is no longer counted."),
    I64("learner.audience_away_ms", worker.learner.audience.away_ms, "ms", 1000, 3650 * DAY, 0, "And counts as dormant after."),
    U32("learner.memory", worker.learner.memory, "examples", 100, 1000000000, 0, "After so many one counts 1/e."),

    U32("segments.sample_ms", worker.segments.sample_ms, "ms", 100, 86400000, 0, "Between two samples of one user."),
    U32("segments.publish_ms", worker.segments.publish_ms, "ms", 100, 86400000, 0, "Between two records of one user."),
    U32("segments.turn_ms", worker.segments.turn_ms, "ms", 0, 86400000, 0, "The same after an enter, leave, trial, cart or purchase."),
    U32("segments.refresh_ms", worker.segments.refresh_ms, "ms", 1000, 86400000, 0, "An unchanged one is sent again after."),
    U32("segments.step_permille", worker.segments.step_permille, "1/1000", 1, 10000, 0, "Change of intent's or churn's log odds worth sending."),
    U32("segments.session_gap_ms", worker.segments.session_gap_ms, "ms", 1000, 86400000, 0, "A longer silence ends a visit."),
    U32("segments.conversions_max", worker.segments.conversions_max, "entities", 100, 10000000, 0, "Items and hosts of which a worker remembers how readily they are bought; beyond it the one unseen for longest is forgotten."),
    I64("segments.high_spent", worker.segments.value.high_spent, "minor units", 1, 1e15, 0, "Spending of a high-value user."),
    U32("segments.high_orders", worker.segments.value.high_orders, "orders", 1, 1000000, 0, "Or so many orders."),
    I64("segments.recent_ms", worker.segments.value.recent_ms, "ms", 60000, 3650 * DAY, 0, "Age of the last order that still counts."),
    I64("segments.dormant_ms", worker.segments.value.dormant_ms, "ms", 60000, 3650 * DAY, 0, "Not seen for so long is dormant."),
    U32("segments.potential", worker.segments.value.potential, "events", 1, 1000, 0, "Carts and trials that make a potential."),
    {NULL},
};
