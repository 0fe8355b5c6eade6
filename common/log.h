/*
 * One JSON line per log entry on standard error: {"ts":…,"level":…,"code":…,"text":…}. `code` is a stable name that
 * operators match on; `text` says what happened and what happens next. Never a user id, never raw input bytes.
 * Entries with the same code beyond 10 within 10 seconds are counted instead of written.
 */
#pragma once

#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

void log_set_level(enum log_level level);
void log_line(enum log_level level, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_info(code, ...) log_line(LOG_INFO, code, __VA_ARGS__)
#define log_warning(code, ...) log_line(LOG_WARNING, code, __VA_ARGS__)
#define log_error(code, ...) log_line(LOG_ERROR, code, __VA_ARGS__)
