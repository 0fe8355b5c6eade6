#include "server/evaluate/user_cosine.h"

#include "common/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    uint32_t number;
    float rating;
};

struct row {
    struct entry *at; /* owned */
    uint32_t count, capacity;
};

struct user_cosine {
    uint32_t users_max, items_max;
    struct row *of_user, *of_item; /* owned, and what they point to */
    double *squares;               /* owned; by user: sum of squared ratings */
    uint32_t *degree;              /* owned; by user: neighbours */
    bool *is_neighbour;            /* owned; users_max x users_max */
    double *dot;                   /* owned; scratch by user */
    double *sums, *near, *all;     /* owned; scratch by item: numerator, squares of the neighbours, of everybody */
};

static void *zeroed(size_t count, size_t size)
{
    void *at = calloc(count, size);
    ASSERT(at);
    return at;
}

struct user_cosine *user_cosine_create(uint32_t users_max, uint32_t items_max)
{
    struct user_cosine *c = zeroed(1, sizeof *c);
    *c = (struct user_cosine){
        .users_max = users_max,
        .items_max = items_max,
        .of_user = zeroed(users_max, sizeof *c->of_user),
        .of_item = zeroed(items_max, sizeof *c->of_item),
        .squares = zeroed(users_max, sizeof *c->squares),
        .degree = zeroed(users_max, sizeof *c->degree),
        .is_neighbour = zeroed((size_t)users_max * users_max, sizeof *c->is_neighbour),
        .dot = zeroed(users_max, sizeof *c->dot),
        .sums = zeroed(items_max, sizeof *c->sums),
        .near = zeroed(items_max, sizeof *c->near),
        .all = zeroed(items_max, sizeof *c->all),
    };
    return c;
}

void user_cosine_destroy(struct user_cosine *c)
{
    if (!c)
        return;
    for (uint32_t u = 0; u < c->users_max; u++)
        free(c->of_user[u].at);
    for (uint32_t i = 0; i < c->items_max; i++)
        free(c->of_item[i].at);
    free(c->of_user);
    free(c->of_item);
    free(c->squares);
    free(c->degree);
    free(c->is_neighbour);
    free(c->dot);
    free(c->sums);
    free(c->near);
    free(c->all);
    free(c);
}

static struct entry *entry_of(struct row *r, uint32_t number)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (r->at[i].number == number)
            return &r->at[i];
    if (r->count == r->capacity) {
        r->capacity = r->capacity ? r->capacity * 2 : 8;
        r->at = realloc(r->at, r->capacity * sizeof *r->at);
        ASSERT(r->at);
    }
    r->at[r->count] = (struct entry){number, 0};
    return &r->at[r->count++];
}

static void meet(struct user_cosine *c, uint32_t u, uint32_t v)
{
    bool *known = &c->is_neighbour[(size_t)u * c->users_max + v];
    c->degree[u] += u != v && !*known;
    *known = true;
}

void user_cosine_rate(struct user_cosine *c, uint32_t user, uint32_t item, float rating)
{
    struct entry *mine = entry_of(&c->of_user[user], item);
    if (rating <= mine->rating)
        return;
    c->squares[user] += (double)rating * rating - (double)mine->rating * mine->rating;
    mine->rating = rating;
    entry_of(&c->of_item[item], user)->rating = rating;
    for (uint32_t k = 0; k < c->of_item[item].count; k++) {
        meet(c, user, c->of_item[item].at[k].number);
        meet(c, c->of_item[item].at[k].number, user);
    }
}

static void add_neighbour(struct user_cosine *c, uint32_t user, uint32_t v)
{
    double cosine = c->dot[v] / sqrt(c->squares[user] * c->squares[v]), degree = c->degree[v];
    for (uint32_t k = 0; k < c->of_user[v].count; k++) {
        const struct entry *e = &c->of_user[v].at[k];
        c->sums[e->number] += e->rating * cosine / degree;
        c->near[e->number] += (double)e->rating * e->rating / degree;
    }
}

void user_cosine_score(struct user_cosine *c, uint32_t user, float *out)
{
    memset(c->dot, 0, c->users_max * sizeof *c->dot);
    for (uint32_t i = 0; i < c->items_max; i++)
        c->sums[i] = c->near[i] = c->all[i] = 0;
    for (uint32_t k = 0; k < c->of_user[user].count; k++) {
        const struct entry *e = &c->of_user[user].at[k];
        const struct row *raters = &c->of_item[e->number];
        for (uint32_t j = 0; j < raters->count; j++)
            c->dot[raters->at[j].number] += (double)e->rating * raters->at[j].rating;
    }
    for (uint32_t v = 0; v < c->users_max; v++) {
        if (v != user && c->dot[v] > 0)
            add_neighbour(c, user, v);
        for (uint32_t k = 0; v != user && c->degree[v] && k < c->of_user[v].count; k++)
            c->all[c->of_user[v].at[k].number] += (double)c->of_user[v].at[k].rating * c->of_user[v].at[k].rating / c->degree[v];
    }
    for (uint32_t i = 0; i < c->items_max; i++) {
        double roots = sqrt(c->near[i]) + sqrt(c->all[i]);
        out[i] = roots > 0 ? (float)(c->sums[i] / roots) : 0;
    }
}
