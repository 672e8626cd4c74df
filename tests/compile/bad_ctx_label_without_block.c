/* SPDX-License-Identifier: MIT */
/* A label that would end at once. */
// expect gcc: expected expression before
// expect clang: expected expression
#include <aglet/ctx.h>

void f(int slow);
void f(int slow) {
    if (slow)
        ag_label("slow", "yes");
}
