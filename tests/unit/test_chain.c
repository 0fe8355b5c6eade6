#include "tests/unit/check.h"

#include "server/worker/chain.h"

static void test_judge(void)
{
    static const struct {
        struct chain chain;
        uint32_t generation;
        int64_t prev, offset, confirmed;
        enum link want;
        const char *what;
    } cases[] = {
        {{0, -1, false}, 0, -1, 5, -1, LINK_APPLY, "the first entry"},
        {{0, 5, false}, 0, 5, 9, -1, LINK_APPLY, "the next entry"},
        {{0, 5, false}, 0, 2, 9, -1, LINK_APPLY, "the next entry of a run that was cut elsewhere"},
        {{0, 9, false}, 0, 5, 9, 20, LINK_REPLAY, "the same entry again"},
        {{0, 5, false}, 0, 7, 9, 6, LINK_GAP, "a zombie ran ahead"},
        {{0, 5, false}, 0, 7, 9, 7, LINK_LOST, "its predecessor was committed"},
        {{0, 5, true}, 0, 7, 9, 7, LINK_APPLY, "a loss that the operator accepted"},
        {{0, 9, true}, 0, 5, 9, 7, LINK_REPLAY, "an accepted loss does not let replays in"},
        {{1, 5, false}, 0, 5, 9, 7, LINK_REPLAY, "an entry of the log before"},
        {{0, 500, false}, 1, -1, 3, -1, LINK_APPLY, "the first entry of a log made anew"},
        {{0, 500, false}, 1, 3, 4, 3, LINK_LOST, "the first entry of a log made anew is missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum link have = chain_judge(&cases[i].chain, cases[i].generation, cases[i].prev, cases[i].offset, cases[i].confirmed);
        if (have != cases[i].want)
            fprintf(stderr, "%s\n", cases[i].what);
        CHECK_INT(have, cases[i].want);
    }
}

static void test_advance_closes(void)
{
    struct chain c = {0, 5, true};
    chain_advance(&c, 2, 9);
    CHECK_INT(c.last, 9);
    CHECK_INT(c.generation, 2);
    CHECK(!c.open);
}

static void test_bytes(void)
{
    struct chain in[] = {{0, -1, false}, {7, 123456789, true}, {1, 0, false}}, out[3];
    struct writer w = {0};
    chains_encode(in, 3, &w);
    struct slice bytes = {(const char *)w.data, (uint32_t)w.size};
    CHECK_INT(chains_decode(bytes, false, out, 3), ERR_NONE);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(out[i].generation, in[i].generation);
        CHECK_INT(out[i].last, in[i].last);
        CHECK_INT(out[i].open, in[i].open);
    }
    CHECK(chains_decode(bytes, false, out, 2) != ERR_NONE);
    CHECK_INT(chains_decode((struct slice){0}, true, out, 3), ERR_NONE);
    CHECK(out[2].open && out[2].last == -1);
    writer_fini(&w);
}

int main(void)
{
    test_judge();
    test_advance_closes();
    test_bytes();
    return checks_failed != 0;
}
