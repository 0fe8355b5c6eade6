/* The lines of a shop's invoices. */
#pragma once

#include "server/evaluate/stream.h"

#define DAY_MS 86400000ll

struct line {
    uint32_t user, item, order; /* order: number of the invoice */
    int64_t ts_ms, amount;      /* minor units */
    int invoice, at;
};

struct lines {
    struct line *list; /* owned */
    int count;
};

/*
 * By time, without returns; users and items have the numbers of the stream. Without `anonymous` only lines with a customer;
 * with it what is no product is left out. False: said.
 */
bool lines_read(const char *data, struct stream *s, bool anonymous, struct lines *out);
