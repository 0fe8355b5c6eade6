/*
 * backtest: the whole pipeline over a file of events, in memory: the same worker as the daemon's, between a log and a
 * store that live in this process.
 */
#include "server/evaluate/protocols.h"
#include "server/verbs/backtest_events.h"
#include "server/verbs/connect.h"
#include "server/verbs/replay.h"
#include "server/verbs/verb.h"
#include "server/worker/memory_worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char backtest_usage[] =
    "sluice backtest FILE [--digest] [--config FILE]\n"
    "sluice backtest --events FILE [--config FILE] [--interest TYPE,...] [--within SECONDS]\n"
    "                [--compare CONFIG2] [-o json]\n"
    "sluice backtest --ope LOG --config CONFIG2 [--reward click|enter|purchase] [--places K] [--clip W] [-o json]\n"
    "sluice backtest --ope LOG --traffic --config CONFIG2 [--reward ...] [--within SECONDS] [--places K] [--clip W] [-o json]\n"
    "sluice backtest --protocol P1|P2|P3|P4a|P4b|P4c|P5|P6|P7 --data DIR [--config FILE] [-o json]\n"
    "\n"
    "FILE holds one JSON object a line, as `sluice simulate --to-file` writes it: {\"timestamp\":MS,\"key\":USER,\"value\":{EVENT}},\n"
    "entries of the catalog with \"topic\":\"live.catalog\"; \"-\" is standard input. Lines of another shape are reported as FILE:LINE,\n"
    "counted and left out; exit code 1 then.\n"
    "\n"
    "Alone: folds FILE through all stages, without Kafka or Redis, and prints the counters; with --digest also the digest of\n"
    "every task's state.\n"
    "\n"
    "--events: rank, then learn. The records go through the daemon's worker in order of time; before a user takes a room or\n"
    "an item, the list is made that the daemon would have sent, then the event is folded. The list is the one made before the\n"
    "user first met that target within --within seconds (1800): an impression or a click just before would give it away; 0 takes\n"
    "the list right before the event. Prints hit rate and NDCG at 10 and 20, coverage (share of all candidates that stood in\n"
    "a first ten), novelty (mean -log2 of popularity), Gini of the exposures, AUC, ECE and log loss of the published purchase\n"
    "intents over their horizon, and CPU an event and a ranking; standard errors over 64 groups of users (jackknife). Beside:\n"
    "popularity, popularity fading over a week, item-item (rooms: by their hosts), over the same candidates. `sluice` ranks\n"
    "all items of the catalog; `published` is the list of items as it is sent. A log without items in its catalog gets a plain\n"
    "entry for each. What the users of a log were shown decided what they took: figures compare methods, they promise nothing.\n"
    "\n"
    "  --interest TYPES   what counts as taking (enter,trial,purchase,rating): enter takes the room, any other the item\n"
    "  --compare CONFIG2  the same log under a second configuration too: both, the settings that differ, and the difference of\n"
    "                     each figure, paired by groups of users (of CPU there is none: no two runs take the same)\n"
    "  -o json            one flat object: METHOD.METRIC and METHOD.METRIC_se; with --compare also compared.METHOD.METRIC and\n"
    "                     difference.METHOD.METRIC (second less first), and `differs`, the settings\n"
    "\n"
    "--ope: what the ranking of rooms under CONFIG2 would have earned, from LOG, which holds live.events, live.catalog and the\n"
    "live.recommendations that were sent (\"topic\":\"live.recommendations\"), whose rooms carry the probability each was drawn\n"
    "with. LOG is folded again under CONFIG2, which is asked for the probability of every logged room in its place. Prints the\n"
    "reward an impression of the first --places places (3): of the log, and by inverse propensity (IPS), self-normalised IPS and\n"
    "doubly robust (DR) for CONFIG2, each with its standard error; weights are products down to the place and cut at --clip (20);\n"
    "effective sample size, cut and zero weights are said. --reward (enter): what of that recommendation counts. It holds for one\n"
    "list at a time, in the states that the log has, and as far as the log explores: see recommend.explore_ppm.\n"
    "With --traffic: what the weights of rooms under CONFIG2 would have earned, from LOG with live.events, live.catalog, live.traffic\n"
    "and live.control. An impression counts that carries no `rec` and whose source is the feed or not said: its room is taken as drawn\n"
    "from the rooms of the scene in proportion to the weights in force, none twice on a user's screen (impressions within a second, of\n"
    "which the first --places count, 10); and its reward is the next of that kind by the user in that room within --within seconds\n"
    "(profile.attribution_ms), without `rec` too. A feed that mixes the weights with something of its own draws otherwise: mean_weight then is not 1.\n"
    "\n"
    "--protocol: a public data set from DIR through decoder and engine, the simple methods beside.\n"
    "\n"
    "Examples:\n"
    "  sluice backtest events.jsonl --digest\n"
    "  sluice simulate --to-file day.jsonl --seconds 7200 && sluice backtest --events day.jsonl --interest purchase\n"
    "  sluice backtest --events day.jsonl --config sluice.json --compare bolder.json\n"
    "  sluice simulate --in-memory --seconds 3600 --record log.jsonl && sluice backtest --ope log.jsonl --config bolder.json\n"
    "  sluice backtest --ope log.jsonl --traffic --config sharper.json --reward purchase\n";

struct backtest {
    struct worker_settings settings;
    struct memory_worker in;
    int64_t now_ms;
};

static void open_backtest(struct backtest *b, const struct worker_settings *settings)
{
    b->settings = *settings;
    b->settings.cache_bytes = 8ull << 30;
    memory_worker_open(&b->in, memory_input_partitions);
    memory_worker_start(&b->in, &b->settings, 1);
    memory_redis_init(b->in.redis, &b->settings, memory_log_port(b->in.log));
}

static bool is_done(const struct backtest *b)
{
    static struct task_report tasks[64];
    size_t n = worker_report(b->in.worker, b->now_ms, tasks, 64);
    for (size_t i = 0; i < n; i++)
        if (!tasks[i].halt && (strcmp(tasks[i].state, "run") != 0 || tasks[i].lag_records || tasks[i].committed != tasks[i].next))
            return false;
    return memory_log_is_idle(b->in.log);
}

static void run(struct backtest *b)
{
    struct topic_partition list[64];
    size_t n = 0;
    for (int t = 0; t < TOPIC_INPUTS; t++)
        for (int32_t p = 0; p < b->in.partitions[t] && n < 64; p++)
            list[n++] = (struct topic_partition){(enum topic)t, p};
    worker_assigned(b->in.worker, list, n, b->now_ms);
    for (int turns = 0; turns < 100 || !is_done(b); turns++) {
        b->now_ms += 10;
        memory_log_set_now(b->in.log, b->now_ms);
        memory_log_deliver(b->in.log, b->in.worker, 4096, b->now_ms);
        memory_store_deliver(b->in.store, b->in.worker, 10000, b->now_ms);
        worker_turn(b->in.worker, b->now_ms);
    }
}

static void print_counts(const struct worker_counts *c)
{
    printf("{\"events\":%llu,\"applied\":%llu,\"duplicates\":%llu,\"dead_letters\":%llu", (unsigned long long)c->records[TOPIC_EVENTS],
           (unsigned long long)c->applied, (unsigned long long)c->duplicates, (unsigned long long)c->dead_letters);
    for (int i = 0; i < DEAD_REASONS_MAX && c->dead[i].reason; i++)
        printf(",\"dead_letters.%s\":%llu", c->dead[i].reason, (unsigned long long)c->dead[i].count);
    printf(",\"effect_entries\":%llu,\"entries_applied\":%llu,\"commits\":%llu}\n", (unsigned long long)c->effect_entries,
           (unsigned long long)c->entries_applied, (unsigned long long)c->commits);
}

static void print_digests(const struct backtest *b)
{
    for (int s = 0; s < STAGES; s++)
        for (int32_t p = 0; p < b->in.partitions[s]; p++)
            printf("%s.%d %016llx\n", stage_names[s], (int)p,
                   (unsigned long long)memory_redis_digest(b->in.redis, (enum stage)s, p));
}

/* One public data set by its protocol. Of the settings only what rates, relates and ranks. */
static int run_protocol(const struct worker_settings *w, const char *name, const char *data, bool json)
{
    static struct figures figures;
    struct stream_settings settings;
    const struct protocol *p = protocols;
    while (p->name && strcmp(p->name, name) != 0)
        p++;
    if (!p->name || !data) {
        fputs("sluice backtest: --protocol is one of", stderr);
        for (p = protocols; p->name; p++)
            fprintf(stderr, " %s", p->name);
        fputs(", and needs --data DIR\n", stderr);
        return EXIT_USAGE;
    }
    stream_settings_default(&settings);
    settings.profile = w->profile;
    settings.entity = w->entity;
    settings.similarity = w->similarity;
    settings.recommend = w->recommend;
    settings.allocation = w->allocation;
    settings.learner = w->learner;
    stream_settings_adapt(&settings);
    if (!p->run(&settings, data, &figures))
        return 1;
    unsigned long long hash = stream_settings_hash(&settings);
    if (json)
        printf("{\"protocol\":\"%s\",\"configuration\":\"%016llx\"", name, hash);
    else
        printf("%s: %s; configuration %016llx\n", name, p->what, hash);
    for (int i = 0; i < figures.count; i++) {
        const struct figure *f = &figures.at[i];
        if (json)
            printf(",\"%s\":%.6g", f->name, f->value);
        else
            printf(f->error > 0 ? "  %-28s %.4f +- %.4f\n" : "  %-28s %.4f\n", f->name, f->value, f->error);
    }
    fputs(json ? "}\n" : "", stdout);
    return 0;
}

int verb_backtest(int argc, char **argv)
{
    struct backtest b = {.now_ms = 1};
    struct settings settings;
    uint64_t bad;
    if (!connect_options(&argc, argv, &settings))
        return EXIT_CONFIG;
    const char *protocol = take_option(&argc, argv, "--protocol"), *data = take_option(&argc, argv, "--data");
    bool json = false;
    if (!take_json(&argc, argv, &json))
        return EXIT_USAGE;
    struct backtest_events events = {take_option(&argc, argv, "--events"), take_option(&argc, argv, "--interest"), take_option(&argc, argv, "--within"), take_option(&argc, argv, "--compare"),
                                     json};
    struct backtest_ope ope = {take_option(&argc, argv, "--ope"), take_option(&argc, argv, "--reward"), take_option(&argc, argv, "--places"),
                               take_option(&argc, argv, "--clip"), events.within, take_flag(&argc, argv, "--traffic"), events.json};
    bool digests = take_flag(&argc, argv, "--digest");
    if (!is_all_taken(&argc, argv, 1))
        return EXIT_USAGE;
    if (protocol)
        return run_protocol(&settings.daemon.worker, protocol, data, json);
    if (events.path || ope.path) {
        int code = events.path ? backtest_events(&events, &settings) : backtest_ope(&ope, &settings);
        settings_fini(&settings);
        return code;
    }
    const char *path = argc > 1 ? argv[1] : NULL;
    if (!path) {
        fputs("sluice backtest: which file?\n", stderr);
        return EXIT_USAGE;
    }
    open_backtest(&b, &settings.daemon.worker);
    int64_t count = replay_file(b.in.cluster, path, &bad);
    if (count < 0) {
        fprintf(stderr, "sluice backtest: %s cannot be read: %s\n", path, strerror(errno));
    } else {
        run(&b);
        print_counts(worker_get_counts(b.in.worker));
        if (digests)
            print_digests(&b);
    }
    memory_worker_close(&b.in, b.now_ms);
    settings_fini(&settings);
    return count < 0 || bad ? 1 : 0;
}
