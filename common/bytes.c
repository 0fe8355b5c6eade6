#include "common/bytes.h"

#include "common/check.h"

#include <stdlib.h>

void writer_fini(struct writer *w)
{
    free(w->data);
    *w = (struct writer){0};
}

void writer_reserve(struct writer *w, size_t more)
{
    if (w->capacity - w->size >= more)
        return;
    size_t capacity = w->capacity ? w->capacity * 2 : 64;
    while (capacity - w->size < more)
        capacity *= 2;
    w->data = realloc(w->data, capacity);
    ASSERT(w->data);
    w->capacity = capacity;
}

void put_bytes(struct writer *w, const void *bytes, size_t size)
{
    if (size == 0)
        return;
    writer_reserve(w, size);
    memcpy(w->data + w->size, bytes, size);
    w->size += size;
}

void put_varint(struct writer *w, uint64_t value)
{
    writer_reserve(w, 10);
    uint8_t *at = w->data + w->size;
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    w->size = (size_t)(at - w->data);
}

void put_signed(struct writer *w, int64_t value)
{
    put_varint(w, ((uint64_t)value << 1) ^ (uint64_t)(value >> 63));
}

void put_u8(struct writer *w, uint8_t value)
{
    writer_reserve(w, 1);
    w->data[w->size++] = value;
}

static void put_le(struct writer *w, uint64_t value, int bytes)
{
    writer_reserve(w, 8);
    for (int i = 0; i < bytes; i++)
        w->data[w->size++] = (uint8_t)(value >> (8 * i));
}

void put_u16(struct writer *w, uint16_t value)
{
    put_le(w, value, 2);
}

void put_u32(struct writer *w, uint32_t value)
{
    put_le(w, value, 4);
}

void put_u48(struct writer *w, uint64_t value)
{
    put_le(w, value, 6);
}

void put_u64(struct writer *w, uint64_t value)
{
    put_le(w, value, 8);
}

void put_slice(struct writer *w, struct slice s)
{
    put_varint(w, s.size);
    put_bytes(w, s.at, s.size);
}

uint64_t get_varint(struct reader *r)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (r->failed || r->at == r->end)
            break;
        uint8_t byte = *r->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
    r->failed = true;
    return 0;
}

int64_t get_signed(struct reader *r)
{
    uint64_t value = get_varint(r);
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

static uint64_t get_le(struct reader *r, int bytes)
{
    if (reader_left(r) < (size_t)bytes) {
        r->failed = true;
        return 0;
    }
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)r->at[i] << (8 * i);
    r->at += bytes;
    return value;
}

uint8_t get_u8(struct reader *r)
{
    return (uint8_t)get_le(r, 1);
}

uint16_t get_u16(struct reader *r)
{
    return (uint16_t)get_le(r, 2);
}

uint32_t get_u32(struct reader *r)
{
    return (uint32_t)get_le(r, 4);
}

uint64_t get_u48(struct reader *r)
{
    return get_le(r, 6);
}

uint64_t get_u64(struct reader *r)
{
    return get_le(r, 8);
}

struct slice get_slice(struct reader *r, uint32_t size_max)
{
    uint64_t size = get_varint(r);
    if (size > size_max || size > reader_left(r)) {
        r->failed = true;
        return (struct slice){"", 0};
    }
    struct slice s = {(const char *)r->at, (uint32_t)size};
    r->at += size;
    return s;
}

uint32_t get_count(struct reader *r, uint32_t count_max, size_t bytes_each)
{
    uint64_t count = get_varint(r);
    if (count > count_max || count * bytes_each > reader_left(r)) {
        r->failed = true;
        return 0;
    }
    return (uint32_t)count;
}
