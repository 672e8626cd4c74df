/* SPDX-License-Identifier: MIT */
/* Wider than a word. */
// expect: aglet: an argument must be an integer or a pointer
#include <aglet.h>

__extension__ typedef __int128 wide;

static void f(wide n) {
    (void)n;
}

void g(void);
void g(void) {
    ag_go(f, (wide)1);
}
