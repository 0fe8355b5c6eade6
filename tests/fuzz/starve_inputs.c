/*
 * starve_NAME DIR [SPREAD]: every input of the corpus, and a few made, through a fuzz target without one request for
 * memory at a time; which, says SPREAD (starve.h).
 */
#include "tests/fuzz/fuzz.h"
#include "tests/lib/heap.h"
#include "tests/lib/starve.h"

#include "common/check.h"
#include "common/hash.h"

#include <dirent.h>
#include <event2/event.h>
#include <jansson.h>
#include <stdio.h>

static uint64_t chance, begin;

uint64_t fuzz_draw(uint64_t below)
{
    chance = hash_mix(chance + 0x9e3779b97f4a7c15u);
    return below ? chance % below : 0;
}

void fuzz_fail(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    abort();
}

struct input {
    struct slice bytes;
    int verdict; /* of the first time; -1 */
};

static enum starve_result operation(void *arg)
{
    struct input *in = arg;
    chance = begin;
    bool accepted = fuzz_target.run(in->bytes);
    if (fuzz_target.lacked_memory && fuzz_target.lacked_memory())
        return STARVE_REFUSED;
    bool same = in->verdict < 0 || fuzz_target.timed || in->verdict == accepted;
    in->verdict = accepted;
    return same ? STARVE_RIGHT : STARVE_WRONG;
}

static void starve_input(const struct writer *w, const char *name, struct starved *sum)
{
    struct input in = {{(const char *)w->data, (uint32_t)w->size}, -1};
    starve(name, operation, &in, sum);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

int main(int argc, char **argv)
{
    struct starved sum = {.spread = argc > 2 ? strtoull(argv[2], NULL, 10) : 0};
    struct writer w = {0};
    struct dirent **names = NULL;
    char path[512];
    json_set_alloc_funcs(memory_take, free); /* as in main.c */
    event_set_mem_functions(memory_take, memory_more, free);
    snprintf(path, sizeof path, "%s/%s", argc > 1 ? argv[1] : "tests/fuzz/corpus", fuzz_target.name);
    int count = scandir(path, &names, NULL, by_name);
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s/%s", argc > 1 ? argv[1] : "tests/fuzz/corpus", fuzz_target.name, names[i]->d_name);
        FILE *file = names[i]->d_name[0] == '.' ? NULL : fopen(path, "rb");
        w.size = 0;
        for (int c; file && (c = getc(file)) != EOF;)
            put_u8(&w, (uint8_t)c);
        if (file && fclose(file) == 0)
            starve_input(&w, names[i]->d_name, &sum);
    }
    for (uint64_t i = 0; fuzz_target.make && i < 10; i++) {
        w.size = 0;
        chance = i;
        fuzz_target.make(&w);
        begin = chance;
        snprintf(path, sizeof path, "made %d", (int)i);
        starve_input(&w, path, &sum);
    }
    return starved_report(fuzz_target.name, &sum);
}
