#include "tests/lib/heap.h"

#include <errno.h>
#include <stdlib.h>

struct heap_watch heap_watch;

static bool admit(size_t size)
{
    if (heap_watch.paused)
        return true;
    heap_watch.asked += size;
    heap_watch.requests++;
    if (heap_watch.on_request)
        heap_watch.on_request(size);
    if (heap_watch.requests != heap_watch.refuse)
        return true;
    heap_watch.refused = true;
    if (heap_watch.on_refusal)
        heap_watch.on_refusal();
    errno = ENOMEM;
    return false;
}

#ifdef __SANITIZE_ADDRESS__

const bool heap_can_refuse = false;

void __sanitizer_malloc_hook(const volatile void *at, size_t size);
void __sanitizer_malloc_hook(const volatile void *at, size_t size)
{
    (void)at;
    admit(size);
}

#else

const bool heap_can_refuse = true;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *at);

static void *taken(void *at)
{
    if (!heap_watch.paused)
        heap_watch.pieces += at != NULL;
    return at;
}

void *malloc(size_t size)
{
    return admit(size) ? taken(__libc_malloc(size)) : NULL;
}

void *calloc(size_t count, size_t size)
{
    return admit(count * size) ? taken(__libc_calloc(count, size)) : NULL;
}

void *realloc(void *old, size_t size)
{
    if (!admit(size))
        return NULL;
    return old ? __libc_realloc(old, size) : taken(__libc_realloc(NULL, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return admit(size) ? taken(__libc_memalign(alignment, size)) : NULL;
}

void free(void *at)
{
    if (at && !heap_watch.paused)
        heap_watch.pieces--;
    __libc_free(at);
}

#endif
