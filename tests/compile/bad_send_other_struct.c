/* SPDX-License-Identifier: MIT */
/* A value is converted to the element type or refused. */
// expect gcc: invalid initializer
// expect clang: with an expression of incompatible type
#include <aglet.h>

struct pair {
    int a, b;
};

struct other {
    int a, b;
};

int g(ag_chan(struct pair) c, struct other o);
int g(ag_chan(struct pair) c, struct other o) {
    return ag_send(c, o);
}
