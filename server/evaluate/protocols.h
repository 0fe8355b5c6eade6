/* The protocols of the public data sets: what goes in, what is asked, what is printed. */
#pragma once

#include "server/evaluate/stream.h"

#define FIGURES_MAX 128

struct figure {
    char name[64]; /* "method.metric" */
    double value, error; /* standard error; 0: none */
};

struct figures {
    int count;
    struct figure at[FIGURES_MAX];
};

void figure_add(struct figures *f, const char *method, const char *metric, double value, double error);

typedef bool protocol_run(const struct stream_settings *s, const char *data, struct figures *out);

struct protocol {
    const char *name, *what;
    protocol_run *run; /* false: the data cannot be read (said on standard error) */
};

extern const struct protocol protocols[]; /* ends with name = NULL */

protocol_run protocol_p1, protocol_p2, protocol_p3, protocol_p4a, protocol_p4b, protocol_p4c, protocol_p5, protocol_p6, protocol_p7, protocol_similarity, protocol_lift;

/* Rows of a table as text; the separators are replaced in place. */
struct table;
struct table *table_open(const char *data, const char *path); /* "*.gz" through gzip; NULL: said */
/* Fields of the next line, at most `max`; quotes as in CSV. 0 at the end. A file that is cut short ends the program (said). */
int table_next(struct table *t, const char *separators, char **out_fields, int max);
void table_close(struct table *t);
double area_under(const double *scores, const bool *labels, uint32_t count);
