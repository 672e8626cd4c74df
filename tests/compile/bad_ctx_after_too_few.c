/* SPDX-License-Identifier: MIT */
// expect: too few arguments
#include <aglet/ctx.h>

void called(int a, int b);

void f(ag_ctx *c);
void f(ag_ctx *c) {
    ag_unref(ag_ctx_after(c, called, 1));
}
