/* SPDX-License-Identifier: MIT */
/* AG_AFTER takes a number. */
// expect gcc: wrong type argument to unary plus
// expect clang: invalid argument type
#include <aglet.h>

int g(ag_time *ns);
int g(ag_time *ns) {
    return ag_select(AG_AFTER(ns));
}
