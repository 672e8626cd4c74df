/* SPDX-License-Identifier: MIT */
/*
 * What the tests of dumps share: dumps as strings, and goroutines that are to be seen in them.
 */
#ifndef CONFORMANCE_DUMP_TEXT_H
#define CONFORMANCE_DUMP_TEXT_H

#include "common.h"

#include <stdarg.h>

static KEPT __attribute__((unused)) void recv_it(ag_chan(int) c) {
    ag_recv(c, NULL);
    STAYS;
}

static inline void lock_it(ag_mutex *m) {
    ag_mutex_lock(m);
    ag_mutex_unlock(m);
}

/* Those who receive from it are all who are left. */
static inline void end_all(ag_chan(int) c) {
    ag_close(c);
    eventually(ag_count() == 1);
    ag_unref(c);
}

/* Keep their threads; `here` counts those that do. */
static inline void burn(atomic_int *stop, atomic_int *here) {
    atomic_fetch_add(here, 1);
    while (!atomic_load(stop))
        continue;
}
static inline void sit_in_c(int fd, atomic_int *here) {
    char byte;
    atomic_fetch_add(here, 1);
    ag_check_int(read(fd, &byte, 1), 1);
}

/* The entry of one goroutine, to be freed. */
static __attribute__((noinline, unused)) char *entry_of(int64_t id) {
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    ag_check_int(ag_dump_goroutine(out, id), 0);
    fclose(out);
    return text;
}

static __attribute__((noinline, unused)) char *dump_as(int form) {
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    ag_dump_as(out, form);
    fclose(out);
    return text;
}

/* Does the entry of goroutine `id`, once it waits for what begins with `state`, say this? One that
 * is just about to be parked is looked at again. */
static inline void expect_at(const char *file, int line, int64_t id, const char *state,
                             const char *fmt, ...) {
    char words[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(words, sizeof words, fmt, args);
    va_end(args);
    until_waits_at(file, line, id, state);
    char *text = entry_of(id);
    for (ag_time end = ag_now() + 20 * AG_SEC; !strstr(text, words) && ag_now() < end;) {
        free(text);
        ag_sleep(AG_MS);
        text = entry_of(id);
    }
    ag_test_check_contains(file, line, "the entry", text, words);
    free(text);
}
#define expect_entry(id, state, ...) expect_at(__FILE__, __LINE__, id, state, __VA_ARGS__)

#endif
