/* Hashes. All are fixed for ever: their results are in stored state or in other programs' protocols. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* 64-bit multiply-and-fold hash (128-bit product, both halves xored); for tables, tags and entity keys. */
uint64_t hash64(const void *bytes, size_t size, uint64_t seed);
/* One word in, one word out: a bijection. */
uint64_t hash_mix(uint64_t value);
/* MurmurHash2 as in Kafka's Java client; partition = (murmur2 & 0x7fffffff) % partitions. */
uint32_t murmur2(const void *bytes, size_t size);
int32_t kafka_partition(const void *key, size_t size, int32_t partitions);
/* CRC16/XMODEM of the hash tag of a Redis key, modulo 16,384 (Redis Cluster specification). */
uint16_t redis_slot(const char *key, size_t size);
