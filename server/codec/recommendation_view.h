/* A value of live.recommendations as a view in Redis: without the user, who never stands there in the clear, and bounded. */
#pragma once

#include "common/bytes.h"
#include "common/slice.h"

/*
 * Replaces `out`. Items and hosts are left out when it would be larger than `bytes_max` with them; false, and `out` is
 * empty, when it is too large even so. `json` is what the push path wrote: ids hold no quotes.
 */
bool recommendation_view(struct slice json, uint32_t bytes_max, struct writer *out);
