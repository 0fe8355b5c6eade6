#include "server/simulate/line.h"

#include "common/text.h"

bool line_write(FILE *file, const struct line *line)
{
    const struct world_record *r = line->record;
    struct writer l = {0};
    text_add(&l, "{");
    if (line->topic) {
        text_add(&l, "\"topic\":");
        text_add_json(&l, slice_of(line->topic));
        text_add(&l, ",");
    }
    text_add(&l, "\"timestamp\":");
    text_add_int(&l, r->timestamp_ms);
    if (line->offset >= 0)
        text_printf(&l, ",\"offset\":%lld", (long long)line->offset);
    text_add(&l, ",\"key\":");
    text_add_json(&l, r->key);
    text_add(&l, ",\"value\":");
    if (r->value.size == 0)
        text_add(&l, "null");
    else if (r->malformed && (r->value.at[0] != '{' || r->value.at[r->value.size - 1] != '}'))
        text_add_json(&l, r->value);
    else
        text_add_slice(&l, r->value);
    text_add(&l, "}\n");
    bool good = fwrite(l.data, 1, l.size, file) == l.size;
    writer_fini(&l);
    return good;
}
