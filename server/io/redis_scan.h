/* Every state blob of a deployment, one after the other. Blocking; for verbs. */
#pragma once

#include "server/io/redis_store.h"

typedef void redis_scan_each(void *arg, enum stage stage, int32_t partition, struct blob_key key, struct slice value);

/*
 * Walks all primaries with SCAN and GET. A blob may come twice when the server rehashes meanwhile (SCAN promises no
 * better): callers keep what they saw by key. ERR_IO (logged) when a server cannot be reached or answers an error.
 */
MUST_CHECK enum err redis_scan(const struct redis_store_settings *settings, redis_scan_each *each, void *arg);
