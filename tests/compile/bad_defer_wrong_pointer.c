/* SPDX-License-Identifier: MIT */
/* The call is checked against the prototype. */
// warn: incompatible pointer type
#include <aglet.h>
#include <stdio.h>

void g(int *p);
void g(int *p) {
    ag_defer(fclose, p);
}
