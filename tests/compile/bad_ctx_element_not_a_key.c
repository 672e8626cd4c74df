/* SPDX-License-Identifier: MIT */
// expect: ag__type
#include <aglet/ctx.h>

struct thing {
    int x;
};

int f(struct thing *t);
int f(struct thing *t) {
    return ag_ctx_get(NULL, t) != 0;
}
