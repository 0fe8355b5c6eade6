/*
 * Arms are fixed ranges of a circle of a thousand places onto which users are hashed: an arm that grows, shrinks or ends moves
 * only its own users, from and to "a". The hash is mixed with a salt, so that one experiment's arms say nothing of the next one's.
 */
#include "server/engine/experiment.h"

#include "common/hash.h"

#define PLACES 1000

const char *const arm_names[ARMS] = {"a", "b", "c", "d", "e", "f", "g", "h"};

void experiment_settings_default(struct experiment_settings *s)
{
    *s = (struct experiment_settings){0};
    for (int i = 0; i < ARMS_TOLD; i++) {
        s->explore_ppm[i] = -1;
        for (int k = 0; k < REASONS; k++)
            s->weights[i][k] = -1;
    }
}

const char *experiment_fault(const struct experiment_settings *s)
{
    for (int i = 0; i < ARMS_TOLD; i++) {
        if (s->from[i] + s->share[i] > PLACES)
            return "an arm ends at 1000 thousandths: `from` and `share` together are no more";
        for (int k = 0; k < i; k++)
            if (s->share[i] && s->share[k] && s->from[i] < s->from[k] + s->share[k] && s->from[k] < s->from[i] + s->share[i])
                return "two arms share users: each has those from `from` on, `share` thousandths of them";
    }
    return NULL;
}

bool experiment_uses(const struct experiment_settings *s, int arm)
{
    return arm == 0 || s->share[arm - 1] > 0;
}

int experiment_arm(const struct experiment_settings *s, struct slice user)
{
    uint32_t place = (uint32_t)((hash_mix(hash64(user.at, user.size, s->salt)) >> 32) * PLACES >> 32);
    for (int i = 0; i < ARMS_TOLD; i++)
        if (place - s->from[i] < s->share[i]) /* unsigned: below `from` is far above */
            return i + 1;
    return 0;
}

void experiment_apply(const struct experiment_settings *s, int arm, struct recommend_settings *out)
{
    if (arm == 0)
        return;
    if (s->explore_ppm[arm - 1] >= 0)
        out->explore_ppm = (uint32_t)s->explore_ppm[arm - 1];
    for (int k = 0; k < REASONS; k++)
        if (s->weights[arm - 1][k] >= 0) {
            out->weights[k] = (uint32_t)s->weights[arm - 1][k];
            out->own_weights |= 1u << k;
        }
}
