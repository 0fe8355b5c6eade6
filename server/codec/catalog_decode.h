/* A record of live.catalog into the catalog table. */
#pragma once

#include "server/engine/catalog.h"

#define CATALOG_BYTES_MAX 32768

enum catalog_refusal {
    CATALOG_ACCEPTED,
    CATALOG_TOO_LARGE,
    CATALOG_MALFORMED,
    CATALOG_BAD_VERSION,
    CATALOG_BAD_KEY,       /* not room:ID, item:ID or host:ID */
    CATALOG_MISSING_FIELD,
    CATALOG_BAD_VALUE,     /* a field of another type, too long, or out of range */
    CATALOG_TABLE_FULL,
    CATALOG_ID_COLLISION,  /* two ids of one kind with the same hash */
    CATALOG_REFUSALS
};

extern const char *const catalog_refusal_names[CATALOG_REFUSALS];

/*
 * Puts or, for a tombstone, removes. A refused record leaves the entry before it in force. *out_kind is the kind named by
 * the key, ENTITY_NONE when it names none.
 */
enum catalog_refusal catalog_decode(struct catalog *c, struct slice key, struct slice value, bool tombstone,
                                    int64_t record_ms, enum entity_kind *out_kind);
