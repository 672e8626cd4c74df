/* SPDX-License-Identifier: MIT */
/* Only a channel has a length. */
// expect gcc: invalid type argument of unary
// expect clang: requires pointer operand
#include <aglet.h>

int64_t g(char *p);
int64_t g(char *p) {
    return ag_len(p);
}
