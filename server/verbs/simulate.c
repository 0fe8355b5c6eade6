#include "server/verbs/verb.h"

#include "server/loop/loop.h"
#include "server/settings/settings.h"
#include "server/simulate/drive.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char simulate_usage[] =
    "sluice simulate --brokers HOST:PORT | --to-file FILE | --in-memory [OPTION...]\n"
    "\n"
    "Users with true tastes, hosts with true quality, rooms that open and close: writes their events and the catalog,\n"
    "in real time to Kafka or as fast as it goes to a file. On Kafka it is a closed loop: what live.recommendations\n"
    "and live.traffic say decides what its users are shown; a tenth of them, the control, see popularity and uniform\n"
    "weights. The same seed gives the same stream. In memory the loop closes around a whole worker in this process, on\n"
    "virtual time: hours in minutes, and the same report for the same seed.\n"
    "\n"
    "  --brokers LIST     Kafka to write to and read from\n"
    "  --to-file FILE     one JSON object a line instead; \"-\" is standard output:\n"
    "                     {\"timestamp\":MS,\"key\":USER,\"value\":{EVENT}}, for the catalog with \"topic\":\"live.catalog\"\n"
    "                     in front. `timestamp` is the record's; a value that is no object stands as a string.\n"
    "  --in-memory        no Kafka, no Redis: the daemon's own worker between a log and a store in this process\n"
    "  --config FILE      its configuration, with --in-memory (default: embedded)\n"
    "  --record FILE      with --in-memory: events, catalog, recommendations and weights, a line each as above: for `sluice backtest --ope`\n"
    "  --seconds N        simulated seconds; 0 = until Ctrl-C (default 60)\n"
    "  --speed X          simulated seconds a real second, with --brokers (default 1)\n"
    "  --rate N           events a simulated second (default 200)\n"
    "  --users N, --rooms N, --items N, --hosts N, --scenes N\n"
    "                     sizes (5000, 40 live at a time, 1000, 200, 1)\n"
    "  --seed N           (default 1)\n"
    "  --scenario NAME    ordinary | flash (a star goes live, a tenth of the users arrive in a minute) |\n"
    "                     course-launch (a new programming course, its lecturer among other hosts)\n"
    "  --scenario-after S simulated seconds before it begins (default 60)\n"
    "  --duplicates SHARE, --late SHARE, --malformed SHARE\n"
    "                     of the events (0.01, 0.005, 0.001)\n"
    "  --control SHARE    of the users, who see popularity and uniform weights (0.1)\n"
    "  --faults N         funnel faults an hour: one room's entrance or conversion collapses for five minutes (0)\n"
    "  --catalog-every S  write the whole catalog again this often; 0 = only changes (default 0)\n"
    "  --start MS         first simulated instant (default: now with --brokers, a fixed day with --to-file)\n"
    "  --plain-feed       rooms beside the recommended ones by their weights alone, not by weight times popularity\n"
    "  --oracle           show treated users what truly suits them: the most a recommender could reach\n"
    "  --report           at the end: uplift over the control, host ranking, segments, intent, churn, alerts, latency\n"
    "  --warm-up S        what happens before counts for nothing in uplift, intent and churn (0)\n"
    "  --intent S, --churn S\n"
    "                     horizons of the daemon's predictions, for the report (1800, 604800; in memory the configuration's)\n"
    "  -o json            the report as one JSON object\n"
    "  --reference N      instead: the first N events of the fixed reference stream\n"
    "  --topic NAME       where the reference stream goes (default live.events)\n"
    "\n"
    "Examples:\n"
    "  sluice simulate --to-file day.jsonl --seconds 3600 --rate 500\n"
    "  sluice simulate --brokers 127.0.0.1:9092 --seconds 600 --scenario flash --report -o json\n"
    "  sluice simulate --in-memory --seconds 3600 --scenario course-launch --faults 20 --report\n"
    "  sluice simulate --reference 3000000 --brokers 127.0.0.1:9092 --topic ev\n";

enum option_kind { OPTION_REAL, OPTION_U32, OPTION_U64, OPTION_SECONDS, OPTION_TEXT, OPTION_FLAG };

struct option {
    const char *name;
    enum option_kind kind;
    void *to;
    double low;
    double high;
};

static bool set_number(const struct option *o, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (*end || end == text || !(value >= o->low && value <= o->high))
        return false;
    switch (o->kind) {
    case OPTION_REAL:
        *(double *)o->to = value;
        break;
    case OPTION_U32:
        *(uint32_t *)o->to = (uint32_t)value;
        break;
    case OPTION_U64:
        *(uint64_t *)o->to = (uint64_t)value;
        break;
    case OPTION_SECONDS:
        *(int64_t *)o->to = (int64_t)(value * 1000);
        break;
    default:
        return false;
    }
    return true;
}

static int refuse(const char *why)
{
    fprintf(stderr, "sluice simulate: %s\n", why);
    return EXIT_USAGE;
}

static int refuse_option(const char *name, const char *why)
{
    fprintf(stderr, "sluice simulate: %s %s\n", name, why);
    return EXIT_USAGE;
}

static int refuse_number(const struct option *o, const char *text)
{
    fprintf(stderr, "sluice simulate: %s is %g to %g, not %s\n", o->name, o->low, o->high, text);
    return EXIT_USAGE;
}

static int read_options(const struct option *options, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const struct option *o = options;
        while (o->name && strcmp(o->name, argv[i]) != 0)
            o++;
        if (!o->name)
            return refuse_option(argv[i], "is not known; sluice simulate --help");
        if (o->kind == OPTION_FLAG) {
            *(bool *)o->to = true;
            continue;
        }
        if (++i == argc)
            return refuse_option(argv[i - 1], "lacks its value");
        if (o->kind == OPTION_TEXT)
            *(const char **)o->to = argv[i];
        else if (!set_number(o, argv[i]))
            return refuse_number(o, argv[i]);
    }
    return 0;
}

static bool set_scenario(struct world_settings *w, const char *name)
{
    static const char *const names[] = {"ordinary", "flash", "course-launch"};
    for (int i = 0; i < 3; i++)
        if (strcmp(names[i], name) == 0) {
            w->scenario = (enum scenario)i;
            return true;
        }
    return false;
}

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    stopped = 1;
}

static int run_in_memory(const struct drive_settings *s, const char *config, FILE *record)
{
    struct settings settings;
    settings_init(&settings);
    int code = EXIT_CONFIG;
    if ((!config || settings_load(&settings, config, stderr)) && settings_finish(&settings, stderr)) {
        const struct learner_settings *learner = &settings.daemon.worker.learner;
        struct loop_settings loop = {s->world, &settings.daemon.worker, {learner->intent_ms, learner->churn_ms, s->predictions.warm_up_ms}, s->seconds, record, 50};
        if (loop.world.start_ms == 0)
            loop.world.start_ms = SIMULATED_START_MS;
        signal(SIGINT, on_signal);
        signal(SIGTERM, on_signal);
        struct loop *l = loop_create(&loop);
        code = loop_run(l, &stopped) ? 0 : 1;
        if (record && fflush(record) != 0)
            code = 1;
        struct findings f = loop_findings(l);
        report_print(&f, loop_world(l), s->json, stdout);
        loop_destroy(l);
    }
    settings_fini(&settings);
    return code;
}

static int run_and_record(const struct drive_settings *s, const char *config, const char *path)
{
    FILE *record = path ? fopen(path, "w") : NULL;
    if (path && !record) {
        fprintf(stderr, "sluice simulate: cannot write %s: %s\n", path, strerror(errno));
        return 1;
    }
    int code = run_in_memory(s, config, record);
    if (record && fclose(record) != 0)
        code = 1;
    return code;
}

/* Answers what is wrong with the choice of a place to write to, or NULL. */
static const char *refuse_place(const struct drive_settings *s, bool in_memory, const char *config, const char *record)
{
    if ((s->brokers != NULL) + (s->file != NULL) + in_memory != 1)
        return "give one of --brokers, --to-file, --in-memory";
    if (in_memory && s->reference)
        return "--reference goes to --brokers or --to-file";
    if ((config || record) && !in_memory)
        return "--config and --record go with --in-memory";
    if (!s->brokers && s->seconds <= 0 && !s->reference)
        return "--seconds above 0 is needed without --brokers";
    return NULL;
}

int verb_simulate(int argc, char **argv)
{
    struct drive_settings s = {.world = world_defaults(), .seconds = 60, .speed = 1, .predictions = report_defaults(), .topic = "live.events"};
    struct world_settings *w = &s.world;
    const char *scenario = "ordinary", *output = NULL, *config = NULL, *record = NULL;
    bool in_memory = false;
    uint64_t start_ms = 0;
    const struct option options[] = {
        {"--brokers", OPTION_TEXT, &s.brokers, 0, 0},
        {"--to-file", OPTION_TEXT, &s.file, 0, 0},
        {"--in-memory", OPTION_FLAG, &in_memory, 0, 0},
        {"--config", OPTION_TEXT, &config, 0, 0},
        {"--record", OPTION_TEXT, &record, 0, 0},
        {"--seconds", OPTION_REAL, &s.seconds, 0, 1e9},
        {"--speed", OPTION_REAL, &s.speed, 0.01, 1000},
        {"--rate", OPTION_REAL, &w->rate, 0.1, 1e6},
        {"--users", OPTION_U32, &w->users, 10, 1e8},
        {"--rooms", OPTION_U32, &w->rooms, 1, 1e5},
        {"--items", OPTION_U32, &w->items, 16, 1e7},
        {"--hosts", OPTION_U32, &w->hosts, 1, 1e6},
        {"--scenes", OPTION_U32, &w->scenes, 1, 8},
        {"--seed", OPTION_U64, &w->seed, 0, 1e15},
        {"--scenario", OPTION_TEXT, &scenario, 0, 0},
        {"--scenario-after", OPTION_SECONDS, &w->scenario_after_ms, 0, 1e9},
        {"--duplicates", OPTION_REAL, &w->duplicates, 0, 1},
        {"--late", OPTION_REAL, &w->late, 0, 1},
        {"--control", OPTION_REAL, &w->control_share, 0, 1},
        {"--malformed", OPTION_REAL, &w->malformed, 0, 1},
        {"--faults", OPTION_REAL, &w->faults_per_hour, 0, 3600},
        {"--warm-up", OPTION_SECONDS, &s.predictions.warm_up_ms, 0, 1e8},
        {"--intent", OPTION_SECONDS, &s.predictions.intent_ms, 1, 1e8},
        {"--churn", OPTION_SECONDS, &s.predictions.churn_ms, 1, 1e8},
        {"--catalog-every", OPTION_SECONDS, &w->catalog_interval_ms, 0, 1e6},
        {"--start", OPTION_U64, &start_ms, 0, 1e14},
        {"--plain-feed", OPTION_FLAG, &w->plain_feed, 0, 0},
        {"--oracle", OPTION_FLAG, &w->oracle, 0, 0},
        {"--report", OPTION_FLAG, &s.report, 0, 0},
        {"-o", OPTION_TEXT, &output, 0, 0},
        {"--reference", OPTION_U64, &s.reference, 1, 1e12},
        {"--topic", OPTION_TEXT, &s.topic, 0, 0},
        {NULL, OPTION_FLAG, NULL, 0, 0},
    };
    int refused = read_options(options, argc, argv);
    if (refused)
        return refused;
    const char *wrong = refuse_place(&s, in_memory, config, record);
    if (wrong)
        return refuse(wrong);
    if (!set_scenario(w, scenario))
        return refuse("--scenario is ordinary, flash or course-launch");
    s.json = output != NULL;
    if (output && strcmp(output, "json") != 0)
        return refuse("-o is json");
    w->start_ms = (int64_t)start_ms;
    w->beliefs = s.report || in_memory;
    if (in_memory)
        return run_and_record(&s, config, record);
    return s.reference ? drive_reference(&s) : drive_world(&s);
}
