#include "server/rehearse/offpolicy.h"

#include "server/rehearse/shadow.h"

#include <stdio.h>

enum offpolicy_record offpolicy_fold(const struct offpolicy_settings *s, struct shadow *shadow, const struct journal *j,
                                     const struct journal_record *r, struct event *out_event)
{
    static struct event_scratch scratch;
    enum shadow_answer answer = shadow_record(shadow, r);
    if (answer == SHADOW_STUCK) {
        fprintf(stderr, "%s:%llu: %s\n", journal_path(j), (unsigned long long)r->line, shadow_reason(shadow));
        return OFFPOLICY_STUCK;
    }
    bool applied = r->topic == TOPIC_EVENTS && answer == SHADOW_APPLIED;
    return applied && event_decode(&s->worker->event_rules, r->key, r->value, &scratch, out_event) == EVENT_ACCEPTED ? OFFPOLICY_EVENT : OFFPOLICY_OTHER;
}
