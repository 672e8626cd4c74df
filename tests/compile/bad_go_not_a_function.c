/* SPDX-License-Identifier: MIT */
/* Only a function can be started. */
// expect: is not a function
#include <aglet.h>

void g(void);
void g(void) {
    ag_go(5);
}
