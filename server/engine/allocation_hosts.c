/*
 * Which host should sell an item: hosts known in the scene, ranked per item that a live room lists. Each part lies in
 * [0, 1] and is weighed by host_part_ppm; the score is their sum.
 *   conversion, gpm  r / (1 + r), r = the host's rate (orders, GMV a 1000 enters) shrunk with host_prior enters to
 *                    the scene's, over the scene's: 1/2 is average
 *   domain           the item's category and tags that are domains of the host; the category counts as two
 *   style            styles of the host that are among the item's tags
 *   fans             log2(fans + 1) / 24
 *   commission       1 - commission
 * Items are ranked round robin, rank_items a tick; a ranking is sent when its order or a score's percent changed.
 */
#include "server/engine/allocation_state.h"

/* Average 1/2 when nothing is known of anybody. */
static int32_t against(double count, double trials, double all_count, double all_trials, double prior)
{
    double pooled = all_trials > 0 ? all_count / all_trials : 0;
    if (pooled <= 0)
        return PPM / 2;
    double r = trials + prior > 0 ? (count + prior * pooled) / (trials + prior) / pooled : 1;
    return r > 0 ? (int32_t)(r / (1 + r) * PPM) : 0;
}

static void results(struct scene *c, const struct allocation_settings *s)
{
    double enter = 0, purchase = 0, gmv = 0;
    for (uint32_t i = 0; i < c->hosts.count; i++) {
        const int64_t *t = ((struct host *)c->hosts.at[i])->tally.totals;
        enter += (double)t[COUNTER_ENTER];
        purchase += (double)t[COUNTER_PURCHASE];
        gmv += (double)roi_revenue(t);
    }
    for (uint32_t i = 0; i < c->hosts.count; i++) {
        struct host *h = c->hosts.at[i];
        const int64_t *t = h->tally.totals;
        double n = (double)t[COUNTER_ENTER];
        h->results_ppm[0] = against((double)t[COUNTER_PURCHASE], n, purchase, enter, s->host_prior);
        h->results_ppm[1] = against((double)roi_revenue(t), n, gmv, enter, s->host_prior);
    }
}

static bool has_tag(const struct tags *t, uint32_t tag)
{
    for (int i = 0; i < t->count; i++)
        if (t->at[i] == tag)
            return true;
    return false;
}

static int32_t domain_match(const struct host *h, const struct item *it)
{
    int32_t got = has_tag(&h->domains, it->category) ? 2 : 0;
    for (int i = 0; i < it->tags.count; i++)
        got += has_tag(&h->domains, it->tags.at[i]);
    return (int32_t)((int64_t)got * PPM / (2 + it->tags.count));
}

static int32_t style_match(const struct host *h, const struct item *it)
{
    int32_t got = 0;
    for (int i = 0; i < h->style.count; i++)
        got += has_tag(&it->tags, h->style.at[i]);
    return h->style.count ? (int32_t)((int64_t)got * PPM / h->style.count) : 0;
}

static int32_t fans_log(int64_t fans)
{
    int bits = fans > 0 ? 63 - __builtin_clzll((uint64_t)fans + 1) : 0;
    return bits >= 24 ? PPM : bits * (PPM / 24);
}

static struct ranked_host rate(const struct allocation_settings *s, const struct host *h, const struct item *it)
{
    struct ranked_host r = {.host = h->name, .live = h->refs_live > 0};
    int32_t share[HOST_PARTS] = {
        [HOST_CONVERSION] = h->results_ppm[0],
        [HOST_GPM] = h->results_ppm[1],
        [HOST_DOMAIN] = domain_match(h, it),
        [HOST_STYLE] = style_match(h, it),
        [HOST_FANS] = fans_log(h->fans),
        [HOST_COMMISSION] = h->commission_bp >= 10000 ? 0 : PPM - h->commission_bp * 100,
    };
    for (int p = 0; p < HOST_PARTS; p++) {
        r.parts[p] = (int32_t)((int64_t)share[p] * s->host_part_ppm[p] / PPM);
        r.score_ppm += r.parts[p];
    }
    return r;
}

/* Keeps the best, ties in the order of ids. */
static void insert(struct out_ranking *to, uint32_t max, const struct ranked_host *r)
{
    uint32_t at = to->count;
    while (at > 0 && to->hosts[at - 1].score_ppm < r->score_ppm)
        at--;
    if (at >= max)
        return;
    uint32_t end = to->count < max ? to->count++ : max - 1;
    memmove(to->hosts + at + 1, to->hosts + at, (end - at) * sizeof *r);
    to->hosts[at] = *r;
}

static uint32_t print_of(const struct out_ranking *r)
{
    uint64_t h = r->count;
    for (uint32_t i = 0; i < r->count; i++) {
        const struct ranked_host *at = &r->hosts[i];
        uint64_t rest = (uint64_t)at->live << 32 | (uint32_t)(at->score_ppm / 10000);
        h = hash_mix(h ^ hash64(at->host.at, at->host.size, rest));
    }
    return (uint32_t)h | 1;
}

static void rank(struct scene *c, const struct allocation_settings *s, struct item *it, struct scene_out *out)
{
    uint32_t max = s->rank_top < RANK_MAX ? s->rank_top : RANK_MAX;
    struct out_ranking ranking = {.item = it->name};
    for (uint32_t i = 0; i < c->hosts.count; i++) {
        struct ranked_host r = rate(s, c->hosts.at[i], it);
        insert(&ranking, max, &r);
    }
    uint32_t print = print_of(&ranking);
    if (print == it->ranking)
        return;
    it->ranking = print;
    *out_add_ranking(out) = ranking;
}

void hosts_tick(struct scene *c, const struct allocation_settings *s, struct scene_out *out)
{
    results(c, s);
    uint32_t start = 0, ranked = 0, seen;
    while (start < c->items.count && c->items.ids[start] < c->rank_next)
        start++;
    for (seen = 0; seen < c->items.count && ranked < s->rank_items; seen++) {
        struct item *it = c->items.at[(start + seen) % c->items.count];
        if (it->refs_live == 0)
            continue;
        rank(c, s, it, out);
        ranked++;
    }
    if (c->items.count)
        c->rank_next = c->items.ids[(start + seen) % c->items.count];
}
