#include "server/evaluate/protocols.h"

#include "common/check.h"

#include <stdio.h>
#include <stdlib.h>

struct table {
    FILE *file;
    bool pipe;
    char *line; /* owned */
    size_t capacity;
};

struct table *table_open(const char *data, const char *path)
{
    char full[1024], command[1200];
    struct table *t = calloc(1, sizeof *t);
    ASSERT(t);
    snprintf(full, sizeof full, "%s/%s", data, path);
    size_t size = strlen(full);
    t->pipe = size > 3 && strcmp(full + size - 3, ".gz") == 0;
    FILE *there = fopen(full, "rb");
    if (there && t->pipe) {
        fclose(there);
        snprintf(command, sizeof command, "gzip -dc '%s'", full);
        there = strchr(full, '\'') ? NULL : popen(command, "r");
    }
    t->file = there;
    if (t->file)
        return t;
    fprintf(stderr, "sluice backtest: %s cannot be read\n", full);
    free(t);
    return NULL;
}

static char *take_field(char **at, const char *separators)
{
    char *begin = *at, *end;
    if (*begin == '"') {
        begin++;
        for (end = begin; *end && !(end[0] == '"' && end[1] != '"'); end += end[0] == '"' ? 2 : 1)
            ;
        if (*end)
            *end++ = 0;
    } else {
        end = begin + strcspn(begin, separators);
    }
    *at = *end ? end + 1 : NULL;
    *end = 0;
    return begin;
}

int table_next(struct table *t, const char *separators, char **out_fields, int max)
{
    int n = 0;
    if (getline(&t->line, &t->capacity, t->file) <= 0)
        return 0;
    t->line[strcspn(t->line, "\r\n")] = 0;
    for (char *at = t->line; at && n < max;) {
        char *field = take_field(&at, separators);
        if (*field || strchr(separators, ','))
            out_fields[n++] = field;
    }
    return n;
}

void table_close(struct table *t)
{
    if (t->pipe)
        pclose(t->file);
    else
        fclose(t->file);
    free(t->line);
    free(t);
}

void figure_add(struct figures *f, const char *method, const char *metric, double value, double error)
{
    ASSERT(f->count < FIGURES_MAX);
    struct figure *one = &f->at[f->count++];
    snprintf(one->name, sizeof one->name, "%s.%s", method, metric);
    one->value = value;
    one->error = error;
}

struct judged {
    double score;
    bool label;
};

static int by_score(const void *a, const void *b)
{
    const struct judged *x = a, *y = b;
    return x->score < y->score ? -1 : x->score > y->score;
}

double area_under(const double *scores, const bool *labels, uint32_t count)
{
    struct judged *all = calloc(count + 1, sizeof *all);
    double rank_sum = 0, positives = 0;
    ASSERT(all);
    for (uint32_t i = 0; i < count; i++)
        all[i] = (struct judged){scores[i], labels[i]};
    qsort(all, count, sizeof *all, by_score);
    for (uint32_t i = 0, j; i < count; i = j) {
        for (j = i; j < count && all[j].score == all[i].score; j++)
            ;
        for (uint32_t k = i; k < j; k++) {
            rank_sum += all[k].label ? (i + j + 1) / 2.0 : 0;
            positives += all[k].label;
        }
    }
    free(all);
    double negatives = count - positives;
    return positives > 0 && negatives > 0 ? (rank_sum - positives * (positives + 1) / 2) / (positives * negatives) : 0.5;
}

const struct protocol protocols[] = {
    {"P1", "ml-100k, ratings of 5 in order: recall@10, rank-then-learn; the daemon's ranker", protocol_p1},
    {"P2", "ml-100k, fixed split: precision, recall, NDCG at 10; the daemon's ranker", protocol_p2},
    {"P3", "s3rec-beauty, leave one out: HR and NDCG at 10; the daemon's ranker", protocol_p3},
    {"P4a", "online-retail, baskets: HR at 10, and of what is new; the daemon's ranker", protocol_p4a},
    {"P4b", "online-retail: who buys within 30 and 90 days; the daemon's features and regression, six passes over closed cuts", protocol_p4b},
    {"P4c", "online-retail: products by next week's revenue, NDCG@20, by the host ranking of the allocation engine", protocol_p4c},
    {"P5", "cdnow: purchases in the 39 weeks after; a Poisson regression of its own, not the daemon's", protocol_p5},
    {"P6", "open-bandit: clicks over uniform, by the weights of the allocation engine", protocol_p6},
    {"P7", "repeat-go_sf: probability of what comes again; a mixture of its own, not the daemon's", protocol_p7},
    {"similarity", "P1 with one part of the similarity changed at a time: what it is worth and costs", protocol_similarity},
    {NULL, NULL, NULL},
};
