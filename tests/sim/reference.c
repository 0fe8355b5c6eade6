/*
 * What the state of every task must be: straight folds of the logs by the engine alone, without worker, cuts, cache or
 * faults. A profile task must equal the fold of its events, an allocation task that of its rollups, an entity task that
 * of its effects; and where no event was lost, the totals and pair counts of all entity tasks must also equal the sums
 * over live.events alone. What a commit was to wait for must stand: dead letters, and the last rollup of each entity.
 */
#include "common/check.h"
#include "common/hash.h"
#include "common/hmac.h"
#include "server/codec/effects_codec.h"
#include "server/codec/scene_codec.h"
#include "tests/sim/mutants.h"
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

struct sum {
    uint64_t target, other; /* other: of a pair, else 0 */
    int what;               /* enum counter; COUNTERS: rating; COUNTERS + 1: pair */
    int64_t value;
};

struct object {
    struct blob_key key;
    void *at;
    bool applied;
};

struct objects {
    struct map by_key; /* -> index + 1 */
    struct object *at; /* owned */
    size_t count, capacity;
};

struct reference {
    struct sim *sim;
    struct sum *sums; /* owned */
    size_t sum_count, sum_capacity;
    struct map sums_by_key;   /* -> index + 1 */
    struct map user_keys;     /* hash of the user -> the keyed hash, in the arena */
    struct map rolled;        /* (entity, scene) -> struct last_rollup in the arena */
    struct effect_list effects;
    struct writer bytes;      /* owned: scratch */
    bool halted[STAGES][PARTITIONS];
    bool whole;               /* the profile task being folded */
    int64_t sent[PARTITIONS]; /* scratch of one profile task: offset of its last entry by effects partition */
};

struct last_rollup {
    int64_t offset;
    int64_t totals[COUNTERS], recommended[COUNTERS];
};

static struct object *object_of(struct objects *o, struct blob_key key)
{
    uint64_t h = hash_mix(key.id + ((uint64_t)(uint8_t)key.class << 56) + 1);
    size_t at = (size_t)(uintptr_t)map_find(&o->by_key, h);
    if (at)
        return &o->at[at - 1];
    if (o->count == o->capacity) {
        o->capacity = o->capacity ? o->capacity * 2 : 32;
        o->at = realloc(o->at, o->capacity * sizeof *o->at);
        ASSERT(o->at);
    }
    o->at[o->count++] = (struct object){.key = key};
    map_put(&o->by_key, h, (void *)(uintptr_t)o->count);
    return &o->at[o->count - 1];
}

typedef void encode_object(const struct object *object, struct writer *out);
typedef void destroy_object(struct object *object);

/* Their digest; they are gone afterwards. */
static uint64_t digest_of(struct reference *r, const struct objects *o, encode_object *encode)
{
    uint64_t digest = 0;
    for (size_t i = 0; i < o->count; i++) {
        r->bytes.size = 0;
        if (o->at[i].applied)
            encode(&o->at[i], &r->bytes);
        if (r->bytes.size)
            digest += blob_digest(o->at[i].key, (struct slice){(const char *)r->bytes.data, (uint32_t)r->bytes.size});
    }
    return digest;
}

static void objects_fini(struct objects *o, destroy_object *destroy)
{
    for (size_t i = 0; i < o->count; i++)
        destroy(&o->at[i]);
    free(o->at);
    map_fini(&o->by_key);
}

static void compare(struct reference *r, enum stage stage, int32_t partition, uint64_t want)
{
    uint64_t have = redis_digest(&r->sim->redis, stage, partition);
    if (have != want)
        sim_fail(r->sim, "%s.%d has digest %016llx, its log gives %016llx", stage_names[stage], (int)partition,
                 (unsigned long long)have, (unsigned long long)want);
}

/* Nothing is compared of a task that halted. The others must have folded their log to its end, by what the slot says. */
static bool is_whole(struct reference *r, enum stage stage, int32_t partition)
{
    struct position p = {0};
    const struct log_partition *log = &r->sim->kafka.logs[stage][partition];
    const struct stored *stored = redis_find(&r->sim->redis, stage, partition, POSITION_KEY);
    if (r->halted[stage][partition])
        return false;
    if (!stored || position_decode(stored->value, &p) != ERR_NONE || (p.next != log->count && p.next != log->never))
        sim_fail(r->sim, "%s.%d stands at %lld in its slot, its log ends at %lld", stage_names[stage], (int)partition,
                 stored ? (long long)p.next : -1, (long long)log->count);
    return p.next == log->count;
}

static void add_sum(struct reference *r, uint64_t target, uint64_t other, int what, int64_t value)
{
    uint64_t h = hash_mix(target ^ hash_mix(other + (uint64_t)what * 1000003));
    size_t at = (size_t)(uintptr_t)map_find(&r->sums_by_key, h);
    if (at == 0) {
        if (r->sum_count == r->sum_capacity) {
            r->sum_capacity = r->sum_capacity ? r->sum_capacity * 2 : 256;
            r->sums = realloc(r->sums, r->sum_capacity * sizeof *r->sums);
            ASSERT(r->sums);
        }
        r->sums[r->sum_count++] = (struct sum){target, other, what, 0};
        map_put(&r->sums_by_key, h, (void *)(uintptr_t)(at = r->sum_count));
    }
    r->sums[at - 1].value += value;
}

static void touch(struct reference *r, uint64_t id, int64_t offset)
{
    r->sent[entity_partition(id, r->sim->kafka.partitions[TOPIC_EFFECTS])] = offset;
}

static void add_effects(struct reference *r, int64_t offset)
{
    const struct effect_list *list = &r->effects;
    for (uint32_t i = 0; i < list->count_count; i++) {
        const struct count_effect *e = &list->counts[i];
        touch(r, e->target, offset);
        for (int c = 0; c < e->counter_count; c++)
            add_sum(r, e->target, 0, (int)e->counters[c].counter, e->counters[c].delta);
    }
    for (uint32_t i = 0; i < list->rating_count; i++) {
        touch(r, list->ratings[i].target, offset);
        add_sum(r, list->ratings[i].target, 0, COUNTERS, list->ratings[i].delta);
    }
    for (uint32_t i = 0; i < list->pair_count; i++) {
        const struct pair_effect *e = &list->pairs[i];
        touch(r, e->other, offset);
        add_sum(r, e->target, e->other, COUNTERS + 1, e->delta);
        add_sum(r, e->other, e->target, COUNTERS + 1, e->delta);
    }
}

static void expect_letter(struct reference *r, int32_t partition, int64_t offset)
{
    const struct log_partition *letters = &r->sim->kafka.logs[TOPIC_DEADLETTER][0];
    char text[48];
    if (!r->whole)
        return;
    snprintf(text, sizeof text, "%d %lld", (int)partition, (long long)offset);
    for (int64_t i = 0; i < letters->count; i++)
        if (slice_equal(letters->records[i].value, slice_of(text)))
            return;
    sim_fail(r->sim, "the dead letter of live.events %s is missing", text);
}

static void encode_profile(const struct object *o, struct writer *out)
{
    profile_encode(o->at, out);
}

static void destroy_profile(struct object *o)
{
    profile_destroy(o->at);
}

static void apply_event(struct reference *r, struct objects *users, struct user_hmac *keys, const struct record *record)
{
    const struct worker_settings *settings = sim_settings_at(r->sim, record->partition, record->offset);
    struct event event;
    struct event_scratch scratch;
    if (event_decode(&settings->event_rules, record->key, record->value, &scratch, &event) != EVENT_ACCEPTED) {
        expect_letter(r, record->partition, record->offset);
        return;
    }
    struct blob_key key = {.class = 'u'};
    uint64_t user_hash = hash64(record->key.at, record->key.size, 11);
    const uint8_t *bytes = map_find(&r->user_keys, user_hash);
    if (!bytes) {
        uint8_t *made = arena_take(&r->sim->arena, USER_KEY_BYTES);
        user_hmac_of(keys, record->key, made);
        map_put(&r->user_keys, user_hash, made);
        bytes = made;
    }
    memcpy(&key.id, bytes, sizeof key.id);
    struct object *user = object_of(users, key);
    if (!user->at)
        user->at = profile_create();
    effect_list_clear(&r->effects);
    enum profile_refusal answer = profile_apply(user->at, &settings->profile, &event, record->timestamp_ms, &r->effects);
    if (answer == PROFILE_APPLIED) {
        user->applied = true;
        add_effects(r, record->offset);
    } else if (answer != PROFILE_DUPLICATE) {
        expect_letter(r, record->partition, record->offset);
    }
}

/* An entity task's has a generation beside each offset, here always the first, and the offset is doubled for a flag. */
static uint64_t chain_digest(struct reference *r, enum stage stage, const int64_t *last, int32_t count)
{
    r->bytes.size = 0;
    for (int32_t p = 0; p < count; p++) {
        if (stage == STAGE_ENTITY)
            put_varint(&r->bytes, 0);
        put_varint(&r->bytes, (uint64_t)(last[p] + 1) << (stage == STAGE_ENTITY));
    }
    return blob_digest(CHAIN_KEY, (struct slice){(const char *)r->bytes.data, (uint32_t)r->bytes.size});
}

static void fold_events(struct reference *r, int32_t partition, struct user_hmac *keys)
{
    const struct log_partition *log = &r->sim->kafka.logs[TOPIC_EVENTS][partition];
    struct objects users = {0};
    for (int32_t q = 0; q < PARTITIONS; q++)
        r->sent[q] = -1;
    r->whole = is_whole(r, STAGE_PROFILE, partition);
    for (int64_t i = 0; i < log->count; i++)
        apply_event(r, &users, keys, &log->records[i]);
    uint64_t chain = log->count ? chain_digest(r, STAGE_PROFILE, r->sent, r->sim->kafka.partitions[TOPIC_EFFECTS]) : 0;
    uint64_t digest = digest_of(r, &users, encode_profile) + chain;
    if (r->whole)
        compare(r, STAGE_PROFILE, partition, digest);
    objects_fini(&users, destroy_profile);
}

static void encode_entity(const struct object *o, struct writer *out)
{
    if (o->key.class == 'c')
        counters_encode(o->at, out);
    else
        neighbours_encode(o->at, out);
}

static void destroy_entity(struct object *o)
{
    if (o->key.class == 'c')
        counters_destroy(o->at);
    else
        neighbours_destroy(o->at);
}

static void apply_effect(struct reference *r, struct objects *entities, const struct run_effect *e, int64_t event_ms)
{
    const struct entity_settings *settings = &r->sim->settings.entity;
    struct object *o = object_of(entities, (struct blob_key){e->op == RUN_PAIR ? 'n' : 'c', e->target});
    o->applied = true;
    if (!o->at)
        o->at = e->op == RUN_PAIR ? (void *)neighbours_create() : (void *)counters_create();
    if (e->op == RUN_PAIR)
        neighbours_apply(o->at, settings, &(struct neighbour_change){e->other, e->delta, e->step}, event_ms);
    else if (e->op == RUN_RATING)
        counters_add_rating(o->at, settings, e->name, e->delta, event_ms);
    else
        counters_add_count(o->at, settings, &e->count, event_ms);
}

/* Rule 4 in one line: an entry counts iff the one before it was the last that counted, and it was not counted yet. */
static void apply_run(struct reference *r, struct objects *entities, const struct record *record, int64_t *last)
{
    struct run_reader run;
    struct run_entry entry;
    struct run_effect e;
    if (effects_run_open(record->value, &run) != ERR_NONE)
        return;
    while (effects_run_next(&run, &entry)) {
        bool counts = entry.prev <= last[run.head.source] && entry.offset > last[run.head.source];
        while (effects_entry_next(&run, &e))
            if (counts)
                apply_effect(r, entities, &e, entry.event_ms);
        if (counts)
            last[run.head.source] = entry.offset;
    }
}

static int64_t value_of(const struct objects *entities, const struct reference *r, const struct sum *sum)
{
    struct object *o = object_of((struct objects *)entities, (struct blob_key){sum->what > COUNTERS ? 'n' : 'c', sum->target});
    struct neighbour top[256];
    int64_t totals[COUNTERS];
    if (!o->at)
        return 0;
    if (sum->what < COUNTERS) {
        counters_total(o->at, false, totals);
        return totals[sum->what];
    }
    if (sum->what == COUNTERS)
        return counters_rating(o->at);
    uint32_t n = neighbours_top(o->at, &r->sim->settings.entity, 256, top);
    for (uint32_t i = 0; i < n; i++)
        if (top[i].id == sum->other)
            return top[i].pair_count;
    return 0;
}

static void compare_sums(struct reference *r, int32_t partition, const struct objects *entities)
{
    int32_t partitions = r->sim->kafka.partitions[TOPIC_EFFECTS];
    for (size_t i = 0; i < r->sum_count; i++) {
        const struct sum *sum = &r->sums[i];
        if (entity_partition(sum->target, partitions) != partition)
            continue;
        int64_t have = value_of(entities, r, sum);
        if (have != sum->value) {
            sim_fail(r->sim, "entity.%d: %s of %012llx is %lld, the events give %lld", (int)partition,
                     sum->what < COUNTERS ? counter_names[sum->what] : sum->what == COUNTERS ? "the rating" : "a pair",
                     (unsigned long long)sum->target, (long long)have, (long long)sum->value);
            return;
        }
    }
}

static uint64_t rollup_key(uint64_t id, struct slice scene)
{
    return hash64(scene.at, scene.size, id);
}

static void compare_rollups(struct reference *r, int32_t partition, const struct objects *entities)
{
    for (size_t i = 0; i < entities->count; i++) {
        const struct object *o = &entities->at[i];
        int64_t totals[COUNTERS], recommended[COUNTERS] = {0};
        for (int k = 0; o->key.class == 'c' && o->at && counters_name(o->at).size && k < counters_scenes(o->at); k++) {
            struct slice scene = counters_scene(o->at, k, totals);
            const struct last_rollup *last = scene.size ? map_find(&r->rolled, rollup_key(o->key.id, scene)) : NULL;
            if (entity_kind_of(o->key.id) == ENTITY_HOST)
                counters_from(o->at, k, SOURCE_RECOMMENDATION, recommended);
            if (scene.size && (!last || memcmp(last->totals, totals, sizeof totals) != 0 || memcmp(last->recommended, recommended, sizeof recommended) != 0))
                sim_fail(r->sim, "entity.%d: the last rollup of %012llx is missing", (int)partition, (unsigned long long)o->key.id);
        }
    }
}

static bool any_rewritten(const struct reference *r, enum topic topic)
{
    for (int32_t p = 0; p < r->sim->kafka.partitions[topic]; p++)
        if (r->sim->kafka.logs[topic][p].rewritten)
            return true;
    return false;
}

static bool all_profiles_whole(const struct reference *r)
{
    for (int32_t p = 0; p < r->sim->kafka.partitions[TOPIC_EVENTS]; p++)
        if (r->halted[STAGE_PROFILE][p] || r->sim->kafka.logs[TOPIC_EVENTS][p].never >= 0)
            return false;
    return !any_rewritten(r, TOPIC_EVENTS);
}

static void fold_effects(struct reference *r, int32_t partition)
{
    const struct log_partition *log = &r->sim->kafka.logs[TOPIC_EFFECTS][partition];
    struct objects entities = {0};
    int64_t last[PARTITIONS];
    for (int p = 0; p < PARTITIONS; p++)
        last[p] = -1;
    for (int64_t i = 0; i < log->count; i++)
        apply_run(r, &entities, &log->records[i], last);
    uint64_t chain = log->count ? chain_digest(r, STAGE_ENTITY, last, r->sim->kafka.partitions[TOPIC_EVENTS]) : 0;
    uint64_t digest = digest_of(r, &entities, encode_entity) + chain;
    if (is_whole(r, STAGE_ENTITY, partition)) {
        compare(r, STAGE_ENTITY, partition, digest);
        if (all_profiles_whole(r))
            compare_sums(r, partition, &entities);
        if (!any_rewritten(r, TOPIC_ROLLUPS) && !log->rewritten) /* else one of vanished effects may be the last */
            compare_rollups(r, partition, &entities);
    }
    objects_fini(&entities, destroy_entity);
}

static void remember_rollup(struct reference *r, const struct rollup *rollup)
{
    uint64_t key = rollup_key(rollup->id, rollup->scene);
    struct last_rollup *last = map_find(&r->rolled, key);
    if (last && last->offset > rollup->offset)
        return;
    if (!last)
        map_put(&r->rolled, key, last = arena_take(&r->sim->arena, sizeof *last));
    last->offset = rollup->offset;
    memcpy(last->totals, rollup->totals, sizeof last->totals);
    memcpy(last->recommended, rollup->recommended, sizeof last->recommended);
}

static void encode_scene(const struct object *o, struct writer *out)
{
    scene_encode(o->at, out);
}

static void destroy_scene(struct object *o)
{
    scene_destroy(o->at);
}

static void apply_rollups(struct reference *r, struct objects *scenes, const struct record *record, struct writer *names, struct scene_out *out)
{
    struct scene_record parts;
    struct scene_entry entry;
    if (scene_record_open(record->value, &parts) != ERR_NONE)
        return;
    struct object *scene = object_of(scenes, (struct blob_key){'s', hash64(parts.scene.at, parts.scene.size, 5)});
    if (!scene->at) {
        scene->at = scene_create(parts.scene);
        scene->applied = true;
        put_slice(names, parts.scene);
    }
    scene_out_clear(out);
    while (scene_record_next(&parts, &entry) == ERR_NONE) {
        scene_apply(scene->at, &r->sim->settings.allocation, &entry, out);
        if (entry.type == SCENE_ROLLUP)
            remember_rollup(r, &entry.rollup);
    }
}

static void fold_rollups(struct reference *r, int32_t partition)
{
    const struct log_partition *log = &r->sim->kafka.logs[TOPIC_ROLLUPS][partition];
    struct objects scenes = {0};
    struct writer names = {0}, chain = {0};
    struct scene_out out = {0};
    for (int64_t i = 0; i < log->count; i++)
        apply_rollups(r, &scenes, &log->records[i], &names, &out);
    put_varint(&chain, scenes.count);
    put_bytes(&chain, names.data, names.size);
    uint64_t digest = digest_of(r, &scenes, encode_scene);
    if (log->count)
        digest += blob_digest(CHAIN_KEY, (struct slice){(const char *)chain.data, (uint32_t)chain.size});
    if (is_whole(r, STAGE_ALLOCATION, partition))
        compare(r, STAGE_ALLOCATION, partition, digest);
    scene_out_fini(&out);
    writer_fini(&names);
    writer_fini(&chain);
    objects_fini(&scenes, destroy_scene);
}

static void find_halted(struct reference *r)
{
    struct task_report tasks[STAGES * PARTITIONS];
    for (int i = 0; i < r->sim->member_count; i++) {
        size_t n = worker_report(r->sim->members[i].worker, r->sim->now_ms, tasks, STAGES * PARTITIONS);
        for (size_t k = 0; k < n; k++)
            r->halted[tasks[k].stage][tasks[k].partition] = tasks[k].halt != NULL;
    }
}

void reference_compare(struct sim *s)
{
    struct reference r = {.sim = s};
    struct user_hmac *keys = user_hmac_create((struct slice){(const char *)s->settings.user_key, s->settings.user_key_size});
    ASSERT(keys);
    mutants_sleep();
    find_halted(&r);
    for (int32_t p = 0; p < s->kafka.partitions[TOPIC_EVENTS]; p++)
        fold_events(&r, p, keys);
    for (int32_t p = 0; p < s->kafka.partitions[TOPIC_ROLLUPS]; p++)
        fold_rollups(&r, p);
    for (int32_t p = 0; p < s->kafka.partitions[TOPIC_EFFECTS]; p++)
        fold_effects(&r, p);
    for (int32_t p = 0; p < s->kafka.partitions[TOPIC_SAMPLES]; p++)
        is_whole(&r, STAGE_LEARNER, p);
    mutants_wake();
    user_hmac_destroy(keys);
    effect_list_fini(&r.effects);
    writer_fini(&r.bytes);
    map_fini(&r.sums_by_key);
    map_fini(&r.rolled);
    map_fini(&r.user_keys);
    free(r.sums);
}
