/* SPDX-License-Identifier: MIT */
/* A value is converted to the element type or refused. */
// expect gcc: incompatible types when initializing
// expect clang: with an expression of incompatible type
#include <aglet.h>

struct pair {
    int a, b;
};

bool g(ag_chan(int) c, struct pair p);
bool g(ag_chan(int) c, struct pair p) {
    return ag_try_send(c, p);
}
