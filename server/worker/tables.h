/*
 * What every worker reads whole, outside the group: the catalog, the learner's models and the operators' controls. Soft:
 * read again at each start.
 */
#pragma once

#include "server/engine/catalog.h"
#include "server/engine/model.h"
#include "server/worker/ports.h"

#define CONTROLS_MAX 4096 /* kept since the start; the oldest leave first */

struct worker;

struct kept_control {
    int32_t partition;
    int64_t offset;
    struct slice bytes; /* owned */
};

struct tables {
    struct catalog *catalog; /* owned */
    struct model *model;     /* owned; number 0 until the learner has said something */
    struct kept_control *controls; /* owned ring: number n stands at n % CONTROLS_MAX */
    uint64_t control_begin, control_end; /* numbers kept */
};

void tables_init(struct tables *t, const struct catalog_limits *limits);
void tables_fini(struct tables *t);
/* Takes what the record says. NULL, or why it is refused. */
const char *tables_record(struct worker *w, const struct record *r);
