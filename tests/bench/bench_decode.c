/* ns per event decoded: ours, and jansson's parse of the same bytes alone, taking turns. */
#include "server/codec/event_decode.h"

#include <jansson.h>
#include <stdio.h>
#include <time.h>

static double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

int main(void)
{
    enum { ROUNDS = 20, EVENTS = 20000 };
    static struct event_scratch scratch;
    struct event e;
    struct event_rules rules = {false};
    char text[256];
    double ours = 0, theirs = 0;
    uint64_t sum = 0;
    for (int round = 0; round < ROUNDS; round++) {
        int size = snprintf(text, sizeof text,
                            "{\"v\":1,\"id\":\"01J%013x\",\"ts\":1732370000123,\"type\":\"watch\",\"user\":\"u_88\",\"room\":\"r_102\",\"host\":\"h_55\","
                            "\"item\":\"c_77\",\"scene\":\"home\",\"dwell_ms\":15000}", round);
        struct slice value = {text, (uint32_t)size};
        double start = cpu_ns();
        for (int i = 0; i < EVENTS; i++)
            sum += event_decode(&rules, (struct slice){"u_88", 4}, value, &scratch, &e) + e.dwell_ms;
        double middle = cpu_ns();
        for (int i = 0; i < EVENTS; i++) {
            json_t *root = json_loadb(text, (size_t)size, JSON_REJECT_DUPLICATES, NULL);
            sum += json_object_size(root);
            json_decref(root);
        }
        ours += middle - start;
        theirs += cpu_ns() - middle;
    }
    printf("{\"decode.ns_per_event\":%.1f,\"decode.jansson_ns_per_event\":%.1f,\"decode.jansson_ratio\":%.2f,\"decode.checksum\":%llu}\n",
           ours / ROUNDS / EVENTS, theirs / ROUNDS / EVENTS, theirs / ours, (unsigned long long)sum);
    return 0;
}
