/*
 * The runner of a fuzz target:
 *   fuzz_NAME [--seconds N | --runs N] [--seed S] [--corpus DIR] [--file INPUT] [--write DIR]
 * --file runs one input; --write writes twenty good ones, made-NN, from which a corpus begins. One of them, or a
 * .json, that is refused is older than the format, and fails the run.
 */
#include "tests/fuzz/fuzz.h"

#include "common/hash.h"
#include "tests/lib/heap.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define CORPUS_MAX 1024

struct fuzz {
    uint64_t seed, execution, random;
    struct slice corpus[CORPUS_MAX]; /* owned */
    size_t corpus_count, stale_count;
    struct slice input; /* under way */
};

static struct fuzz fuzz;
static size_t allowed = SIZE_MAX; /* bytes of memory for the input under way */

uint64_t fuzz_draw(uint64_t below)
{
    fuzz.random = hash_mix(fuzz.random + 0x9e3779b97f4a7c15u);
    return below ? fuzz.random % below : 0;
}

static void keep_input(const char *why)
{
    char path[128], text[320];
    const char *place = getenv("TMPDIR");
    int size = snprintf(path, sizeof path, "%s/sluice-fuzz-%s", place ? place : "/tmp", fuzz_target.name);
    int fd = size > 0 ? open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644) : -1;
    if (fd >= 0 && write(fd, fuzz.input.at, fuzz.input.size) >= 0)
        close(fd);
    size = snprintf(text, sizeof text, "fuzz_%s: %s; seed %llu, execution %llu; the input is in %s\n", fuzz_target.name, why,
                    (unsigned long long)fuzz.seed, (unsigned long long)fuzz.execution, path);
    if (write(STDERR_FILENO, text, (size_t)size) < 0)
        _exit(1);
}

void fuzz_fail(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    abort();
}

/* A hundred inputs must not take longer: CPU, for a shared machine may stand still, and what only waits. */
enum { CPU_S = 10, WAIT_S = 300 };

static void on_signal(int number)
{
    bool late = number == SIGPROF || number == SIGALRM;
    keep_input(late ? "too long" : number == SIGABRT ? "aborted" : "crashed");
    signal(number, SIG_DFL);
    raise(late ? SIGABRT : number);
}

static void on_death(void)
{
    keep_input("a sanitizer objects");
}

/* Of the sanitizers' runtime, when there is one. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void watch_for_failure(void)
{
    signal(SIGPROF, on_signal);
    signal(SIGALRM, on_signal);
    signal(SIGABRT, on_signal);
    if (__sanitizer_set_death_callback) {
        __sanitizer_set_death_callback(on_death);
        return;
    }
    for (const int *s = (const int[]){SIGSEGV, SIGBUS, SIGFPE, SIGILL, 0}; *s; s++)
        signal(*s, on_signal);
}

static void account(size_t size)
{
    if (heap_watch.asked <= allowed)
        return;
    allowed = SIZE_MAX;
    keep_input("asks for too much memory");
    abort();
}

static bool run(const struct writer *w)
{
    char *exact = malloc(w->size ? w->size : 1); /* so that a sanitizer sees a read beyond the end */
    if (!exact)
        abort();
    if (w->size)
        memcpy(exact, w->data, w->size);
    fuzz.input = (struct slice){exact, (uint32_t)w->size};
    heap_watch.asked = 0;
    allowed = fuzz_target.memory_base + fuzz_target.memory_factor * w->size;
    bool accepted = fuzz_target.run(fuzz.input);
    allowed = SIZE_MAX;
    fuzz.input = (struct slice){0};
    free(exact);
    return accepted;
}

static void insert(struct writer *w, size_t at, const void *bytes, size_t size)
{
    if (w->size + size > fuzz_target.size_max)
        return;
    writer_reserve(w, size);
    memmove(w->data + at + size, w->data + at, w->size - at);
    memcpy(w->data + at, bytes, size);
    w->size += size;
}

static void overwrite(struct writer *w, size_t at)
{
    static const uint64_t odd[] = {0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, INT64_MAX, 1ull << 63, UINT64_MAX};
    uint64_t value = odd[fuzz_draw(sizeof odd / sizeof *odd)];
    for (size_t bytes = (size_t)1 << fuzz_draw(4); bytes > 0 && at < w->size; bytes--, value >>= 8)
        w->data[at++] = (uint8_t)value;
}

static void cut(struct writer *w, size_t at, size_t size)
{
    memmove(w->data + at, w->data + at + size, w->size - at - size);
    w->size -= size;
}

static size_t varint_size(const struct writer *w, size_t at)
{
    size_t size = 1;
    while (at + size < w->size && size < 10 && w->data[at + size - 1] & 0x80)
        size++;
    return size;
}

static void replace_varint(struct writer *w, size_t at, uint64_t value)
{
    uint8_t bytes[10];
    size_t size = (size_t)(varint_at(bytes, value) - bytes);
    cut(w, at, varint_size(w, at));
    insert(w, at, bytes, size);
}

/* Another varint in place of what may be one: a count, a length or a difference. */
static void put_odd_varint(struct writer *w, size_t at)
{
    uint64_t value = fuzz_draw_odd();
    if (at < w->size)
        replace_varint(w, at, value);
}

/* As many more copies of what stands behind a count as are added to it. */
static void crowd(struct writer *w, size_t at)
{
    uint8_t element[40];
    size_t left = w->size - at, each = 1 + fuzz_draw(sizeof element), more = 1 + fuzz_draw(400);
    if (left < each + 1 || w->data[at] >= 0x80)
        return;
    memcpy(element, w->data + at + 1, each);
    replace_varint(w, at, w->data[at] + more);
    for (size_t from = at + varint_size(w, at); more > 0; more--)
        insert(w, from, element, each);
}

/* Another length in front of a text, and a text of that length. */
static void stretch(struct writer *w, size_t at)
{
    uint8_t more[300];
    size_t wanted = fuzz_draw(sizeof more);
    if (at == w->size || w->data[at] > w->size - at - 1)
        return;
    memset(more, 'a', sizeof more);
    cut(w, at + 1, w->data[at]);
    replace_varint(w, at, wanted);
    insert(w, at + varint_size(w, at), more, wanted);
}

static void damage(struct writer *w)
{
    static const char signs[] = "\"\\{}[],:0e.-u \r\n$*+";
    size_t at = fuzz_draw(w->size + 1), left = w->size - at;
    size_t size = fuzz_draw(left < 24 ? left + 1 : 24);
    struct slice other = fuzz.corpus_count ? fuzz.corpus[fuzz_draw(fuzz.corpus_count)] : (struct slice){"", 0};
    size_t from = fuzz_draw(other.size + 1ull);
    uint8_t chunk[24];
    switch (fuzz_draw(12)) {
    case 0: if (left) w->data[at] ^= (uint8_t)(1 << fuzz_draw(8)); break;
    case 1: if (left) w->data[at] = (uint8_t)fuzz_draw(256); break;
    case 2: if (left) w->data[at] = (uint8_t)signs[fuzz_draw(sizeof signs - 1)]; break;
    case 3: overwrite(w, at); break;
    case 4: w->size = at; break;
    case 5: cut(w, at, size); break;
    case 6:
        memcpy(chunk, w->data + at, size);
        insert(w, fuzz_draw(w->size + 1), chunk, size);
        break;
    case 7:
        for (size_t i = 0; i < sizeof chunk; i++)
            chunk[i] = (uint8_t)fuzz_draw(256);
        insert(w, at, chunk, 1 + fuzz_draw(sizeof chunk));
        break;
    case 8: put_odd_varint(w, at); break;
    case 9: crowd(w, at); break;
    case 10: stretch(w, at); break;
    default: insert(w, at, other.at + from, fuzz_draw(other.size - from < 64 ? other.size - from + 1 : 64)); break;
    }
}

static void next_input(struct writer *w)
{
    fuzz.random = hash_mix(fuzz.seed) ^ fuzz.execution;
    w->size = 0;
    writer_reserve(w, 64);
    if (fuzz.corpus_count == 0 || (fuzz_target.make && fuzz_draw(2))) {
        fuzz_target.make(w);
    } else {
        struct slice one = fuzz.corpus[fuzz_draw(fuzz.corpus_count)];
        put_bytes(w, one.at, one.size);
    }
    for (uint64_t n = fuzz_draw(4) ? 1 + fuzz_draw(5) : 0; n > 0; n--)
        damage(w);
}

static bool read_input(const char *path, struct writer *w)
{
    FILE *file = fopen(path, "rb");
    uint8_t bytes[4096];
    size_t size;
    w->size = 0;
    while (file && (size = fread(bytes, 1, sizeof bytes, file)) > 0)
        put_bytes(w, bytes, size);
    if (file)
        fclose(file);
    return file != NULL;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static bool is_good(const char *name)
{
    return !fuzz_target.timed && (strncmp(name, "made-", 5) == 0 || strstr(name, ".json"));
}

/* Runs every input of the corpus as it is, and keeps it. */
static void open_corpus(const char *dir)
{
    struct dirent **names;
    struct writer w = {0};
    int count = scandir(dir, &names, NULL, by_name);
    for (int i = 0; i < count; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", dir, names[i]->d_name);
        if (names[i]->d_name[0] != '.' && fuzz.corpus_count < CORPUS_MAX && read_input(path, &w)) {
            char *copy = malloc(w.size + 1);
            memcpy(copy, w.size ? (const char *)w.data : "", w.size);
            fuzz.corpus[fuzz.corpus_count++] = (struct slice){copy, (uint32_t)w.size};
            bool stale = !run(&w) && is_good(names[i]->d_name);
            if (stale)
                fprintf(stderr, "%s is refused: write the corpus anew (build/tests/fuzz_%s --write %s)\n", path, fuzz_target.name, dir);
            fuzz.stale_count += stale;
        }
        free(names[i]);
    }
    if (count >= 0)
        free(names);
    writer_fini(&w);
}

static int write_inputs(const char *dir)
{
    struct writer w = {0};
    for (uint64_t i = 0, written = 0; written < 20; i++) {
        char path[512];
        w.size = 0;
        fuzz.random = hash_mix(i);
        fuzz_target.make(&w);
        if (!run(&w))
            continue;
        snprintf(path, sizeof path, "%s/made-%02d", dir, (int)written++);
        FILE *file = fopen(path, "wb");
        if (!file || fwrite(w.data, 1, w.size, file) != w.size || fclose(file) != 0)
            return 1;
    }
    writer_fini(&w);
    return 0;
}

int main(int argc, char **argv)
{
    long seconds = 2;
    uint64_t runs = UINT64_MAX, accepted = 0;
    char dir[128];
    const char *corpus = dir, *file = NULL, *write_to = NULL;
    struct writer w = {0};
    snprintf(dir, sizeof dir, "tests/fuzz/corpus/%s", fuzz_target.name);
    fuzz.seed = 1;
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *value = argv[i + 1];
        seconds = strcmp(argv[i], "--seconds") == 0 ? atol(value) : seconds;
        runs = strcmp(argv[i], "--runs") == 0 ? strtoull(value, NULL, 10) : runs;
        fuzz.seed = strcmp(argv[i], "--seed") == 0 ? strtoull(value, NULL, 10) : fuzz.seed;
        corpus = strcmp(argv[i], "--corpus") == 0 ? value : corpus;
        file = strcmp(argv[i], "--file") == 0 ? value : file;
        write_to = strcmp(argv[i], "--write") == 0 ? value : write_to;
    }
    watch_for_failure();
    heap_watch.on_request = account;
    if (write_to)
        return write_inputs(write_to);
    if (file && read_input(file, &w))
        printf("%s\n", run(&w) ? "accepted" : "refused");
    if (file) {
        writer_fini(&w);
        return 0;
    }
    open_corpus(corpus);
    for (time_t end = time(NULL) + seconds; (runs == UINT64_MAX ? time(NULL) < end : true) && fuzz.execution < runs;) {
        setitimer(ITIMER_PROF, &(struct itimerval){.it_value.tv_sec = CPU_S}, NULL);
        alarm(WAIT_S);
        for (int i = 0; i < 100 && fuzz.execution < runs; i++, fuzz.execution++) {
            next_input(&w);
            accepted += run(&w);
        }
    }
    printf("%s: seed %llu, %llu executions, %llu accepted, %zu inputs in the corpus\n", fuzz_target.name, (unsigned long long)fuzz.seed,
           (unsigned long long)fuzz.execution, (unsigned long long)accepted, fuzz.corpus_count);
    for (size_t i = 0; i < fuzz.corpus_count; i++)
        free((char *)(uintptr_t)fuzz.corpus[i].at);
    writer_fini(&w);
    return fuzz.execution > 0 && accepted > 0 && fuzz.stale_count == 0 ? 0 : 1;
}
