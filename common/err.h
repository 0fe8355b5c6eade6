/* The closed list of what a fallible function may answer. A module with richer refusals has its own enum. */
#pragma once

#define MUST_CHECK __attribute__((warn_unused_result))

enum err {
    ERR_NONE = 0,
    ERR_INVALID,   /* the bytes or the request are malformed */
    ERR_NOT_FOUND, /* what was asked for is not there */
    ERR_CONFLICT,  /* somebody else's position, token or version stands there */
    ERR_TOO_LARGE, /* beyond a stated limit */
    ERR_VERSION,   /* written by a version this binary does not read */
    ERR_TIMEOUT,   /* no answer within the deadline: the outcome is unknown */
    ERR_IO,        /* the peer, file or socket failed */
    ERR_MEMORY,    /* out of memory, ours or the store's */
    ERR_FATAL,     /* cannot go on; the process should exit non-zero */
};

const char *err_name(enum err err);
