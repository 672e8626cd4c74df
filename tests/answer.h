/* SPDX-License-Identifier: MIT */
/*
 * Asking a program from within: a client of ag_debug_answer that keeps what it is told.
 */
#ifndef ANSWER_H
#define ANSWER_H

#include "ag_test.h"
#include <aglet.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct answer {
    int status; /* 0: it never began */
    char type[64];
    char *text; /* to be freed */
    size_t size;
    ag_time leaves_at; /* 0: stays to the end */
    FILE *out;         /* while it comes */
};

static inline int answer_begins(void *arg, int status, const char *type) {
    struct answer *a = (struct answer *)arg;
    a->status = status;
    snprintf(a->type, sizeof a->type, "%s", type);
    return 0;
}
static inline int answer_goes_on(void *arg, const void *data, size_t n) {
    return fwrite(data, 1, n, ((struct answer *)arg)->out) == n ? 0 : -EIO;
}
static inline bool asker_is_gone(void *arg) {
    struct answer *a = (struct answer *)arg;
    return a->leaves_at && ag_now() > a->leaves_at;
}

/* What ag_debug_answer returns; all else is in `a`. */
static inline int ask_within(struct answer *a, const char *target) {
    ag_debug_client client = {a, answer_begins, answer_goes_on, asker_is_gone};
    a->status = 0;
    a->out = open_memstream(&a->text, &a->size);
    int r = ag_debug_answer(target, &client);
    fclose(a->out);
    return r;
}

/* A whole answer with status 200, to be freed. */
static inline char *answer_to(const char *target) {
    struct answer a;
    a.leaves_at = 0;
    ag_check_int(ask_within(&a, target), 0);
    ag_check_int(a.status, 200);
    return a.text;
}

#endif
