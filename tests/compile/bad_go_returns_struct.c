/* SPDX-License-Identifier: MIT */
/* Nobody has a place for the struct that comes back. */
// expect: aglet: a function that returns a struct
#include <aglet.h>

struct big {
    long a[8];
};

static struct big f(int n) {
    struct big b = {{n}};
    return b;
}

void g(void);
void g(void) {
    ag_go(f, 1);
}
