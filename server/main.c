/* Finds the verb and runs it. */
#include "server/verbs/verb.h"

#include "common/check.h"

#include <event2/event.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static void print_verbs(FILE *to)
{
    fputs("usage: sluice VERB [OPTION...]\n\n", to);
    for (const struct verb *v = verbs; v->name; v++)
        if (v->summary)
            fprintf(to, "  %-10s %s\n", v->name, v->summary);
    fputs("\n`sluice VERB --help` shows what a verb takes, with an example.\n", to);
}

/*
 * These two go on without the memory they asked for: a valid control would be refused as malformed, a command to Redis
 * left out while its answer is waited for. So the process ends there, as everywhere else.
 */
static void end_when_out_of_memory(void)
{
    json_set_alloc_funcs(memory_take, free);
    event_set_mem_functions(memory_take, memory_more, free);
}

int main(int argc, char **argv)
{
    end_when_out_of_memory();
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        print_verbs(argc < 2 ? stderr : stdout);
        return argc < 2 ? EXIT_USAGE : 0;
    }
    if (strcmp(argv[1], "--version") == 0)
        argv[1] += 2;
    const struct verb *v = verbs;
    while (v->name && strcmp(v->name, argv[1]) != 0)
        v++;
    if (!v->name) {
        fprintf(stderr, "sluice: there is no verb \"%s\"\n\n", argv[1]);
        print_verbs(stderr);
        return EXIT_USAGE;
    }
    for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0) {
            fputs(v->usage, stdout);
            return 0;
        }
    return v->run(argc - 1, argv + 1);
}
