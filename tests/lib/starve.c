#include "tests/lib/starve.h"

#include "common/hash.h"
#include "common/map.h"
#include "tests/lib/heap.h"

#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define FRAMES_MAX 24
#define FRAMES_OWN 3 /* of this file and heap.c */

enum { WENT_ON = 10, REFUSED, ENDED, MISSED, WRONG, LEAKED };

static struct map places, chosen; /* by hash of the chain of calls; by number of the request */
static uint64_t numbered;

/* In a process of its own, for it may end. */
static int try_without(enum starve_result (*operation)(void *arg), void *arg, uint64_t number, int output)
{
    pid_t child = fork();
    if (child == 0) {
        alarm(300);
        dup2(output, STDERR_FILENO);
        int64_t pieces = heap_watch.pieces;
        heap_watch.requests = 0;
        heap_watch.refuse = number;
        enum starve_result result = operation(arg);
        _exit(!heap_watch.refused ? MISSED : result == STARVE_WRONG ? WRONG : result == STARVE_ENDED ? ENDED : heap_watch.pieces != pieces ? LEAKED : result == STARVE_REFUSED ? REFUSED : WENT_ON);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return status;
}

static bool has(int output, const char *what)
{
    char text[4096];
    ssize_t size = pread(output, text, sizeof text - 1, 0);
    text[size > 0 ? size : 0] = 0;
    return strstr(text, what) != NULL;
}

static bool names_the_cause(int output)
{
    return has(output, "\"code\":\"out_of_memory\"");
}

bool starve_line_stands(void)
{
    return names_the_cause(STDERR_FILENO);
}

bool starve_said(const char *what)
{
    return has(STDERR_FILENO, what);
}

static void judge(const char *name, uint64_t number, int status, int output, struct starved *sum)
{
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    bool ended = code == ENDED || (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && names_the_cause(output));
    sum->tried++;
    sum->ended += ended;
    sum->went_on += code == WENT_ON;
    sum->refused += code == REFUSED;
    sum->missed += code == MISSED;
    if (ended || (code >= WENT_ON && code <= MISSED))
        return;
    if (sum->bad++ < 10)
        fprintf(stderr, "%s without request %llu: %s%d\n", name, (unsigned long long)number,
                code == WRONG ? "another result, code " : code == LEAKED ? "a leak, code " : WIFSIGNALED(status) ? "signal " : "exit code ",
                WIFSIGNALED(status) ? WTERMSIG(status) : code);
}

static void on_request(size_t size)
{
    void *frames[FRAMES_MAX];
    numbered++;
    heap_watch.paused = true;
    int count = backtrace(frames, FRAMES_MAX);
    uint64_t place = count > FRAMES_OWN ? hash64(frames + FRAMES_OWN, (size_t)(count - FRAMES_OWN) * sizeof *frames, 1) : 1;
    if (!map_find(&places, place)) {
        map_put(&places, place, &places);
        map_put(&chosen, numbered, &places);
    }
    heap_watch.paused = false;
}

/* The requests that the operation makes; those that are first of their place are then in `chosen`. */
static bool count_requests(enum starve_result (*operation)(void *arg), void *arg)
{
    on_request(0); /* backtrace() loads what it needs */
    map_fini(&chosen);
    numbered = 0;
    heap_watch.on_request = on_request;
    bool right = operation(arg) == STARVE_RIGHT;
    heap_watch.on_request = NULL;
    return right;
}

void starve(const char *name, enum starve_result (*operation)(void *arg), void *arg, struct starved *sum)
{
    int output = memfd_create("starve", 0);
    bool right = output >= 0 && operation(arg) == STARVE_RIGHT && count_requests(operation, arg);
    uint64_t requests = right ? numbered : 0;
    if (!right) {
        fprintf(stderr, "%s is wrong with all memory there\n", name);
        sum->bad++;
    }
    sum->requests += requests;
    sum->places = places.count;
    uint64_t every = sum->spread && requests > sum->spread ? requests / sum->spread : 1;
    for (uint64_t number = 1; number <= requests; number++) {
        if (number % every != 0 && !map_find(&chosen, number))
            continue;
        int status = try_without(operation, arg, number, output);
        judge(name, number, status, output, sum);
        if (ftruncate(output, 0) != 0 || lseek(output, 0, SEEK_SET) != 0)
            sum->bad++;
    }
    close(output);
}

int starved_report(const char *name, const struct starved *sum)
{
    printf("%s: %llu requests for memory from %llu places, %llu of them refused, one at a time: %llu ended with their line, "
           "%llu went on, %llu were refused by name, %llu never came, %llu otherwise\n",
           name, (unsigned long long)sum->requests, (unsigned long long)sum->places, (unsigned long long)sum->tried,
           (unsigned long long)sum->ended, (unsigned long long)sum->went_on, (unsigned long long)sum->refused,
           (unsigned long long)sum->missed, (unsigned long long)sum->bad);
    return sum->bad > 0 || sum->tried == 0 || sum->missed > sum->tried / 10;
}
