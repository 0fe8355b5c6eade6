/*
 * HMAC-SHA-256 with the key block hashed once: two SHA-256 states are copied per user id instead of set up anew.
 */
#include "common/hmac.h"

#include "common/check.h"

#include <openssl/evp.h>
#include <stdlib.h>

struct user_hmac {
    EVP_MD_CTX *inner; /* owned; has absorbed key ^ ipad */
    EVP_MD_CTX *outer; /* owned; has absorbed key ^ opad */
    EVP_MD_CTX *work;  /* owned; scratch */
};

struct user_hmac *user_hmac_create(struct slice key)
{
    struct user_hmac *h = calloc(1, sizeof *h);
    ASSERT(h);
    uint8_t block[64] = {0}, pad[64];
    unsigned size = 0;
    h->inner = EVP_MD_CTX_new();
    h->outer = EVP_MD_CTX_new();
    h->work = EVP_MD_CTX_new();
    if (!h->inner || !h->outer || !h->work)
        goto fail;
    if (key.size <= sizeof block)
        memcpy(block, key.at, key.size);
    else if (!EVP_Digest(key.at, key.size, block, &size, EVP_sha256(), NULL))
        goto fail;
    for (int i = 0; i < 64; i++)
        pad[i] = block[i] ^ 0x36;
    if (!EVP_DigestInit_ex(h->inner, EVP_sha256(), NULL) || !EVP_DigestUpdate(h->inner, pad, 64))
        goto fail;
    for (int i = 0; i < 64; i++)
        pad[i] = block[i] ^ 0x5c;
    if (!EVP_DigestInit_ex(h->outer, EVP_sha256(), NULL) || !EVP_DigestUpdate(h->outer, pad, 64))
        goto fail;
    return h;
fail:
    user_hmac_destroy(h);
    return NULL;
}

void user_hmac_destroy(struct user_hmac *h)
{
    if (!h)
        return;
    EVP_MD_CTX_free(h->inner);
    EVP_MD_CTX_free(h->outer);
    EVP_MD_CTX_free(h->work);
    free(h);
}

void user_hmac_of(struct user_hmac *h, struct slice user, uint8_t out_key[USER_KEY_BYTES])
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    int ok = EVP_MD_CTX_copy_ex(h->work, h->inner) && EVP_DigestUpdate(h->work, user.at, user.size) &&
             EVP_DigestFinal_ex(h->work, digest, &size) && EVP_MD_CTX_copy_ex(h->work, h->outer) &&
             EVP_DigestUpdate(h->work, digest, size) && EVP_DigestFinal_ex(h->work, digest, &size);
    ASSERT(ok);
    memcpy(out_key, digest, USER_KEY_BYTES);
}

void user_key_text(const uint8_t key[USER_KEY_BYTES], char out_text[USER_KEY_TEXT + 1])
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0;
    int have = 0, n = 0;
    for (int i = 0; i < USER_KEY_BYTES; i++) {
        bits = bits << 8 | key[i];
        for (have += 8; have >= 6; have -= 6)
            out_text[n++] = alphabet[bits >> (have - 6) & 63];
    }
    out_text[n++] = alphabet[bits << (6 - have) & 63];
    out_text[n] = 0;
}
