/*
 * What lists were worth. Users fall into groups by their hash; every figure can be computed without one of them, and its
 * standard error is the delete-a-group jackknife's (Efron and Tibshirani 1993, 11.5): users are the independent draws, not their
 * events. Two tallies over the same users give the error of their difference, paired.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define TALLY_GROUPS 64
#define LIST_PLACES 20

enum kind { KIND_ROOM, KIND_ITEM, KINDS };
enum rival { RIVAL_SLUICE, RIVAL_PUBLISHED, RIVAL_POPULARITY, RIVAL_DECAYED, RIVAL_ITEMITEM, RIVALS };
enum measure { MEASURE_HR_10, MEASURE_HR_20, MEASURE_NDCG_10, MEASURE_NDCG_20, MEASURE_COVERAGE, MEASURE_NOVELTY, MEASURE_GINI, MEASURES };
enum guess { GUESS_AUC, GUESS_ECE, GUESS_LOGLOSS, GUESS_BASE_LOGLOSS, GUESSES };

extern const char *const rival_names[RIVALS];
extern const char *const measure_names[MEASURES];

#define SCOPES (KINDS + 1) /* all, rooms, items */
#define TALLY_VALUES (SCOPES * RIVALS * MEASURES + GUESSES)

static inline int value_at(int scope, enum rival r, enum measure m)
{
    return (scope * RIVALS + (int)r) * MEASURES + (int)m;
}

static inline int value_of_guess(enum guess g)
{
    return SCOPES * RIVALS * MEASURES + (int)g;
}

/* Things are numbered by kind. */
struct list {
    uint32_t count;
    uint32_t things[LIST_PLACES];
};

/* One list of each rival, and what the user took. */
struct outcome {
    enum kind kind;
    uint64_t user; /* hash */
    uint32_t target;
    const struct list *lists;      /* RIVALS of them */
    double (*surprise)(void *arg, enum kind kind, uint32_t thing); /* -log2 of its popularity */
    void *arg;
};

struct tally;

struct tally *tally_create(void);
void tally_destroy(struct tally *t);
void tally_add(struct tally *t, const struct outcome *o);
void tally_guess(struct tally *t, uint64_t user, double chance, bool label);
/* How many there were to choose from in all: what coverage is of, and over which exposure is unequal. */
void tally_candidates(struct tally *t, enum kind kind, uint32_t count);
uint64_t tally_count(const struct tally *t, enum kind kind);
uint64_t tally_guesses(const struct tally *t, uint64_t *out_positives);

struct valued {
    double value, error; /* NAN: nothing to tell */
};

/* Of a figure whose values without each group in turn stand `stride` apart; NAN below two groups. */
double jackknife_error(const double *left, int groups, int stride);
void tally_values(const struct tally *t, struct valued out[TALLY_VALUES]);
/* Of b less a, group by group. */
void tally_differences(const struct tally *a, const struct tally *b, struct valued out[TALLY_VALUES]);
/* "method" and "metric" of a value. */
void tally_name(int value, char out_method[32], char out_metric[48]);
