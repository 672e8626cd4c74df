/* SPDX-License-Identifier: MIT */
/* Only a channel has a capacity. */
// expect gcc: invalid type argument of unary
// expect clang: requires pointer operand
#include <aglet.h>

int64_t g(int n);
int64_t g(int n) {
    return ag_cap(n);
}
