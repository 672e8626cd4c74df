/* SPDX-License-Identifier: MIT */
/* A complex argument does not travel in an integer register. */
// expect: aglet: an argument must be an integer or a pointer
#include <aglet.h>

static void f(_Complex float z) {
    (void)z;
}

void g(_Complex float z);
void g(_Complex float z) {
    ag_go(f, z);
}
