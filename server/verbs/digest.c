/* digest: what state there is, and whether it is what its logs say. */
#include "server/io/verify.h"

#include "server/verbs/connect.h"
#include "server/verbs/dump.h"
#include "server/verbs/verb.h"

#include <stdio.h>

struct totals {
    int tasks, good;
    bool fold;
};

static void print_verdict(void *arg, const struct slot_verdict *v)
{
    struct totals *t = arg;
    t->tasks++;
    t->good += v->verdict <= VERDICT_SAME;
    printf("%s.%d %016llx blobs %llu log %lld..%lld", stage_names[v->stage], (int)v->partition, (unsigned long long)v->digest,
           (unsigned long long)v->blobs, (long long)v->origin, (long long)v->next);
    if (t->fold || v->verdict > VERDICT_SAME)
        printf(" %s", verdict_names[v->verdict]);
    if (v->verdict == VERDICT_DIFFERS)
        printf(" (the log folds to %016llx)", (unsigned long long)v->replayed);
    printf("%s%s\n", v->text ? ": " : "", v->text ? v->text : "");
}

int verb_digest(int argc, char **argv)
{
    struct settings settings;
    struct totals totals = {0};
    if (!connect_options(&argc, argv, &settings))
        return EXIT_CONFIG;
    totals.fold = take_flag(&argc, argv, "--verify");
    bool dump = take_flag(&argc, argv, "--dump");
    if (!is_all_taken(&argc, argv, 0))
        return EXIT_USAGE;
    if (dump) {
        bool good = dump_state(&settings.daemon);
        settings_fini(&settings);
        return good ? 0 : 1;
    }
    settings.daemon.worker.cache_bytes = 8ull << 30;
    enum err err = verify_state(&settings.daemon, totals.fold, print_verdict, &totals);
    printf("%d tasks, %d good\n", totals.tasks, totals.good);
    settings_fini(&settings);
    return err == ERR_NONE && totals.tasks ? 0 : 1;
}
