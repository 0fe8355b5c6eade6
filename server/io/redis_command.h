/* Redis commands as bytes (RESP2), and what the errors Redis answers mean to a client. Pure. */
#pragma once

#include "common/bytes.h"

#include <hiredis/hiredis.h>

struct redis_address {
    char host[256];
    uint16_t port;
};

bool redis_address_equal(const struct redis_address *a, const struct redis_address *b);
/* "host:port" or "[v6]:port". */
enum err redis_address_parse(const char *text, struct redis_address *out_address);

/* A command is command_begin() and exactly `count` arguments. */
void command_begin(struct writer *w, size_t count);
void command_add(struct writer *w, struct slice argument);
void command_add_text(struct writer *w, const char *argument);
void command_add_int(struct writer *w, int64_t value);
/* One argument out of two parts. */
void command_add_joined(struct writer *w, struct slice prefix, struct slice rest);

enum redis_trouble {
    TROUBLE_NONE,
    TROUBLE_LOST,     /* no answer: the outcome is unknown */
    TROUBLE_MOVED,    /* the hash slot lives elsewhere; nothing done */
    TROUBLE_ASK,      /* this key lives elsewhere while its slot moves; nothing done */
    TROUBLE_LATER,    /* the cluster is busy with the slot; nothing done */
    TROUBLE_MEMORY,   /* maxmemory; nothing done */
    TROUBLE_DEMOTED,  /* not a primary in service: replica, loading, read-only disk; nothing done */
    TROUBLE_REFUSED,  /* any other error */
};

/* NULL is TROUBLE_LOST; a reply that is no error is TROUBLE_NONE. */
enum redis_trouble redis_trouble_of(const struct redisReply *reply);
/* The address of MOVED or ASK; `asked` lends its host when the error names none. */
bool redis_trouble_address(const struct redisReply *reply, const struct redis_address *asked,
                           struct redis_address *out_address);
/* The text after `field` + ":" in an INFO answer, up to the line's end; size 0 when absent. */
struct slice redis_info_find(const struct redisReply *reply, const char *field);
/* The primary of one range of CLUSTER SLOTS, [from, to, [host, port, …], …]; a host that is left out is that of the node asked. */
bool redis_range_primary(const struct redisReply *range, const struct redis_address *asked, struct redis_address *out);
