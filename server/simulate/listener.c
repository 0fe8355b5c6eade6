#include "server/simulate/listener.h"

const char *const heard_topics[HEARDS + 1] = {"live.recommendations", "live.traffic", "live.segments", "live.hosts", "live.alerts", NULL};

static void take_traffic(const struct listener *l, struct feedback *f, struct slice key, struct slice value, int64_t now_ms)
{
    struct traffic t;
    if (!feedback_traffic(f, key, value, &t))
        return;
    /* A room that left the pool stays out. */
    int64_t life_ms = t.weight < 0 ? INT32_MAX : t.valid_until - t.ts;
    world_weigh(l->world, t.scene, t.room, t.weight, now_ms, life_ms);
}

void listener_take(const struct listener *l, enum heard topic, struct slice key, struct slice value, int64_t now_ms)
{
    struct feedback f = {NULL};
    struct advice r;
    struct segment s;
    struct ranking k;
    struct alert a;
    switch (topic) {
    case HEARD_RECOMMENDATIONS:
        if (feedback_recommendation(&f, value, &r))
            world_recommend(l->world, &r, now_ms);
        break;
    case HEARD_TRAFFIC:
        take_traffic(l, &f, key, value, now_ms);
        break;
    case HEARD_SEGMENTS:
        if (feedback_segment(&f, key, value, &s))
            report_segment(l->report, &s);
        break;
    case HEARD_HOSTS:
        if (feedback_ranking(&f, key, value, &k))
            report_ranking(l->report, &k, now_ms);
        break;
    case HEARD_ALERTS:
        if (feedback_alert(&f, value, &a))
            report_alert(l->report, &a, now_ms);
        break;
    case HEARDS:
        break;
    }
    feedback_done(&f);
}
