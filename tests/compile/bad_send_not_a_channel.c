/* SPDX-License-Identifier: MIT */
/* Only a channel has elements. */
// expect gcc: invalid type argument of unary
// expect clang: requires pointer operand
#include <aglet.h>

int g(int *p);
int g(int *p) {
    return ag_send(p, 1);
}
