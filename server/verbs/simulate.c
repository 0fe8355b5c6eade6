#include "server/verbs/verb.h"

#include "server/simulate/drive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char simulate_usage[] =
    "sluice simulate --brokers HOST:PORT | --to-file FILE [OPTION...]\n"
    "\n"
    "Users with true tastes, hosts with true quality, rooms that open and close: writes their events and the catalog,\n"
    "in real time to Kafka or as fast as it goes to a file. On Kafka it is a closed loop: what live.recommendations\n"
    "and live.traffic say decides what its users are shown; a tenth of them, the control, see popularity and uniform\n"
    "weights. The same seed gives the same stream.\n"
    "\n"
    "  --brokers LIST     Kafka to write to and read from\n"
    "  --to-file FILE     one JSON object a line instead; \"-\" is standard output:\n"
    "                     {\"timestamp\":MS,\"key\":USER,\"value\":{EVENT}}, for the catalog with \"topic\":\"live.catalog\"\n"
    "                     in front. `timestamp` is the record's; a value that is no object stands as a string.\n"
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
    "  --faults N         funnel faults an hour: one room's entrance or conversion collapses for five minutes (0)\n"
    "  --catalog-every S  write the whole catalog again this often; 0 = only changes (default 0)\n"
    "  --start MS         first simulated instant (default: now with --brokers, a fixed day with --to-file)\n"
    "  --oracle           show treated users what truly suits them: the most a recommender could reach\n"
    "  --report           at the end: uplift over the control, host ranking, segments, intent, churn, alerts, latency\n"
    "  -o json            the report as one JSON object\n"
    "  --reference N      instead: the first N events of the fixed reference stream\n"
    "  --topic NAME       where the reference stream goes (default live.events)\n"
    "\n"
    "Examples:\n"
    "  sluice simulate --to-file day.jsonl --seconds 3600 --rate 500\n"
    "  sluice simulate --brokers 127.0.0.1:9092 --seconds 600 --scenario flash --report -o json\n"
    "  sluice simulate --reference 3000000 --brokers 127.0.0.1:9092 --topic ev\n";

enum kind { KIND_REAL, KIND_SHARE, KIND_U32, KIND_U64, KIND_SECONDS, KIND_TEXT, KIND_FLAG };

struct option {
    const char *name;
    enum kind kind;
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
    case KIND_REAL:
    case KIND_SHARE:
        *(double *)o->to = value;
        break;
    case KIND_U32:
        *(uint32_t *)o->to = (uint32_t)value;
        break;
    case KIND_U64:
        *(uint64_t *)o->to = (uint64_t)value;
        break;
    case KIND_SECONDS:
        *(int64_t *)o->to = (int64_t)(value * 1000);
        break;
    default:
        return false;
    }
    return true;
}

static int refuse(const char *what, const char *text)
{
    fprintf(stderr, "sluice simulate: %s: %s\n", what, text ? text : "(nothing)");
    return EXIT_USAGE;
}

static int read_options(const struct option *options, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const struct option *o = options;
        while (o->name && strcmp(o->name, argv[i]) != 0)
            o++;
        if (!o->name)
            return refuse("unknown option", argv[i]);
        if (o->kind == KIND_FLAG) {
            *(bool *)o->to = true;
            continue;
        }
        if (++i == argc)
            return refuse("a value is missing after", argv[i - 1]);
        if (o->kind == KIND_TEXT)
            *(const char **)o->to = argv[i];
        else if (!set_number(o, argv[i]))
            return refuse("not a value for it", argv[i]);
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

int verb_simulate(int argc, char **argv)
{
    struct drive_settings s = {.world = world_defaults(), .seconds = 60, .speed = 1, .topic = "live.events"};
    struct world_settings *w = &s.world;
    const char *scenario = "ordinary", *output = "text";
    uint64_t start_ms = 0;
    const struct option options[] = {
        {"--brokers", KIND_TEXT, &s.brokers, 0, 0},
        {"--to-file", KIND_TEXT, &s.file, 0, 0},
        {"--seconds", KIND_REAL, &s.seconds, 0, 1e9},
        {"--speed", KIND_REAL, &s.speed, 0.01, 1000},
        {"--rate", KIND_REAL, &w->rate, 0.1, 1e6},
        {"--users", KIND_U32, &w->users, 10, 1e8},
        {"--rooms", KIND_U32, &w->rooms, 1, 1e5},
        {"--items", KIND_U32, &w->items, 16, 1e7},
        {"--hosts", KIND_U32, &w->hosts, 1, 1e6},
        {"--scenes", KIND_U32, &w->scenes, 1, 8},
        {"--seed", KIND_U64, &w->seed, 0, 1e15},
        {"--scenario", KIND_TEXT, &scenario, 0, 0},
        {"--scenario-after", KIND_SECONDS, &w->scenario_after_ms, 0, 1e9},
        {"--duplicates", KIND_SHARE, &w->duplicates, 0, 1},
        {"--late", KIND_SHARE, &w->late, 0, 1},
        {"--malformed", KIND_SHARE, &w->malformed, 0, 1},
        {"--faults", KIND_REAL, &w->faults_per_hour, 0, 3600},
        {"--catalog-every", KIND_SECONDS, &w->catalog_interval_ms, 0, 1e6},
        {"--start", KIND_U64, &start_ms, 0, 1e14},
        {"--oracle", KIND_FLAG, &w->oracle, 0, 0},
        {"--report", KIND_FLAG, &s.report, 0, 0},
        {"-o", KIND_TEXT, &output, 0, 0},
        {"--reference", KIND_U64, &s.reference, 1, 1e12},
        {"--topic", KIND_TEXT, &s.topic, 0, 0},
        {NULL, KIND_FLAG, NULL, 0, 0},
    };
    int refused = read_options(options, argc, argv);
    if (refused)
        return refused;
    if (!s.brokers == !s.file)
        return refuse("needs exactly one of", "--brokers, --to-file");
    if (!set_scenario(w, scenario))
        return refuse("no such scenario", scenario);
    if (s.file && s.seconds <= 0 && !s.reference)
        return refuse("--to-file needs", "--seconds above 0");
    w->start_ms = (int64_t)start_ms;
    s.json = strcmp(output, "json") == 0;
    return s.reference ? drive_reference(&s) : drive_world(&s);
}
