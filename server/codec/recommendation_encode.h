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
    const char *arm;
    int64_t now_ms, valid_until_ms;
};

struct recommendation_text {
    struct writer bytes;         /* owned */
    size_t user_from, user_to;   /* `"user":"…",` in it */
    size_t items_from;           /* what follows the rooms */
};

/* Replaces what `out` holds. At most `reasons_max` reasons an entry, `other` included; at least 1. */
void recommendation_encode(const struct recommendation_head *head, const struct recommendation *list, uint32_t reasons_max,
                           struct recommendation_text *out);
/*
 * The same for Redis: without the user, whose id never stands there, and without items and hosts when it would be
 * longer than `bytes_max` with them. False, and `out` empty, when it would be longer even so. Replaces what `out` holds.
 */
bool recommendation_view(const struct recommendation_text *text, size_t bytes_max, struct writer *out);
