/*
 * The entries of the rollups log: what an allocation task folds. All of one record belong to one scene. Rollups come
 * from entity tasks; rooms, controls and ticks are forwarded by the owner of the allocation task itself, which acts
 * on them only when it reads them back. Slices are borrowed. Times and totals lie within +-SCENE_NUMBER_MAX.
 */
#pragma once

#include "server/engine/rollup.h"

#define SCENE_NUMBER_MAX (1ll << 53) /* exact in a double */
#define SCENE_MONEY_MAX (1ll << 42)  /* one booked amount, minor units */
#define SCENE_ITEMS_MAX 16           /* of a room */
#define SCENE_TAGS_MAX 16            /* of a room, item or host */
#define SCENE_ID_BYTES 64
#define SCENE_TAG_BYTES 64
#define SCENE_TEXT_BYTES 256         /* id, by, why of a control */

enum scene_entry_type {
    SCENE_ROLLUP = 1,
    SCENE_ROOM,
    SCENE_CONTROL,
    SCENE_TICK,
};

/* Where a forwarded entry came from, and who forwarded it. */
struct source_position {
    int64_t epoch;     /* of the owner */
    int32_t partition; /* of the catalog or control topic */
    int64_t offset;
};

struct tag_list {
    uint32_t count;
    struct slice at[SCENE_TAGS_MAX];
};

struct scene_item {
    struct slice name;
    struct slice category;
    struct tag_list tags;
    int64_t price; /* minor units of the settlement currency */
};

/*
 * A room as the catalog has it now, joined with its host and items. Forwarded again when any of them changes; then
 * `position` is that of the record that changed. Entries of one catalog partition come in the order of its offsets.
 */
struct room_entry {
    struct source_position position;
    bool open;         /* false: closed, removed, or no longer in this scene; only `room` matters then */
    int64_t record_ms; /* timestamp of the catalog record: the opening time of a room not seen before */
    struct slice room;
    struct slice host;
    struct slice category;
    struct tag_list tags;
    uint32_t item_count;
    struct scene_item items[SCENE_ITEMS_MAX];
    struct slice explaining;
    int64_t slot_cost; /* paid once for the room's place */
    struct tag_list domains; /* of the host, as are the following */
    struct tag_list style;
    int64_t fans;
    int32_t commission_bp;
    int64_t bonus; /* paid once a room */
};

enum control_op {
    CONTROL_PIN,       /* weight = value ppm */
    CONTROL_FREEZE,    /* the weight stays as it is; without room: all weights of the scene */
    CONTROL_CAP,       /* weight <= value ppm */
    CONTROL_FLOOR,     /* weight >= value ppm */
    CONTROL_BOOST,     /* score times value ppm */
    CONTROL_GUARANTEE, /* value exposures between now and `until` */
    CONTROL_KILL,      /* weight 0 at once */
    CONTROL_HELD,      /* those above stay in force until resumed or `until` */
    CONTROL_COST = CONTROL_HELD, /* books value minor units of traffic cost on the room */
    CONTROL_RESUME,    /* ends every control of the room; without room: of the scene and all its rooms */
    CONTROL_OPS
};

extern const char *const control_op_names[CONTROL_OPS];

/* The answer to a control; the first group comes from decoding, the second from the scene. */
enum control_answer {
    CONTROL_APPLIED,
    CONTROL_TOO_LARGE,
    CONTROL_MALFORMED,
    CONTROL_UNKNOWN_VERSION,
    CONTROL_BAD_ID,
    CONTROL_BAD_SCENE,
    CONTROL_UNKNOWN_OP,
    CONTROL_BAD_ROOM,
    CONTROL_BAD_VALUE,
    CONTROL_BAD_UNTIL,
    CONTROL_BAD_TEXT,
    CONTROL_NO_SUCH_ROOM,
    CONTROL_OUT_OF_BOUNDS,
    CONTROL_EXPIRED,
    CONTROL_REPEATED,
    CONTROL_OVERBOOKED, /* pins and floors would sum to more than one */
    CONTROL_CONFLICT,   /* a cap below the floor, or a floor above the cap */
    CONTROL_ANSWERS
};

extern const char *const control_answer_names[CONTROL_ANSWERS];

struct control_entry {
    struct source_position position;
    struct slice id;
    struct slice scene;
    enum control_op op;
    struct slice room; /* size 0: the whole scene (freeze, resume) */
    int64_t value;     /* unit by op; 0 when absent */
    int64_t until_ms;  /* 0 = until resumed */
    struct slice by;
    struct slice why;
};

struct tick_entry {
    int64_t epoch;
    int64_t tick_ms;
};

struct scene_entry {
    enum scene_entry_type type;
    union {
        struct rollup rollup;
        struct room_entry room;
        struct control_entry control;
        struct tick_entry tick;
    };
};
