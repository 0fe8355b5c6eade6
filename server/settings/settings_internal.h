/* What the parts of reading a configuration share. */
#pragma once

#include "server/settings/settings.h"

/* A copy that lives as long as the settings. */
char *settings_keep_text(struct settings *s, const char *text);
/* The whole file, terminated, to be freed; NULL with errno: also when it is longer than `max` or holds a zero byte. */
char *settings_read_file(const char *path, size_t max);
/* What is wrong with where Kafka, Redis and HTTP are to be found, to follow the setting's path; NULL when nothing is. */
const char *settings_place_fault(const struct daemon_settings *d, const char **out_path);
