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

static bool parse(const struct backtest_ope *b, const struct settings *settings, struct offpolicy_settings *out)
{
    double places = b->traffic ? DRAWS_MAX : 3, clip = 20, within = (double)settings->daemon.worker.profile.attribution_ms / 1000;
    *out = (struct offpolicy_settings){.worker = &settings->daemon.worker, .reward = EVENT_ENTER};
    if (b->within && !b->traffic) {
        fputs("sluice backtest: --within goes with --traffic: a list's rewards name their recommendation\n", stderr);
        return false;
    }
    if ((b->reward && !parse_reward(b->reward, &out->reward)) || !parse_number("--places", b->places, 1, DRAWS_MAX, &places) ||
        !parse_number("--clip", b->clip, 1, 1e9, &clip) || !parse_number("--within", b->within, 0, 1e6, &within))
        return false;
    out->places = (uint32_t)places;
    out->clip = clip;
    out->within_ms = (int64_t)(within * 1000);
    return true;
}

static const char *decisions_of(const struct backtest_ope *b)
{
    return b->traffic ? "weights" : "lists";
}

static void print_json(const struct backtest_ope *b, const struct offpolicy_settings *s, const struct offpolicy_answer *a, const struct journal *j)
{
    const struct estimated *e = &a->estimated;
    printf(",\"data.bad_lines\":%llu,\"data.%s\":%llu,\"data.impressions\":%llu,\"data.rewards\":%llu,\"data.clipped\":%llu,\"data.zero_weights\":%llu",
           (unsigned long long)journal_bad(j), decisions_of(b), (unsigned long long)a->decisions, (unsigned long long)e->shown, (unsigned long long)e->rewards,
           (unsigned long long)e->clipped, (unsigned long long)e->zero);
    printf(",\"data.effective_size\":%.1f,\"data.weight_max\":%.6g,\"clip\":%g,\"places\":%u", e->effective, e->weight_max, s->clip, s->places);
    for (int i = 0; i < ESTIMATES; i++)
        if (isfinite(e->of[i].value))
            printf(",\"%s.value\":%.6g,\"%s.se\":%.3g", estimate_names[i], e->of[i].value, estimate_names[i], isfinite(e->of[i].error) ? e->of[i].error : 0);
    puts("}");
}

static void print_text(const struct backtest_ope *b, const struct offpolicy_settings *s, const struct offpolicy_answer *a, const struct journal *j)
{
    static const char *const what[ESTIMATES] = {"what the log earned", "inverse propensity", "self-normalised", "doubly robust", "doubly robust, less the log", "mean weight, 1 if all is well"};
    const struct estimated *e = &a->estimated;
    printf("%llu bad lines; %llu %s, %llu impressions of the first %u places, %llu with %s\n", (unsigned long long)journal_bad(j), (unsigned long long)a->decisions, decisions_of(b),
           (unsigned long long)e->shown, s->places, (unsigned long long)e->rewards, event_type_name(s->reward));
    printf("weighed, as good as %.0f impressions drawn from it; greatest weight %.1f, %llu cut at %g, %llu zero\n\n", e->effective, e->weight_max,
           (unsigned long long)e->clipped, s->clip, (unsigned long long)e->zero);
    for (int i = 0; i < ESTIMATES; i++)
        if (isfinite(e->of[i].value))
            printf("%-12s %9.5f +- %.5f   %s\n", estimate_names[i], e->of[i].value, isfinite(e->of[i].error) ? e->of[i].error : 0, what[i]);
}

int backtest_ope(const struct backtest_ope *b, const struct settings *settings)
{
    struct offpolicy_settings s;
    struct offpolicy_answer a;
    if (!parse(b, settings, &s))
        return EXIT_USAGE;
    struct journal *j = journal_open(b->path);
    if (!j)
        return 1;
    bool good = b->traffic ? offpolicy_traffic(&s, j, &a) : offpolicy_lists(&s, j, &a);
    printf(b->json ? "{\"protocol\":\"ope\",\"configuration\":\"%016llx\"" : "configuration %016llx\n", (unsigned long long)settings_hash(&settings->daemon));
    if (b->json)
        print_json(b, &s, &a, j);
    else
        print_text(b, &s, &a, j);
    if (a.decisions == 0)
        fprintf(stderr, "sluice backtest: %s holds no lines of %s: see `sluice simulate --record`\n", b->path, b->traffic ? "live.traffic" : "live.recommendations");
    good = good && a.decisions && journal_bad(j) == 0;
    journal_close(j);
    return good ? 0 : 1;
}
