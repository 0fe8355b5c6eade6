/* Where keys stand in a JSON text that a parser has already accepted: jansson forgets lines. */
#pragma once

/* The line, from 1, of the key with this path ("a.b"), or of the value's opening when it is ""; 0: not there. */
int key_line(const char *text, const char *path);
