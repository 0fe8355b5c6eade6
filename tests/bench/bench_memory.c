/*
 * bench_memory PORT WHAT COUNT: stores so many users, counters of items or neighbour lists of 256 in that Redis under the
 * keys the daemon uses, and prints the bytes of a blob; WHAT = touch reads and writes 200,000 of COUNT stored users, as
 * many at a time as a commit. Without arguments: the blobs, and what it takes to load and save a user.
 */
#include "common/hash.h"
#include "server/engine/profile.h"
#include "server/io/redis_store.h"
#include "tests/bench/ordinary.h"
#include "tests/bench/cpu.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#define KINDS 2000  /* different blobs; the rest are their copies under other keys */
#define BATCH 500
#define NEIGHBOURS 256

enum what { USERS, COUNTERS_OF, NEIGHBOURS_OF };

static void make(enum what what, uint64_t seed, struct writer *out)
{
    if (what == USERS)
        ordinary_user(seed, 100000, out);
    else if (what == COUNTERS_OF)
        ordinary_counters(seed, out);
    else
        ordinary_neighbours(seed, NEIGHBOURS, out);
}

static void add_key(struct writer *command, enum what what, int32_t partition, uint64_t i)
{
    static const char classes[] = "ucn";
    static struct writer key;
    key.size = 0;
    redis_blob_name("sluice", what == USERS ? STAGE_PROFILE : STAGE_ENTITY, partition, (struct blob_key){classes[what], hash_mix(i)}, &key);
    command_add(command, (struct slice){(char *)key.data, (uint32_t)key.size});
}

static void ask(redisContext *c, const struct writer *command)
{
    redisReply *reply = NULL;
    redisAppendFormattedCommand(c, (char *)command->data, command->size);
    if (redisGetReply(c, (void **)&reply) != REDIS_OK || reply->type == REDIS_REPLY_ERROR)
        exit(1);
    freeReplyObject(reply);
}

/* The i-th user or item stands in the slot of partition i / BATCH % 16, so that a batch is of one slot as in a commit. */
static void set_batch(redisContext *c, enum what what, uint64_t first, uint64_t end, const struct writer *blobs)
{
    static struct writer command;
    command.size = 0;
    command_begin(&command, (size_t)(1 + 2 * (end - first)));
    command_add_text(&command, "MSET");
    for (uint64_t i = first; i < end; i++) {
        add_key(&command, what, (int32_t)(first / BATCH % 16), i);
        command_add(&command, (struct slice){(char *)blobs[i % KINDS].data, (uint32_t)blobs[i % KINDS].size});
    }
    ask(c, &command);
}

static void touch(redisContext *c, uint64_t count, const struct writer *blobs)
{
    static struct writer get, set;
    for (uint64_t n = 0, random = 1; n < 200000 / BATCH; n++) {
        int32_t partition = (int32_t)(n % 16);
        get.size = set.size = 0;
        command_begin(&get, 1 + BATCH);
        command_add_text(&get, "MGET");
        command_begin(&set, 1 + 2 * BATCH);
        command_add_text(&set, "MSET");
        for (int k = 0; k < BATCH; k++) {
            random = hash_mix(random + 0x9e3779b97f4a7c15u);
            uint64_t row = random % (count / BATCH / 16) * 16 + (uint64_t)partition, i = row * BATCH + (random >> 40) % BATCH;
            add_key(&get, USERS, partition, i);
            add_key(&set, USERS, partition, i);
            command_add(&set, (struct slice){(char *)blobs[i % KINDS].data, (uint32_t)blobs[i % KINDS].size});
        }
        ask(c, &get);
        ask(c, &set);
    }
}

static void time_user(const struct writer *blobs)
{
    enum { ROUNDS = 100 };
    static struct profile *p[KINDS];
    struct writer out = {0};
    double load_ns = 0, save_ns = 0;
    for (int round = 0; round < ROUNDS; round++) {
        double start = cpu_ns();
        for (int i = 0; i < KINDS; i++)
            if (profile_decode((struct slice){(char *)blobs[i].data, (uint32_t)blobs[i].size}, &p[i]) != ERR_NONE)
                exit(1);
        double middle = cpu_ns();
        for (int i = 0; i < KINDS; i++) {
            out.size = 0;
            profile_encode(p[i], &out);
        }
        load_ns += middle - start;
        save_ns += cpu_ns() - middle;
        for (int i = 0; i < KINDS; i++)
            profile_destroy(p[i]);
    }
    printf(",\"load_ns\":%.0f,\"save_ns\":%.0f", load_ns / KINDS / ROUNDS, save_ns / KINDS / ROUNDS);
    writer_fini(&out);
}

int main(int argc, char **argv)
{
    static struct writer blobs[KINDS];
    static const char *const names[] = {"users", "counters", "neighbours"};
    redisContext *c = argc > 3 ? redisConnect("127.0.0.1", atoi(argv[1])) : NULL;
    uint64_t count = c ? strtoull(argv[3], NULL, 10) : 0;
    printf("{");
    bool touches = c && strcmp(argv[2], "touch") == 0;
    for (enum what what = USERS; what <= NEIGHBOURS_OF; what++) {
        if (c && strcmp(argv[2], touches ? "touch" : names[what]) != 0)
            continue;
        size_t bytes = 0;
        for (uint64_t i = 0; i < KINDS; i++) {
            blobs[i].size = 0;
            make(what, i, &blobs[i]);
            bytes += blobs[i].size;
        }
        for (uint64_t i = 0; i < count && !touches; i += BATCH)
            set_batch(c, what, i, i + BATCH < count ? i + BATCH : count, blobs);
        if (touches) {
            touch(c, count, blobs);
            break;
        }
        printf("%s\"%s_blob_bytes\":%.1f", !c && what ? "," : "", names[what], (double)bytes / KINDS);
        if (!c && what == USERS)
            time_user(blobs);
    }
    puts("}");
    return 0;
}
