/*
 * A list of recommendations as JSON, as live.recommendations and the view rec:<h> carry it.
 *
 * Of an entry's reasons the strongest stand alone; what is left of its score is one more reason, `other`. Parts and
 * score are printed in ten-thousandths, and the printed parts add up to the printed score exactly. Only rooms are
 * drawn, so only they have a propensity and a host.
 */
#pragma once

#include "common/bytes.h"
#include "server/engine/recommend.h"

struct recommendation_head {
    int32_t partition;  /* of the event that asked for the list */
    int64_t offset;     /* its offset */
    uint32_t epoch, n;  /* of the task's owner; of the lists of one offset */
    struct slice user, scene;
    int64_t now_ms, valid_until_ms;
};

/* Replaces what `out` holds. At most `reasons_max` reasons an entry, `other` included; at least 1. */
void recommendation_encode(const struct recommendation_head *head, const struct recommendation *list, uint32_t reasons_max,
                           struct writer *out);
