#include "server/worker/position.h"

#include "common/hash.h"
#include "common/mutant.h"

#define POSITION_VERSION 1

const struct blob_key POSITION_KEY = {'p', 0}, HEADER_KEY = {'h', 0}, CHAIN_KEY = {'x', 0};

void position_encode(const struct position *p, struct writer *out)
{
    put_u8(out, POSITION_VERSION);
    put_varint(out, (uint64_t)p->next);
    put_u64(out, p->token);
    put_varint(out, p->epoch);
    put_varint(out, p->claims);
    put_varint(out, p->tries);
    put_u8(out, p->has_print);
    put_u64(out, p->print);
}

enum err position_decode(struct slice bytes, struct position *out)
{
    struct reader r = reader_of(bytes.at, bytes.size);
    if (get_u8(&r) != POSITION_VERSION)
        return ERR_VERSION;
    struct position p = {0};
    p.next = (int64_t)get_varint_max(&r, NUMBER_MAX);
    p.token = get_u64(&r);
    p.epoch = get_varint32(&r);
    p.claims = get_varint32(&r);
    p.tries = get_varint32(&r);
    p.has_print = get_flag(&r);
    p.print = get_u64(&r);
    if (r.failed || reader_left(&r))
        return ERR_INVALID;
    *out = p;
    return ERR_NONE;
}

uint64_t record_print(const struct record *r)
{
    uint64_t h = hash64(r->key.at, r->key.size, (uint64_t)r->offset);
    h = hash64(r->value.at, r->value.size, h ^ (uint64_t)r->tombstone);
    return hash_mix(h ^ (uint64_t)r->timestamp_ms);
}

void slot_header_encode(const struct slot_header *h, struct writer *out)
{
    put_varint(out, h->format);
    put_u64(out, h->hmac_check);
    for (int i = 0; i < TOPIC_INPUTS; i++)
        put_varint(out, (uint64_t)h->partitions[i]);
    put_varint(out, (uint64_t)h->origin);
    put_varint(out, h->generation);
    put_u8(out, h->chain_open);
    put_varint(out, h->fold_count);
    for (uint32_t i = 0; i < h->fold_count; i++) {
        put_varint(out, (uint64_t)h->folds[i].from);
        put_u64(out, h->folds[i].hash);
    }
}

enum err slot_header_decode(struct slice bytes, struct slot_header *out)
{
    struct reader r = reader_of(bytes.at, bytes.size);
    struct slot_header h = {0};
    h.format = get_varint32(&r);
    if (!r.failed && h.format != FORMAT_VERSION)
        return ERR_VERSION;
    h.hmac_check = get_u64(&r);
    for (int i = 0; i < TOPIC_INPUTS; i++)
        h.partitions[i] = (int32_t)get_varint_max(&r, INT32_MAX);
    h.origin = (int64_t)get_varint_max(&r, NUMBER_MAX);
    h.generation = get_varint32(&r);
    h.chain_open = get_flag(&r);
    h.fold_count = get_count(&r, FUZZ_MUTANT(folds_overflow, 1000, FOLDS_MAX), 9);
    for (uint32_t i = 0; i < h.fold_count; i++) {
        h.folds[i].from = (int64_t)get_varint_max(&r, NUMBER_MAX);
        h.folds[i].hash = get_u64(&r);
        r.failed |= i == 0 ? h.folds[i].from != h.origin : h.folds[i].from <= h.folds[i - 1].from;
    }
    if (r.failed || reader_left(&r) || h.fold_count == 0)
        return ERR_INVALID;
    *out = h;
    return ERR_NONE;
}

const struct fold_span *slot_header_fold_at(const struct slot_header *h, int64_t offset, int64_t *out_until)
{
    uint32_t i = h->fold_count - 1;
    while (i && h->folds[i].from > offset)
        i--;
    *out_until = i + 1 < h->fold_count ? h->folds[i + 1].from : INT64_MAX;
    return &h->folds[i];
}

const char *slot_header_difference(const struct slot_header *have, const struct slot_header *want)
{
    if (have->format != want->format)
        return "the state has another format version";
    if (have->folds[have->fold_count - 1].hash != want->folds[want->fold_count - 1].hash)
        return "the state is folded with other settings";
    if (have->hmac_check != want->hmac_check)
        return "the state was keyed with another key file";
    for (int i = 0; i < TOPIC_INPUTS; i++)
        if (have->partitions[i] != want->partitions[i])
            return "a topic has another number of partitions than the state was folded with";
    return NULL;
}

uint64_t blob_digest(struct blob_key key, struct slice value)
{
    if (key.class == POSITION_KEY.class || key.class == HEADER_KEY.class)
        return 0;
    return hash64(value.at, value.size, hash_mix(key.id) + (uint8_t)key.class);
}
