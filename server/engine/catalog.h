/*
 * The catalog table: what every worker knows of rooms, items and hosts. Soft: read again at each start, never in
 * folded state. Tags, categories, series and the like are interned: equal text, equal number. Embeddings are kept in
 * 8 bits a dimension. Memory is bounded by the limits; about 250 bytes an item with 64 dimensions and six tags.
 */
#pragma once

#include "common/map.h"
#include "server/engine/scene_entry.h"

#define CATALOG_SCENES_MAX 8
#define CATALOG_REQUIRES_MAX 8
#define CATALOG_DIMS_MAX 256

struct catalog_limits {
    uint32_t rooms_max;   /* 20,000 */
    uint32_t hosts_max;   /* 200,000 */
    uint32_t items_max;   /* 1,000,000 */
    uint32_t names_max;   /* distinct tags, categories, series, currencies, scenes; 200,000 */
};

enum item_format { FORMAT_COURSE, FORMAT_BOOK, FORMAT_LECTURE, FORMAT_TRIAL, FORMATS };

extern const char *const item_format_names[FORMATS];

/* What a catalog record says, borrowed from it. */
struct room_draft {
    struct slice host;
    uint32_t scene_count;
    struct slice scenes[CATALOG_SCENES_MAX];
    bool open;
    struct slice category;
    struct tag_list tags;
    uint32_t item_count;
    struct slice items[SCENE_ITEMS_MAX];
    struct slice explaining;
    int64_t slot_cost;
};

struct item_draft {
    struct slice category;
    struct tag_list tags;
    enum item_format format;
    int64_t price; /* minor units */
    struct slice currency;
    int32_t level;
    struct slice series;
    uint32_t requires_count;
    struct slice requires[CATALOG_REQUIRES_MAX];
    bool restricted;
    uint32_t dims;
    float embedding[CATALOG_DIMS_MAX];
};

struct host_draft {
    struct tag_list domains;
    struct tag_list style;
    int64_t fans;
    int32_t commission_bp;
    int64_t bonus;
};

/* Interned lists are sorted by number. Owned by the catalog, as are all pointers; valid until the next put or remove. */
struct catalog_item {
    /* What is looked at most stands first, in few cache lines. */
    entity_id id;
    struct slice name;
    uint32_t number; /* dense, from 1; kept while the item is there, used again for another only when all are taken */
    uint32_t series; /* 0 none */
    uint32_t requires_count;
    bool restricted;
    uint16_t dims;
    float scale;             /* value = scale * embedding[i] */
    uint32_t tag_count;
    const int8_t *embedding; /* unit length before rounding; NULL without */
    uint32_t tags[SCENE_TAGS_MAX];
    uint32_t category;
    enum item_format format;
    int64_t price;
    uint32_t currency;
    int32_t level;
    entity_id requires[CATALOG_REQUIRES_MAX];
};

struct catalog_host {
    entity_id id;
    struct slice name;
    struct tag_list domains; /* text */
    struct tag_list style;
    uint32_t tag_count;      /* of the domains, interned */
    uint32_t tags[SCENE_TAGS_MAX];
    int64_t fans;
    int32_t commission_bp;
    int64_t bonus;
};

struct catalog_room {
    entity_id id;
    struct slice name;
    bool open;
    int64_t record_ms; /* timestamp of the record that opened it */
    entity_id host;
    uint32_t scene_count;
    uint32_t scenes[CATALOG_SCENES_MAX]; /* interned */
    uint32_t category;
    uint32_t tag_count;
    uint32_t tags[SCENE_TAGS_MAX];
    entity_id items[SCENE_ITEMS_MAX];
    entity_id explaining;
    struct room_draft draft; /* the record, with its text */
    uint32_t open_at;        /* index among the open rooms */
};

enum catalog_answer { CATALOG_TAKEN, CATALOG_FULL, CATALOG_NAMES_FULL, CATALOG_COLLISION };

struct catalog;

struct catalog *catalog_create(const struct catalog_limits *limits);
void catalog_destroy(struct catalog *c);
enum catalog_answer catalog_put_room(struct catalog *c, struct slice name, const struct room_draft *d, int64_t record_ms);
enum catalog_answer catalog_put_item(struct catalog *c, struct slice name, const struct item_draft *d);
enum catalog_answer catalog_put_host(struct catalog *c, struct slice name, const struct host_draft *d);
void catalog_remove(struct catalog *c, enum entity_kind kind, struct slice name);

const struct catalog_room *catalog_room(const struct catalog *c, entity_id id);
const struct catalog_item *catalog_item(const struct catalog *c, entity_id id);
const struct catalog_host *catalog_host(const struct catalog *c, entity_id id);
/* The open rooms, in no particular order. */
uint32_t catalog_open_count(const struct catalog *c);
const struct catalog_room *catalog_open(const struct catalog *c, uint32_t i);
bool catalog_room_in(const struct catalog_room *r, uint32_t scene); /* open or not; the scene by its number */
/* 0 when the text was never interned. */
uint32_t catalog_number(const struct catalog *c, struct slice text);
struct slice catalog_text(const struct catalog *c, uint32_t number);
/* Changes with every put and remove. */
uint64_t catalog_version(const struct catalog *c);
/* Changes when another set of rooms is open, or one of them has another host, scene, category or item; and with items. */
uint64_t catalog_shape(const struct catalog *c);
/* NULL when no item has the number. Numbers are below the bound. */
const struct catalog_item *catalog_numbered(const struct catalog *c, uint32_t number);
uint32_t catalog_number_bound(const struct catalog *c);
/* Interned texts have numbers below this. */
uint32_t catalog_text_bound(const struct catalog *c);
