/*
 * Little-endian bytes: a growable writer and a bounded reader.
 *
 * The writer owns its buffer; allocation failure aborts the process (the daemon is crash-only, state lives in
 * Redis and Kafka). The reader never reads past its end: a short or malformed field sets `failed`, later reads
 * answer zero, and the caller checks once at the end.
 */
#pragma once

#include "common/slice.h"

#include <stddef.h>

struct writer {
    uint8_t *data; /* owned */
    size_t size;
    size_t capacity;
};

void writer_fini(struct writer *w);
void writer_reserve(struct writer *w, size_t more);
void put_bytes(struct writer *w, const void *bytes, size_t size);
void put_varint(struct writer *w, uint64_t value);
/* Zigzag: small magnitudes of either sign are short. */
void put_signed(struct writer *w, int64_t value);
void put_u8(struct writer *w, uint8_t value);
void put_u16(struct writer *w, uint16_t value);
void put_u32(struct writer *w, uint32_t value);
void put_u64(struct writer *w, uint64_t value);
/* The low 48 bits. */
void put_u48(struct writer *w, uint64_t value);
void put_slice(struct writer *w, struct slice s); /* varint size, then the bytes */

struct reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

static inline struct reader reader_of(const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    return (struct reader){at, at ? at + size : at, false};
}

static inline size_t reader_left(const struct reader *r)
{
    return r->failed ? 0 : (size_t)(r->end - r->at);
}

uint64_t get_varint(struct reader *r);
int64_t get_signed(struct reader *r);
uint8_t get_u8(struct reader *r);
uint16_t get_u16(struct reader *r);
uint32_t get_u32(struct reader *r);
uint64_t get_u64(struct reader *r);
uint64_t get_u48(struct reader *r);
/* Points into the reader's bytes. */
struct slice get_slice(struct reader *r, uint32_t size_max);
/* A count that is followed by at least `bytes_each` bytes an element; more sets failed and answers 0. */
uint32_t get_count(struct reader *r, uint32_t count_max, size_t bytes_each);
