#include "tests/lib/starve.h"

#include "tests/lib/heap.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WENT_ON = 10, WRONG, LEAKED };

/* In a process of its own, for it may end. */
static int try_without(bool (*operation)(void *arg), void *arg, uint64_t number, int output)
{
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        dup2(output, STDERR_FILENO);
        int64_t pieces = heap_watch.pieces;
        heap_watch.requests = 0;
        heap_watch.refuse = number;
        bool right = operation(arg);
        _exit(!right ? WRONG : heap_watch.pieces != pieces ? LEAKED : WENT_ON);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return status;
}

static bool names_the_cause(int output)
{
    char text[4096];
    ssize_t size = pread(output, text, sizeof text - 1, 0);
    text[size > 0 ? size : 0] = 0;
    return strstr(text, "\"code\":\"out_of_memory\"") != NULL;
}

static void judge(const char *name, uint64_t number, int status, int output, struct starved *sum)
{
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    bool ended = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && names_the_cause(output);
    sum->requests++;
    sum->ended += ended;
    sum->went_on += code == WENT_ON;
    if (ended || code == WENT_ON)
        return;
    if (sum->bad++ < 10)
        fprintf(stderr, "%s without request %llu: %s%d\n", name, (unsigned long long)number,
                code == WRONG ? "another result, code " : code == LEAKED ? "a leak, code " : WIFSIGNALED(status) ? "signal " : "exit code ",
                WIFSIGNALED(status) ? WTERMSIG(status) : code);
}

void starve(const char *name, bool (*operation)(void *arg), void *arg, struct starved *sum)
{
    int output = memfd_create("starve", 0);
    bool right = output >= 0 && operation(arg);
    heap_watch.requests = 0;
    right = right && operation(arg);
    uint64_t requests = heap_watch.requests;
    if (!right) {
        fprintf(stderr, "%s is wrong with all memory there\n", name);
        sum->bad++;
        requests = 0;
    }
    for (uint64_t number = 1; number <= requests; number++) {
        int status = try_without(operation, arg, number, output);
        judge(name, number, status, output, sum);
        if (ftruncate(output, 0) != 0 || lseek(output, 0, SEEK_SET) != 0)
            sum->bad++;
    }
    close(output);
}

int starved_report(const char *name, const struct starved *sum)
{
    printf("%s: %llu requests for memory refused, one at a time: %llu ended with their line, %llu went on, %llu otherwise\n", name,
           (unsigned long long)sum->requests, (unsigned long long)sum->ended, (unsigned long long)sum->went_on, (unsigned long long)sum->bad);
    return sum->bad > 0 || sum->requests == 0;
}
