/* The lists of a scene_out: they grow, are emptied without being freed, and belong to the caller. */
#include "server/engine/allocation_state.h"

#include "common/check.h"

#include <stdlib.h>

/* Room for one more element of `size` bytes; answers its zeroed place. */
static void *grow(void **list, size_t *count, size_t *capacity, size_t size)
{
    if (*count == *capacity) {
        *capacity = *capacity ? *capacity * 2 : 16;
        *list = realloc(*list, *capacity * size);
        ASSERT(*list);
    }
    void *place = (char *)*list + size * (*count)++;
    memset(place, 0, size);
    return place;
}

struct out_weight *out_add_weight(struct scene_out *out)
{
    return grow((void **)&out->weights, &out->weight_count, &out->weight_room, sizeof *out->weights);
}

void out_add_closed(struct scene_out *out, const struct name *room)
{
    struct name *n = grow((void **)&out->closed, &out->closed_count, &out->closed_room, sizeof *out->closed);
    *n = *room;
}

struct out_ranking *out_add_ranking(struct scene_out *out)
{
    return grow((void **)&out->rankings, &out->ranking_count, &out->ranking_room, sizeof *out->rankings);
}

struct out_alert *out_add_alert(struct scene_out *out)
{
    return grow((void **)&out->alerts, &out->alert_count, &out->alert_room, sizeof *out->alerts);
}

struct out_answer *out_add_answer(struct scene_out *out)
{
    return grow((void **)&out->answers, &out->answer_count, &out->answer_room, sizeof *out->answers);
}

void out_add_decision(struct scene_out *out, enum decision_kind kind, const struct name *room, int64_t before,
                      int64_t after)
{
    struct out_decision *d =
        grow((void **)&out->decisions, &out->decision_count, &out->decision_room, sizeof *out->decisions);
    *d = (struct out_decision){kind, *room, before, after};
}

struct out_card *out_add_card(struct scene_out *out)
{
    return grow((void **)&out->cards, &out->card_count, &out->card_room, sizeof *out->cards);
}

void scene_out_clear(struct scene_out *out)
{
    out->tick_ms = 0;
    out->snapshot = false;
    out->weight_count = out->closed_count = out->ranking_count = out->alert_count = 0;
    out->answer_count = out->decision_count = out->card_count = 0;
}

void scene_out_fini(struct scene_out *out)
{
    free(out->weights);
    free(out->closed);
    free(out->rankings);
    free(out->alerts);
    free(out->answers);
    free(out->decisions);
    free(out->cards);
    *out = (struct scene_out){0};
}
