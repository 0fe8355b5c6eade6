#include "server/evaluate/protocols.h"

#include "common/check.h"
#include "common/line.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct table {
    char name[1024];
    bool pipe;
    struct line_reader line; /* its file is owned */
};

struct table *table_open(const char *data, const char *path)
{
    char command[1200];
    struct table *t = calloc(1, sizeof *t);
    ASSERT(t);
    snprintf(t->name, sizeof t->name, "%s/%s", data, path);
    size_t size = strlen(t->name);
    t->pipe = size > 3 && strcmp(t->name + size - 3, ".gz") == 0;
    errno = 0;
    FILE *there = fopen(t->name, "rb");
    if (there && t->pipe) {
        fclose(there);
        snprintf(command, sizeof command, "gzip -dc '%s'", t->name);
        there = strchr(t->name, '\'') ? NULL : popen(command, "r");
    }
    t->line.file = there;
    if (there)
        return t;
    fprintf(stderr, "sluice backtest: %s cannot be read: %s\n", t->name, errno ? strerror(errno) : "a quote in its name");
    free(t);
    return NULL;
}

/* Figures over a part would pass for those of the whole. */
static void end_cut_short(const struct table *t, const char *why)
{
    fprintf(stderr, "sluice backtest: %s cannot be read to its end: %s\n", t->name, why);
    exit(1);
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
    ssize_t size = line_next(&t->line);
    if (size < 0)
        end_cut_short(t, strerror(errno));
    if (size == 0)
        return 0;
    t->line.text[strcspn(t->line.text, "\r\n")] = 0;
    for (char *at = t->line.text; at && n < max;) {
        char *field = take_field(&at, separators);
        if (*field || strchr(separators, ','))
            out_fields[n++] = field;
    }
    return n;
}

void table_close(struct table *t)
{
    bool ended = feof(t->line.file);
    int status = t->pipe ? pclose(t->line.file) : fclose(t->line.file);
    if (ended && status != 0)
        end_cut_short(t, "gzip failed");
    line_fini(&t->line);
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
    {"P4b", "online-retail: who buys within 30 and 90 days, by the daemon's learner", protocol_p4b},
    {"P4c", "online-retail: products by next week's revenue, NDCG@20, by the host ranking of the allocation engine", protocol_p4c},
    {"P5", "cdnow: purchases in the 39 weeks after, by the daemon's learner", protocol_p5},
    {"P6", "open-bandit: clicks over uniform, by the weights of the allocation engine", protocol_p6},
    {"P7", "repeat-go_sf: probability of what comes again; by the daemon's ranker", protocol_p7},
    {"lift", "ml-100k: popularity inside a user's segment against everybody's; segments of the daemon's learner", protocol_lift},
    {"similarity", "P1 with one part of the similarity changed at a time: what it is worth and costs", protocol_similarity},
    {NULL, NULL, NULL},
};
