/*
 * The reference stream: 12 event types over 200,000 users, 10,000 items, 2,000 rooms and 700 hosts from a fixed
 * xorshift64, so that engines can be compared on the same bytes. Any prefix is the same for everybody.
 */
#pragma once

#include "common/slice.h"

#include <stdint.h>

#define REFERENCE_VALUE_MAX 256

struct reference {
    uint64_t state;
    uint64_t next; /* number of the next event */
    /* The last one made: */
    int64_t ts;
    const char *type;
    uint32_t key_size;
    uint32_t value_size;
    char key[16];
    char value[REFERENCE_VALUE_MAX];
};

void reference_init(struct reference *r);
void reference_next(struct reference *r);
