/* SPDX-License-Identifier: MIT */
// c++
// expect gcc: invalid conversion
// expect clang: cannot initialize
#include <aglet/ctx.h>

static const ag_key(char *) key = AG_KEY("key");

ag_ctx *f(int n);
ag_ctx *f(int n) {
    return ag_ctx_plus(NULL, &key, n);
}
