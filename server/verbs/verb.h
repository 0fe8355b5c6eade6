/* The verbs of the `sluice` program: one row each in verbs.c. */
#pragma once

struct verb {
    const char *name;
    const char *summary; /* one line; NULL: not listed */
    const char *usage;   /* what --help prints, with an example */
    int (*run)(int argc, char **argv); /* argv[0] is the verb; answers the exit code */
};

extern const struct verb verbs[]; /* ends with name = NULL */

/* Exit codes: 0 done, 1 failed, 64 wrong usage, 78 wrong configuration. */
#define EXIT_USAGE 64
#define EXIT_CONFIG 78

extern const char backtest_usage[];
extern const char simulate_usage[];
extern const char watch_usage[];

int verb_simulate(int argc, char **argv);
int verb_watch(int argc, char **argv);
int verb_version(int argc, char **argv);
int verb_backtest(int argc, char **argv);
int verb_run(int argc, char **argv);
int verb_init(int argc, char **argv);
int verb_topics(int argc, char **argv);
int verb_broker(int argc, char **argv);
int verb_digest(int argc, char **argv);
int verb_inspect(int argc, char **argv);
int verb_task(int argc, char **argv);
int verb_audit(int argc, char **argv);
int verb_check(int argc, char **argv);
int verb_key(int argc, char **argv);
