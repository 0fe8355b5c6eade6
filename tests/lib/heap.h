/*
 * The heap of a test program, watched: what is asked for, how many pieces live, and one chosen request refused. It stands
 * before the C library's, so it also sees jansson, hiredis, libevent and OpenSSL. Under a sanitizer, which has a
 * heap of its own, it only counts what is asked for.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_watch {
    size_t asked;        /* bytes, summed */
    uint64_t requests;
    int64_t pieces;      /* taken and not given back */
    uint64_t refuse;     /* the request of this number finds no memory; 0: none */
    bool refused;
    bool paused;         /* nothing is counted or refused: memory of what is outside the process */
    void (*on_request)(size_t size);
    void (*on_refusal)(void); /* may leave by longjmp */
};

extern struct heap_watch heap_watch;
extern const bool heap_can_refuse;
