/* Sixteen bytes of JSON text at once: where plain text stops, and whether they may stand in the name of an entity. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* A bit a byte, the first lowest. */
struct text16 {
    uint32_t stop;  /* quote, backslash, control character, or not ASCII */
    uint32_t other; /* not one of [A-Za-z0-9_.-] */
};

#ifdef __SSE2__
static inline __m128i text16_between(__m128i bytes, char first, char last)
{
    return _mm_and_si128(_mm_cmpgt_epi8(bytes, _mm_set1_epi8((char)(first - 1))), _mm_cmplt_epi8(bytes, _mm_set1_epi8((char)(last + 1))));
}

/* All sixteen bytes must be readable. */
static inline struct text16 text16_of(const char *at)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
    /* Signed: bytes from 0x80 on are less than a space too. */
    __m128i stop = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')), _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'))),
                                _mm_cmplt_epi8(bytes, _mm_set1_epi8(' ')));
    __m128i name = _mm_or_si128(_mm_or_si128(text16_between(_mm_or_si128(bytes, _mm_set1_epi8(' ')), 'a', 'z'), text16_between(bytes, '0', '9')),
                                _mm_or_si128(text16_between(bytes, '-', '.'), _mm_cmpeq_epi8(bytes, _mm_set1_epi8('_'))));
    return (struct text16){(uint32_t)_mm_movemask_epi8(stop), (uint32_t)_mm_movemask_epi8(name) ^ 0xffff};
}
#else
static inline struct text16 text16_of(const char *at)
{
    struct text16 t = {0, 0};
    for (int i = 0; i < 16; i++) {
        char c = at[i];
        bool name = (unsigned)((c | 32) - 'a') < 26 || (unsigned)(c - '0') < 10 || c == '-' || c == '.' || c == '_';
        t.stop |= (uint32_t)(c == '"' || c == '\\' || (signed char)c < ' ') << i;
        t.other |= (uint32_t)!name << i;
    }
    return t;
}
#endif
