#include "server/worker/item_counts.h"

#include "common/check.h"

#include <stdlib.h>

#define BATCH_MAX 500
#define KEY_BYTES 80

struct known {
    int64_t count;
    int64_t fetched_ms; /* 0: never */
    bool asked;
};

struct item_counts {
    const struct store_port *store; /* borrowed */
    uint32_t counts_max, age_ms;
    struct map known; /* entity -> struct known; owned */
    size_t wanted; /* of asked[] */
    bool under_way;
    struct view_read read;
    /* Filled as they are used. */
    struct known *asked[BATCH_MAX];
    char names[BATCH_MAX][KEY_BYTES];
    struct slice keys[BATCH_MAX];
    struct blob values[BATCH_MAX];
};

struct item_counts *item_counts_create(const struct store_port *store, uint32_t counts_max, uint32_t age_ms)
{
    struct item_counts *c = malloc(sizeof *c);
    ASSERT(c);
    memset(c, 0, offsetof(struct item_counts, asked));
    c->store = store;
    c->counts_max = counts_max;
    c->age_ms = age_ms;
    return c;
}

static void clear(struct item_counts *c)
{
    map_free(&c->known);
}

void item_counts_destroy(struct item_counts *c)
{
    if (!c)
        return;
    clear(c);
    writer_fini(&c->read.reply);
    free(c);
}

static struct known *known_of(struct item_counts *c, entity_id id)
{
    struct known *k = map_find(&c->known, id);
    if (k)
        return k;
    if (c->known.count >= c->counts_max && !c->under_way && c->wanted == 0)
        clear(c); /* rarely: all is fetched again as it is asked for */
    k = calloc(1, sizeof *k);
    ASSERT(k);
    map_put(&c->known, id, k);
    return k;
}

const char *list_prefix(entity_id id)
{
    return entity_kind_of(id) == ENTITY_HOST ? "sim:host:" : "sim:";
}

int64_t item_counts_find(struct item_counts *c, entity_id id, struct slice name, int64_t now_ms)
{
    struct known *k = known_of(c, id);
    const char *prefix = list_prefix(id);
    size_t size = strlen(prefix);
    if (k->fetched_ms && now_ms - k->fetched_ms < c->age_ms)
        return k->count;
    if (k->asked || c->under_way || c->wanted == BATCH_MAX || name.size + size > KEY_BYTES)
        return -1;
    memcpy(c->names[c->wanted], prefix, size);
    memcpy(c->names[c->wanted] + size, name.at, name.size);
    c->keys[c->wanted] = (struct slice){c->names[c->wanted], (uint32_t)(name.size + size)};
    c->asked[c->wanted++] = k;
    k->asked = true;
    return -1;
}

void item_counts_turn(struct item_counts *c)
{
    if (c->under_way || c->wanted == 0)
        return;
    c->under_way = true;
    c->read.keys = c->keys;
    c->read.values = c->values;
    c->read.count = c->wanted;
    c->read.failed = false;
    c->read.owner = c;
    c->store->read_views(c->store->self, &c->read);
}

static int64_t count_of(struct slice text)
{
    int64_t count = 0;
    for (uint32_t i = 2; text.size > 2 && text.at[0] == '#' && i < text.size && text.at[i] >= '0' && text.at[i] <= '9' && i < 20; i++)
        count = count * 10 + (text.at[i] - '0');
    return count;
}

bool item_counts_read(struct item_counts *c, struct view_read *read, int64_t now_ms)
{
    if (read != &c->read)
        return false;
    c->under_way = false;
    for (size_t i = 0; i < c->wanted; i++) {
        struct known *k = c->asked[i];
        k->asked = false;
        k->fetched_ms = now_ms;
        if (!read->failed)
            k->count = read->values[i].present ? count_of(read->values[i].value) : 0;
    }
    c->wanted = 0;
    return true;
}
