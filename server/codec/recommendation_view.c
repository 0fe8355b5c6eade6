#include "server/codec/recommendation_view.h"

static const char *find(struct slice in, const char *text)
{
    return in.size ? memmem(in.at, in.size, text, strlen(text)) : NULL;
}

bool recommendation_view(struct slice json, uint32_t bytes_max, struct writer *out)
{
    static const char field[] = "\"user\":\"";
    const char *end = json.at + json.size, *user = find(json, field), *rest = json.at;
    out->size = 0;
    if (user) {
        const char *quote = user + sizeof field - 1;
        while (quote < end && *quote != '"')
            quote++;
        rest = quote + 1 < end && quote[1] == ',' ? quote + 2 : quote + 1;
        put_bytes(out, json.at, (size_t)(user - json.at));
    }
    const char *items = find(json, ",\"items\":[");
    bool whole = out->size + (size_t)(end - rest) <= bytes_max;
    put_bytes(out, rest, (size_t)((whole || !items ? end : items) - rest));
    if (!whole && items)
        put_bytes(out, "}", 1);
    if (out->size > bytes_max)
        out->size = 0;
    return out->size > 0;
}
