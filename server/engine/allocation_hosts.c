/*
 * Which host should sell an item: hosts known in the scene, ranked per item that a live room lists. Each part lies in
 * [0, 1] and is weighed by host_part_ppm; the score is their sum.
 *   entrance, dwell, interaction, conversion, gpm
 *                r / (1 + r), r^2 = what an exposure to the host yields over what it yields in its cohort, see
 *                allocation_results.c: 1/2 is average, and the root keeps a best seller of thirty times the average apart
 *                from one of sixty. Results are rates, so that a famous host is not a good one
 *   domain       the item's category and tags among the host's domains, the k-th of which (from 0) counts 2 / (2 + k);
 *                the category counts as two
 *   style        styles of the host that are among the item's tags
 *   fans         log2(fans + 1) / 24
 *   commission   1 - commission
 *
 * Items are ranked round robin, rank_items a tick; a ranking is sent when its order or a score's percent changed,
 * and after rank_refresh_ms.
 * Cost: a tick reads every host of the scene once an item that is ranked.
 */
#include "server/engine/allocation_state.h"

#include <string.h>

static bool has_tag(const struct tags *t, uint32_t tag)
{
    for (int i = 0; i < t->count; i++)
        if (t->at[i] == tag)
            return true;
    return false;
}

bool item_speaks_of(const struct item *it, uint32_t domain)
{
    return it->category == domain || has_tag(&it->tags, domain);
}

static int32_t domain_match(const struct host *h, const struct item *it)
{
    int64_t got = 0;
    for (int k = 0; k < h->domains.count; k++) {
        int64_t worth = 2ll * PPM / (2 + k);
        got += h->domains.at[k] == it->category ? 2 * worth : has_tag(&it->tags, h->domains.at[k]) ? worth : 0;
    }
    int64_t share = got / (2 + it->tags.count);
    /* The category alone is a full match when no tag names a domain at all. */
    int64_t category = h->domains.count ? got / 2 : 0;
    share = category > share ? category : share;
    return (int32_t)(share > PPM ? PPM : share);
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
        [HOST_DOMAIN] = domain_match(h, it),
        [HOST_STYLE] = style_match(h, it),
        [HOST_FANS] = fans_log(h->fans),
        [HOST_COMMISSION] = h->commission_bp >= 10000 ? 0 : PPM - h->commission_bp * 100,
    };
    memcpy(share, h->results_ppm, sizeof h->results_ppm);
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
    if (print == it->ranking && c->tick_ms - it->ranked_ms < s->rank_refresh_ms)
        return;
    it->ranking = print;
    it->ranked_ms = c->tick_ms;
    *out_add_ranking(out) = ranking;
}

void hosts_tick(struct scene *c, const struct allocation_settings *s, struct scene_out *out)
{
    results_tick(c, s);
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
