/* SPDX-License-Identifier: MIT */
/* The text is checked as printf's. */
// warn: format
#include <aglet.h>

void g(int n);
void g(int n) {
    ag_panic("%s", n);
}
