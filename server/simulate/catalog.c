/*
 * What is sold, who sells it, and how the catalog says so.
 *
 * Tastes live in CLUSTERS clusters of tags. An item's tags come from its cluster, now and then one from elsewhere;
 * its embedding is the sum of fixed random directions, one a tag, with a little noise. Hosts speak for a cluster and
 * half for a second one. Tags, domains and price are published; quality is not.
 */
#include "server/simulate/world_state.h"

#include "common/check.h"
#include "common/text.h"

#include <math.h>
#include <stdlib.h>

const char *const cluster_names[CLUSTERS] = {"programming", "language", "business", "health",
                                             "art",         "science",  "parenting", "career"};
const char *const scene_names[SCENES_MAX] = {"home", "learn", "city", "follow", "evening", "campus", "work", "family"};
const char *const tag_names[TAGS] = {
    "python",   "backend",  "data",       "algorithms", "english",  "japanese", "grammar",   "speaking",
    "sales",    "finance",  "management", "startup",    "sleep",    "fitness",  "nutrition", "psychology",
    "painting", "music",    "writing",    "photo",      "physics",  "history",  "biology",   "astronomy",
    "toddlers", "school",   "reading",    "play",       "exams",    "resume",   "interview", "office",
};

enum { TAGS_EACH = TAGS / CLUSTERS };

static void make_embedding(struct world *w, uint32_t item)
{
    const struct item *i = &w->items[item];
    float *e = w->embeddings + (size_t)item * EMBEDDING;
    double sum = 0;
    for (int d = 0; d < EMBEDDING; d++) {
        double value = 0.1 * random_between(&w->random, -1, 1);
        for (int t = 0; t < i->tag_count; t++) {
            struct random direction = {w->settings.seed * 1000003 + (uint64_t)i->tags[t] * EMBEDDING + (uint64_t)d};
            value += random_between(&direction, -1, 1);
        }
        e[d] = (float)value;
        sum += value * value;
    }
    for (int d = 0; d < EMBEDDING; d++)
        e[d] /= (float)sqrt(sum);
}

static void make_item(struct world *w, uint32_t item)
{
    static const char *const formats[] = {"course", "course", "course", "book", "book", "lecture", "lecture", "trial"};
    struct random *r = &w->random;
    struct item *i = &w->items[item];
    *i = (struct item){.cluster = (uint8_t)(item % CLUSTERS), .series = -1, .requires = -1};
    i->tag_count = (uint8_t)(2 + random_below(r, 2));
    uint32_t first = random_below(r, TAGS_EACH);
    for (int t = 0; t < i->tag_count; t++)
        i->tags[t] = (uint8_t)(i->cluster * TAGS_EACH + (int)((first + (uint32_t)t) % TAGS_EACH));
    if (random_chance(r, 0.15))
        i->tags[i->tag_count - 1] = (uint8_t)random_below(r, TAGS);
    i->format = formats[random_below(r, 8)];
    i->level = (uint8_t)(1 + random_below(r, 3));
    i->quality = random_between(r, 0.3, 1);
    double price = 19 + 180 * random_unit(r) * random_unit(r);
    i->price = (int64_t)price * 100 - 10;
    i->appeal = 1.1 - 0.6 * price / 199;
    i->restricted = random_chance(r, 0.005);
    /* Every tenth item continues the one that stands a cluster before it. */
    if (item % 10 == 9 && item >= CLUSTERS) {
        uint32_t before = item - CLUSTERS;
        i->requires = (int32_t)before;
        i->series = (int32_t)before;
        i->level = 3;
        if (w->items[before].series < 0)
            w->items[before].series = (int32_t)before;
        else
            i->series = w->items[before].series;
    }
    make_embedding(w, item);
}

static void make_host(struct world *w, uint32_t host)
{
    struct random *r = &w->random;
    struct host *h = &w->hosts[host];
    *h = (struct host){.cluster = (uint8_t)(host % CLUSTERS), .room = -1};
    h->second = (uint8_t)random_below(r, CLUSTERS);
    h->quality = random_between(r, QUALITY_MIN, QUALITY_MAX);
    /* Fame follows the rank more than the quality: popularity alone must not be a good recommender. */
    h->fans = (uint32_t)(200000.0 / (1 + random_zipf(r, w->settings.hosts)) * random_between(r, 0.5, 1.5));
    h->commission_bp = 500 + random_below(r, 2500);
    h->bonus = (int64_t)random_below(r, 5) * 100;
}

void catalog_make(struct world *w)
{
    const struct world_settings *s = &w->settings;
    w->items = calloc(s->items, sizeof *w->items);
    w->hosts = calloc(s->hosts, sizeof *w->hosts);
    w->embeddings = calloc((size_t)s->items * EMBEDDING, sizeof *w->embeddings);
    ASSERT(w->items && w->hosts && w->embeddings);
    for (uint32_t i = 0; i < s->items; i++)
        make_item(w, i);
    for (uint32_t h = 0; h < s->hosts; h++)
        make_host(w, h);
}

/* The new course is the last item, its free trial lesson the one before; the lecturer is host 0. */
void catalog_make_course(struct world *w)
{
    uint32_t course = w->settings.items - 1, trial = w->settings.items - 2;
    for (uint32_t item = trial; item <= course; item++) {
        struct item *i = &w->items[item];
        *i = (struct item){.cluster = 0, .tag_count = 3, .level = 1, .series = (int32_t)course, .requires = -1};
        i->tags[0] = 0;            /* python */
        i->tags[1] = 2;            /* data */
        i->tags[2] = TAGS - 1;     /* office: for working people */
        i->quality = 0.95;
        i->format = item == trial ? "trial" : "course";
        i->price = item == trial ? 100 : 9900;
        i->appeal = 0.9;
        make_embedding(w, item);
    }
    w->course = (int32_t)course;
    w->lecturer = 0;
    w->hosts[0].cluster = 0;
    w->hosts[0].quality = 0.97;
    w->hosts[0].fans = 4000; /* known in the field, not famous */
}

static void write_line(struct world *w, int64_t at_ms)
{
    struct world_record record = {
        .topic = WORLD_CATALOG,
        .timestamp_ms = at_ms,
        .key = {(const char *)w->key.data, (uint32_t)w->key.size},
        .value = {(const char *)w->text.data, (uint32_t)w->text.size},
    };
    w->counts.catalog++;
    w->sink->emit(w->sink->self, &record);
}

static void add_tags(struct writer *t, const struct item *i)
{
    text_add(t, "\"tags\":[");
    for (int k = 0; k < i->tag_count; k++)
        text_printf(t, "%s\"%s\"", k ? "," : "", tag_names[i->tags[k]]);
    text_add(t, "]");
}

void catalog_write_item(struct world *w, uint32_t item, int64_t at_ms)
{
    const struct item *i = &w->items[item];
    struct writer *t = &w->text;
    t->size = w->key.size = 0;
    text_printf(&w->key, "item:c_%u", item);
    text_printf(t, "{\"v\":1,\"title\":\"%s %s %u\",\"category\":\"%s\",", tag_names[i->tags[0]], i->format, item,
                cluster_names[i->cluster]);
    add_tags(t, i);
    text_printf(t, ",\"format\":\"%s\",\"price\":%lld,\"currency\":\"CNY\",\"level\":%d", i->format,
                (long long)i->price, i->level);
    if (i->series >= 0)
        text_printf(t, ",\"series\":\"s_%d\"", i->series);
    if (i->requires >= 0)
        text_printf(t, ",\"requires\":[\"c_%d\"]", i->requires);
    if (i->restricted)
        text_add(t, ",\"restricted\":true");
    text_add(t, ",\"embedding\":[");
    for (int d = 0; d < EMBEDDING; d++) {
        text_add(t, d ? "," : "");
        text_add_decimal(t, (double)w->embeddings[(size_t)item * EMBEDDING + (size_t)d], 4);
    }
    text_add(t, "]}");
    write_line(w, at_ms);
}

static void write_host(struct world *w, uint32_t host, int64_t at_ms)
{
    static const char *const styles[] = {"calm", "lively", "deep", "funny"};
    const struct host *h = &w->hosts[host];
    struct writer *t = &w->text;
    t->size = w->key.size = 0;
    text_printf(&w->key, "host:h_%u", host);
    text_printf(t, "{\"v\":1,\"domains\":[\"%s\"", cluster_names[h->cluster]);
    if (h->second != h->cluster)
        text_printf(t, ",\"%s\"", cluster_names[h->second]);
    text_printf(t, "],\"style\":[\"%s\"],\"fans\":%u,\"commission_bp\":%u,\"bonus\":%lld}", styles[host % 4], h->fans,
                h->commission_bp, (long long)h->bonus);
    write_line(w, at_ms);
}

void catalog_write_room(struct world *w, uint32_t room, int64_t at_ms)
{
    const struct room *r = &w->rooms[room];
    const struct item *shown = &w->items[r->items[r->explaining]];
    struct writer *t = &w->text;
    char id[EVENT_ID_BYTES + 1];
    world_room_id(w, room, id);
    t->size = w->key.size = 0;
    text_printf(&w->key, "room:%s", id);
    text_printf(t, "{\"v\":1,\"host\":\"h_%u\",\"scenes\":[", r->host);
    const char *comma = "";
    for (uint32_t s = 0; s < w->settings.scenes; s++)
        if (r->scenes >> s & 1) {
            text_printf(t, "%s\"%s\"", comma, scene_names[s]);
            comma = ",";
        }
    text_printf(t, "],\"status\":\"%s\",\"title\":\"h_%u on %s\",\"category\":\"%s\",", r->open ? "open" : "closed",
                r->host, tag_names[shown->tags[0]], cluster_names[shown->cluster]);
    add_tags(t, shown);
    text_add(t, ",\"items\":[");
    for (uint32_t i = 0; i < r->item_count; i++)
        text_printf(t, "%s\"c_%u\"", i ? "," : "", r->items[i]);
    text_printf(t, "],\"explaining\":\"c_%u\",\"slot_cost\":%u}", r->items[r->explaining], 100 + r->host % 7 * 50);
    write_line(w, at_ms);
}

void catalog_write(struct world *w, int64_t at_ms)
{
    for (uint32_t i = 0; i < w->settings.items; i++)
        catalog_write_item(w, i, at_ms);
    for (uint32_t h = 0; h < w->settings.hosts; h++)
        write_host(w, h, at_ms);
    for (uint32_t i = 0; i < w->live_count; i++)
        catalog_write_room(w, w->live[i], at_ms);
}
