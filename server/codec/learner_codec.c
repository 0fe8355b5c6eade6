#include "server/codec/learner_codec.h"

#include "common/mutant.h"
#include "server/engine/stored.h"

#define MODEL_MAX 1e12f
#define TAG_MAX 2.0f     /* they are of unit length together */

static void put_float(struct writer *w, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_u32(w, bits);
}

static float get_float(struct reader *r, float low, float high)
{
    uint32_t bits = get_u32(r);
    float value;
    memcpy(&value, &bits, sizeof value);
    r->failed |= !(value >= low && value <= high);
    return r->failed ? 0 : value;
}

static void put_tags(struct writer *w, const struct model_tag *tags, uint32_t count)
{
    put_varint(w, count);
    for (uint32_t i = 0; i < count; i++) {
        put_slice(w, (struct slice){tags[i].text, tags[i].size});
        put_float(w, tags[i].weight);
    }
}

static uint32_t get_tags(struct reader *r, struct model_tag *out, uint32_t max)
{
    uint32_t count = get_count(r, max, 5);
    for (uint32_t i = 0; i < count && !r->failed; i++) {
        struct slice text = get_slice(r, FUZZ_MUTANT(tag_text_long, 255, SCENE_ID_BYTES));
        out[i].size = r->failed ? 0 : (uint8_t)text.size;
        memcpy(out[i].text, text.at ? text.at : "", out[i].size);
        out[i].weight = get_float(r, -TAG_MAX, TAG_MAX);
    }
    return r->failed ? 0 : count;
}

static void put_choice(struct writer *w, const struct choice *c)
{
    put_u8(w, c->count);
    put_u8(w, REASONS);
    for (int j = 0; j < c->count; j++)
        for (int i = 0; i < REASONS; i++)
            put_u16(w, c->values[j][i]);
}

static void get_choice(struct reader *r, struct choice *out)
{
    uint8_t count = get_u8(r);
    r->failed |= count < 2 || count > FUZZ_MUTANT(choice_long, 200, CHOICE_MAX) || get_u8(r) != REASONS;
    for (int j = 0; j < count && !r->failed; j++)
        for (int i = 0; i < REASONS; i++)
            out->values[j][i] = get_u16(r);
    out->count = r->failed ? 0 : count;
}

void sample_encode(const struct sample *s, struct writer *out)
{
    put_u8(out, LEARNER_VERSION);
    put_u8(out, (uint8_t)s->kind);
    put_u64(out, s->user);
    put_signed(out, s->ts_ms);
    if (s->kind == SAMPLE_CHOICE) {
        put_choice(out, &s->choice);
        return;
    }
    put_u8(out, s->format);
    if (s->kind != SAMPLE_SEEN)
        return;
    put_u8(out, s->value);
    put_u8(out, FEATURES);
    for (int i = 0; i < FEATURES; i++)
        put_float(out, s->features[i]);
    put_tags(out, s->tags, s->tag_count);
}

enum err sample_decode(struct slice bytes, struct sample *out)
{
    struct reader r = reader_of(bytes.at, bytes.size);
    struct sample s = {0};
    if (get_u8(&r) != LEARNER_VERSION)
        return ERR_VERSION;
    s.kind = (enum sample_kind)get_u8(&r);
    s.user = get_u64(&r);
    s.ts_ms = get_event_ms(&r);
    if (s.kind == SAMPLE_CHOICE) {
        get_choice(&r, &s.choice);
    } else {
        s.format = get_u8(&r);
        r.failed |= s.format > FORMATS;
    }
    if (s.kind == SAMPLE_SEEN) {
        s.value = get_u8(&r);
        r.failed |= s.value >= VALUE_TIERS;
        r.failed |= get_u8(&r) != FEATURES;
        for (int i = 0; i < FEATURES; i++)
            s.features[i] = get_float(&r, -FEATURE_MAX, FEATURE_MAX);
        s.tag_count = get_tags(&r, s.tags, SAMPLE_TAGS);
    }
    if (r.failed || reader_left(&r) || (s.kind != SAMPLE_SEEN && s.kind != SAMPLE_BOUGHT && s.kind != SAMPLE_CHOICE))
        return ERR_INVALID;
    *out = s;
    return ERR_NONE;
}

static void put_logistic(struct writer *w, const struct logistic_model *m)
{
    put_varint(w, m->examples);
    put_varint(w, m->positives);
    put_signed(w, m->from_ms);
    put_u8(w, m->mature);
    put_float(w, (float)m->bias);
    for (int i = 0; i < FEATURES; i++) {
        put_float(w, (float)m->mean[i]);
        put_float(w, (float)m->deviation[i]);
        put_float(w, (float)m->weight[i]);
    }
}

static void get_logistic(struct reader *r, struct logistic_model *out)
{
    out->examples = get_varint_max(r, NUMBER_MAX);
    out->positives = get_varint_max(r, out->examples);
    out->from_ms = get_event_ms(r);
    out->mature = get_flag(r);
    out->bias = get_float(r, -MODEL_MAX, MODEL_MAX);
    for (int i = 0; i < FEATURES; i++) {
        out->mean[i] = get_float(r, -MODEL_MAX, MODEL_MAX);
        out->deviation[i] = get_float(r, 0, MODEL_MAX);
        out->weight[i] = get_float(r, -MODEL_MAX, MODEL_MAX);
    }
}

static void put_blend(struct writer *w, const struct blend_model *m)
{
    put_u8(w, BLEND_INPUTS);
    put_varint(w, m->examples);
    for (int i = 0; i < BLEND_INPUTS; i++) {
        put_float(w, (float)m->at[i]);
        put_float(w, (float)m->sure[i]);
    }
}

static void get_blend(struct reader *r, struct blend_model *out)
{
    r->failed |= get_u8(r) != BLEND_INPUTS;
    out->examples = get_varint_max(r, NUMBER_MAX);
    for (int i = 0; i < BLEND_INPUTS; i++) {
        out->at[i] = get_float(r, -MODEL_MAX, MODEL_MAX);
        out->sure[i] = get_float(r, 0, MODEL_MAX);
    }
}

static void put_audience(struct writer *w, const struct segment_audience *a)
{
    put_u8(w, VALUE_TIERS);
    for (int i = 0; i < VALUE_TIERS; i++) {
        put_varint(w, a->tiers[i].users);
        put_float(w, a->tiers[i].intent);
        put_float(w, a->tiers[i].churn);
    }
    put_u8(w, FORMATS);
    for (int i = 0; i < FORMATS; i++) {
        put_varint(w, a->formats[i].looks);
        put_varint(w, a->formats[i].buys);
    }
}

static void get_audience(struct reader *r, struct segment_audience *out)
{
    r->failed |= get_u8(r) != VALUE_TIERS;
    for (int i = 0; i < VALUE_TIERS; i++) {
        out->tiers[i].users = get_varint32(r);
        out->tiers[i].intent = get_float(r, -1, 1);
        out->tiers[i].churn = get_float(r, -1, 1);
    }
    r->failed |= get_u8(r) != FORMATS;
    for (int i = 0; i < FORMATS; i++) {
        out->formats[i].looks = get_varint32(r);
        out->formats[i].buys = get_varint32(r);
    }
}

void model_encode(const struct model *m, struct writer *out)
{
    put_u8(out, LEARNER_VERSION);
    put_u8(out, FEATURES);
    put_varint(out, m->number);
    put_logistic(out, &m->intent);
    put_logistic(out, &m->churn);
    put_blend(out, &m->blend);
    put_varint(out, m->segment_count);
    for (uint32_t i = 0; i < m->segment_count; i++) {
        put_varint(out, m->segments[i].users);
        put_tags(out, m->segments[i].tags, m->segments[i].tag_count);
        put_audience(out, &m->segments[i].audience);
    }
}

enum err model_decode(struct slice bytes, struct model *out)
{
    struct reader r = reader_of(bytes.at, bytes.size);
    struct model m = {0};
    if (get_u8(&r) != LEARNER_VERSION || get_u8(&r) != FEATURES)
        return ERR_VERSION;
    m.number = get_varint_max(&r, NUMBER_MAX);
    get_logistic(&r, &m.intent);
    get_logistic(&r, &m.churn);
    get_blend(&r, &m.blend);
    m.segment_count = get_count(&r, FUZZ_MUTANT(segments_overflow, 10000, SEGMENTS_MAX), 2);
    for (uint32_t i = 0; i < m.segment_count && !r.failed; i++) {
        m.segments[i].users = get_varint_max(&r, NUMBER_MAX);
        m.segments[i].tag_count = get_tags(&r, m.segments[i].tags, SEGMENT_TAGS);
        get_audience(&r, &m.segments[i].audience);
    }
    if (r.failed || reader_left(&r))
        return ERR_INVALID;
    *out = m;
    return ERR_NONE;
}
