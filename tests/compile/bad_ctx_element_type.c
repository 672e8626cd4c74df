/* SPDX-License-Identifier: MIT */
/* A value of another type than the key's. */
// warn gcc: incompatible pointer type
// warn clang: incompatible pointer types
#include <aglet/ctx.h>

static const ag_key(struct ag_defer *) key = AG_KEY("key");

ag_ctx *f(int *p);
ag_ctx *f(int *p) {
    return ag_ctx_plus(NULL, &key, p);
}
