/*
 * Whole workers over a simulated Kafka and Redis on virtual time, with faults drawn from a seed. When the faults end,
 * every task must catch up (liveness), and the state of every task must be what a fresh fold of its log gives
 * (safety).
 *
 *   sim [--seeds N] [--from S] [--verbose]
 */
#include "common/hash.h"
#include "common/log.h"
#include "common/text.h"
#include "server/worker/memory_log.h"
#include "server/worker/memory_store.h"

#include <stdio.h>
#include <stdlib.h>

enum { WORKERS = 3, USERS = 12, EVENTS_P = 3, EFFECTS_P = 3, ROOMS = 5, STEPS = 600 };

enum fault { FAULT_CRASH, FAULT_FAILOVER, FAULT_ZOMBIE, FAULT_REBALANCE, FAULT_ACK, FAULT_STORE, FAULT_REPEAT,
             FAULT_JUMP, FAULTS };

static const char *const fault_names[FAULTS] = {"crash", "failover", "zombie", "rebalance", "ack_lost",
                                                "store_unknown", "log_repeat_or_skip", "clock_jump"};

struct member {
    struct worker *worker;
    struct memory_log *log;
    struct memory_store *store;
    bool stalled; /* the group gave its partitions away and it does not know */
};

struct sim {
    uint64_t random;
    int64_t now_ms;
    struct worker_settings settings;
    struct memory_cluster *cluster;
    struct memory_redis *redis;
    struct member members[WORKERS];
    struct memory_faults log_faults;
    struct store_faults store_faults;
    uint32_t enabled; /* bits: faults of this seed (swarm) */
    uint64_t counts[FAULTS];
    uint64_t events, orders;
    bool room_open[ROOMS];
    int controls;
    int64_t told; /* catalog records */
};

static uint64_t draw(struct sim *s, uint64_t below)
{
    s->random = hash_mix(s->random + 0x9e3779b97f4a7c15u);
    return s->random % below;
}

static void member_start(struct sim *s, struct member *m)
{
    m->log = memory_log_create(s->cluster);
    m->store = memory_store_create(s->redis);
    m->worker = worker_create(&s->settings, memory_log_port(m->log), memory_store_port(m->store), s->random);
    m->stalled = false;
}

static void tell(struct member *m, enum topic topic, const char *key, const char *value, int64_t offset, int64_t now_ms)
{
    struct record r = {.topic = topic, .offset = offset, .timestamp_ms = now_ms, .key = slice_of(key), .value = slice_of(value)};
    worker_table_record(m->worker, &r, now_ms);
}

static void tell_room(struct sim *s, struct member *m, int room)
{
    char key[16], value[256];
    snprintf(key, sizeof key, "room:r%d", room);
    snprintf(value, sizeof value,
             "{\"v\":1,\"host\":\"h%d\",\"scenes\":[\"home\",\"learn\"],\"status\":\"%s\",\"category\":\"a\",\"items\":[\"c%d\"]}",
             room % 3, s->room_open[room] ? "open" : "closed", room);
    tell(m, TOPIC_CATALOG, key, value, s->told++, s->now_ms);
}

static void tell_control(struct sim *s, struct member *m, int control)
{
    char value[256];
    snprintf(value, sizeof value, "{\"v\":1,\"id\":\"k%d\",\"scene\":\"home\",\"op\":\"%s\",\"room\":\"r%d\",\"value\":%s,\"by\":\"me\"}",
             control, control % 2 ? "boost" : "cap", control % ROOMS, control % 2 ? "2" : "0.5");
    tell(m, TOPIC_CONTROL, "home", value, control, s->now_ms);
}

static void tell_all(struct sim *s, struct member *m)
{
    for (int r = 0; r < ROOMS; r++)
        tell_room(s, m, r);
    for (int c = 0; c < s->controls; c++)
        tell_control(s, m, c);
    worker_tables_ready(m->worker);
}

/* A room opens or closes, or an operator speaks: every worker that lives hears of it. */
static void change_tables(struct sim *s)
{
    bool control = draw(s, 3) == 0;
    int room = (int)draw(s, ROOMS);
    s->room_open[room] = control ? s->room_open[room] : !s->room_open[room];
    s->controls += control;
    for (int i = 0; i < WORKERS; i++)
        if (control)
            tell_control(s, &s->members[i], s->controls - 1);
        else
            tell_room(s, &s->members[i], room);
}

/* What was on its way is lost or carried out unheard. */
static void member_crash(struct sim *s, struct member *m, size_t carried_out)
{
    static const struct memory_faults none;
    worker_assigned(m->worker, NULL, 0, s->now_ms);
    memory_store_abandon(m->store, m->worker, carried_out, s->now_ms);
    memory_log_deliver(m->log, m->worker, 0, &none, &s->random, s->now_ms);
    worker_destroy(m->worker);
    memory_store_destroy(m->store);
    memory_log_destroy(m->log);
    m->worker = NULL;
}

/* Round-robin over the members that the group knows, beginning at a random one. */
static void rebalance(struct sim *s)
{
    struct topic_partition lists[WORKERS][64];
    size_t counts[WORKERS] = {0};
    int alive[WORKERS], n = 0, at;
    for (int i = 0; i < WORKERS; i++)
        if (s->members[i].worker && !s->members[i].stalled)
            alive[n++] = i;
    if (n == 0)
        return;
    at = (int)draw(s, (uint64_t)n);
    for (int t = 0; t < TOPIC_INPUTS; t++) {
        const struct log_port *port = memory_log_port(s->members[alive[0]].log);
        for (int32_t p = 0; p < port->partitions(port->self, (enum topic)t); p++, at++) {
            int i = alive[at % n];
            lists[i][counts[i]++] = (struct topic_partition){(enum topic)t, p};
        }
    }
    for (int i = 0; i < n; i++)
        worker_assigned(s->members[alive[i]].worker, lists[alive[i]], counts[alive[i]], s->now_ms);
}

static void append_event(struct sim *s)
{
    static const char *const types[] = {"watch", "enter", "click", "cart", "purchase", "impression", "refund", "like"};
    struct writer w = {0};
    char user[16];
    uint64_t type = draw(s, 8);
    snprintf(user, sizeof user, "u%d", (int)draw(s, USERS));
    uint64_t id = s->events && draw(s, 20) == 0 ? draw(s, s->events) : s->events;
    s->events++;
    text_printf(&w,
                "{\"v\":1,\"id\":\"e%d\",\"ts\":%lld,\"type\":\"%s\",\"user\":\"%s\",\"scene\":\"home\",\"room\":\"r%d\","
                "\"host\":\"h%d\",\"item\":\"c%d\",\"dwell_ms\":%d",
                (int)id, (long long)(s->now_ms - (int64_t)draw(s, 2000)), types[type], user, (int)draw(s, 5),
                (int)draw(s, 3), (int)draw(s, 9), (int)draw(s, 20000));
    if (type == 4)
        text_printf(&w, ",\"order\":\"o%d\",\"amount\":%d,\"currency\":\"CNY\"", (int)s->orders++, 100 + (int)draw(s, 900));
    if (type == 6)
        text_printf(&w, ",\"order\":\"o%d\",\"amount\":50,\"currency\":\"CNY\"", (int)draw(s, s->orders + 1));
    text_add(&w, draw(s, 50) == 0 ? "" : "}");
    memory_append(s->cluster, TOPIC_EVENTS, -1, slice_of(user), (struct slice){(char *)w.data, (uint32_t)w.size},
                  s->now_ms);
    writer_fini(&w);
}

static bool enabled(const struct sim *s, enum fault f)
{
    return s->enabled >> f & 1;
}

static void fault_crash(struct sim *s)
{
    struct member *m = &s->members[draw(s, WORKERS)];
    member_crash(s, m, draw(s, 4));
    member_start(s, m);
    tell_all(s, m);
    rebalance(s);
}

static void fault_zombie(struct sim *s)
{
    struct member *m = &s->members[draw(s, WORKERS)];
    m->stalled = !m->stalled;
    rebalance(s);
}

static void fault(struct sim *s, enum fault f)
{
    if (!enabled(s, f))
        return;
    s->counts[f]++;
    if (f == FAULT_CRASH)
        fault_crash(s);
    else if (f == FAULT_FAILOVER)
        memory_redis_lose(s->redis, (int)draw(s, MEMORY_SHARDS), 1 + draw(s, 6));
    else if (f == FAULT_ZOMBIE)
        fault_zombie(s);
    else if (f == FAULT_REBALANCE)
        rebalance(s);
    else if (f == FAULT_JUMP)
        s->now_ms += (int64_t)draw(s, 30000);
    else if (f == FAULT_ACK)
        s->log_faults.ack_loss_ppm = draw(s, 2) ? 0 : 20000;
    else if (f == FAULT_STORE)
        s->store_faults = (struct store_faults){draw(s, 2) ? 0 : 30000, draw(s, 2) ? 0 : 20000};
    else
        s->log_faults.skip_ppm = s->log_faults.repeat_ppm = draw(s, 2) ? 0 : 5000;
}

static void drive(struct sim *s, struct member *m, size_t records, size_t answers)
{
    memory_log_set_now(m->log, s->now_ms);
    memory_log_deliver(m->log, m->worker, records, &s->log_faults, &s->random, s->now_ms);
    memory_store_deliver(m->store, m->worker, answers, &s->store_faults, &s->random, s->now_ms);
    worker_turn(m->worker, s->now_ms);
}

static bool all_idle(const struct sim *s, char *out_why, size_t size)
{
    for (int i = 0; i < WORKERS; i++) {
        struct task_report tasks[64];
        size_t n = worker_report(s->members[i].worker, s->now_ms, tasks, 64);
        for (size_t k = 0; k < n; k++)
            if (strcmp(tasks[k].state, "run") != 0 || tasks[k].lag_records || tasks[k].committed != tasks[k].next) {
                snprintf(out_why, size, "worker %d %s.%d is in %s%s%s at %lld, committed %lld, lag %lld", i,
                         stage_names[tasks[k].stage], tasks[k].partition, tasks[k].state, tasks[k].halt ? " " : "",
                         tasks[k].halt ? tasks[k].halt : "", (long long)tasks[k].next, (long long)tasks[k].committed,
                         (long long)tasks[k].lag_records);
                return false;
            }
    }
    return true;
}

/* Folds every log again, alone and without faults, and compares slot by slot. */
static int compare(struct sim *s, uint64_t seed)
{
    struct memory_redis *fresh = memory_redis_create();
    struct member m = {0};
    struct memory_redis *shared = s->redis;
    int diverged = 0;
    s->redis = fresh;
    member_start(s, &m);
    memory_log_discard_outputs(m.log);
    memory_redis_init(fresh, &s->settings, memory_log_port(m.log));
    struct topic_partition list[64];
    size_t n = 0;
    const struct log_port *port = memory_log_port(m.log);
    for (int t = 0; t < TOPIC_INPUTS; t++)
        for (int32_t p = 0; p < port->partitions(port->self, (enum topic)t); p++)
            list[n++] = (struct topic_partition){(enum topic)t, p};
    worker_assigned(m.worker, list, n, s->now_ms);
    for (int i = 0; i < 400; i++) {
        s->now_ms += 100;
        drive(s, &m, 1000, 1000);
    }
    for (size_t i = 0; i < n; i++) {
        enum stage stage = (enum stage)list[i].topic;
        if (stage > STAGE_ALLOCATION)
            continue;
        uint64_t have = memory_redis_digest(shared, stage, list[i].partition);
        uint64_t want = memory_redis_digest(fresh, stage, list[i].partition);
        if (have != want) {
            diverged++;
            printf("seed %llu: %s.%d has digest %016llx, its log gives %016llx\n", (unsigned long long)seed,
                   stage_names[stage], (int)list[i].partition, (unsigned long long)have, (unsigned long long)want);
        }
    }
    member_crash(s, &m, 0);
    s->redis = shared;
    memory_redis_destroy(fresh);
    return diverged;
}

static void settle(struct sim *s)
{
    s->settings.tick_ms = UINT32_MAX; /* else there is always one more record to fold */
    s->log_faults = (struct memory_faults){0};
    s->store_faults = (struct store_faults){0};
    for (int i = 0; i < WORKERS; i++)
        s->members[i].stalled = false;
    for (int i = 0; i < WORKERS; i++)
        worker_reload(s->members[i].worker, &s->settings);
    rebalance(s);
}

static void settings_of(struct sim *s)
{
    worker_settings_default(&s->settings);
    s->settings.user_key_size = 16;
    s->settings.profile_commit_ms = 50 + (uint32_t)draw(s, 300);
    s->settings.entity_commit_ms = 100 + (uint32_t)draw(s, 1500);
    s->settings.run_close_ms = 5 + (uint32_t)draw(s, 60);
    s->settings.allocation_commit_ms = 50 + (uint32_t)draw(s, 500);
    s->settings.rollup_ms = 20 + (uint32_t)draw(s, 300);
    s->settings.tick_ms = 50 + (uint32_t)draw(s, 300);
    s->settings.audit_ms = 1000;
    s->settings.claims_max = s->settings.tries_max = 1000; /* owners die here far more often than records kill them */
    s->settings.cut_keys_max = 3 + (uint32_t)draw(s, 30);
    s->settings.cache_bytes = draw(s, 2) ? 1u << 20 : 1u << 14;
}

static int run_seed(uint64_t seed, uint64_t counts[FAULTS], uint64_t records[TOPIC_INPUTS])
{
    int32_t partitions[TOPICS];
    struct sim s = {.random = hash_mix(seed + 1), .now_ms = 1732370000000};
    for (int t = 0; t < TOPICS; t++)
        partitions[t] = t == TOPIC_EVENTS ? EVENTS_P : t == TOPIC_EFFECTS ? EFFECTS_P : 1;
    s.cluster = memory_cluster_create(partitions);
    s.redis = memory_redis_create();
    settings_of(&s);
    s.enabled = (uint32_t)draw(&s, 1u << FAULTS);
    for (int r = 0; r < ROOMS; r++)
        s.room_open[r] = draw(&s, 2);
    for (int i = 0; i < WORKERS; i++) {
        member_start(&s, &s.members[i]);
        tell_all(&s, &s.members[i]);
    }
    memory_redis_init(s.redis, &s.settings, memory_log_port(s.members[0].log));
    rebalance(&s);
    for (int step = 0; step < STEPS; step++) {
        s.now_ms += (int64_t)draw(&s, 20);
        if (draw(&s, 2))
            append_event(&s);
        if (draw(&s, 60) == 0)
            change_tables(&s);
        if (draw(&s, 12) == 0)
            fault(&s, (enum fault)draw(&s, FAULTS));
        drive(&s, &s.members[draw(&s, WORKERS)], draw(&s, 20), draw(&s, 6));
    }
    settle(&s);
    char why[256] = "";
    bool idle = false;
    for (int i = 0; i < 3000 && !idle; i++) {
        s.now_ms += 50;
        for (int k = 0; k < WORKERS; k++)
            drive(&s, &s.members[k], 1000, 1000);
        idle = i > 100 && all_idle(&s, why, sizeof why);
    }
    int diverged = 0;
    if (!idle) {
        printf("seed %llu: not caught up: %s\n", (unsigned long long)seed, why);
        diverged = 1;
    } else {
        diverged = compare(&s, seed);
    }
    for (int i = 0; i < WORKERS; i++)
        member_crash(&s, &s.members[i], 0);
    for (int f = 0; f < FAULTS; f++)
        counts[f] += s.counts[f];
    for (int t = 0; t < TOPIC_INPUTS; t++)
        for (int32_t p = 0; p < partitions[t]; p++)
            records[t] += (uint64_t)memory_end(s.cluster, (enum topic)t, p);
    memory_redis_destroy(s.redis);
    memory_cluster_destroy(s.cluster);
    return diverged;
}

int main(int argc, char **argv)
{
    uint64_t seeds = 200, from = 1, counts[FAULTS] = {0}, records[TOPIC_INPUTS] = {0}, faults = 0;
    int diverged = 0;
    log_set_level(LOG_ERROR);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seeds") == 0)
            seeds = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--from") == 0)
            from = strtoull(argv[i + 1], NULL, 10);
    }
    for (uint64_t i = 0; i < seeds; i++)
        diverged += run_seed(from + i, counts, records) != 0;
    for (int f = 0; f < FAULTS; f++) {
        printf("%-20s %8.2f a seed\n", fault_names[f], (double)counts[f] / (double)seeds);
        faults += counts[f];
    }
    for (int t = 0; t < TOPIC_SAMPLES; t++)
        printf("%-20s %8.2f a seed\n", topic_defaults[t], (double)records[t] / (double)seeds);
    printf("%llu seeds, %llu faults, %d diverged\n", (unsigned long long)seeds, (unsigned long long)faults, diverged);
    return diverged != 0;
}
