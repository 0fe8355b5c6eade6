/*
 * Threads and locks as ThreadSanitizer sees them, preloaded.
 *
 * It knows pthread_create and pthread_mutex_lock, but not the thrd_create and mtx_lock of the C library, of which librdkafka is
 * made. Without them the client's threads crash in the sanitizer's heap, and what its queues order looks like a race. So
 * C11 threads are done here with POSIX ones; the types are the C library's own (mtx_t has the layout of pthread_mutex_t).
 *
 * A call that comes from librdkafka itself is overlooked (tsan.supp), and that goes for locks too; those that the library
 * takes by their POSIX names pass through here, so they are seen.
 *
 * When a lock may be destroyed is decided by reference counts inside the library, which the sanitizer does not see: the write
 * that it takes a destruction for is not looked at.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

_Static_assert(sizeof(mtx_t) == sizeof(pthread_mutex_t) && sizeof(cnd_t) == sizeof(pthread_cond_t), "the layouts of this C library");

/* Of the sanitizer's runtime. */
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);

struct start {
    thrd_start_t function;
    void *arg;
};

static void *run(void *arg)
{
    struct start start = *(struct start *)arg;
    free(arg);
    return (void *)(intptr_t)start.function(start.arg);
}

static int result_of(int err)
{
    return err == 0 ? thrd_success : err == EBUSY ? thrd_busy : err == ETIMEDOUT ? thrd_timedout : err == ENOMEM ? thrd_nomem : thrd_error;
}

int thrd_create(thrd_t *thread, thrd_start_t function, void *arg)
{
    struct start *start = malloc(sizeof *start);
    if (!start)
        return thrd_nomem;
    *start = (struct start){function, arg};
    int err = pthread_create(thread, NULL, run, start);
    if (err)
        free(start);
    return result_of(err);
}

int thrd_join(thrd_t thread, int *out_result)
{
    void *value = NULL;
    int err = pthread_join(thread, &value);
    if (!err && out_result)
        *out_result = (int)(intptr_t)value;
    return result_of(err);
}

int mtx_init(mtx_t *mutex, int type)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, type & mtx_recursive ? PTHREAD_MUTEX_RECURSIVE : PTHREAD_MUTEX_NORMAL);
    int err = pthread_mutex_init((pthread_mutex_t *)mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return result_of(err);
}

void mtx_destroy(mtx_t *mutex)
{
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
    pthread_mutex_destroy((pthread_mutex_t *)mutex);
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
}

int mtx_lock(mtx_t *mutex)
{
    return result_of(pthread_mutex_lock((pthread_mutex_t *)mutex));
}

int mtx_trylock(mtx_t *mutex)
{
    return result_of(pthread_mutex_trylock((pthread_mutex_t *)mutex));
}

int mtx_unlock(mtx_t *mutex)
{
    return result_of(pthread_mutex_unlock((pthread_mutex_t *)mutex));
}

int cnd_init(cnd_t *condition)
{
    return result_of(pthread_cond_init((pthread_cond_t *)condition, NULL));
}

void cnd_destroy(cnd_t *condition)
{
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
    pthread_cond_destroy((pthread_cond_t *)condition);
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
}

int cnd_signal(cnd_t *condition)
{
    return result_of(pthread_cond_signal((pthread_cond_t *)condition));
}

int cnd_broadcast(cnd_t *condition)
{
    return result_of(pthread_cond_broadcast((pthread_cond_t *)condition));
}

int cnd_wait(cnd_t *condition, mtx_t *mutex)
{
    return result_of(pthread_cond_wait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex));
}

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until)
{
    return result_of(pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, until));
}

void call_once(once_flag *flag, void (*function)(void))
{
    pthread_once((pthread_once_t *)flag, function);
}

/* The next function of the same name: the sanitizer's. */
static int call_next(const char *name, pthread_rwlock_t *lock)
{
    int (*next)(pthread_rwlock_t *);
    *(void **)&next = dlsym(RTLD_NEXT, name);
    return next(lock);
}

int pthread_rwlock_rdlock(pthread_rwlock_t *lock)
{
    return call_next("pthread_rwlock_rdlock", lock);
}

int pthread_rwlock_wrlock(pthread_rwlock_t *lock)
{
    return call_next("pthread_rwlock_wrlock", lock);
}

int pthread_rwlock_unlock(pthread_rwlock_t *lock)
{
    return call_next("pthread_rwlock_unlock", lock);
}

int pthread_rwlock_destroy(pthread_rwlock_t *lock)
{
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
    int err = call_next("pthread_rwlock_destroy", lock);
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    return err;
}
