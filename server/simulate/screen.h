/*
 * What a person wants to see of a running sluice, gathered from its topics: rates, latency, live rooms with their
 * weights, one user's recommendations with reasons. Filled by records, rendered as text. No I/O.
 */
#pragma once

#include "common/text.h"
#include "server/simulate/kafka_io.h"

struct screen;

enum { SCREEN_EVENTS, SCREEN_RECOMMENDATIONS, SCREEN_TRAFFIC, SCREEN_TOPICS };
extern const char *const screen_topics[SCREEN_TOPICS + 1];

/* Where the person can look: for the command lines it shows. */
struct screen_places {
    const char *brokers;
    const char *redis; /* HOST:PORT */
    const char *key_file; /* of the user keys; NULL: the default */
    int32_t partitions;   /* of live.events */
};

/* `places` is borrowed and outlives the screen. */
struct screen *screen_create(const struct screen_places *places, int64_t now_ms);
void screen_destroy(struct screen *s);
void screen_record(struct screen *s, const struct link_record *record, int64_t now_ms);
/* The body of /metrics, as just read. */
void screen_metrics(struct screen *s, const char *body);
/* One full picture. */
void screen_render(struct screen *s, int64_t now_ms, struct writer *out);
/* The kcat and redis-cli lines. */
void screen_commands(const struct screen *s, struct writer *out);
/* The whole run as one JSON object and a line end. */
void screen_json(struct screen *s, int64_t now_ms, struct writer *out);
