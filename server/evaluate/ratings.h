/* Ratings of films as P1, P2 and what is made of P1 read them. */
#pragma once

#include "server/evaluate/stream.h"

struct rating {
    int user, item, value, order;
    int64_t ts_ms;
};

/* Sorted by time; owned by the caller. */
struct rating *ratings_read(const char *data, int *out_count);
/* Keeps the best ratings; answers how many. */
int ratings_keep_fives(struct rating *list, int count);

struct p1_sums {
    int asked, new_items, new_users;
    double hits[METHODS], ranks[METHODS];
    double reference_hits, reference_shared, reference_error; /* of user_cosine.h, when asked for: beside the product's scores */
    double cpu_s;          /* of events and rankings of all methods */
    size_t table_bytes;
};

/* P1 over the ratings of five. */
void p1_run(const struct stream_settings *settings, const struct rating *list, int fives, bool with_reference, struct p1_sums *out);
