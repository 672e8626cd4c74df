/* SPDX-License-Identifier: MIT */
/* A case is typed as a send is. */
// expect gcc: incompatible types when initializing
// expect clang: with an expression of incompatible type
#include <aglet.h>

struct pair {
    int a, b;
};

int g(ag_chan(int) c, struct pair p);
int g(ag_chan(int) c, struct pair p) {
    return ag_select(AG_SEND(c, p), AG_DEFAULT);
}
