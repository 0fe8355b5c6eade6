/*
 * Little-endian bytes: a growable writer and a bounded reader.
 *
 * The writer owns its buffer; allocation failure aborts the process (the daemon is crash-only, state lives in
 * Redis and Kafka). The reader never reads past its end: a short or malformed field sets `failed`, later reads
 * answer zero, and the caller checks once at the end. A number has one form: a varint longer than it need be fails.
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
void writer_grow(struct writer *w, size_t more);

/* The short ones stand here: every effect and blob goes through them. */
static inline void writer_reserve(struct writer *w, size_t more)
{
    if (w->capacity - w->size < more)
        writer_grow(w, more);
}

static inline void put_bytes(struct writer *w, const void *bytes, size_t size)
{
    if (size == 0)
        return;
    writer_reserve(w, size);
    memcpy(w->data + w->size, bytes, size);
    w->size += size;
}

/* The ..._at write where there is room and answer where they stopped. */
static inline uint8_t *varint_at(uint8_t *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

/* Zigzag: small magnitudes of either sign are short. */
static inline uint8_t *signed_at(uint8_t *at, int64_t value)
{
    return varint_at(at, ((uint64_t)value << 1) ^ (uint64_t)(value >> 63));
}

/* The low 48 bits; 8 bytes are written. */
static inline uint8_t *u48_at(uint8_t *at, uint64_t value)
{
    for (size_t i = 0; i < 8; i++) /* one store on little-endian machines */
        at[i] = (uint8_t)(value >> (8 * i));
    return at + 6;
}

static inline void put_varint(struct writer *w, uint64_t value)
{
    writer_reserve(w, 10);
    w->size = (size_t)(varint_at(w->data + w->size, value) - w->data);
}

static inline void put_le(struct writer *w, uint64_t value, size_t bytes)
{
    writer_reserve(w, 8);
    for (size_t i = 0; i < 8; i++) /* one store on little-endian machines; what is beyond `bytes` is overwritten */
        w->data[w->size + i] = (uint8_t)(value >> (8 * i));
    w->size += bytes;
}

static inline void put_signed(struct writer *w, int64_t value)
{
    writer_reserve(w, 10);
    w->size = (size_t)(signed_at(w->data + w->size, value) - w->data);
}

static inline void put_u8(struct writer *w, uint8_t value)
{
    writer_reserve(w, 1);
    w->data[w->size++] = value;
}

static inline void put_u16(struct writer *w, uint16_t value)
{
    put_le(w, value, 2);
}

static inline void put_u32(struct writer *w, uint32_t value)
{
    put_le(w, value, 4);
}

static inline void put_u64(struct writer *w, uint64_t value)
{
    put_le(w, value, 8);
}

/* The low 48 bits. */
static inline void put_u48(struct writer *w, uint64_t value)
{
    put_le(w, value, 6);
}

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

static inline uint64_t get_varint(struct reader *r)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (r->failed || r->at == r->end)
            break;
        uint8_t byte = *r->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte & 0x80)
            continue;
        if (shift && (byte == 0 || (shift == 63 && byte > 1)))
            break; /* longer than it need be, or more than 64 bits: put_varint() writes neither */
        return value;
    }
    r->failed = true;
    return 0;
}

static inline uint64_t get_varint_max(struct reader *r, uint64_t max)
{
    uint64_t value = get_varint(r);
    r->failed |= value > max;
    return r->failed ? 0 : value;
}

static inline uint32_t get_varint32(struct reader *r)
{
    return (uint32_t)get_varint_max(r, UINT32_MAX);
}

static inline int64_t get_signed(struct reader *r)
{
    uint64_t value = get_varint(r);
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

/* What sums stay within, so that what is made of a few of them does not overflow. */
#define NUMBER_MAX (1ll << 56)

static inline int64_t get_within(struct reader *r, int64_t low, int64_t high)
{
    int64_t value = get_signed(r);
    r->failed |= value < low || value > high;
    return r->failed ? 0 : value;
}

static inline uint64_t get_le(struct reader *r, size_t bytes)
{
    if (reader_left(r) < bytes) {
        r->failed = true;
        return 0;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t)r->at[i] << (8 * i);
    r->at += bytes;
    return value;
}

static inline uint8_t get_u8(struct reader *r)
{
    return (uint8_t)get_le(r, 1);
}

/* 0 or 1. */
static inline bool get_flag(struct reader *r)
{
    uint8_t value = get_u8(r);
    r->failed |= value > 1;
    return value;
}

static inline uint16_t get_u16(struct reader *r)
{
    return (uint16_t)get_le(r, 2);
}

static inline uint32_t get_u32(struct reader *r)
{
    return (uint32_t)get_le(r, 4);
}

static inline uint64_t get_u64(struct reader *r)
{
    return get_le(r, 8);
}

static inline uint64_t get_u48(struct reader *r)
{
    return get_le(r, 6);
}

/* Points into the reader's bytes. */
struct slice get_slice(struct reader *r, uint32_t size_max);
/* A count that is followed by at least `bytes_each` bytes an element; more sets failed and answers 0. */
uint32_t get_count(struct reader *r, uint32_t count_max, size_t bytes_each);
