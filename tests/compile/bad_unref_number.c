/* SPDX-License-Identifier: MIT */
/* Only an object has references. */
// warn gcc: makes pointer from integer
// warn clang: incompatible integer to pointer conversion
#include <aglet.h>

void g(int n);
void g(int n) {
    ag_unref(n);
}
