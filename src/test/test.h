/* SPDX-License-Identifier: MIT */
/*
 * test.h - what the two files of the library for tests share: the record of a test.
 */
#ifndef AG_TEST_PRIVATE_H
#define AG_TEST_PRIVATE_H

#include <aglet/test.h>

/* Which call is to fail. Any goroutine of the test may come along while it is being changed. */
struct ag__plan {
    int calls; /* Atomic; AG_FAIL_*, 0: none */
    int nth;   /* Constant while `calls` is set. */
    int err;   /* Constant while `calls` is set. */
    int seen;  /* Atomic. */
    int failed;
};

/* A test; it lives as long as its call or one of its goroutines. */
struct ag__test {
    struct ag__group group; /* first: a group is its test */
    struct ag__plan plan;
    const char *name;
    ag_time limit;
    const struct ag__site *site;
    ag__fn fn;
    intptr_t args[6];
    ag_chan(char) done; /* closed when fn has ended */
    int result;
    intptr_t value;
    ag_panic_info panic;
    bool began, is_left;
};

#endif
