/* SPDX-License-Identifier: MIT */
/* Six arguments are the limit, and the message says so. */
// expect: aglet: at most six arguments
#include <aglet.h>

static void f(int a, int b, int c, int d, int e, int g, int h) {
    (void)a, (void)b, (void)c, (void)d, (void)e, (void)g, (void)h;
}

void start(void);
void start(void) {
    ag_go(f, 1, 2, 3, 4, 5, 6, 7);
}
