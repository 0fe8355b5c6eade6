#include "server/simulate/report.h"

#include <math.h>

/* One finding a row; NAN: nothing to tell. */
struct row {
    const char *name;
    double value;
    const char *says;
};

static void print_row(const struct row *row, bool json, bool first, FILE *to)
{
    bool whole = fabs(row->value) < 1e15 && row->value == floor(row->value);
    if (!json && !isnan(row->value))
        fprintf(to, whole ? "%-30s %12.0f  %s\n" : "%-30s %12.4f  %s\n", row->name, row->value, row->says);
    if (!json)
        return;
    fprintf(to, "%s\"%s\":", first ? "{" : ",", row->name);
    if (isnan(row->value) || isinf(row->value))
        fputs("null", to);
    else
        fprintf(to, whole ? "%.0f" : "%.6g", row->value);
}

void report_print(const struct findings *f, const struct world *w, bool json, FILE *to)
{
    const struct world_counts *c = world_counts(w);
    const struct row rows[] = {
        {"records", (double)c->records, "sent, with duplicates and malformed ones"},
        {"events", (double)c->events, ""},
        {"duplicates", (double)c->duplicates, ""},
        {"late", (double)c->late, ""},
        {"malformed", (double)c->malformed, ""},
        {"slates_recommended", (double)c->slates_recommended, "lists shown that came from a recommendation"},
        {"slates_other", (double)c->slates_other, "lists shown to treated users without one"},
        {"uplift", f->uplift, "purchases per exposure, treated over control"},
        {"uplift_se", f->uplift_se, "its standard error"},
        {"uplift_expected", f->uplift_expected, "the same of the chances of purchase, without the luck of the draw"},
        {"uplift_expected_se", f->uplift_expected_se, ""},
        {"treated_purchases_per_exposure", f->treated_rate, ""},
        {"control_purchases_per_exposure", f->control_rate, ""},
        {"treated_exposures", (double)f->treated_exposures, ""},
        {"treated_purchases", (double)f->treated_purchases, ""},
        {"control_exposures", (double)f->control_exposures, ""},
        {"control_purchases", (double)f->control_purchases, ""},
        {"new_host_share", f->new_host_share, "of the rooms shown to treated users, by hosts in their first half hour"},
        {"new_host_even", f->new_host_even, "what it would be if all live rooms were shown alike"},
        {"kendall_tau", f->kendall_tau, "of the published host rankings against the truth, among those listed"},
        {"kendall_tau_warm", f->kendall_tau_warm, "of those in force when the warm-up ended"},
        {"kendall_ceiling", f->kendall_ceiling, "of the same hosts as a perfect observer would order them"},
        {"kendall_ceiling_own", f->kendall_ceiling_own, "of the hosts that a perfect observer would list"},
        {"kendall_tau_all", f->kendall_tau_all, "over all pairs that a ranking orders, listed before not listed"},
        {"kendall_ceiling_all", f->kendall_ceiling_all, "likewise of a perfect observer"},
        {"host_regret", f->host_regret, "what the first host lacks to the best one's worth, as a share"},
        {"host_regret_least", f->host_regret_least, "of a perfect observer"},
        {"ranked_pairs", (double)f->ranked_pairs, ""},
        {"scenario_host_rank", f->scenario_host_rank, "of the star or lecturer, 1 = first"},
        {"segment_purity", f->purity, "against true tastes"},
        {"segments", (double)f->segments, ""},
        {"segment_users", (double)f->segment_users, ""},
        {"intent_auc", f->intent_auc, "of published purchase intent"},
        {"intent_ceiling", f->intent_ceiling, "of the purchases to expect by the truth"},
        {"intent_ceiling_seen", f->intent_ceiling_seen, "of who tells spending from looks and purchases, and knows all else"},
        {"intent_share", f->intent_share, "of samples with a purchase within the horizon"},
        {"intent_ece", f->intent_ece, "expected calibration error over ten groups"},
        {"intent_samples", (double)f->intent_samples, ""},
        {"churn_auc", f->churn_auc, "of published churn risk"},
        {"churn_ceiling", f->churn_ceiling, "of who knew, of every user, the true rhythm and whether the visit pleases"},
        {"churn_share", f->churn_share, "of samples that stayed away"},
        {"churn_samples", (double)f->churn_samples, ""},
        {"alert_precision", f->alert_precision, "of those that name the room and the step of a fault that was injected"},
        {"alert_recall", f->alert_recall, "of the injected faults"},
        {"alert_recall_seen", f->alert_recall_seen, "of those that cost ten events or more"},
        {"alerts", (double)f->alerts, ""},
        {"faults", (double)f->faults, "injected"},
        {"faults_seen", (double)f->faults_seen, "that cost ten events or more"},
        {"latency_p50_ms", f->latency_p50_ms, "append of an event to receipt of the list it caused"},
        {"latency_p99_ms", f->latency_p99_ms, ""},
        {"latency_count", (double)f->latency_count, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        print_row(&rows[i], json, i == 0, to);
    if (json)
        fputs("}\n", to);
}
