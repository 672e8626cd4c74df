/* SPDX-License-Identifier: MIT */
// c++
// expect gcc: cannot convert
// expect clang: no matching function
#include <aglet/ctx.h>

void f(int *p);
void f(int *p) {
    ag_ctx_enter(p);
}
