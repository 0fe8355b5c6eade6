#include "common/text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

/* Two digits a division. */
char *text_put_int(char *at, int64_t value)
{
    static const char pairs[] = "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849"
                                "5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";
    char digits[24];
    int n = sizeof digits;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    for (; rest >= 100; rest /= 100)
        memcpy(&digits[n -= 2], &pairs[rest % 100 * 2], 2);
    if (rest >= 10)
        memcpy(&digits[n -= 2], &pairs[rest * 2], 2);
    else
        digits[--n] = (char)('0' + rest);
    if (value < 0)
        digits[--n] = '-';
    size_t size = sizeof digits - (size_t)n;
    memcpy(at, digits + n, size);
    return at + size;
}

void text_add_int(struct writer *w, int64_t value)
{
    writer_reserve(w, TEXT_INT_BYTES);
    w->size = (size_t)(text_put_int((char *)w->data + w->size, value) - (char *)w->data);
}

void text_add_decimal(struct writer *w, double value, int decimals)
{
    static const int64_t power[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000};
    if (!isfinite(value) || value > 9e8 || value < -9e8) {
        text_add_int(w, isfinite(value) ? (int64_t)(value > 9e18 ? 9e18 : value < -9e18 ? -9e18 : value) : 0);
        return;
    }
    int64_t scaled = (int64_t)(value * (double)power[decimals] + (value < 0 ? -0.5 : 0.5));
    if (scaled < 0) {
        text_add(w, "-");
        scaled = -scaled;
    }
    text_add_int(w, scaled / power[decimals]);
    int64_t fraction = scaled % power[decimals];
    if (fraction == 0)
        return;
    char digits[10] = ""; /* with no decimals there is no fraction */
    int n = decimals;
    for (int i = decimals - 1; i >= 0; i--, fraction /= 10)
        digits[i] = (char)('0' + fraction % 10);
    while (digits[n - 1] == '0')
        n--;
    text_add(w, ".");
    put_bytes(w, digits, (size_t)n);
}

void text_add_chance(struct writer *w, const char *name, double value)
{
    text_add(w, name);
    if (value < 0)
        text_add(w, "null");
    else
        text_add_decimal(w, value, 4);
}

/* Length of the valid UTF-8 sequence at `at`, 0 when there is none. */
static uint32_t utf8_length(const uint8_t *at, uint32_t left)
{
    uint8_t lead = at[0];
    uint32_t size = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
    if (size == 0 || size > left)
        return 0;
    for (uint32_t i = 1; i < size; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    if ((lead == 0xe0 && at[1] < 0xa0) || (lead == 0xed && at[1] > 0x9f) || (lead == 0xf0 && at[1] < 0x90) ||
        (lead == 0xf4 && at[1] > 0x8f))
        return 0;
    return size;
}

static bool is_plain(uint8_t c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

void text_add_json(struct writer *w, struct slice s)
{
    put_u8(w, '"');
    for (uint32_t i = 0; i < s.size;) {
        uint32_t plain = i;
        while (plain < s.size && is_plain((uint8_t)s.at[plain]))
            plain++;
        put_bytes(w, s.at + i, plain - i);
        if ((i = plain) == s.size)
            break;
        uint8_t c = (uint8_t)s.at[i];
        if (c == '"' || c == '\\') {
            put_u8(w, '\\');
            put_u8(w, c);
            i++;
        } else if (c < 0x20) {
            text_printf(w, "\\u%04x", c);
            i++;
        } else {
            uint32_t size = utf8_length((const uint8_t *)s.at + i, s.size - i);
            if (size)
                put_bytes(w, s.at + i, size);
            else
                text_add(w, "\xef\xbf\xbd");
            i += size ? size : 1;
        }
    }
    put_u8(w, '"');
}

void text_printf(struct writer *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char buffer[512];
    int size = vsnprintf(buffer, sizeof buffer, format, args);
    va_end(args);
    if (size >= (int)sizeof buffer) {
        writer_reserve(w, (size_t)size + 1);
        va_start(args, format);
        vsnprintf((char *)w->data + w->size, (size_t)size + 1, format, args);
        va_end(args);
        w->size += (size_t)size;
    } else if (size > 0) {
        put_bytes(w, buffer, (size_t)size);
    }
}

const char *text_cstr(struct writer *w)
{
    writer_reserve(w, 1);
    w->data[w->size] = 0;
    return (const char *)w->data;
}
