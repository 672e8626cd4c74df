/* SPDX-License-Identifier: MIT */
/* The text is checked as printf's. */
// warn gcc: expects a matching
// warn clang: more '%' conversions
#include <aglet.h>

void g(int n);
void g(int n) {
    ag_panic_value(NULL, "%d %d", n);
}
