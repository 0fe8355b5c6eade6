/*
 * task migrate: other fold settings from an offset on (rule 12). The offset of a task is the end of its log, not its position: a
 * worker that was killed may have sent effects of records that it did not commit, and their replay must be the same. A worker
 * that still runs with the old settings loses its claim, for the owner token changes too. Records below the offset are folded
 * with the old settings whenever they are folded.
 */
#include "server/verbs/task_slots.h"

#include "common/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct change {
    struct slot *slot;
    int64_t from;
    bool done; /* the slot has it already */
};

static int refuse_slot(const struct slot *s, const char *why)
{
    fprintf(stderr, "sluice task migrate: %s.%d: %s\n", stage_names[s->stage], (int)s->partition, why);
    return 1;
}

/* Why the task's state cannot go on under the new settings from `c->from`; NULL when it can. */
static const char *obstacle(const struct settings *settings, const struct change *c)
{
    const struct slot_header *h = &c->slot->header;
    const struct settings *old = NULL;
    if (!c->slot->has_position || h->fold_count == 0)
        return "the slot is not whole: restore it, or rebuild";
    uint64_t hash = h->folds[h->fold_count - 1].hash;
    for (int i = 0; i < settings->before_count; i++)
        if (settings->before[i].daemon.worker.fold_hash == hash)
            old = &settings->before[i];
    if (!old)
        return "it is folded with settings that no file of `before` holds";
    if (settings_fold_obstacle(&old->daemon, &settings->daemon))
        return "what stored bytes mean would change: rebuild under a fresh `sluice init`";
    if (c->from < c->slot->position.next)
        return "it went on with the old settings beyond the offset of the plan; take a new plan";
    if (h->fold_count == FOLDS_MAX && h->folds[h->fold_count - 1].from != c->from)
        return "its settings changed too often: rebuild";
    return NULL;
}

/* The plan's offset of each task that it names. False: it is not one. */
static bool read_plan(const char *path, struct change *changes, size_t count)
{
    FILE *file = fopen(path, "r");
    char name[32];
    long long from;
    int fields = EOF;
    if (!file)
        return errno == ENOENT;
    while ((fields = fscanf(file, "%31s %lld\n", name, &from)) == 2)
        for (size_t i = 0; i < count; i++) {
            char text[32];
            snprintf(text, sizeof text, "%s.%d", stage_names[changes[i].slot->stage], (int)changes[i].slot->partition);
            if (strcmp(text, name) == 0)
                changes[i].from = from;
        }
    fclose(file);
    return fields == EOF;
}

static bool write_plan(const char *path, const struct change *changes, size_t count)
{
    FILE *file = fopen(path, "w");
    if (!file)
        return false;
    for (size_t i = 0; i < count; i++)
        fprintf(file, "%s.%d %lld\n", stage_names[changes[i].slot->stage], (int)changes[i].slot->partition, (long long)changes[i].from);
    bool failed = ferror(file);
    return fclose(file) == 0 && !failed;
}

static bool apply(const struct settings *settings, struct redis_ask *redis, const struct change *c)
{
    struct slot_header h = c->slot->header;
    struct slot_change w = {.position = c->slot->position, .with_header = true};
    const char *prefix = settings->daemon.redis.prefix;
    if (h.folds[h.fold_count - 1].from < c->from)
        h.fold_count++;
    h.folds[h.fold_count - 1] = (struct fold_span){c->from, settings->daemon.worker.fold_hash};
    slot_header_encode(&h, &w.header);
    bool done = getrandom(&w.position.token, sizeof w.position.token, 0) == sizeof w.position.token && slot_write(redis, prefix, c->slot, &w) &&
                slot_note(redis, prefix, "migrate", c->slot, c->from);
    writer_fini(&w.header);
    return done;
}

static int apply_all(const struct settings *settings, const struct change *changes, size_t count)
{
    struct redis_ask *redis = redis_ask_open(&settings->daemon.redis);
    size_t changed = 0, i = 0;
    for (; redis && i < count; i++) {
        if (changes[i].done)
            continue;
        if (!apply(settings, redis, &changes[i]))
            break;
        changed++;
    }
    redis_ask_close(redis);
    if (i < count)
        return refuse_slot(changes[i].slot, "somebody wrote the slot meanwhile, or Redis went away: stop the workers and run this again");
    printf("%zu tasks fold with other settings from where their logs ended, %zu did already; start the workers with this configuration\n", changed,
           count - changed);
    return 0;
}

int task_migrate(const struct settings *settings, struct slots *slots, const char *plan)
{
    struct change *changes = calloc(slots->count + 1, sizeof *changes);
    int code = 1;
    ASSERT(changes);
    qsort(slots->at, slots->count, sizeof *slots->at, slot_by_place);
    for (size_t i = 0; i < slots->count; i++)
        changes[i] = (struct change){&slots->at[i], slots->at[i].end > slots->at[i].position.next ? slots->at[i].end : slots->at[i].position.next, false};
    if (slots->count == 0) {
        fputs("sluice task migrate: there is no state yet; `sluice init` begins with these settings\n", stderr);
    } else if (!read_plan(plan, changes, slots->count)) {
        fprintf(stderr, "sluice task migrate: %s is not a plan: lines of a task and an offset\n", plan);
    } else {
        const char *why = NULL;
        for (size_t i = 0; i < slots->count && !why; i++) {
            const struct slot_header *h = &changes[i].slot->header;
            changes[i].done = h->fold_count && h->folds[h->fold_count - 1].hash == settings->daemon.worker.fold_hash;
            why = changes[i].done ? NULL : obstacle(settings, &changes[i]);
            if (why)
                refuse_slot(changes[i].slot, why);
        }
        if (!why && !write_plan(plan, changes, slots->count))
            fprintf(stderr, "sluice task migrate: %s: %s\n", plan, strerror(errno));
        else if (!why)
            code = apply_all(settings, changes, slots->count);
    }
    free(changes);
    return code;
}
