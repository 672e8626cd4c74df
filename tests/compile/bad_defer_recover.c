/* SPDX-License-Identifier: MIT */
/* ag_recover is no function: it works where it stands, in a deferred function, and is not one. */
// expect: ag_recover
// expect: undeclared
#include <aglet.h>

void g(void);
void g(void) {
    ag_defer(ag_recover);
}
