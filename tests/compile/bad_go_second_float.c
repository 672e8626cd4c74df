/* SPDX-License-Identifier: MIT */
/* Every argument is looked at, not only the first. */
// expect: aglet: an argument must be an integer or a pointer
#include <aglet.h>

static void f(int a, const char *b, float c) {
    (void)a, (void)b, (void)c;
}

void g(void);
void g(void) {
    ag_go(f, 1, "text", 2.5f);
}
