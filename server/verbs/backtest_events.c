#include "server/verbs/backtest_events.h"

#include "server/rehearse/hindsight.h"
#include "server/verbs/verb.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One configuration over the journal. */
struct run {
    struct tally *tally; /* owned */
    struct hindsight_counts counts;
    struct valued values[TALLY_VALUES];
};

/* Types by their names, commas between. 0: one of them is none that can be asked for. */
static uint32_t parse_interest(const char *text)
{
    uint32_t mask = 0;
    for (const char *at = text; *at; at += strcspn(at, ","), at += *at == ',') {
        size_t size = strcspn(at, ",");
        int type = 0;
        while (type < EVENT_TYPES && !(strlen(event_type_name((enum event_type)type)) == size && memcmp(event_type_name((enum event_type)type), at, size) == 0))
            type++;
        if (type == EVENT_TYPES || type == EVENT_IMPRESSION || type == EVENT_FORGET) {
            fprintf(stderr, "sluice backtest: --interest: %.*s is no event a user makes of an entity\n", (int)size, at);
            return 0;
        }
        mask |= 1u << type;
    }
    return mask;
}

static bool parse_settings(const struct backtest_events *b, struct hindsight_settings *out)
{
    char *end = NULL;
    out->interest = b->interest ? parse_interest(b->interest) : INTEREST_DEFAULT;
    double within_s = b->within ? strtod(b->within, &end) : WITHIN_DEFAULT_MS / 1000.0;
    if (b->within && (end == b->within || *end || !(within_s >= 0 && within_s <= 1e8))) {
        fprintf(stderr, "sluice backtest: --within takes seconds, not %s\n", b->within);
        return false;
    }
    out->within_ms = (int64_t)(within_s * 1000);
    return out->interest != 0;
}

static bool is_told(const struct run *r, int value)
{
    int scope = value / MEASURES / RIVALS;
    bool both = tally_count(r->tally, KIND_ROOM) && tally_count(r->tally, KIND_ITEM);
    return isfinite(r->values[value].value) && (scope == 0 || both || value >= SCOPES * RIVALS * MEASURES);
}

static void print_counts_json(const struct run *r, uint64_t bad)
{
    const struct hindsight_counts *c = &r->counts;
    uint64_t positives, guesses = tally_guesses(r->tally, &positives);
    printf(",\"data.lines\":%llu,\"data.bad_lines\":%llu,\"data.events\":%llu,\"data.applied\":%llu,\"data.duplicates\":%llu,\"data.dead_letters\":%llu",
           (unsigned long long)c->lines, (unsigned long long)bad, (unsigned long long)c->events, (unsigned long long)c->applied,
           (unsigned long long)c->duplicates, (unsigned long long)c->dead_letters);
    printf(",\"data.asked\":%llu,\"data.asked_rooms\":%llu,\"data.asked_items\":%llu,\"data.impossible\":%llu,\"data.new_users\":%llu,\"data.intents\":%llu,\"data.intents_bought\":%llu",
           (unsigned long long)(c->asked[KIND_ROOM] + c->asked[KIND_ITEM]), (unsigned long long)c->asked[KIND_ROOM], (unsigned long long)c->asked[KIND_ITEM],
           (unsigned long long)(c->impossible[KIND_ROOM] + c->impossible[KIND_ITEM]), (unsigned long long)c->new_users, (unsigned long long)guesses, (unsigned long long)positives);
    printf(",\"sluice.ns_per_event\":%.0f,\"sluice.ns_per_ranking\":%.0f", c->event_ns, c->ranking_ns);
}

static void print_values_json(const struct run *r, const char *prefix, const struct valued *values)
{
    char method[32], metric[48];
    for (int i = 0; i < TALLY_VALUES; i++) {
        if (!is_told(r, i) || !isfinite(values[i].value))
            continue;
        tally_name(i, method, metric);
        printf(",\"%s%s.%s\":%.6g", prefix, method, metric, values[i].value);
        if (isfinite(values[i].error))
            printf(",\"%s%s.%s_se\":%.3g", prefix, method, metric, values[i].error);
    }
}

static void print_counts(const struct run *r, uint64_t bad)
{
    const struct hindsight_counts *c = &r->counts;
    uint64_t positives, guesses = tally_guesses(r->tally, &positives);
    printf("%llu lines, %llu of them bad; %llu events: %llu applied, %llu duplicates, %llu dead letters\n", (unsigned long long)(c->lines + bad), (unsigned long long)bad,
           (unsigned long long)c->events, (unsigned long long)c->applied, (unsigned long long)c->duplicates, (unsigned long long)c->dead_letters);
    printf("asked before %llu rooms and %llu items that users took; %llu of them nobody could be offered, %llu were of users never seen before\n",
           (unsigned long long)c->asked[KIND_ROOM], (unsigned long long)c->asked[KIND_ITEM],
           (unsigned long long)(c->impossible[KIND_ROOM] + c->impossible[KIND_ITEM]), (unsigned long long)c->new_users);
    printf("purchase intents judged: %llu, of which %llu bought\n", (unsigned long long)guesses, (unsigned long long)positives);
    printf("CPU: %.0f ns an event, %.0f ns a ranking\n", c->event_ns, c->ranking_ns);
}

static void print_scope(const struct run *r, int scope, const struct valued *values)
{
    static const char *const names[SCOPES] = {"all", "rooms", "items"};
    if (!is_told(r, value_at(scope, RIVAL_SLUICE, MEASURE_HR_10)))
        return;
    printf("\n%-11s", names[scope]);
    for (int m = 0; m < MEASURES; m++)
        printf(" %16s", measure_names[m]);
    putchar('\n');
    for (int k = 0; k < RIVALS; k++) {
        printf("%-11s", rival_names[k]);
        for (int m = 0; m < MEASURES; m++) {
            const struct valued *v = &values[value_at(scope, (enum rival)k, (enum measure)m)];
            char text[40] = "-";
            if (isfinite(v->value))
                snprintf(text, sizeof text, m == MEASURE_NOVELTY ? "%.2f +- %.2f" : "%.4f +- %.4f", v->value, isfinite(v->error) ? v->error : 0);
            printf(" %16s", text);
        }
        putchar('\n');
    }
}

static void print_values(const struct run *r, const struct valued *values)
{
    for (int scope = 0; scope < SCOPES; scope++)
        print_scope(r, scope, values);
    for (int g = 0; g < GUESSES; g++) {
        char method[32], metric[48];
        const struct valued *v = &values[value_of_guess((enum guess)g)];
        tally_name(value_of_guess((enum guess)g), method, metric);
        if (isfinite(v->value))
            printf("%s%-11s %-16s %.4f +- %.4f\n", g ? "" : "\n", method, metric, v->value, isfinite(v->error) ? v->error : 0);
    }
}

static bool run_one(struct run *r, const struct hindsight_settings *s, struct journal *j)
{
    r->tally = tally_create();
    bool good = hindsight_run(s, j, r->tally, &r->counts);
    tally_values(r->tally, r->values);
    return good;
}

static void print_run(const struct run *r, const struct settings *s, const struct journal *j)
{
    printf("configuration %016llx%s%s\n", (unsigned long long)settings_hash(&s->daemon), s->file ? ", " : "", s->file ? s->file : "");
    print_counts(r, journal_bad(j));
    print_values(r, r->values);
}

/* Both, then the second less the first. */
static void print_both(const struct run runs[2], const struct settings *const settings[2], const struct journal *j)
{
    static struct valued difference[TALLY_VALUES];
    for (int i = 0; i < 2; i++) {
        print_run(&runs[i], settings[i], j);
        putchar('\n');
    }
    tally_differences(runs[0].tally, runs[1].tally, difference);
    printf("second less first; settings that differ:");
    if (settings_differences(&settings[0]->daemon, &settings[1]->daemon, stdout, " ", "") == 0)
        printf(" none");
    putchar('\n');
    print_values(&runs[0], difference);
}

static void print_json(const struct run runs[2], const struct settings *const settings[2], const struct journal *j)
{
    static struct valued difference[TALLY_VALUES];
    printf("{\"protocol\":\"events\",\"configuration\":\"%016llx\"", (unsigned long long)settings_hash(&settings[0]->daemon));
    print_counts_json(&runs[0], journal_bad(j));
    print_values_json(&runs[0], "", runs[0].values);
    if (settings[1]) {
        tally_differences(runs[0].tally, runs[1].tally, difference);
        printf(",\"compared.configuration\":\"%016llx\",\"differs\":\"", (unsigned long long)settings_hash(&settings[1]->daemon));
        settings_differences(&settings[0]->daemon, &settings[1]->daemon, stdout, " ", "");
        putchar('"');
        print_values_json(&runs[0], "compared.", runs[1].values);
        print_values_json(&runs[0], "difference.", difference);
    }
    puts("}");
}

int backtest_events(const struct backtest_events *b, const struct settings *settings)
{
    static struct run runs[2];
    static struct settings second;
    const struct settings *both[2] = {settings, b->compare ? &second : NULL};
    struct hindsight_settings s = {.worker = &settings->daemon.worker};
    if (!parse_settings(b, &s))
        return EXIT_USAGE;
    settings_init(&second);
    if (b->compare && !(settings_load(&second, b->compare, stderr) && settings_finish(&second, stderr)))
        return EXIT_CONFIG;
    struct journal *j = journal_open(b->path);
    bool good = j != NULL;
    for (int i = 0; good && i < 2 && both[i]; i++) {
        s.worker = &both[i]->daemon.worker;
        good = run_one(&runs[i], &s, j);
    }
    if (good && b->json)
        print_json(runs, both, j);
    else if (good && b->compare)
        print_both(runs, both, j);
    else if (good)
        print_run(&runs[0], settings, j);
    good = good && journal_bad(j) == 0;
    for (int i = 0; i < 2; i++)
        tally_destroy(runs[i].tally);
    settings_fini(&second);
    journal_close(j);
    return good ? 0 : 1;
}
