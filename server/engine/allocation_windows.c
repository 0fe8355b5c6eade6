/*
 * Windows of a room by difference of cumulative totals. A sample is taken at the first tick of a minute; those of
 * the last 10 minutes are kept each, older ones only where the minute divides by five. A window of w minutes starts
 * at the latest sample that is at least w minutes old, so the 5 and 10 minute windows reach back up to a minute
 * further and the others up to five; a room younger than the window starts at zero. At most SAMPLES_MAX samples.
 */
#include "server/engine/allocation_state.h"

#define FINE_MINUTES 11
#define COARSE_MINUTES 5
#define KEPT_MINUTES 65

void windows_sample(struct room *r, int64_t minute)
{
    if (r->sample_count && r->samples[r->sample_count - 1].minute >= minute)
        return;
    /* The latest sample of KEPT_MINUTES or older serves as the start of the longest window. */
    uint8_t first = 0, kept = 0;
    while (first + 1 < r->sample_count && r->samples[first + 1].minute <= minute - KEPT_MINUTES)
        first++;
    for (uint8_t i = first; i < r->sample_count; i++) {
        int64_t at = r->samples[i].minute;
        if (i == first || at > minute - FINE_MINUTES || at % COARSE_MINUTES == 0)
            r->samples[kept++] = r->samples[i];
    }
    if (kept == SAMPLES_MAX) {
        memmove(r->samples, r->samples + 1, (SAMPLES_MAX - 1) * sizeof *r->samples);
        kept--;
    }
    struct sample *s = &r->samples[kept];
    s->minute = minute;
    for (int i = 0; i < SAMPLED; i++)
        s->totals[i] = r->tally.totals[sampled_counters[i]];
    r->sample_count = (uint8_t)(kept + 1);
}

void windows_read(const struct room *r, int64_t minute, enum window w, int64_t out[SAMPLED])
{
    static const int64_t length[WINDOWS] = {5, 10, 30, 60};
    windows_back(r, minute, length[w], out);
}

void windows_back(const struct room *r, int64_t minute, int64_t minutes, int64_t out[SAMPLED])
{
    int at = r->sample_count - 1;
    while (at >= 0 && r->samples[at].minute > minute - minutes)
        at--;
    for (int i = 0; i < SAMPLED; i++) {
        int64_t since = at < 0 ? 0 : r->samples[at].totals[i];
        int64_t difference = r->tally.totals[sampled_counters[i]] - since;
        out[i] = difference > 0 ? difference : 0;
    }
}
