/* The user part of public Redis keys: the first 16 bytes of HMAC-SHA-256(key, user id), base64url, 22 characters. */
#pragma once

#include "common/err.h"
#include "common/slice.h"

#define USER_KEY_BYTES 16
#define USER_KEY_TEXT 22 /* characters, without terminator */

struct user_hmac;

/* `key` is copied. NULL when OpenSSL refuses. */
struct user_hmac *user_hmac_create(struct slice key);
void user_hmac_destroy(struct user_hmac *h);
void user_hmac_of(struct user_hmac *h, struct slice user, uint8_t out_key[USER_KEY_BYTES]);
void user_key_text(const uint8_t key[USER_KEY_BYTES], char out_text[USER_KEY_TEXT + 1]);
