/* Samples and models as bytes: little-endian, versioned. Floats by their bits. */
#pragma once

#include "common/bytes.h"
#include "common/err.h"
#include "server/engine/learner.h"

#define LEARNER_VERSION 7

void sample_encode(const struct sample *s, struct writer *out);
MUST_CHECK enum err sample_decode(struct slice bytes, struct sample *out);
void model_encode(const struct model *m, struct writer *out);
MUST_CHECK enum err model_decode(struct slice bytes, struct model *out);
