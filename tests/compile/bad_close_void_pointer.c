/* SPDX-License-Identifier: MIT */
/* Only a channel can be closed. */
// expect gcc: void value not ignored
// expect clang: void
#include <aglet.h>

void g(void *p);
void g(void *p) {
    ag_close(p);
}
