/* The table as text: a configuration file, its schema, its reference page. */
#include "server/settings/settings.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define BEFORE_SENTENCE "Files of the configurations before, oldest first: records below the offset of `sluice task migrate` are folded with them."

static json_t *number_of(const struct setting *r, const char *at)
{
    switch (r->kind) {
    case SETTING_BOOL: return json_boolean(*(const bool *)at);
    case SETTING_U8: return json_integer(*(const uint8_t *)at);
    case SETTING_I32: return json_integer(*(const int32_t *)at);
    case SETTING_U32: return json_integer(*(const uint32_t *)at);
    case SETTING_I64: case SETTING_U64: return json_integer(*(const int64_t *)at);
    case SETTING_DOUBLE: return json_real(*(const double *)at);
    case SETTING_TEXT: return json_string(*(const char *const *)at ? *(const char *const *)at : "");
    }
    return NULL;
}

static json_t *value_of(const struct settings *s, const struct setting *r)
{
    const char *at = (const char *)&s->daemon + r->offset;
    if (r->flags & SETTING_FILE) {
        const char *file = strcmp(r->path, "user_key_file") == 0 ? s->user_key_file : s->password_file;
        return json_string(file ? file : "");
    }
    if (!r->count)
        return number_of(r, at);
    json_t *all = r->name ? json_object() : json_array();
    for (int i = 0; i < r->count; i++, at += setting_width(r->kind))
        if (r->name)
            json_object_set_new(all, r->name(i), number_of(r, at));
        else
            json_array_append_new(all, number_of(r, at));
    return all;
}

/* Sets root.section.name, or root.name. */
static void put(json_t *root, const char *path, json_t *value)
{
    const char *dot = strchr(path, '.');
    if (!dot) {
        json_object_set_new(root, path, value);
        return;
    }
    char section[64];
    snprintf(section, sizeof section, "%.*s", (int)(dot - path), path);
    if (!json_object_get(root, section))
        json_object_set_new(root, section, json_object());
    json_object_set_new(json_object_get(root, section), dot + 1, value);
}

static json_t *currencies(const struct settings *s)
{
    json_t *all = json_object();
    for (int i = 0; i < CURRENCIES_MAX; i++) {
        const struct currency_settings *c = &s->daemon.worker.profile.currencies[i];
        char code[4] = {(char)(c->currency >> 16), (char)(c->currency >> 8), (char)c->currency, 0};
        if (c->currency)
            json_object_set_new(all, code, json_pack("{s:I,s:I,s:I}", "amount_max", (json_int_t)c->amount_max, "rate_num",
                                                     (json_int_t)c->rate_num, "rate_den", (json_int_t)c->rate_den));
    }
    return all;
}

static void dump(json_t *root, FILE *out)
{
    json_dumpf(root, out, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    fputc('\n', out);
    json_decref(root);
}

/* What was read from a file is not shown. */
static void add_property(json_t *properties, const struct kafka_property *p)
{
    char name[200];
    snprintf(name, sizeof name, "%s%s", p->name, p->file ? ".file" : "");
    json_object_set_new(properties, name, json_string(p->file ? p->file : p->value));
}

void settings_print(const struct settings *s, FILE *out)
{
    json_t *root = json_object();
    for (const struct setting *r = settings_table; r->path; r++)
        put(root, r->path, value_of(s, r));
    json_t *properties = json_object();
    for (int i = 0; i < s->daemon.kafka.property_count; i++)
        add_property(properties, &s->properties[i]);
    put(root, "kafka.properties", properties);
    put(root, "profile.currencies", currencies(s));
    json_t *before = json_array();
    for (int i = 0; i < s->before_count; i++)
        json_array_append_new(before, json_string(s->before[i].file));
    put(root, "before", before);
    dump(root, out);
}

static json_t *schema_of(const struct setting *r)
{
    if (r->kind == SETTING_BOOL)
        return json_pack("{s:s}", "type", "boolean");
    if (r->kind == SETTING_TEXT)
        return json_pack("{s:s}", "type", "string");
    return json_pack("{s:s,s:f,s:f}", "type", r->kind == SETTING_DOUBLE ? "number" : "integer", "minimum", r->min, "maximum", r->max);
}

static json_t *schema_of_row(const struct setting *r)
{
    json_t *one = schema_of(r), *all = one;
    if (r->count && r->name) {
        json_t *members = json_object();
        for (int i = 0; i < r->count; i++)
            json_object_set(members, r->name(i), one);
        all = json_pack("{s:s,s:o,s:b}", "type", "object", "properties", members, "additionalProperties", 0);
        json_decref(one);
    } else if (r->count) {
        all = json_pack("{s:s,s:o,s:i,s:i}", "type", "array", "items", one, "minItems", r->count, "maxItems", r->count);
    }
    json_object_set_new(all, "description", json_string(r->sentence));
    return all;
}

void settings_print_schema(FILE *out)
{
    json_t *top = json_object();
    for (const struct setting *r = settings_table; r->path; r++) {
        char section[64];
        const char *dot = strchr(r->path, '.');
        if (!dot) {
            json_object_set_new(top, r->path, schema_of_row(r));
            continue;
        }
        snprintf(section, sizeof section, "%.*s", (int)(dot - r->path), r->path);
        if (!json_object_get(top, section))
            json_object_set_new(top, section, json_pack("{s:s,s:{},s:b}", "type", "object", "properties", "additionalProperties", 0));
        json_object_set_new(json_object_get(json_object_get(top, section), "properties"), dot + 1, schema_of_row(r));
    }
    json_object_set_new(json_object_get(json_object_get(top, "kafka"), "properties"), "properties",
                        json_pack("{s:s,s:s}", "type", "object", "description", "Passed to librdkafka as they are."));
    json_object_set_new(json_object_get(json_object_get(top, "profile"), "properties"), "currencies",
                        json_pack("{s:s,s:s}", "type", "object", "description",
                                  "By ISO 4217 code: amount_max, and rate_num over rate_den into the settlement currency."));
    json_object_set_new(top, "before", json_pack("{s:s,s:{s:s},s:i,s:s}", "type", "array", "items", "type", "string", "maxItems", FOLDS_MAX - 1,
                                                 "description", BEFORE_SENTENCE));
    dump(json_pack("{s:s,s:s,s:s,s:o,s:b}", "$schema", "https://json-schema.org/draft/2020-12/schema", "title",
                   "Configuration of sluice", "type", "object", "properties", top, "additionalProperties", 0), out);
}

void settings_print_reference(FILE *out)
{
    struct settings s;
    settings_init(&s);
    fprintf(out, "# Settings\n\nEvery key is optional. F: changes the fold, so once there is state `sluice task migrate` changes it. S: also what stored "
                 "bytes mean, so only a rebuild changes it. R: read again on SIGHUP.\n\n"
                 "| setting | default | range | unit | | what |\n|---|---|---|---|---|---|\n");
    for (const struct setting *r = settings_table; r->path; r++) {
        json_t *value = value_of(&s, r);
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        char range[64] = "";
        if (r->kind != SETTING_TEXT && r->kind != SETTING_BOOL)
            snprintf(range, sizeof range, "%.15g–%.15g", r->min, r->max);
        fprintf(out, "| `%s` | `%s` | %s | %s | %s%s%s | %s |\n", r->path, text, range, r->unit, r->flags & SETTING_FOLD ? "F" : "", r->flags & SETTING_SHAPE ? "S" : "",
                r->flags & SETTING_RELOAD ? "R" : "", r->sentence);
        free(text);
        json_decref(value);
    }
    fprintf(out, "| `kafka.properties` | `{}` | | | | Passed to librdkafka as they are, after our own; NAME.file is NAME with what stands in that file, for secrets. |\n"
                 "| `profile.currencies` | see sluice.json | | | F | By ISO 4217 code: `amount_max` in minor units, and `rate_num` over `rate_den` "
                 "into the settlement currency. |\n"
                 "| `before` | `[]` | | | | " BEFORE_SENTENCE " |\n");
    settings_fini(&s);
}
