/* Four draws an event: user (skewed by u^2), item (u^3), type, dwell. Hand-formatted: 1 M events/s a core. */
#include "server/simulate/reference.h"

#define SEED 88172645463325252ull
#define FIRST_MS 1732370000123ll

static const char *const types[16] = {
    "watch", "watch", "watch", "watch", "enter", "click",    "chat",       "like",
    "vote",  "gift",  "cart",  "purchase", "impression", "impression", "leave", "question",
};

void reference_init(struct reference *r)
{
    *r = (struct reference){.state = SEED};
}

static uint64_t draw(struct reference *r)
{
    r->state ^= r->state << 13;
    r->state ^= r->state >> 7;
    r->state ^= r->state << 17;
    return r->state;
}

static char *add(char *at, const char *text)
{
    size_t size = strlen(text);
    memcpy(at, text, size);
    return at + size;
}

static char *add_number(char *at, uint64_t value)
{
    char digits[20];
    int n = sizeof digits;
    do {
        digits[--n] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    memcpy(at, digits + n, sizeof digits - (size_t)n);
    return at + sizeof digits - (size_t)n;
}

void reference_next(struct reference *r)
{
    double u = (double)(draw(r) >> 11) * 0x1p-53;
    uint64_t user = (uint64_t)(200000 * (u * u));
    double v = (double)(draw(r) >> 11) * 0x1p-53;
    uint64_t item = (uint64_t)(10000 * (v * v * v));
    r->type = types[draw(r) & 15];
    uint64_t dwell_ms = draw(r) % 60000, room = item % 2000;
    r->ts = FIRST_MS + (int64_t)(r->next / 20);
    char *key = add_number(add(r->key, "u_"), user);
    r->key_size = (uint32_t)(key - r->key);
    char *at = add(r->value, "{\"v\":1,\"id\":\"01J");
    for (int shift = 48; shift >= 0; shift -= 4)
        *at++ = "0123456789abcdef"[r->next >> shift & 15];
    at = add_number(add(at, "\",\"ts\":"), (uint64_t)r->ts);
    at = add(add(add(at, ",\"type\":\""), r->type), "\",\"user\":\"u_");
    at = add_number(at, user);
    at = add_number(add(at, "\",\"room\":\"r_"), room);
    at = add_number(add(at, "\",\"host\":\"h_"), room % 700);
    at = add_number(add(at, "\",\"item\":\"c_"), item);
    at = add_number(add(at, "\",\"scene\":\"home\",\"dwell_ms\":"), dwell_ms);
    *at++ = '}';
    r->value_size = (uint32_t)(at - r->value);
    r->next++;
}
