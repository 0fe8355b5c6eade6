#include "server/rehearse/offpolicy.h"
#include "server/verbs/backtest_events.h"
#include "server/verbs/verb.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool parse_reward(const char *text, enum event_type *out)
{
    static const enum event_type types[] = {EVENT_CLICK, EVENT_ENTER, EVENT_PURCHASE};
    for (int i = 0; i < 3; i++)
        if (strcmp(event_type_name(types[i]), text) == 0) {
            *out = types[i];
            return true;
        }
    fprintf(stderr, "sluice backtest: --reward is click, enter or purchase, not %s\n", text);
    return false;
}

static bool parse_number(const char *name, const char *text, double least, double most, double *to)
{
    char *end;
    double value = text ? strtod(text, &end) : *to;
    if (text && (end == text || *end || !(value >= least && value <= most))) {
        fprintf(stderr, "sluice backtest: %s takes a number from %g to %g, not %s\n", name, least, most, text);
        return false;
    }
    *to = value;
    return true;
}

static void print_json(const struct offpolicy_settings *s, const struct offpolicy_answer *a, const struct journal *j)
{
    printf(",\"data.bad_lines\":%llu,\"data.lists\":%llu,\"data.impressions\":%llu,\"data.rewards\":%llu,\"data.clipped\":%llu,\"data.zero_weights\":%llu",
           (unsigned long long)journal_bad(j), (unsigned long long)a->lists, (unsigned long long)a->impressions, (unsigned long long)a->rewards,
           (unsigned long long)a->clipped, (unsigned long long)a->zero);
    printf(",\"data.effective_size\":%.1f,\"data.weight_max\":%.6g,\"clip\":%g,\"places\":%u", a->effective, a->weight_max, s->clip, s->places);
    for (int e = 0; e < ESTIMATES; e++)
        if (isfinite(a->estimates[e].value))
            printf(",\"%s.value\":%.6g,\"%s.se\":%.3g", estimate_names[e], a->estimates[e].value, estimate_names[e],
                   isfinite(a->estimates[e].error) ? a->estimates[e].error : 0);
    puts("}");
}

static void print_text(const struct offpolicy_settings *s, const struct offpolicy_answer *a, const struct journal *j)
{
    static const char *const what[ESTIMATES] = {"what the log earned", "inverse propensity", "self-normalised", "doubly robust", "doubly robust, less the log", "mean weight, 1 if all is well"};
    printf("%llu bad lines; %llu lists, %llu impressions of their first %u places, %llu with %s\n", (unsigned long long)journal_bad(j), (unsigned long long)a->lists,
           (unsigned long long)a->impressions, s->places, (unsigned long long)a->rewards, event_type_name(s->reward));
    printf("weights: as good as %.0f impressions drawn from it, greatest %.1f, %llu cut at %g, %llu zero\n\n", a->effective, a->weight_max,
           (unsigned long long)a->clipped, s->clip, (unsigned long long)a->zero);
    for (int e = 0; e < ESTIMATES; e++)
        if (isfinite(a->estimates[e].value))
            printf("%-12s %9.5f +- %.5f   %s\n", estimate_names[e], a->estimates[e].value, isfinite(a->estimates[e].error) ? a->estimates[e].error : 0, what[e]);
}

int backtest_ope(const struct backtest_ope *b, const struct settings *settings)
{
    struct offpolicy_settings s = {.worker = &settings->daemon.worker, .reward = EVENT_ENTER};
    struct offpolicy_answer a;
    double places = 3, clip = 20;
    if ((b->reward && !parse_reward(b->reward, &s.reward)) || !parse_number("--places", b->places, 1, OFFPOLICY_PLACES_MAX, &places) ||
        !parse_number("--clip", b->clip, 1, 1e9, &clip))
        return EXIT_USAGE;
    s.places = (uint32_t)places;
    s.clip = clip;
    struct journal *j = journal_open(b->path);
    if (!j)
        return 1;
    bool good = offpolicy_run(&s, j, &a);
    printf(b->json ? "{\"protocol\":\"ope\",\"configuration\":\"%016llx\"" : "configuration %016llx\n", (unsigned long long)settings_hash(&settings->daemon));
    if (b->json)
        print_json(&s, &a, j);
    else
        print_text(&s, &a, j);
    if (a.lists == 0)
        fprintf(stderr, "sluice backtest: %s holds no lines of live.recommendations: see `sluice simulate --record`\n", b->path);
    good = good && a.lists && journal_bad(j) == 0;
    journal_close(j);
    return good ? 0 : 1;
}
