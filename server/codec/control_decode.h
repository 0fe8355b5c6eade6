/* live.control as JSON to a control entry, or the reason why not. */
#pragma once

#include "server/engine/scene_entry.h"

#define CONTROL_BYTES_MAX 16384

struct control_json; /* owns what the entry borrows */

/*
 * `value` is a share (pin, cap, floor) or a factor (boost) as a number, a whole number of exposures (guarantee) or of
 * minor units (cost). CONTROL_APPLIED means decoded; `out_json` is then to be destroyed by the caller. A refusal fills
 * in of `out` what could be read (id, scene, room, by, why) so that it can be answered, and sets `out_json` too,
 * or NULL when nothing could be read.
 */
enum control_answer control_decode(struct slice bytes, struct control_entry *out, struct control_json **out_json);
/* As dead-letter reasons, by what control_decode() answers. */
extern const char *const control_refusal_names[CONTROL_BAD_TEXT + 1];
void control_json_destroy(struct control_json *json);
