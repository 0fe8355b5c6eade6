/*
 * Latency is the time from an event's record timestamp, set when it was produced, to the receipt of the first
 * recommendation whose version names the event's offset. Offsets are kept in a ring a partition; a latency histogram
 * has buckets 2 % wide.
 */
#include "server/simulate/screen.h"

#include "common/check.h"
#include "common/hash.h"
#include "common/map.h"
#include "server/simulate/feedback.h"

#include <math.h>
#include <stdlib.h>

enum { RING = 16384, BUCKETS = 1024, ROOMS_MAX = 4096, ROOMS_SHOWN = 10, LIST_SHOWN = 6, ID_BYTES = 65, WATCHED_MS = 30000 };

const char *const screen_topics[SCREEN_TOPICS + 1] = {"live.events", "live.recommendations", "live.traffic", NULL};

struct histogram {
    uint64_t count;
    uint64_t buckets[BUCKETS];
};

struct live_room {
    char scene[ID_BYTES];
    char room[ID_BYTES];
    double weight;
    int64_t expires_ms;
};

struct line {
    char id[ID_BYTES];
    double score;
    char reasons[128];
};

struct appended {
    int64_t offset;
    int64_t at_ms;
};

struct screen {
    const struct screen_places *places; /* borrowed */
    int64_t start_ms;
    int64_t last_ms; /* of the last picture */
    uint64_t events, recommendations, last_events, last_recommendations;
    double events_s, recommendations_s;
    struct histogram recent, all;
    struct appended *ring; /* RING a partition */
    struct live_room *rooms[ROOMS_MAX];
    uint32_t room_count;
    struct map room_by_key; /* -> struct live_room, owned by `rooms` */
    char user[ID_BYTES]; /* the one on show */
    char scene[ID_BYTES];
    int64_t user_ms;
    struct line lines[LIST_SHOWN];
    uint32_t line_count;
    struct line items[3];
    uint32_t item_count;
    double lag, halted, dead_letters; /* from /metrics; -1: not known */
};

struct screen *screen_create(const struct screen_places *places, int64_t now_ms)
{
    struct screen *s = calloc(1, sizeof *s);
    ASSERT(s);
    s->places = places;
    s->start_ms = s->last_ms = now_ms;
    s->lag = s->halted = s->dead_letters = -1;
    s->ring = calloc((size_t)(places->partitions + 1) * RING, sizeof *s->ring);
    ASSERT(s->ring);
    return s;
}

void screen_destroy(struct screen *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->room_count; i++)
        free(s->rooms[i]);
    map_fini(&s->room_by_key);
    free(s->ring);
    free(s);
}

static void keep(char out[ID_BYTES], struct slice text)
{
    uint32_t size = text.size < ID_BYTES - 1 ? text.size : ID_BYTES - 1;
    memcpy(out, text.at, size);
    out[size] = 0;
}

static void histogram_add(struct histogram *h, double ms)
{
    double bucket = ms < 0.1 ? 0 : log(ms / 0.1) / log(1.02);
    h->buckets[bucket < BUCKETS ? (int)bucket : BUCKETS - 1]++;
    h->count++;
}

/* NAN when there is nothing. */
static double histogram_at(const struct histogram *h, double share)
{
    uint64_t sum = 0, wanted = (uint64_t)(share * (double)h->count);
    for (int i = 0; i < BUCKETS; i++) {
        sum += h->buckets[i];
        if (sum > wanted)
            return i == 0 ? 0 : 0.1 * pow(1.02, i + 0.5);
    }
    return (double)NAN;
}

static void take_event(struct screen *s, const struct link_record *r)
{
    s->events++;
    if (r->partition < s->places->partitions)
        s->ring[(size_t)r->partition * RING + (size_t)(r->offset % RING)] = (struct appended){r->offset, r->timestamp_ms};
}

static void take_latency(struct screen *s, const struct advice *r, int64_t now_ms)
{
    if (s->places->partitions == 0 || r->version[0] < 0)
        return;
    int32_t partition = kafka_partition(r->user.at, r->user.size, s->places->partitions);
    struct appended *a = &s->ring[(size_t)partition * RING + (size_t)(r->version[0] % RING)];
    if (a->at_ms == 0 || a->offset != r->version[0])
        return;
    histogram_add(&s->recent, (double)(now_ms - a->at_ms));
    histogram_add(&s->all, (double)(now_ms - a->at_ms));
    a->at_ms = 0;
}

static uint32_t keep_lines(struct line *out, uint32_t limit, const struct advised *list, uint32_t count)
{
    count = count < limit ? count : limit;
    for (uint32_t i = 0; i < count; i++) {
        struct writer w = {0};
        keep(out[i].id, list[i].id);
        out[i].score = list[i].score;
        for (int k = 0; k < RECOMMENDED_REASONS && list[i].reasons[k].size; k++) {
            text_add(&w, k ? ", " : "");
            text_add_slice(&w, list[i].reasons[k]);
        }
        strncpy(out[i].reasons, text_cstr(&w), sizeof out[i].reasons - 1);
        out[i].reasons[sizeof out[i].reasons - 1] = 0;
        writer_fini(&w);
    }
    return count;
}

static void take_recommendation(struct screen *s, struct slice value, int64_t now_ms)
{
    struct feedback f;
    struct advice r;
    if (feedback_recommendation(&f, value, &r)) {
        s->recommendations++;
        take_latency(s, &r, now_ms);
        /* The same user while there is news of that user. */
        if (slice_equal(slice_of(s->user), r.user) || now_ms - s->user_ms > WATCHED_MS) {
            keep(s->user, r.user);
            keep(s->scene, r.scene);
            s->user_ms = now_ms;
            s->line_count = keep_lines(s->lines, LIST_SHOWN, r.rooms, r.room_count);
            s->item_count = keep_lines(s->items, 3, r.items, r.item_count);
        }
    }
    feedback_done(&f);
}

static void take_traffic(struct screen *s, const struct link_record *record, int64_t now_ms)
{
    struct feedback f;
    struct traffic t;
    if (feedback_traffic(&f, record->key, record->value, &t)) {
        uint64_t key = hash64(record->key.at, record->key.size, 9);
        struct live_room *room = map_find(&s->room_by_key, key);
        if (!room && s->room_count < ROOMS_MAX && t.weight >= 0) {
            room = calloc(1, sizeof *room);
            ASSERT(room);
            keep(room->scene, t.scene);
            keep(room->room, t.room);
            s->rooms[s->room_count++] = room;
            map_put(&s->room_by_key, key, room);
        }
        if (room) {
            room->weight = t.weight;
            room->expires_ms = t.weight < 0 ? 0 : now_ms + t.valid_until - t.ts;
        }
    }
    feedback_done(&f);
}

void screen_record(struct screen *s, const struct link_record *record, int64_t now_ms)
{
    if (record->topic == SCREEN_EVENTS)
        take_event(s, record);
    else if (record->topic == SCREEN_RECOMMENDATIONS)
        take_recommendation(s, record->value, now_ms);
    else if (record->topic == SCREEN_TRAFFIC)
        take_traffic(s, record, now_ms);
}

/* The sum of all samples of a metric; without any `silent` if it is described, else -1: nothing is known. */
static double metric_sum(const char *body, const char *name, double silent)
{
    static const char described[] = "# TYPE ";
    double sum = -1;
    for (const char *line = body; line && *line; line = strchr(line, '\n'), line += line != NULL) {
        bool describes = strncmp(line, described, sizeof described - 1) == 0;
        const char *at = describes ? line + sizeof described - 1 : line;
        size_t size = strcspn(at, "{ \n");
        const char *end = line + strcspn(line, "\n"), *value = memrchr(line, ' ', (size_t)(end - line));
        if (size != strlen(name) || memcmp(at, name, size) != 0)
            continue;
        if (describes)
            sum = sum < 0 ? silent : sum;
        else if (value)
            sum = (sum < 0 ? 0 : sum) + strtod(value, NULL);
    }
    return sum;
}

void screen_metrics(struct screen *s, const char *body)
{
    s->lag = metric_sum(body, "sluice_lag_records", -1); /* a partition of which nothing is known has no sample */
    s->halted = metric_sum(body, "sluice_tasks_halted", 0);
    s->dead_letters = metric_sum(body, "sluice_dead_letters_total", 0);
}

static int by_weight(const void *a, const void *b)
{
    const struct live_room *x = *(const struct live_room *const *)a, *y = *(const struct live_room *const *)b;
    return x->weight > y->weight ? -1 : x->weight < y->weight;
}

/* Drops what has gone, sorts the rest. */
static void sort_rooms(struct screen *s, int64_t now_ms)
{
    uint32_t kept = 0;
    map_fini(&s->room_by_key);
    s->room_by_key = (struct map){0};
    for (uint32_t i = 0; i < s->room_count; i++) {
        if (s->rooms[i]->expires_ms < now_ms) {
            free(s->rooms[i]);
            continue;
        }
        struct writer key = {0};
        text_printf(&key, "%s|%s", s->rooms[i]->scene, s->rooms[i]->room);
        map_put(&s->room_by_key, hash64(key.data, key.size, 9), s->rooms[i]);
        writer_fini(&key);
        s->rooms[kept++] = s->rooms[i];
    }
    s->room_count = kept;
    qsort(s->rooms, s->room_count, sizeof(struct live_room *), by_weight);
}

static void add_number(struct writer *out, const char *name, double value, int decimals, const char *unit)
{
    text_add(out, name);
    if (isnan(value) || value < 0)
        text_add(out, "-");
    else
        text_printf(out, "%.*f%s", decimals, value, unit);
}

static void add_lines(struct writer *out, const struct line *lines, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        text_printf(out, "  %-22s %7.3f  %s\n", lines[i].id, lines[i].score, lines[i].reasons);
}

void screen_render(struct screen *s, int64_t now_ms, struct writer *out)
{
    double seconds = (double)(now_ms - s->last_ms) / 1000;
    if (seconds > 0) {
        s->events_s = (double)(s->events - s->last_events) / seconds;
        s->recommendations_s = (double)(s->recommendations - s->last_recommendations) / seconds;
    }
    s->last_ms = now_ms;
    s->last_events = s->events;
    s->last_recommendations = s->recommendations;
    sort_rooms(s, now_ms);
    add_number(out, "events/s ", s->events_s, 0, "");
    add_number(out, "   recommendations/s ", s->recommendations_s, 0, "");
    add_number(out, "   latency p50 ", histogram_at(&s->recent, 0.5), 1, " ms");
    add_number(out, " p99 ", histogram_at(&s->recent, 0.99), 1, " ms");
    add_number(out, "   lag ", s->lag, 0, "");
    add_number(out, "   halted ", s->halted, 0, "");
    add_number(out, "   dead letters ", s->dead_letters, 0, "");
    text_printf(out, "\n\nlive rooms with weight: %u\n", s->room_count);
    for (uint32_t i = 0; i < s->room_count && i < ROOMS_SHOWN; i++)
        text_printf(out, "  %-10s %-22s %6.2f %%\n", s->rooms[i]->scene, s->rooms[i]->room, 100 * s->rooms[i]->weight);
    if (s->user[0]) {
        text_printf(out, "\nrooms recommended to %s (%s)\n", s->user, s->scene);
        add_lines(out, s->lines, s->line_count);
        text_add(out, s->item_count ? "items\n" : "");
        add_lines(out, s->items, s->item_count);
    }
    s->recent = (struct histogram){0};
}

void screen_commands(const struct screen *s, struct writer *out)
{
    const struct screen_places *p = s->places;
    const char *colon = strrchr(p->redis, ':');
    int host = colon ? (int)(colon - p->redis) : (int)strlen(p->redis);
    const char *port = colon ? colon + 1 : "6379", *user = s->user[0] ? s->user : "USER";
    text_add(out, "\nsee for yourself:\n");
    text_printf(out, "  kcat -b %s -C -t live.recommendations -o end -f '%%k %%s\\n'\n", p->brokers);
    text_printf(out, "  kcat -b %s -C -t live.traffic -o end -f '%%k %%s\\n'\n", p->brokers);
    text_printf(out, "  redis-cli -h %.*s -p %s HGETALL sluice:traffic:%s\n", host, p->redis, port,
                s->scene[0] ? s->scene : "home");
    text_printf(out, "  redis-cli -h %.*s -p %s GET sluice:rec:$(sluice key %s%s%s)\n", host, p->redis, port, user,
                p->key_file ? " --key-file " : "", p->key_file ? p->key_file : "");
}

static void add_field(struct writer *out, const char *name, double value)
{
    text_printf(out, ",\"%s\":", name);
    if (isnan(value) || value < 0)
        text_add(out, "null");
    else
        text_add_decimal(out, value, 3);
}

void screen_json(struct screen *s, int64_t now_ms, struct writer *out)
{
    double seconds = (double)(now_ms - s->start_ms) / 1000;
    sort_rooms(s, now_ms);
    text_add(out, "{\"seconds\":");
    text_add_decimal(out, seconds, 3);
    add_field(out, "events", (double)s->events);
    add_field(out, "events_per_s", (double)s->events / seconds);
    add_field(out, "recommendations", (double)s->recommendations);
    add_field(out, "latency_p50_ms", histogram_at(&s->all, 0.5));
    add_field(out, "latency_p99_ms", histogram_at(&s->all, 0.99));
    add_field(out, "latency_count", (double)s->all.count);
    add_field(out, "rooms_live", s->room_count);
    add_field(out, "lag_records", s->lag);
    add_field(out, "tasks_halted", s->halted);
    add_field(out, "dead_letters", s->dead_letters);
    text_add(out, "}\n");
}
