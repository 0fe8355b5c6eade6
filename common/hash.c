#include "common/hash.h"

#include <string.h>

static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Of a size known when compiled: one load. */
static inline uint64_t load(const uint8_t *at, size_t size)
{
    uint64_t value = 0;
    memcpy(&value, at, size);
    return value;
}

/* 1 to 8 bytes, as two loads that may overlap. */
static uint64_t word(const uint8_t *at, size_t size)
{
    if (size >= 4)
        return load(at, 4) | load(at + size - 4, 4) << 8 * (size - 4);
    return at[0] | (size > 1 ? load(at + size - 2, 2) << 8 * (size - 2) : 0);
}

uint64_t hash_mix(uint64_t value)
{
    /* The finaliser of splitmix64 (Steele, Lea, Flood 2014). */
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

uint64_t hash64(const void *bytes, size_t size, uint64_t seed)
{
    const uint8_t *at = bytes;
    uint64_t state = hash_mix(seed + 0x9e3779b97f4a7c15u * (size + 1));
    for (; size > 16; at += 16, size -= 16)
        state = fold(load(at, 8) ^ 0xa0761d6478bd642fu, load(at + 8, 8) ^ state);
    uint64_t low = size ? word(at, size < 8 ? size : 8) : 0;
    uint64_t high = size > 8 ? word(at + 8, size - 8) : 0;
    return hash_mix(fold(low ^ 0xe7037ed1a0b428dbu, high ^ state) ^ state);
}

uint32_t murmur2(const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    const uint32_t m = 0x5bd1e995;
    uint32_t h = 0x9747b28cu ^ (uint32_t)size;
    for (; size >= 4; at += 4, size -= 4) {
        uint32_t k;
        memcpy(&k, at, 4);
        k *= m;
        k ^= k >> 24;
        h = h * m ^ k * m;
    }
    if (size >= 3)
        h ^= (uint32_t)at[2] << 16;
    if (size >= 2)
        h ^= (uint32_t)at[1] << 8;
    if (size >= 1)
        h = (h ^ at[0]) * m;
    h = (h ^ (h >> 13)) * m;
    return h ^ (h >> 15);
}

int32_t kafka_partition(const void *key, size_t size, int32_t partitions)
{
    return (int32_t)((murmur2(key, size) & 0x7fffffff) % (uint32_t)partitions);
}

uint16_t redis_slot(const char *key, size_t size)
{
    const char *open = memchr(key, '{', size);
    if (open) {
        const char *close = memchr(open + 1, '}', size - (size_t)(open + 1 - key));
        if (close && close > open + 1) {
            size = (size_t)(close - open - 1);
            key = open + 1;
        }
    }
    uint16_t crc = 0;
    for (size_t i = 0; i < size; i++) {
        crc = (uint16_t)(crc ^ ((uint16_t)(uint8_t)key[i] << 8));
        for (int bit = 0; bit < 8; bit++)
            crc = (uint16_t)(crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1);
    }
    return crc & 16383;
}
