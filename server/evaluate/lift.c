/*
 * Whether segments carry information: P1 by popularity alone, among everybody and among the users of one's segment. Genres
 * are the films' tags; a user's taste is a sample after each event, and the learner makes segments of the samples, as in the
 * daemon. Each event counts for the segment its user is in when it comes. Who is in none gets everybody's.
 */
#include "server/evaluate/protocols.h"
#include "server/evaluate/places.h"
#include "server/evaluate/ratings.h"

#include "common/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define GENRES 19
#define FILMS_MAX 2000
#define COLUMNS 32

struct lift {
    struct stream *stream;   /* owned */
    struct learner *learner; /* owned */
    float counts[SEGMENTS_MAX][FILMS_MAX], all[FILMS_MAX], scores[FILMS_MAX];
    double hits, hits_all;
    int asked, placed;
};

static bool read_genres(struct stream *s, const char *data)
{
    static const char *const names[GENRES] = {"unknown", "action", "adventure", "animation", "children", "comedy", "crime", "documentary", "drama", "fantasy",
                                              "noir", "horror", "musical", "mystery", "romance", "fiction", "thriller", "war", "western"};
    struct table *t = table_open(data, "ml-100k/u.item");
    char *f[COLUMNS], item[16];
    int n, films = 0;
    while (t && (n = table_next(t, "|", f, COLUMNS)) > GENRES) {
        struct tag_list tags = {.count = 0};
        for (int g = 0; g < GENRES; g++)
            if (f[n - GENRES + g][0] == '1' && tags.count < SCENE_TAGS_MAX)
                tags.at[tags.count++] = slice_of(names[g]);
        snprintf(item, sizeof item, "i%d", atoi(f[0]));
        stream_tag(s, stream_item(s, item), &tags);
        films++;
    }
    if (t)
        table_close(t);
    return films > 0;
}

static int segment_of(struct lift *l, uint32_t user, int64_t now_ms)
{
    struct model_tag tags[SAMPLE_TAGS];
    uint32_t count = stream_profile(l->stream, user) ? stream_taste(l->stream, user, now_ms, tags) : 0;
    return model_segment(learner_model(l->learner), tags, count);
}

static double hit_of(struct lift *l, const float *counts, uint32_t user, uint32_t target)
{
    uint32_t items = stream_items(l->stream);
    for (uint32_t i = 0; i < items; i++)
        l->scores[i] = i == target || (stream_seen(l->stream, i) && !stream_has(l->stream, user, i)) ? counts[i] : -1;
    return hit_at(l->scores, items, target, 10);
}

static void ask(struct lift *l, uint32_t user, uint32_t target, int64_t now_ms)
{
    int segment = segment_of(l, user, now_ms);
    double everybody = hit_of(l, l->all, user, target);
    l->hits_all += everybody;
    l->hits += segment < 0 ? everybody : hit_of(l, l->counts[segment], user, target);
    l->placed += segment >= 0;
    l->asked++;
}

static void learn(struct lift *l, uint32_t user, uint32_t item, int64_t now_ms)
{
    struct sample s = {.kind = SAMPLE_SEEN, .user = user + 1ull, .ts_ms = now_ms, .format = FORMATS};
    stream_event(l->stream, user, "rating", item, now_ms, ",\"value\":5");
    s.tag_count = stream_taste(l->stream, user, now_ms, s.tags);
    learner_apply(l->learner, &s);
    int segment = model_segment(learner_model(l->learner), s.tags, s.tag_count);
    l->all[item]++;
    if (segment >= 0)
        l->counts[segment][item]++;
}

static void report(const struct lift *l, struct figures *out)
{
    double n = l->asked, in = l->hits / n, all = l->hits_all / n;
    figure_add(out, "segment", "recall_at_10", in, sqrt(in * (1 - in) / n));
    figure_add(out, "popularity", "recall_at_10", all, sqrt(all * (1 - all) / n));
    figure_add(out, "lift", "recall_at_10", in - all, 0);
    figure_add(out, "data", "asked", n, 0);
    figure_add(out, "data", "in_a_segment", l->placed / n, 0);
    figure_add(out, "data", "segments", learner_model(l->learner)->segment_count, 0);
}

bool protocol_lift(const struct stream_settings *settings, const char *data, struct figures *out)
{
    int count;
    struct rating *list = ratings_read(data, &count);
    struct lift *l = calloc(1, sizeof *l);
    ASSERT(l);
    l->stream = stream_create(settings);
    l->learner = learner_create(&settings->learner, NULL);
    int fives = read_genres(l->stream, data) ? ratings_keep_fives(list, count) : 0;
    for (int i = 0; i < fives; i++) {
        char user[16], item[16];
        snprintf(user, sizeof user, "u%d", list[i].user);
        snprintf(item, sizeof item, "i%d", list[i].item);
        uint32_t u = stream_user(l->stream, user), target = stream_item(l->stream, item);
        if (i >= fives - (int)(fives * 0.7 + 0.5))
            ask(l, u, target, list[i].ts_ms);
        learn(l, u, target, list[i].ts_ms);
    }
    if (l->asked)
        report(l, out);
    bool ok = l->asked > 0;
    learner_destroy(l->learner);
    stream_destroy(l->stream);
    free(l);
    free(list);
    return ok;
}
