#include "server/worker/sim_cache.h"

#include "server/engine/similarity.h"

#include "common/check.h"
#include "common/mutant.h"

#include <stdlib.h>

#define LIST_MAX SIMILAR_MAX
#define BATCH_MAX 500
#define SIM_MAX 1e6f /* more than any setting makes of it: whatever is read, sums stay numbers */

struct list {
    entity_id id;
    int64_t fetched_ms; /* 0: never */
    bool asked;
    uint32_t count;
    float scale;
    struct similar at[LIST_MAX];
    float next[LIST_MAX];
};

struct sim_cache {
    const struct store_port *store; /* borrowed */
    const struct catalog *catalog;  /* borrowed */
    uint32_t lists_max, age_ms;
    struct map lists;    /* item -> struct list; owned */
    struct list **wanted; /* owned */
    size_t wanted_count, wanted_capacity;
    bool under_way;
    struct view_read read;
    struct slice *pending_names; /* owned; names of what is wanted */
    /* Filled as they are used. */
    struct list *asked[BATCH_MAX];
    struct slice keys[BATCH_MAX];
    struct blob values[BATCH_MAX];
    char names[BATCH_MAX][SCENE_ID_BYTES + 8];
};

struct sim_cache *sim_cache_create(const struct store_port *store, const struct catalog *catalog, uint32_t lists_max, uint32_t age_ms)
{
    struct sim_cache *c = malloc(sizeof *c);
    ASSERT(c);
    memset(c, 0, offsetof(struct sim_cache, asked));
    c->store = store;
    c->catalog = catalog;
    c->lists_max = lists_max;
    c->age_ms = age_ms;
    return c;
}

static void clear(struct sim_cache *c)
{
    map_free(&c->lists);
    c->wanted_count = 0;
}

void sim_cache_destroy(struct sim_cache *c)
{
    if (!c)
        return;
    clear(c);
    writer_fini(&c->read.reply);
    free(c->wanted);
    free(c->pending_names);
    free(c);
}

struct similar_list sim_cache_find(const struct sim_cache *c, entity_id item)
{
    const struct list *l = map_find(&c->lists, item);
    return l ? (struct similar_list){l->count, l->at, l->next, l->scale} : (struct similar_list){0};
}

void sim_cache_want(struct sim_cache *c, entity_id item, int64_t now_ms)
{
    struct list *l = map_find(&c->lists, item);
    const struct catalog_item *it;
    if (l && (l->asked || (l->fetched_ms && now_ms - l->fetched_ms < c->age_ms)))
        return;
    if (c->wanted_count >= 4 * BATCH_MAX || (it = catalog_item(c->catalog, item)) == NULL)
        return;
    if (!l) {
        if (c->lists.count >= c->lists_max && !c->under_way)
            clear(c); /* rarely: all is fetched again as it is asked for */
        l = calloc(1, sizeof *l);
        ASSERT(l);
        l->id = item;
        map_put(&c->lists, item, l);
    }
    if (c->wanted_count == c->wanted_capacity) {
        c->wanted_capacity = c->wanted_capacity ? c->wanted_capacity * 2 : 256;
        c->wanted = realloc(c->wanted, c->wanted_capacity * sizeof(struct list *));
        c->pending_names = realloc(c->pending_names, c->wanted_capacity * sizeof *c->pending_names);
        ASSERT(c->wanted && c->pending_names);
    }
    l->asked = true;
    c->pending_names[c->wanted_count] = it->name;
    c->wanted[c->wanted_count++] = l;
}

/* Names are borrowed from the catalog only until the end of the turn that wanted them. */
void sim_cache_turn(struct sim_cache *c, int64_t now_ms)
{
    size_t n = c->wanted_count < BATCH_MAX ? c->wanted_count : BATCH_MAX;
    for (size_t i = c->under_way ? 0 : n; i < c->wanted_count; i++)
        c->wanted[i]->asked = false; /* asked for again when still needed */
    c->wanted_count = 0;
    if (c->under_way || n == 0)
        return;
    for (size_t i = 0; i < n; i++) {
        struct slice name = c->pending_names[i];
        memcpy(c->names[i], "sim:", 4);
        memcpy(c->names[i] + 4, name.at, name.size);
        c->keys[i] = (struct slice){c->names[i], name.size + 4};
        c->asked[i] = c->wanted[i];
    }
    c->under_way = true;
    c->read.keys = c->keys;
    c->read.values = c->values;
    c->read.count = n;
    c->read.failed = false;
    c->read.owner = c;
    c->store->read_views(c->store->self, &c->read);
}

uint32_t similar_view_parse(const struct catalog *catalog, struct slice text, struct similar *out, float *out_next, uint32_t max)
{
    const char *at = text.at, *end = text.at + text.size;
    uint32_t count = 0;
    while (at < end && FUZZ_MUTANT(view_long, true, count < max)) {
        const char *line = memchr(at, '\n', (size_t)(end - at));
        const char *stop = line ? line : end, *space = memchr(at, ' ', (size_t)(stop - at));
        char number[32], *rest;
        size_t digits = space ? (size_t)(stop - space - 1) : 0;
        const struct catalog_item *it = space ? catalog_item(catalog, entity_id_of(ENTITY_ITEM, (struct slice){at, (uint32_t)(space - at)})) : NULL;
        if (it && digits > 0 && FUZZ_MUTANT(number_long, true, digits < sizeof number)) {
            memcpy(number, space + 1, digits);
            number[digits] = 0;
            float sim = strtof(number, &rest), next = strtof(rest, NULL);
            out[count] = (struct similar){it->number, sim};
            out_next[count] = next;
            count += sim >= 0 && sim < SIM_MAX && next >= 0 && next <= 1;
        }
        at = stop + 1;
    }
    return count;
}

void sim_cache_read(struct sim_cache *c, struct view_read *read, int64_t now_ms)
{
    ASSERT(read == &c->read);
    c->under_way = false;
    for (size_t i = 0; i < read->count; i++) {
        struct list *l = c->asked[i];
        l->asked = false;
        l->fetched_ms = now_ms;
        if (read->failed || !read->values[i].present)
            continue;
        l->count = similar_view_parse(c->catalog, read->values[i].value, l->at, l->next, LIST_MAX);
        l->scale = similar_list_scale(l->at, l->count);
    }
}
