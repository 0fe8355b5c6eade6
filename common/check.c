#include "common/check.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* Takes no memory: there may be none. */
void assert_failed(const char *file, int line, const char *condition)
{
    bool memory = errno == ENOMEM;
    struct timespec now;
    char text[512];
    clock_gettime(CLOCK_REALTIME, &now);
    int size = snprintf(text, sizeof text, "{\"ts\":%lld,\"level\":\"error\",\"code\":\"%s\",\"text\":\"%s:%d: not so: ",
                        (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000, memory ? "out_of_memory" : "assert", file, line);
    for (; *condition && size < (int)sizeof text - 100; condition++) {
        if (*condition == '"' || *condition == '\\')
            text[size++] = '\\';
        text[size++] = *condition;
    }
    size += snprintf(text + size, sizeof text - (size_t)size, "; the process ends, %s\"}\n",
                     memory ? "give it more memory and start it again" : "which is a bug; start it again");
    if (write(STDERR_FILENO, text, (size_t)size) < 0) {
        /* Nowhere left to say it. */
    }
    abort();
}

void *memory_take(size_t size)
{
    void *memory = malloc(size ? size : 1);
    ASSERT(memory);
    return memory;
}

void *memory_more(void *old, size_t size)
{
    void *memory = realloc(old, size ? size : 1);
    ASSERT(memory);
    return memory;
}
