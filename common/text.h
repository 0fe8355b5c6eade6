/*
 * Text and JSON built into a growable buffer (a struct writer). Nothing here can fail; memory exhaustion aborts.
 */
#pragma once

#include "common/bytes.h"

/* Here, so that the size of a literal is known where it is added. */
static inline void text_add(struct writer *w, const char *literal)
{
    put_bytes(w, literal, strlen(literal));
}

static inline void text_add_slice(struct writer *w, struct slice s)
{
    put_bytes(w, s.at, s.size);
}

void text_add_int(struct writer *w, int64_t value);
#define TEXT_INT_BYTES 20
/* Into room for TEXT_INT_BYTES; answers where it ends. */
char *text_put_int(char *at, int64_t value);
/* `value` rounded half away from zero to `decimals` (0-9) places, trailing zeros dropped; 0 when not finite. */
void text_add_decimal(struct writer *w, double value, int decimals);
/* `name`, then the value with four decimals; `null` below 0: nobody knows it. */
void text_add_chance(struct writer *w, const char *name, double value);
/* A JSON string with its quotes. Bytes that are not valid UTF-8 become U+FFFD. */
void text_add_json(struct writer *w, struct slice s);
void text_printf(struct writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Terminates (the terminator is not counted) and answers the text, valid until the next change. */
const char *text_cstr(struct writer *w);
