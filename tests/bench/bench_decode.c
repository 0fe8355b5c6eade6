/*
 * ns per event decoded: ours, and jansson's parse of the same bytes alone, taking turns over the same thousand events:
 * types as in the reference job, ids and numbers of different lengths.
 */
#include "common/hash.h"
#include "server/codec/event_decode.h"
#include "tests/bench/cpu.h"

#include <jansson.h>
#include <stdio.h>

#define EVENTS 1000

struct sample {
    char text[256], user[16];
    struct slice value, key;
};

static void build(struct sample *s, uint64_t seed)
{
    static const char *const types[16] = {"watch", "watch", "watch", "watch", "enter", "click", "chat", "like",
                                          "vote", "gift", "cart", "purchase", "impression", "impression", "leave", "question"};
    uint64_t r = hash_mix(seed + 1);
    const char *type = types[r & 15];
    unsigned item = (unsigned)(r >> 8) % 10000, room = item % 2000;
    snprintf(s->user, sizeof s->user, "u_%u", (unsigned)(r >> 24) % 200000);
    int size = snprintf(s->text, sizeof s->text,
                        "{\"v\":1,\"id\":\"01J%013x\",\"ts\":1732370000123,\"type\":\"%s\",\"user\":\"%s\",\"room\":\"r_%u\","
                        "\"host\":\"h_%u\",\"item\":\"c_%u\",\"scene\":\"home\",\"dwell_ms\":%u}",
                        (unsigned)seed, type, s->user, room, room % 700, item, (unsigned)(r >> 40) % 60000);
    s->value = (struct slice){s->text, (uint32_t)size};
    s->key = slice_of(s->user);
}

int main(void)
{
    enum { ROUNDS = 400 };
    static struct event_scratch scratch;
    static struct sample samples[EVENTS];
    struct event e;
    struct event_rules rules = {true}; /* all are accepted, as in the reference job */
    double ours = 0, theirs = 0;
    uint64_t accepted = 0, parsed = 0;
    for (uint64_t i = 0; i < EVENTS; i++)
        build(&samples[i], i);
    for (int round = 0; round < ROUNDS; round++) {
        double start = cpu_ns();
        for (int i = 0; i < EVENTS; i++)
            accepted += event_decode(&rules, samples[i].key, samples[i].value, &scratch, &e) == EVENT_ACCEPTED;
        double middle = cpu_ns();
        for (int i = 0; i < EVENTS; i++) {
            json_t *root = json_loadb(samples[i].value.at, samples[i].value.size, JSON_REJECT_DUPLICATES, NULL);
            parsed += json_object_size(root) > 0;
            json_decref(root);
        }
        ours += middle - start;
        theirs += cpu_ns() - middle;
    }
    printf("{\"decode.ns_per_event\":%.1f,\"decode.jansson_ns_per_event\":%.1f,\"decode.jansson_ratio\":%.2f}\n",
           ours / ROUNDS / EVENTS, theirs / ROUNDS / EVENTS, theirs / ours);
    return accepted != ROUNDS * EVENTS || parsed != ROUNDS * EVENTS;
}
