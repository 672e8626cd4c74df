/* SPDX-License-Identifier: MIT */
/* A case needs a channel. */
// expect gcc: invalid type argument of unary
// expect clang: requires pointer operand
#include <aglet.h>

int g(int *p);
int g(int *p) {
    return ag_select(AG_RECV(p, NULL));
}
