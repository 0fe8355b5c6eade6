#include "server/worker/chain.h"

#include "common/mutant.h"

static int64_t last_of(const struct chain *c, uint32_t generation)
{
    return generation > c->generation ? -1 : c->last;
}

enum link chain_judge(const struct chain *c, uint32_t generation, int64_t prev, int64_t offset, int64_t confirmed)
{
    int64_t last = last_of(c, generation);
    if (generation < c->generation || MUTANT(no_chain, false, offset <= last))
        return LINK_REPLAY;
    if (MUTANT(newer_than, false, prev > last) && MUTANT(no_chain, false, true) && !c->open)
        return MUTANT(confirmed_unchecked, false, prev <= confirmed) ? LINK_LOST : LINK_GAP;
    return LINK_APPLY;
}

void chain_advance(struct chain *c, uint32_t generation, int64_t offset)
{
    *c = (struct chain){.generation = generation, .last = offset};
}

void chains_encode(const struct chain *chains, int32_t count, struct writer *out)
{
    for (int32_t i = 0; i < count; i++) {
        put_varint(out, chains[i].generation);
        put_varint(out, (uint64_t)(chains[i].last + 1) << 1 | chains[i].open);
    }
}

enum err chains_decode(struct slice bytes, bool open, struct chain *out, int32_t count)
{
    struct reader r = reader_of(bytes.at, bytes.size);
    for (int32_t i = 0; i < count; i++) {
        out[i] = (struct chain){.last = -1, .open = open};
        if (bytes.size == 0)
            continue;
        uint32_t generation = get_varint32(&r);
        uint64_t packed = get_varint_max(&r, 2 * NUMBER_MAX);
        out[i] = (struct chain){generation, (int64_t)(packed >> 1) - 1, packed & 1};
    }
    return r.failed || reader_left(&r) ? ERR_INVALID : ERR_NONE;
}
