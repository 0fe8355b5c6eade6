/* digest --dump: every blob of folded state as one JSON line, for programs that check it (tests/oracle). */
#include "server/verbs/dump.h"

#include "server/io/redis_scan.h"
#include "server/verbs/state_json.h"

#include <stdio.h>
#include <stdlib.h>

struct dump {
    const struct worker_settings *settings;
    bool failed;
};

static json_t *profile_line(struct slice value, const struct profile_settings *s)
{
    struct profile *p;
    if (profile_decode(value, &p) != ERR_NONE)
        return NULL;
    json_t *out = profile_json(p, s);
    profile_destroy(p);
    return out;
}

static json_t *counters_line(struct slice value)
{
    struct counters *c;
    if (counters_decode(value, &c) != ERR_NONE)
        return NULL;
    json_t *out = counters_json(c);
    counters_destroy(c);
    return out;
}

static json_t *neighbours_line(struct slice value, const struct entity_settings *s)
{
    struct neighbours *n;
    if (neighbours_decode(value, &n) != ERR_NONE)
        return NULL;
    json_t *out = neighbours_json(n, s);
    neighbours_destroy(n);
    return out;
}

static void print_blob(void *arg, enum stage stage, int32_t partition, struct blob_key key, struct slice value)
{
    struct dump *d = arg;
    bool user = stage == STAGE_PROFILE && key.class == 'u', entity = stage == STAGE_ENTITY && (key.class == 'c' || key.class == 'n');
    char id[24];
    if (!user && !entity)
        return;
    const struct entity_settings *s = &d->settings->entity;
    json_t *line = user ? profile_line(value, &d->settings->profile) : key.class == 'c' ? counters_line(value) : neighbours_line(value, s);
    if (!line) {
        fprintf(stderr, "sluice digest: a blob of %s.%d does not decode\n", stage_names[stage], (int)partition);
        d->failed = true;
        return;
    }
    if (user) { /* the first bytes of the user part of a key, in the order of `sluice key` */
        uint8_t bytes[8];
        memcpy(bytes, &key.id, sizeof bytes);
        for (int i = 0; i < 8; i++)
            snprintf(id + 2 * i, 3, "%02x", bytes[i]);
    } else {
        snprintf(id, sizeof id, "%012llx", (unsigned long long)key.id);
        json_object_set_new(line, "kind", json_string(entity_kind_text(key.id)));
    }
    json_object_set_new(line, "id", json_string(id));
    json_object_set_new(line, "task", json_sprintf("%s.%d", stage_names[stage], (int)partition));
    json_dumpf(line, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(line);
}

bool dump_state(const struct daemon_settings *settings)
{
    struct dump d = {.settings = &settings->worker};
    return redis_scan(&settings->redis, print_blob, &d) == ERR_NONE && !d.failed;
}
