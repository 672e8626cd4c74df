/* SPDX-License-Identifier: MIT */
// warn gcc: incompatible pointer type
// warn clang: incompatible pointer types
#include <aglet/ctx.h>

void f(int *p);
void f(int *p) {
    ag_ctx_enter(p);
}
