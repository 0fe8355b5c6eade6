/* What each fault does, what ends it, and which halts it entitles the tasks to. */
#include "common/check.h"
#include "common/hash.h"
#include "tests/sim/sim.h"

const char *const fault_names[FAULTS] = {
    "crash", "crash_at", "stop", "zombie", "rebalance", "ack_lost", "send_lost", "sent_twice", "send_refused", "delay", "silence", "fenced", "reorder",
    "skip", "repeat", "break", "failover", "slot_moves", "memory", "clock", "bad_events", "reload", "retention", "migrate", "configuration",
    "effects_lost", "log_lost", "recreated", "retention_short", "skip_always", "shard_empty", "position_lost", "poison",
};

#define BIT(halt) (1u << (halt))
#define LOG_HALTS (BIT(HALT_LOG_TRUNCATED) | BIT(HALT_LOG_REWRITTEN) | BIT(HALT_LOG_GAP))

struct place {
    enum stage stage;
    int32_t partition;
};

/* One of all tasks. */
static struct place place_of(const struct sim *s, uint32_t drawn)
{
    struct place at = {0};
    int n = 0, count = 0;
    for (int t = 0; t < TOPIC_INPUTS; t++)
        count += s->kafka.partitions[t];
    n = (int)(drawn % (uint32_t)count);
    while (n >= s->kafka.partitions[at.stage])
        n -= s->kafka.partitions[at.stage++];
    at.partition = n;
    return at;
}

/* What the slot says; false when it says nothing. */
static bool stored_position(const struct sim *s, struct place at, struct position *out)
{
    const struct stored *stored = redis_find(&s->redis, at.stage, at.partition, POSITION_KEY);
    return stored && position_decode(stored->value, out) == ERR_NONE;
}

static void tear(struct sim *s, struct place at)
{
    struct position p;
    if (stored_position(s, at, &p) && p.claims > s->settings.claims_max && ++s->torn[at.stage][at.partition] >= s->settings.tries_max)
        s->may_halt[at.stage][at.partition] |= BIT(HALT_POISON);
}

static size_t tasks_of(const struct sim *s, const struct member *m, struct task_report out[STAGES * PARTITIONS])
{
    return m->worker ? worker_report(m->worker, s->now_ms, out, STAGES * PARTITIONS) : 0;
}

void fault_tears(struct sim *s, const struct member *m, int shard)
{
    struct task_report tasks[STAGES * PARTITIONS];
    size_t n = tasks_of(s, m, tasks);
    for (size_t i = 0; i < n; i++)
        if (shard < 0 || shard_of(tasks[i].stage, tasks[i].partition) == shard)
            tear(s, (struct place){tasks[i].stage, tasks[i].partition});
}

/* It runs the task, or what it wrote at the end is still on its way. */
static bool holds(const struct sim *s, const struct member *m, struct place at)
{
    struct task_report tasks[STAGES * PARTITIONS];
    for (size_t i = tasks_of(s, m, tasks); i > 0; i--)
        if (tasks[i - 1].stage == at.stage && tasks[i - 1].partition == at.partition)
            return true;
    return link_is_busy(&m->link, at.stage, at.partition);
}

void fault_tears_taken(struct sim *s, const struct member *taker)
{
    for (size_t i = 0; i < taker->pending_count; i++) {
        struct place at = {(enum stage)taker->pending[i].topic, taker->pending[i].partition};
        for (int k = 0; k < s->member_count; k++)
            if (&s->members[k] != taker && holds(s, &s->members[k], at))
                tear(s, at);
    }
}

static void crash(struct sim *s, const struct strike *k)
{
    struct member *m = &s->members[k->a % (uint32_t)s->member_count];
    if (!m->worker)
        return;
    s->struck[FAULT_CRASH]++;
    member_crash(s, m, 1 + (int)(k->b % 20));
    group_rebalance(s);
}

static void arm(struct sim *s, struct member *m, enum fault fault, uint32_t b)
{
    struct client_faults *f = &m->client.faults;
    uint32_t few = 1 + b % 3;
    if (!m->worker)
        return;
    f->acks_lost += fault == FAULT_ACK_LOST ? few : 0;
    f->sends_lost += fault == FAULT_SEND_LOST ? few : 0;
    f->sends_twice += fault == FAULT_SENT_TWICE ? few : 0;
    f->sends_refused += fault == FAULT_SEND_REFUSED ? few : 0;
    f->skips += fault == FAULT_SKIP ? few : 0;
    f->repeats += fault == FAULT_REPEAT ? few : 0;
    if (fault == FAULT_BREAK)
        fault_tears(s, m, -1); /* what it says at a handover may not arrive */
    m->link.breaks += fault == FAULT_BREAK && b % 2;
    m->link.breaks_unheard += fault == FAULT_BREAK && b % 2 == 0;
    if (fault == FAULT_CRASH_AT) {
        m->crash_in = 1 + b % 40;
        m->crash_unheard = b / 64 % 2;
    }
}

static void set_aside(struct sim *s, const struct strike *k)
{
    struct member *m = &s->members[k->a % (uint32_t)s->member_count];
    int until = s->step + 2 + (int)(k->b % 60);
    if (!m->worker)
        return;
    s->struck[k->fault]++;
    if (k->fault == FAULT_DELAY) {
        m->delayed = until;
        return;
    }
    fault_tears(s, m, -1);
    if (k->fault == FAULT_STOP)
        m->stopped = until;
    else
        m->stalled = until;
    group_rebalance(s);
}

/* Long enough for its tasks to wonder; what comes to it meanwhile has gone on since it last heard of the logs. */
static void silence(struct sim *s, const struct strike *k)
{
    struct member *m = &s->members[k->a % (uint32_t)s->member_count];
    if (!m->worker)
        return;
    s->struck[FAULT_SILENCE]++;
    m->dealt_while_silent = s->step + 5 + (int)(k->b % 40);
    m->silent = m->dealt_while_silent + (k->b / 64 % 3 ? 20 + (int)(k->b / 192 % 80) : 180);
}

/* Whoever runs the task, or somebody who may yet. */
static void fence(struct sim *s, const struct strike *k)
{
    struct place at = place_of(s, k->a);
    uint32_t first = k->b / 64 % (uint32_t)s->member_count, i = first;
    while (k->b / 32 % 4 && !holds(s, &s->members[i], at) && (i + 1) % (uint32_t)s->member_count != first)
        i = (i + 1) % (uint32_t)s->member_count;
    struct member *m = &s->members[i];
    const struct log_partition *log = &s->kafka.logs[at.stage][at.partition];
    int64_t end = log->count - (int64_t)(k->b % 8);
    if (!m->worker || end <= log->low)
        return;
    s->struck[FAULT_FENCED]++;
    m->client.fenced = (struct fenced){(enum topic)at.stage, at.partition, end, 1 + k->b / 8 % (s->settings.beyond_max - 1), k->b / 16 % 2};
}

static void failover(struct sim *s, const struct strike *k)
{
    int shard = (int)(k->a % SHARDS);
    size_t lost = redis_lose(&s->redis, shard, k->b % 4 == 0 ? SIZE_MAX : 1 + k->b % 7);
    s->struck[FAULT_FAILOVER] += lost > 0;
    for (int i = 0; i < s->member_count; i++)
        fault_tears(s, &s->members[i], shard); /* a mark taken back may be back */
    for (int i = 0; i < s->member_count && k->a / SHARDS % 2; i++)
        link_cut(&s->members[i].link, shard);
}

static void trouble_slot(struct sim *s, const struct strike *k)
{
    struct place at = place_of(s, k->a);
    struct slot *slot = &s->redis.slots[at.stage][at.partition];
    if (k->fault == FAULT_SLOT_MOVES)
        slot->moving = true;
    else
        slot->full = true;
    tear(s, at);
    s->struck[k->fault]++;
    s->slot_until[at.stage][at.partition] = s->step + 2 + (int)(k->b % 30);
}

/* Of everybody, or of one process; also backwards, by a little, as a clock is corrected. */
static void jump(struct sim *s, const struct strike *k)
{
    s->struck[FAULT_CLOCK]++;
    if (k->a % 2)
        s->now_ms += k->b % 30000;
    else
        s->members[k->a / 2 % (uint32_t)s->member_count].skew_ms = (int64_t)(k->b % 4000) - 2000;
}

struct worker_settings sim_other_settings(const struct sim *s)
{
    struct worker_settings other = *sim_settings(s);
    other.profile.history = s->settings.profile.history / 2 + 1;
    other.profile.weights[EVENT_CLICK] += 1;
    other.profile.late_ms_max /= 2;
    other.fold_hash ^= 1;
    return other;
}

/* SIGHUP with a file in which everything changed: the cadences are taken over, the fold is not. */
static void reload(struct sim *s, const struct strike *k)
{
    struct member *m = &s->members[k->a % (uint32_t)s->member_count];
    struct worker_settings other = sim_other_settings(s);
    if (!m->worker || m->misconfigured > s->step)
        return;
    other.profile_commit_ms = 20 + k->b % 500;
    other.entity_commit_ms = 50 + k->b / 7 % 900;
    other.run_close_ms = 5 + k->b / 11 % 60;
    s->struck[FAULT_RELOAD]++;
    worker_reload(m->worker, &other);
}

const struct worker_settings *sim_settings(const struct sim *s)
{
    return s->migrated ? &s->later : &s->settings;
}

const struct worker_settings *sim_settings_at(const struct sim *s, int32_t partition, int64_t offset)
{
    return s->migrated && offset >= s->migrated_from[STAGE_PROFILE][partition] ? &s->later : &s->settings;
}

static bool is_migrated(const struct sim *s, struct place at, struct slot_header *out)
{
    const struct stored *header = redis_find(&s->redis, at.stage, at.partition, HEADER_KEY);
    return !header || slot_header_decode(header->value, out) != ERR_NONE || out->folds[out->fold_count - 1].hash == s->later.fold_hash;
}

static void migrate_slot(struct sim *s, struct place at)
{
    struct slot_header h;
    struct position p;
    struct writer bytes = {0};
    int64_t from = s->migrated_from[at.stage][at.partition];
    if (is_migrated(s, at, &h) || !stored_position(s, at, &p) || p.next > from || s->redis.slots[at.stage][at.partition].full)
        return;
    h.fold_count += h.folds[h.fold_count - 1].from < from;
    h.folds[h.fold_count - 1] = (struct fold_span){from, s->later.fold_hash};
    p.token = sim_draw(s, UINT64_MAX);
    slot_header_encode(&h, &bytes);
    struct blob header = {HEADER_KEY, {(const char *)bytes.data, (uint32_t)bytes.size}, true};
    size_t head = bytes.size;
    position_encode(&p, &bytes);
    header.value.at = (const char *)bytes.data;
    struct slice position = {(const char *)bytes.data + head, (uint32_t)(bytes.size - head)};
    redis_commit(&s->redis, &(struct store_request){.stage = at.stage, .partition = at.partition, .blobs = &header, .blob_count = 1, .position = position});
    writer_fini(&bytes);
}

void fault_migrate(struct sim *s)
{
    for (int t = 0; t < STAGES && s->migrated; t++)
        for (int32_t p = 0; p < s->kafka.partitions[t]; p++)
            migrate_slot(s, (struct place){(enum stage)t, p});
}

static bool all_whole(const struct sim *s)
{
    struct position p;
    for (int t = 0; t < STAGES; t++)
        for (int32_t q = 0; q < s->kafka.partitions[t]; q++)
            if (!stored_position(s, (struct place){(enum stage)t, q}, &p) || !redis_find(&s->redis, (enum stage)t, q, HEADER_KEY))
                return false;
    return true;
}

/* The workers are killed, the verb runs, they come back one after the other with the later settings. */
static void migrate(struct sim *s, const struct strike *k)
{
    if (s->migrated || !all_whole(s))
        return;
    for (int i = 0; i < s->member_count; i++) {
        member_crash(s, &s->members[i], 1 + (int)(k->b / (1 + (uint32_t)i * 7) % 20));
        s->members[i].misconfigured = -1;
    }
    s->later = s->settings;
    s->later.profile.weights[EVENT_LIKE] += 3;
    s->later.profile.weights[EVENT_WATCH] += 1;
    s->later.profile.late_ms_max = s->later.profile.late_ms_max / 4 * 3;
    s->later.fold_hash ^= 2;
    s->before[0] = &s->settings;
    s->later.before = s->before;
    s->later.before_count = 1;
    s->migrated = true;
    s->struck[FAULT_MIGRATE]++;
    for (int t = 0; t < STAGES; t++)
        for (int32_t q = 0; q < s->kafka.partitions[t]; q++)
            s->migrated_from[t][q] = s->kafka.logs[t][q].count;
    fault_migrate(s);
}

static void misconfigure(struct sim *s, const struct strike *k)
{
    struct member *m = &s->members[k->a % (uint32_t)s->member_count];
    if (!m->worker)
        return;
    s->struck[FAULT_CONFIGURATION]++;
    member_crash(s, m, 1);
    m->misconfigured = s->step + 10 + (int)(k->b % 60);
    group_rebalance(s);
}

static int64_t committed(const struct sim *s, struct place at)
{
    struct position p;
    return stored_position(s, at, &p) ? p.next : 0;
}

static void retain(struct sim *s, const struct strike *k)
{
    struct place at = place_of(s, k->a);
    struct log_partition *log = &s->kafka.logs[at.stage][at.partition];
    int64_t low = committed(s, at) + (k->fault == FAULT_RETENTION_SHORT ? 1 + (int64_t)(k->b % 5) : 0);
    low = low < log->count ? low : log->count;
    if (low <= log->low || log->rewritten) /* what would tell a rewritten log from the old one stays readable */
        return;
    s->struck[k->fault]++;
    log->low = low;
    s->may_halt[at.stage][at.partition] |= LOG_HALTS; /* a failover may yet take the position back below it */
}

static void lose_records(struct sim *s, const struct strike *k)
{
    struct place at = place_of(s, k->a);
    if (k->fault == FAULT_EFFECTS_LOST)
        at = (struct place){STAGE_ENTITY, (int32_t)(k->a % (uint32_t)s->kafka.partitions[TOPIC_EFFECTS])};
    struct log_partition *log = &s->kafka.logs[at.stage][at.partition];
    int64_t count = k->fault == FAULT_RECREATED ? log->count : 1 + (int64_t)(k->b % 4);
    if (kafka_truncate(&s->kafka, (enum topic)at.stage, at.partition, count) == 0)
        return;
    s->struck[k->fault]++;
    s->may_halt[at.stage][at.partition] |= LOG_HALTS;
    if (at.stage == STAGE_ENTITY)
        s->may_halt[at.stage][at.partition] |= BIT(HALT_EFFECTS_LOST);
    for (int p = 0; at.stage == STAGE_PROFILE && p < s->kafka.partitions[TOPIC_EFFECTS]; p++)
        s->may_halt[STAGE_ENTITY][p] |= BIT(HALT_EFFECTS_LOST); /* others follow them at the same offsets */
    if (at.stage == STAGE_PROFILE)
        s->poison_count = 0;
    for (uint32_t i = 0; at.stage == STAGE_PROFILE && i < k->b / 8 % 16; i++)
        traffic_event(s); /* before anyone has asked the new leader */
}

/* The next record of the partition, for every client there is or will be. */
static void skip_always(struct sim *s, const struct strike *k)
{
    struct place at = place_of(s, k->a);
    int64_t offset = s->kafka.logs[at.stage][at.partition].count;
    if (s->kafka.logs[at.stage][at.partition].never >= 0)
        return;
    s->kafka.logs[at.stage][at.partition].never = offset;
    s->may_halt[at.stage][at.partition] |= BIT(HALT_LOG_GAP);
    s->struck[FAULT_SKIP_ALWAYS]++;
}

static void empty_shard(struct sim *s, const struct strike *k)
{
    int shard = (int)(k->a % SHARDS);
    s->struck[FAULT_SHARD_EMPTY]++;
    redis_empty(&s->redis, shard);
    for (int t = 0; t < STAGES; t++)
        for (int32_t p = 0; p < PARTITIONS; p++)
            if (shard_of((enum stage)t, p) == shard)
                s->may_halt[t][p] |= BIT(HALT_NOT_INITIALISED);
}

static void lose_position(struct sim *s, const struct strike *k)
{
    struct place at = place_of(s, k->a);
    if (!redis_remove(&s->redis, at.stage, at.partition, POSITION_KEY))
        return;
    s->struck[FAULT_POSITION_LOST]++;
    s->may_halt[at.stage][at.partition] |= BIT(HALT_POSITION_MISSING);
}

void fault_strike(struct sim *s, const struct strike *k)
{
    switch (k->fault) {
    case FAULT_CRASH: crash(s, k); break;
    case FAULT_STOP:
    case FAULT_ZOMBIE:
    case FAULT_DELAY: set_aside(s, k); break;
    case FAULT_SILENCE: silence(s, k); break;
    case FAULT_FENCED: fence(s, k); break;
    case FAULT_REBALANCE: s->storm += 1 + (int)(k->b % 6); break;
    case FAULT_REORDER: s->reorder_until = s->step + 2 + (int)(k->b % 60); s->struck[FAULT_REORDER]++; break;
    case FAULT_FAILOVER: failover(s, k); break;
    case FAULT_SLOT_MOVES:
    case FAULT_MEMORY: trouble_slot(s, k); break;
    case FAULT_CLOCK: jump(s, k); break;
    case FAULT_BAD_EVENTS: s->bad_events += 1 + (int)(k->b % 4); break;
    case FAULT_RELOAD: reload(s, k); break;
    case FAULT_RETENTION:
    case FAULT_RETENTION_SHORT: retain(s, k); break;
    case FAULT_CONFIGURATION: misconfigure(s, k); break;
    case FAULT_EFFECTS_LOST:
    case FAULT_LOG_LOST:
    case FAULT_RECREATED: lose_records(s, k); break;
    case FAULT_SKIP_ALWAYS: skip_always(s, k); break;
    case FAULT_SHARD_EMPTY: empty_shard(s, k); break;
    case FAULT_POSITION_LOST: lose_position(s, k); break;
    case FAULT_MIGRATE: migrate(s, k); break;
    case FAULT_POISON: s->poison_next = 1; break;
    default: arm(s, &s->members[k->a % (uint32_t)s->member_count], k->fault, k->b);
    }
}

static bool member_step(struct sim *s, struct member *m)
{
    bool changed = m->stalled == s->step || m->stopped == s->step || m->dealt_while_silent == s->step;
    if (m->worker && m->misconfigured == s->step)
        member_crash(s, m, 1);
    if (!m->worker && m->down <= s->step) {
        member_start(s, m);
        changed = true;
    }
    return changed;
}

void faults_step(struct sim *s)
{
    bool changed = false;
    for (int i = 0; i < s->member_count; i++)
        changed |= member_step(s, &s->members[i]);
    for (int t = 0; t < STAGES; t++)
        for (int p = 0; p < PARTITIONS; p++)
            if (s->slot_until[t][p] <= s->step)
                s->redis.slots[t][p].moving = s->redis.slots[t][p].full = false;
    if (s->storm > 0) {
        s->storm--;
        s->struck[FAULT_REBALANCE]++;
        changed = true;
    }
    if (s->bad_events > 0) {
        s->bad_events--;
        s->struck[FAULT_BAD_EVENTS]++;
        traffic_bad_event(s);
    }
    if (s->step % 16 == 0)
        fault_migrate(s); /* a failover may have taken it back */
    if (changed)
        group_rebalance(s);
}

void faults_end(struct sim *s)
{
    s->storm = s->bad_events = s->reorder_until = s->poison_next = 0;
    memset(s->slot_until, 0, sizeof s->slot_until);
    for (int i = 0; i < s->member_count; i++) {
        struct member *m = &s->members[i];
        m->client.faults = (struct client_faults){.skips = m->client.struck.skips > 0}; /* then behind a last record nothing comes */
        m->client.fenced.questions = 0;
        m->link.breaks = m->link.breaks_unheard = m->crash_in = 0;
        m->stalled = m->stopped = m->delayed = m->silent = m->dealt_while_silent = -1;
        if (m->misconfigured >= s->step)
            member_crash(s, m, 1);
        m->misconfigured = m->down = -1;
    }
    faults_step(s);
    group_rebalance(s);
}
