#include "server/engine/effects.h"

#include "common/check.h"

#include <stdlib.h>

void effect_list_fini(struct effect_list *list)
{
    free(list->at);
    *list = (struct effect_list){0};
}

struct effect *effect_list_add(struct effect_list *list, entity_id target, enum effect_op op)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 64;
        list->at = realloc(list->at, list->capacity * sizeof *list->at);
        ASSERT(list->at);
    }
    struct effect *e = &list->at[list->count++];
    e->target = target;
    e->op = op;
    e->delta = 0;
    e->other = 0;
    e->name = e->scene = (struct slice){0};
    e->source = SOURCE_ORGANIC;
    e->explained = false;
    e->counter_count = 0;
    return e;
}
