#include "server/verbs/connect.h"
#include "server/verbs/verb.h"

#include <stddef.h>

const struct verb verbs[] = {
    {"run", "the daemon",
     "sluice run [--http HOST:PORT] " CONNECT_USAGE "\n\nConsumes events, keeps state in Redis, sends recommendations and traffic weights. SIGTERM: commits what is\n"
     "folded, then exits; a second one exits at once.\n\nExample:\n  sluice run --brokers 127.0.0.1:9092 --redis 127.0.0.1:6379\n",
     verb_run},
    {"check", "the configuration: is it right",
     "sluice check [FILE] [--print | --schema | --reference]\n\nReads the file by the code that starts the daemon; each fault is one line, FILE:LINE. Exit code 78 when there is\n"
     "one. --print: all settings as they then are; --schema: JSON Schema of such a file; --reference: the page of settings.\n\n"
     "Example:\n  sluice check config/minimal.json\n",
     verb_check},
    {"init", "write the state every task begins with",
     "sluice init --start earliest|end " CONNECT_USAGE "\n\nOnce, before the first run: says where in the logs the state begins. Tasks that have state are left alone.\n\n"
     "Example:\n  sluice init --start earliest --brokers 127.0.0.1:9092 --redis 127.0.0.1:6379\n",
     verb_init},
    {"digest", "hash of every task's state; with --verify against its log",
     "sluice digest [--verify | --dump] " CONNECT_USAGE "\n\nPrints a hash of the folded state of every task in Redis. --verify folds every task's log again from Kafka and\n"
     "compares; exit code 1 when one differs. Run it while nothing is being committed. --dump prints the state itself, a\n"
     "JSON line for each user, entity and table of neighbours.\n\n"
     "Example:\n  sluice digest --verify --brokers 127.0.0.1:9092 --redis 127.0.0.1:6379\n",
     verb_digest},
    {"inspect", "what is known of a user, room, host or item",
     "sluice inspect user|room|host|item ID [--why ENTITY [--scene SCENE]] [-o json] " CONNECT_USAGE "\n\n"
     "Prints its views, and for a user the folded state, as lines of path and value or with -o json as one object.\n"
     "--why ranks for the user once more and says of a room, item or host what its score is made of, or why it is not\n"
     "offered; ENTITY is an id, with room:, item: or host: before it where several have it.\n"
     "What stands behind -- is no option, for ids may begin with a dash: sluice inspect user -- -abc\n\n"
     "Examples:\n  sluice inspect user u_88 -o json --redis 127.0.0.1:6379\n  sluice inspect user u_88 --why r_102\n",
     verb_inspect},
    {"task", "the tasks as they stand, and what to do about one that halted",
     "sluice task status | restore TASK | rebuild TASK [--from OFFSET] [--new-log] | accept-loss TASK --from OFFSET |\n"
     "migrate --plan FILE " CONNECT_USAGE "\n\nstatus lists position, log and state of every task; exit code 1 when one needs a hand. restore takes the state of\n"
     "a task as it stands after a copy was restored; rebuild drops it and folds the log again from its origin, from OFFSET\n"
     "where the log no longer reaches back, with --new-log when the log was made anew; accept-loss goes on from OFFSET\n"
     "although records before it are gone. A worker whose task halted goes on by itself, within `worker.audit_ms`.\n"
     "migrate lets all tasks fold with the settings of --config from where their logs end on; the file they ran with until\n"
     "now stands in its `before`, and FILE keeps the offsets, so that the change can be made again where Redis lost it. Stop\n"
     "the workers first. Each change is noted in the stream of decisions. TASK is STAGE.PARTITION, as status prints it.\n\n"
     "Example:\n  sluice task status --brokers 127.0.0.1:9092 --redis 127.0.0.1:6379\n",
     verb_task},
    {"audit", "which recommendations and weights break a rule",
     "sluice audit " CONNECT_USAGE "\n\nReads the logs whole and prints every place that breaks a rule: closed room, owned, blocked or restricted item,\n"
     "shown within the pause, too many of a host or category, reasons that do not add up; weights that do not sum to one,\n"
     "above the cap, of closed rooms, or that moved further than a step in a tick. Exit code 1 when there are any.\n\nExample:\n  sluice audit --brokers 127.0.0.1:9092\n",
     verb_audit},
    {"key", "the part of a Redis key that stands for a user",
     "sluice key USER [--key-file FILE]\n\nPrints the first 16 bytes of HMAC-SHA-256(key file, user) in base64url.\n\nExample:\n  redis-cli GET sluice:rec:$(sluice key u_88)\n",
     verb_key},
    {"topics", "make or check the Kafka topics",
     "sluice topics create|check [--replicas N] " CONNECT_USAGE "\n\ncreate makes the topics that are missing; check compares all with what they must be.\n"
     "Without --replicas there are three of each where there are three brokers.\n\n"
     "Example:\n  sluice topics create --brokers 127.0.0.1:9092\n",
     verb_topics},
    {"broker", "a small Kafka in one process, for trying things",
     "sluice broker\n\nServes Kafka's protocol on a free loopback port until SIGTERM, with all topics made; prints HOST:PORT. It keeps\n"
     "about 5 MiB a partition, in memory: for the demo, not for data.\n\nExample:\n  sluice broker\n",
     verb_broker},
    {"simulate", "write simulated events to Kafka or a file, and act on what comes back", simulate_usage, verb_simulate},
    {"backtest", "what the engine makes of a file of events or of public data, in memory", backtest_usage, verb_backtest},
    {"version", "print the version", "sluice version\n\nPrints the version of this binary.\n\nExample:\n  sluice version\n", verb_version},
    {"watch", NULL, watch_usage, verb_watch},
    {NULL, NULL, NULL, NULL},
};
