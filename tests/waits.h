/* SPDX-License-Identifier: MIT */
/*
 * The state of another goroutine, and waiting until it waits.
 */
#ifndef TESTS_WAITS_H
#define TESTS_WAITS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "ag_test.h"
#include <aglet.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The words between [ and ] or , of `goroutine ID … [state, …]:`; "" when there is none. */
static inline const char *state_of(int64_t id, char buf[64]) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    buf[0] = 0;
    int status = ag_dump_goroutine(out, id);
    fclose(out);
    char *begin = status == 0 ? strchr(text, '[') : NULL;
    if (begin)
        snprintf(buf, 64, "%.*s", (int)strcspn(begin + 1, ",]\n"), begin + 1);
    free(text);
    return buf;
}

/* Does goroutine `id` wait for something, in a state that begins with these words? "" is any. */
static inline bool waits(int64_t id, const char *words) {
    char state[64];
    state_of(id, state);
    return state[0] && strncmp(state, "run", 3) != 0 && strncmp(state, words, strlen(words)) == 0;
}

/* Waits until goroutine `id` waits for what begins with these words. */
static inline void until_waits_at(const char *file, int line, int64_t id, const char *words) {
    char state[64];
    for (ag_time end = ag_now() + 20 * AG_SEC * ag_test_slow(); !waits(id, words);) {
        if (ag_now() > end)
            ag_test_fail(file, line, "goroutine %lld never waits for \"%s\", it is \"%s\"",
                         (long long)id, words, state_of(id, state));
        ag_sleep(AG_MS / 4);
    }
}
#define until_waits(id) until_waits_at(__FILE__, __LINE__, id, "")
#define until_waits_for(id, words) until_waits_at(__FILE__, __LINE__, id, words)

#endif
