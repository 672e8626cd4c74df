/* SPDX-License-Identifier: MIT */
/* Functions that travel with their arguments: none to six, every kind of integer and pointer. */
#include <aglet.h>
#include <stdlib.h>

enum colour { RED, GREEN };

static void none(void) {
}

static void six(char a, unsigned short b, long c, enum colour d, bool e, const char *f) {
    (void)a, (void)b, (void)c, (void)d, (void)e, (void)f;
}

static int answer(const int *p) {
    return *p;
}

int words(void);
int words(void) {
    int value = 42;
    void *memory = malloc(16);
    ag_defer(free, memory);
    ag_defer(none);
    ag_go(none);
    ag_go(six, 'a', 1, 2L, GREEN, true, "six");
    ag_go_opts opts = {"worker", 0, NULL, false};
    ag_go_with(&opts, six, 'a', 1, 2L, RED, false, NULL);
    ag_panic_info info;
    if (ag_try(&info, answer, &value) == AG_PANICKED)
        return -1;
    ag_try(NULL, none);
    for (int i = 0; i < 2; i++) {
        ag_defer(none);
    }
    return (int)ag_blocking(answer, &value);
}
