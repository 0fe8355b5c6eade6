/* The members of the group: how they start, die, and are driven; and the group itself. */
#include "common/check.h"
#include "common/hash.h"
#include "tests/sim/sim.h"

/* Every operation that leaves a process; the place where it can die in the middle of a turn. */
static bool step_points(struct sim *s, struct member *m, bool *out_unheard)
{
    enum crash_mode mode = CRASH_NEVER;
    s->operations++;
    for (int i = 0; i < s->point_count; i++)
        if (s->points[i].operation == s->operations)
            mode = s->points[i].mode;
    *out_unheard = mode == CRASH_AFTER || mode == ACK_LOST;
    m->dead = mode == CRASH_BEFORE || mode == CRASH_AFTER;
    m->sleeps |= mode == SLEEP_AFTER;
    return mode != CRASH_BEFORE;
}

static bool step(void *arg, bool *out_unheard)
{
    struct member *m = arg;
    if (m->dead)
        return false;
    if (m->sim->points)
        return step_points(m->sim, m, out_unheard);
    if (m->crash_in == 0 || --m->crash_in)
        return true;
    m->sim->struck[FAULT_CRASH_AT]++;
    m->dead = true;
    *out_unheard = m->crash_unheard;
    return m->crash_unheard;
}

void member_start(struct sim *s, struct member *m)
{
    struct worker_settings other = sim_other_settings(s);
    bool misconfigured = m->misconfigured > s->step;
    m->sim = s;
    m->dead = m->has_pending = m->sleeps = false;
    m->crash_in = 0;
    client_begin(&m->client, &s->kafka, step, m);
    link_begin(&m->link, &s->redis, step, m);
    m->worker = worker_create(misconfigured ? &other : sim_settings(s), &m->client.port, &m->link.port,
                              hash_mix(s->schedule->seed * 1000 + s->members_made++));
    traffic_tell_all(s, m);
}

static void collect(struct sim *s, struct member *m)
{
    static const struct { enum fault fault; size_t at; } places[] = {
        {FAULT_ACK_LOST, offsetof(struct client_faults, acks_lost)},       {FAULT_SEND_LOST, offsetof(struct client_faults, sends_lost)},
        {FAULT_SENT_TWICE, offsetof(struct client_faults, sends_twice)},   {FAULT_SEND_REFUSED, offsetof(struct client_faults, sends_refused)},
        {FAULT_SKIP, offsetof(struct client_faults, skips)},               {FAULT_REPEAT, offsetof(struct client_faults, repeats)},
    };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        s->struck[places[i].fault] += *(const uint32_t *)((const char *)&m->client.struck + places[i].at);
    s->struck[FAULT_BREAK] += m->link.struck;
    const struct worker_counts *counts = worker_get_counts(m->worker);
    if (!s->totals)
        return;
    for (int h = 0; h < HALTS; h++)
        s->totals->halts[h] += counts->halts[h];
    s->totals->rewinds += counts->rewinds;
    s->totals->conflicts += counts->conflicts;
    s->totals->members++;
}

void member_crash(struct sim *s, struct member *m, int down)
{
    if (!m->worker)
        return;
    collect(s, m);
    fault_tears(s, m, -1);
    m->dead = true;
    m->client.faults = (struct client_faults){0};
    link_carry(&m->link, sim_draw(s, 4), 0);
    worker_assigned(m->worker, NULL, 0, s->now_ms);
    link_abandon(&m->link, m->worker, s->now_ms);
    client_abandon(&m->client, m->worker, sim_draw(s, 6));
    worker_destroy(m->worker);
    m->worker = NULL;
    m->down = s->step + down;
    m->stalled = m->stopped = -1;
}

/* A process that folds a poisoned record dies of it, and nothing of that turn leaves it. */
static bool was_poisoned(struct sim *s, struct member *m)
{
    struct task_report tasks[STAGES * PARTITIONS];
    if (s->poison_count == 0)
        return false;
    size_t n = worker_report(m->worker, s->now_ms, tasks, STAGES * PARTITIONS);
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < s->poison_count; k++)
            if (tasks[i].stage == STAGE_PROFILE && tasks[i].partition == s->poisons[k].partition &&
                tasks[i].next > s->poisons[k].offset && strcmp(tasks[i].state, "run") == 0)
                return true;
    return false;
}

static void forget_turn(struct member *m, size_t sends, size_t requests)
{
    for (size_t i = sends; i < m->client.send_count; i++)
        worker_acknowledged(m->worker, m->client.sends[i].out.opaque, ERR_IO, -1);
    if (m->client.send_count > sends)
        m->client.send_count = sends;
    for (size_t i = requests; i < m->link.count; i++) {
        m->link.queue[i].done = true;
        m->link.queue[i].asked->status = STORE_UNKNOWN;
    }
}

void member_drive(struct sim *s, struct member *m, size_t records, size_t answers)
{
    int64_t now_ms = s->now_ms + m->skew_ms;
    uint64_t order = sim_draw(s, 1 << 20);
    bool slow = m->delayed > s->step;
    if (!m->worker || m->stopped > s->step)
        return;
    s->kafka.now_ms = s->redis.now_ms = s->now_ms;
    if (m->has_pending && m->stalled <= s->step) {
        m->has_pending = false;
        fault_tears_taken(s, m);
        worker_assigned(m->worker, m->pending, m->pending_count, now_ms);
    }
    client_carry(&m->client, records, s->reorder_until > s->step ? order + 1 : 0);
    if (!slow)
        client_answer(&m->client, m->worker, records);
    if (m->silent <= s->step)
        client_deliver(&m->client, m->worker, records, order, now_ms);
    link_carry(&m->link, answers, s->reorder_until > s->step ? order + 1 : 0);
    if (!slow)
        link_answer(&m->link, m->worker, answers, now_ms);
    size_t sends = m->client.send_count, requests = m->link.count;
    worker_turn(m->worker, now_ms);
    if (was_poisoned(s, m)) {
        forget_turn(m, sends, requests);
        s->struck[FAULT_POISON]++;
        m->dead = true;
    }
    if (m->dead) {
        member_crash(s, m, 1 + (int)sim_draw(s, 8));
        group_rebalance(s);
    } else if (m->sleeps) {
        m->sleeps = false;
        m->stopped = s->step + 40;
        group_rebalance(s);
    }
}

/*
 * Round-robin over the members that the group knows, beginning at a random one. Either all of them let go before anybody is
 * told what it gets, as the eager protocol has it, or each hears of all of it in its own time.
 */
void group_rebalance(struct sim *s)
{
    int alive[MEMBERS], n = 0;
    for (int i = 0; i < s->member_count; i++) {
        struct member *m = &s->members[i];
        if (m->worker && m->stalled <= s->step && m->stopped <= s->step)
            alive[n++] = i;
    }
    if (n == 0)
        return;
    bool eager = sim_draw(s, 2);
    for (int i = 0; i < n; i++) {
        struct member *m = &s->members[alive[i]];
        m->pending_count = 0;
        m->has_pending = true;
        if (eager)
            worker_assigned(m->worker, NULL, 0, s->now_ms + m->skew_ms);
    }
    int at = (int)sim_draw(s, (uint64_t)n);
    for (int t = 0; t < TOPIC_INPUTS; t++)
        for (int32_t p = 0; p < s->kafka.partitions[t]; p++, at++) {
            struct member *m = &s->members[alive[at % n]];
            m->pending[m->pending_count++] = (struct topic_partition){(enum topic)t, p};
        }
}
