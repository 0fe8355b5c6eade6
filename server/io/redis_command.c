#include "server/io/redis_command.h"

#include "common/err.h"
#include "common/mutant.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

bool redis_address_equal(const struct redis_address *a, const struct redis_address *b)
{
    return a->port == b->port && strcasecmp(a->host, b->host) == 0;
}

enum err redis_address_parse(const char *text, struct redis_address *out_address)
{
    const char *colon = strrchr(text, ':');
    if (!colon || colon == text)
        return ERR_INVALID;
    char *end;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (end == colon + 1 || *end || port == 0 || port > 65535)
        return ERR_INVALID;
    size_t size = (size_t)(colon - text);
    if (text[0] == '[' && size > 2 && colon[-1] == ']') {
        text++;
        size -= 2;
    }
    if (size >= FUZZ_MUTANT(address_long, SIZE_MAX, sizeof out_address->host))
        return ERR_INVALID;
    memcpy(out_address->host, text, size);
    out_address->host[size] = 0;
    out_address->port = (uint16_t)port;
    return ERR_NONE;
}

static void put_length(struct writer *w, char kind, uint64_t value)
{
    char digits[24];
    size_t at = sizeof digits;
    digits[--at] = '\n';
    digits[--at] = '\r';
    do
        digits[--at] = (char)('0' + value % 10);
    while (value /= 10);
    digits[--at] = kind;
    put_bytes(w, digits + at, sizeof digits - at);
}

void command_begin(struct writer *w, size_t count)
{
    put_length(w, '*', count);
}

void command_add(struct writer *w, struct slice argument)
{
    command_add_joined(w, argument, (struct slice){"", 0});
}

void command_add_joined(struct writer *w, struct slice prefix, struct slice rest)
{
    writer_reserve(w, (size_t)prefix.size + rest.size + 26);
    put_length(w, '$', (uint64_t)prefix.size + rest.size);
    put_bytes(w, prefix.at, prefix.size);
    put_bytes(w, rest.at, rest.size);
    put_bytes(w, "\r\n", 2);
}

void command_add_text(struct writer *w, const char *argument)
{
    command_add(w, slice_of(argument));
}

void command_add_int(struct writer *w, int64_t value)
{
    char text[24];
    int size = snprintf(text, sizeof text, "%lld", (long long)value);
    command_add(w, (struct slice){text, (uint32_t)size});
}

static bool starts(const struct redisReply *reply, const char *text)
{
    size_t size = strlen(text);
    return (size_t)reply->len >= size && memcmp(reply->str, text, size) == 0;
}

enum redis_trouble redis_trouble_of(const struct redisReply *reply)
{
    static const struct {
        const char *text;
        enum redis_trouble trouble;
    } known[] = {
        {"MOVED ", TROUBLE_MOVED},        {"ASK ", TROUBLE_ASK},          {"TRYAGAIN", TROUBLE_LATER},
        {"CLUSTERDOWN", TROUBLE_LATER},   {"OOM ", TROUBLE_MEMORY},       {"READONLY", TROUBLE_DEMOTED},
        {"LOADING", TROUBLE_DEMOTED},     {"MASTERDOWN", TROUBLE_DEMOTED}, {"MISCONF", TROUBLE_DEMOTED},
        {"NOREPLICAS", TROUBLE_DEMOTED},  {"BUSY ", TROUBLE_DEMOTED},
    };
    if (!reply)
        return TROUBLE_LOST;
    if (reply->type != REDIS_REPLY_ERROR)
        return TROUBLE_NONE;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (starts(reply, known[i].text))
            return known[i].trouble;
    }
    if (starts(reply, "EXECABORT") && strstr(reply->str, "OOM "))
        return TROUBLE_MEMORY;
    return TROUBLE_REFUSED;
}

bool redis_trouble_address(const struct redisReply *reply, const struct redis_address *asked,
                           struct redis_address *out_address)
{
    const char *at = strchr(reply->str, ' ');
    at = at ? strchr(at + 1, ' ') : NULL;
    if (!at)
        return false;
    if (at[1] != ':')
        return redis_address_parse(at + 1, out_address) == ERR_NONE;
    unsigned long port = strtoul(at + 2, NULL, 10);
    if (port == 0 || port > 65535)
        return false;
    *out_address = *asked;
    out_address->port = (uint16_t)port;
    return true;
}

struct slice redis_info_find(const struct redisReply *reply, const char *field)
{
    struct slice none = {"", 0};
    if (!reply || reply->type != REDIS_REPLY_STRING)
        return none;
    size_t size = strlen(field);
    for (const char *line = reply->str; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, field, size) == 0 && line[size] == ':') {
            const char *value = line + size + 1;
            return (struct slice){value, (uint32_t)strcspn(value, "\r\n")};
        }
    }
    return none;
}

bool redis_range_primary(const struct redisReply *range, const struct redis_address *asked, struct redis_address *out)
{
    if (range->type != REDIS_REPLY_ARRAY || range->elements < 3 || range->element[2]->type != REDIS_REPLY_ARRAY || range->element[2]->elements < 2)
        return false;
    const struct redisReply *host = range->element[2]->element[0], *port = range->element[2]->element[1];
    if (port->type != REDIS_REPLY_INTEGER || port->integer < 1 || port->integer > 65535)
        return false;
    *out = *asked;
    if (host->type == REDIS_REPLY_STRING && host->len > 0 && (size_t)host->len < sizeof out->host) {
        memset(out->host, 0, sizeof out->host);
        memcpy(out->host, host->str, (size_t)host->len);
    }
    out->port = (uint16_t)port->integer;
    return true;
}
