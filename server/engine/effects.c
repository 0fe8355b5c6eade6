#include "server/engine/effects.h"

#include "common/check.h"

#include <stdlib.h>

void effect_list_fini(struct effect_list *list)
{
    free(list->counts);
    free(list->ratings);
    free(list->pairs);
    *list = (struct effect_list){0};
}

void effect_list_clear(struct effect_list *list)
{
    list->count_count = list->rating_count = list->pair_count = 0;
}

static void *grown(void *at, uint32_t *capacity, size_t size)
{
    *capacity = *capacity ? *capacity * 2 : 16;
    at = realloc(at, *capacity * size);
    ASSERT(at);
    return at;
}

struct count_effect *effect_list_add_count(struct effect_list *list, entity_id target)
{
    if (list->count_count == list->count_capacity)
        list->counts = grown(list->counts, &list->count_capacity, sizeof *list->counts);
    struct count_effect *e = &list->counts[list->count_count++];
    e->target = target;
    e->name = e->scene = (struct slice){0};
    e->source = SOURCE_ORGANIC;
    e->explained = false;
    e->counter_count = 0;
    return e;
}

struct rating_effect *effect_list_add_rating(struct effect_list *list, entity_id target)
{
    if (list->rating_count == list->rating_capacity)
        list->ratings = grown(list->ratings, &list->rating_capacity, sizeof *list->ratings);
    struct rating_effect *e = &list->ratings[list->rating_count++];
    *e = (struct rating_effect){.target = target};
    return e;
}

void effect_list_add_pair(struct effect_list *list, entity_id other, int32_t delta)
{
    struct rating_effect *of = &list->ratings[list->rating_count - 1];
    if (list->pair_count == list->pair_capacity)
        list->pairs = grown(list->pairs, &list->pair_capacity, sizeof *list->pairs);
    list->pairs[list->pair_count++] = (struct pair_effect){of->target, other, delta, 0};
    of->pairs++;
}

void count_effect_add(struct count_effect *e, enum counter counter, int64_t delta)
{
    int i = 0;
    if (delta == 0)
        return;
    while (i < e->counter_count && e->counters[i].counter != counter)
        i++;
    if (i == e->counter_count)
        e->counters[e->counter_count++] = (struct counter_delta){counter, 0};
    e->counters[i].delta += delta;
}
