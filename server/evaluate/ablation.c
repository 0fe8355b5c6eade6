/*
 * What each part of the similarity is worth and costs: P1 again with one thing changed at a time. The rows that end in
 * `lists` are the plain sum over the user's lists, without the rest of the ranker, as is the reference of the users' cosine.
 */
#include "server/evaluate/protocols.h"
#include "server/evaluate/ratings.h"

#include <math.h>
#include <stdlib.h>

struct variant {
    const char *name;
    void (*change)(struct stream_settings *s);
    bool with_reference;
};

static void nothing(struct stream_settings *s)
{
}

static void all_pairs(struct stream_settings *s)
{
    s->all_pairs = true;
}

static void small_tables(struct stream_settings *s)
{
    s->entity.neighbours = 64;
}

static void no_transitions(struct stream_settings *s)
{
    s->similarity.next_weight_permille = 0;
    s->recommend.next_permille = 0;
}

static void user_cosine(struct stream_settings *s)
{
    s->similarity.user_cosine = 100; /* the ratings of an ordinary item */
}

static void item_lists(struct stream_settings *s)
{
    s->lists_only = true; /* places of the history count alike */
    s->similarity.next_weight_permille = 0;
}

static void user_lists(struct stream_settings *s)
{
    item_lists(s);
    user_cosine(s);
}

/* Nothing bounded but the history, which is as long as it may be. */
static void user_lists_unbounded(struct stream_settings *s)
{
    user_lists(s);
    s->all_pairs = true;
    s->profile.history = 190;
    s->similarity.length = SIMILAR_MAX;
}

static const struct variant variants[] = {
    {"sluice", nothing, false},
    {"all_pairs", all_pairs, false},
    {"tables_of_64", small_tables, false},
    {"no_transitions", no_transitions, false},
    {"user_cosine", user_cosine, false},
    {"item_cosine_lists", item_lists, false},
    {"user_cosine_lists", user_lists, false},
    {"user_cosine_wide_lists", user_lists_unbounded, true},
};

static void add(struct figures *out, const char *name, const struct p1_sums *sum)
{
    double recall = sum->hits[METHOD_SLUICE] / sum->asked;
    figure_add(out, name, "recall_at_10", recall, sqrt(recall * (1 - recall) / sum->asked));
    figure_add(out, name, "table_bytes", (double)sum->table_bytes, 0);
    figure_add(out, name, "cpu_s", sum->cpu_s, 0);
}

bool protocol_similarity(const struct stream_settings *settings, const char *data, struct figures *out)
{
    struct p1_sums sum = {0};
    int count;
    struct rating *list = ratings_read(data, &count);
    int fives = ratings_keep_fives(list, count);
    double pruned = 0, unpruned = 0;
    for (size_t i = 0; fives && i < sizeof variants / sizeof *variants; i++) {
        struct stream_settings changed = *settings;
        variants[i].change(&changed);
        p1_run(&changed, list, fives, variants[i].with_reference, &sum);
        add(out, variants[i].name, &sum);
        pruned = variants[i].change == nothing ? sum.hits[METHOD_SLUICE] / sum.asked : pruned;
        unpruned = variants[i].change == all_pairs ? sum.hits[METHOD_SLUICE] / sum.asked : unpruned;
        if (variants[i].with_reference) {
            figure_add(out, variants[i].name, "shared_with_reference", sum.reference_shared / sum.asked, 0);
            figure_add(out, variants[i].name, "relative_error", sum.reference_error / sum.asked, 0);
            figure_add(out, "user_cosine_reference", "recall_at_10", sum.reference_hits / sum.asked, 0);
        }
    }
    figure_add(out, "pruning", "recall_lost", unpruned - pruned, 0);
    free(list);
    return fives > 0;
}
